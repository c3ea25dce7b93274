"""Pages a second and CPU a page: our crawl beside requests as people use it, on one loopback web.

    python benchmarks/fetch_pages.py            # plain and TLS, 4,000 and 1,200 pages
    python benchmarks/fetch_pages.py --memory   # 100,000 pages, resident memory on the way

The web (fetch_server.py) has 200 addresses, answers after 50 ms with a page of 46 kB (20 kB gzipped), and runs in a process of
its own on the other core.  Each client runs in a process of its own, 64 threads, every page over a new host visit or a new
connection.  CPU is user + system of the client.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
THREADS = 64
ADDRESSES = 200
PORTS = {"http": 18_080, "https": 18_443}


def urls(scheme: str, count: int) -> list[str]:
    return [f"{scheme}://127.0.0.{n % ADDRESSES + 1}:{PORTS[scheme]}/page/{n}" for n in range(count)]


def threaded(get, wanted: list[str]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for size in pool.map(get, wanted):
            assert size > 40_000, size


# ---- clients: each is run in its own process ----


def bare_requests(wanted: list[str], ca: str) -> None:
    """requests + threads, a session a page: a new connection each time, and the CA bundle read again under TLS."""
    import requests

    def get(url: str) -> int:
        with requests.Session() as session:
            return len(session.get(url, timeout=10, verify=ca or True).content)

    threaded(get, wanted)


def bare_requests_kept(wanted: list[str], ca: str) -> None:
    """requests + threads, a session a thread: connections are kept where the same thread meets the same host again."""
    import requests

    local = threading.local()

    def get(url: str) -> int:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        return len(local.session.get(url, timeout=10, verify=ca or True).content)

    threaded(get, wanted)


def our_transport(wanted: list[str], ca: str, *, kept: int = 1) -> None:
    """Our adapter and guard on 64 threads; no robots, no turns, no WARC.  New connections, as for `bare_requests`."""
    from pipeline.fetch.deadline import Watchdog
    from pipeline.fetch.resolve import Resolver
    from pipeline.fetch.transport import PAGE, Transport, tls_context
    from pipeline.url import Allowed

    transport = Transport(
        user_agent="webtext/0 (+bench@webtext.example)",
        allowed=Allowed.parse(["127.0.0.0/8"]),
        resolver=Resolver(),
        watchdog=Watchdog(),
        context=tls_context(ca or None),
        deadline_s=30,
        connect_timeout_s=10,
        idle_timeout_s=20,
        kept_connections=kept,
    )
    want = PAGE._replace(keep_bytes=1_000_000)

    def get(url: str) -> int:
        exchange = transport.get(url, want=want)
        assert exchange.fault is None, exchange.fault
        return len(exchange.body)

    threaded(get, wanted)


def our_transport_kept(wanted: list[str], ca: str) -> None:
    our_transport(wanted, ca, kept=512)


def crawl_config(ca: str):
    from pipeline.fetch.config import FetchConfig

    return FetchConfig(
        contact="bench@webtext.example", allow_private=("127.0.0.0/8",), private_delay_s=0.0, threads=THREADS,
        max_pages_per_host=10**6, ca_file=ca or None,
    )  # fmt: skip


def our_crawl(wanted: list[str], ca: str) -> None:
    """The whole crawl: turns, robots.txt and tdmrep.json of every host, WARC, journal, page shard."""
    import hashlib

    from pipeline.fetch.crawl import crawl_shard
    from pipeline.schema import LINK
    from pipeline.shards import shard_path, table_of, write_shard

    with tempfile.TemporaryDirectory() as root:
        rows = [
            (hashlib.sha256(url.encode()).hexdigest()[:32], url[7:], url, url.split("/")[2].partition(":")[0], 5, "a", "b", 1)
            for url in wanted
        ]
        path = shard_path(root, "links", 0, 1)
        table = table_of(sorted(rows), LINK)
        links = write_shard(path, table, stage="links", number=0, of=1, recipe="", made_from="")
        pages = crawl_shard(links, root=root, config=crawl_config(ca), url_drop=lambda url: None)
        assert pages.rows == len(wanted), pages


CLIENTS = {
    client.__name__: client
    for client in (bare_requests, bare_requests_kept, our_transport, our_transport_kept, our_crawl)
}


def run_client(name: str, scheme: str, count: int, ca: str) -> None:
    client = CLIENTS[name]
    client(urls(scheme, 200), ca)  # imports and caches
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    client(urls(scheme, count), ca)
    after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - begin
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"pages_s": count / seconds, "cpu_ms": 1000 * cpu / count, "rss_mb": after.ru_maxrss / 1024}))


def measured(name: str, scheme: str, count: int, ca: str) -> dict:
    command = [sys.executable, __file__, "--client", name, scheme, str(count), ca]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# ---- servers ----


def certificate(folder: str) -> tuple[str, str, str]:
    import certifi
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert(*(f"127.0.0.{n + 1}" for n in range(ADDRESSES)))
    paths = [os.path.join(folder, name) for name in ("ca.pem", "cert.pem", "key.pem")]
    Path(paths[0]).write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())  # as long as a real bundle
    issued.cert_chain_pems[0].write_to_path(paths[1])
    issued.private_key_pem.write_to_path(paths[2])
    return paths[0], paths[1], paths[2]


def server(port: int, *files: str) -> subprocess.Popen:
    command = [sys.executable, str(HERE / "fetch_server.py"), str(port), *files]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def compare(scheme: str, count: int, ca: str, rounds: int) -> None:
    rows: dict[str, dict] = {}
    for _ in range(rounds):
        for name in CLIENTS:
            row = measured(name, scheme, count, ca)
            if name not in rows or row["cpu_ms"] < rows[name]["cpu_ms"]:
                rows[name] = row
    print(f"\n{scheme}, {count:,} pages, {THREADS} threads; best of {rounds}")
    print(f"{'client':<20}{'pages/s':>9}{'CPU ms/page':>13}{'RSS MB':>8}{'CPU / bare':>12}")
    for name, row in rows.items():
        ratio = row["cpu_ms"] / rows["bare_requests"]["cpu_ms"]
        print(f"{name:<20}{row['pages_s']:>9,.0f}{row['cpu_ms']:>13.2f}{row['rss_mb']:>8.0f}{ratio:>12.2f}")


def memory(count: int) -> None:
    """Resident memory while one engine fetches `count` pages, shard after shard."""
    from pipeline.fetch.crawl import engine_of

    shard = 5000
    print(f"\nmemory over {count:,} fetches, shards of {shard:,}")
    with engine_of(crawl_config("")):  # kept over all shards, as in a run of many
        for done in range(0, count, shard):
            our_crawl([f"{url}x{done}" for url in urls("http", shard)], "")
            with open("/proc/self/statm") as file:
                resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
            cpu_ms = 1000 * sum(os.times()[:2]) / (done + shard)
            print(f"{done + shard:>9,} pages {resident:>7.0f} MB resident {cpu_ms:>6.2f} ms CPU a page", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=4000)
    parser.add_argument("--tls-pages", type=int, default=1200)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--memory", type=int, nargs="?", const=100_000)
    parser.add_argument("--client", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        name, scheme, count, ca = options.client
        run_client(name, scheme, int(count), ca)
        return
    with tempfile.TemporaryDirectory() as folder:
        ca, cert, key = certificate(folder)
        servers = [server(PORTS["http"]), server(PORTS["https"], cert, key)]
        try:
            if options.memory:
                memory(options.memory)
            else:
                compare("http", options.pages, "", options.rounds)
                compare("https", options.tls_pages, ca, options.rounds)
        finally:
            for process in servers:
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
