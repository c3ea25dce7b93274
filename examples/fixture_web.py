"""A small web on loopback, written by us: good sites, and every bad manner a crawler meets.

    python -m examples.fixture_web --addresses 12 --port 8080 --log requests.ndjson

Site k lives at 127.0.0.k.  The first sites are good; each of the others has one thing wrong with its robots.txt or asks
something of us.  Site 1 also serves the bad pages under /bad/.  Every request is logged with its begin and end.
"""

import argparse
import functools
import gzip
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any, ClassVar

from examples.prose import page

GOOD_PAGES = 30  # on each site

# Site number from the end -> what its robots.txt does.
ROBOTS: dict[str, bytes] = {
    "open": b"User-agent: *\nDisallow: /secret/\nCrawl-delay: 1\n",
    "closed": b"User-agent: *\nDisallow: /\n",
    "html": b"<!doctype html><title>Not here</title><p>Nothing to see.</p>",
    "huge": b"User-agent: *\nDisallow: /secret/\n" + b"# a comment that goes on\n" * 24_576,  # 600 KB
    "bom": b"\xef\xbb\xbfUser-agent: *\nDisallow: /secret/\n",
    "opt-out": b"User-agent: GPTBot\nDisallow: /\n\nUser-agent: *\nAllow: /\n",
    "signal": b"User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /\n",
}
KINDS = (
    *("open",) * 5,
    "html", "huge", "bom", "closed", "error", "opt-out", "signal", "tdm", "forbidden", "moved", "lost",
)  # fmt: skip


@dataclass
class Log:
    """Who asked for what, when, and how many asked one site at once."""

    file: IO[str] | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, entry: dict[str, Any]) -> None:
        with self.lock:
            self.requests.append(entry)
            if self.file is not None:
                self.file.write(json.dumps(entry) + "\n")
                self.file.flush()

    def paths(self, site: str | None = None) -> list[str]:
        with self.lock:
            return [entry["path"] for entry in self.requests if site in (None, entry["site"])]

    def overlaps(self) -> list[tuple[dict, dict]]:
        """Pairs of requests to one site that were in hand at the same time.

        A request that the crawler hung up on is over for the crawler, though the server may take a while to see it.
        """
        with self.lock:
            ordered = sorted(self.requests, key=lambda entry: entry["begin"])
        found, latest = [], {}
        for entry in ordered:
            before = latest.get(entry["site"])
            if before is not None and entry["begin"] < before["end"]:
                found.append((before, entry))
            if not entry["hung_up"] and (before is None or entry["end"] > before["end"]):
                latest[entry["site"]] = entry
        return found


class Site(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    web: ClassVar["FixtureWeb"]
    server: "_Server"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        begin = time.monotonic()
        entry = {"site": self.server.site, "path": self.path, "host": self.headers["Host"], "begin": begin}
        entry["agent"] = self.headers["User-Agent"]
        entry["hung_up"] = False
        try:
            self._answer()
            self.wfile.flush()
        except (OSError, ValueError):  # the crawler has had enough, or we broke the connection ourselves
            self.close_connection = entry["hung_up"] = True
        self.server.web.log.add({**entry, "end": time.monotonic()})

    def _answer(self) -> None:
        web = self.server.web
        if web.latency_s:
            time.sleep(web.latency_s)
        if self.path == "/robots.txt":
            self._robots()
        elif self.path == "/rules/robots.txt":
            self.send(ROBOTS["open"], kind="text/plain")
        elif self.path == "/.well-known/tdmrep.json" and self.server.kind == "tdm":
            self.send(b'[{"location": "/page/*", "tdm-reservation": 1}]', kind="application/json")
        elif self.path.startswith(("/page/", "/secret/")):
            title = f"{self.path.strip('/')} of {self.server.site}"
            self.send(page(title, title=title), zipped="gzip" in self.headers.get("Accept-Encoding", ""))
        elif self.path.startswith("/bad/") and (answer := BAD.get(self.path.removeprefix("/bad/"))):
            answer(self)
        else:
            self.send(b"<p>There is no such page.</p>", status=404)

    def _robots(self) -> None:
        kind = self.server.kind
        if kind == "error":
            self.send(b"out of order", status=503)
        elif kind in ("tdm", "forbidden"):
            self.send(b"", status=404 if kind == "tdm" else 403)  # either way everything is allowed
        elif kind == "moved":
            self.send(b"", status=301, Location="/rules/robots.txt")
        elif kind == "lost":
            self.send(b"", status=302, Location="/robots.txt")
        else:
            self.send(ROBOTS[kind], kind="text/plain")

    def send(
        self, body: bytes, *, status: int = 200, kind: str = "text/html; charset=utf-8", zipped: bool = False, **headers: str
    ) -> None:
        if zipped:
            body = gzip.compress(body, 6, mtime=0)
            headers["Content_Encoding"] = "gzip"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def head(self, *lines: str, status: str = "200 OK") -> None:
        """A head without a length: the answer ends with the connection."""
        self.close_connection = True
        text = "\r\n".join((f"HTTP/1.1 {status}", "Content-Type: text/html", "Connection: close", *lines)) + "\r\n\r\n"
        self.wfile.write(text.encode())
        self.wfile.flush()

    def drip(self, piece: bytes, *, times: int) -> None:
        for _ in range(times):
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(self.server.web.drip_s)


@functools.cache
def _packed_zeros() -> bytes:
    """60 MB of zeros in 60 kB."""
    return gzip.compress(bytes(60_000_000), 6, mtime=0)


def _bomb(site: Site) -> None:
    site.send(_packed_zeros(), Content_Encoding="gzip")


def _brotli_bomb(site: Site) -> None:
    site.send(BROTLI_ZEROS, Content_Encoding="br")


def _double_bomb(site: Site) -> None:
    site.send(gzip.compress(_packed_zeros()), Content_Encoding="gzip, gzip")


def _fifty_megabytes(site: Site) -> None:
    site.head()
    for _ in range(800):
        site.wfile.write(b"<p>more</p>\n" * 5461)


def _declared_fifty(site: Site) -> None:
    site.head("Content-Length: 50000000")
    site.drip(b"<p>", times=50)


def _endless(site: Site) -> None:
    site.head()
    while True:
        site.wfile.write(b"<p>and so on</p>\n" * 4096)


def _slow_head(site: Site) -> None:
    site.close_connection = True
    site.wfile.write(b"HTTP/1.1 200 OK\r\n")
    site.drip(b"X-Slow: 1\r\n", times=200)


def _slow_body(site: Site) -> None:
    site.head("Content-Length: 100000")
    site.drip(b"<", times=200)


def _endless_head(site: Site) -> None:
    site.close_connection = True
    site.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        site.wfile.write(b"X-More: " + b"a" * 60_000 + b"\r\n")


def _reset(site: Site) -> None:
    site.head("Content-Length: 100000")
    site.wfile.write(b"<html><p>half a page")
    site.wfile.flush()
    site.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    site.connection.close()
    site.close_connection = True


def _raw(*lines: str, body: bytes = b"", status: str = "200 OK") -> Callable[[Site], None]:
    def answer(site: Site) -> None:
        site.head(*lines, status=status)
        site.wfile.write(body)

    return answer


def _redirect(target: str, *, status: int = 302) -> Callable[[Site], None]:
    return lambda site: site.send(b"", status=status, Location=target)


def _to_site(kind: str) -> Callable[[Site], None]:
    def answer(site: Site) -> None:
        web = site.server.web
        site.send(b"", status=302, Location=web.url(web.sites(kind)[0], "/page/far"))

    return answer


def _status(status: int, **headers: str) -> Callable[[Site], None]:
    return lambda site: site.send(b"" if status in (204, 304) else b"<p>no page</p>", status=status, **headers)


def _article(name: str, *, head: str = "", charset: str = "utf-8", **headers: str) -> Callable[[Site], None]:
    body = page(name, title=name, head=head)
    return lambda site: site.send(body, kind=f"text/html; charset={charset}", **headers)


# 60 MB of zeros, packed by brotli 1.2 and written out, so that serving them needs no brotli.
BROTLI_ZEROS = bytes.fromhex(
    "cbffff3ff82700e2b14020f7fe8fffff7ff04f00c4611180eefd1fffffffe09f0088c30200ddfb3ffeffffc13f0110870500baf77ffcffff837f0220"
    "0e0b0074effff8ffff07ff04401c1600e8defff1ffff0ffe0980382c00d0bdffcb7fc309fc1300715800a0eb3701"
)

BAD: dict[str, Callable[[Site], None]] = {
    "gzip-bomb": _bomb,
    "double-bomb": _double_bomb,
    "brotli-bomb": _brotli_bomb,
    "fifty-megabytes": _fifty_megabytes,
    "declared-fifty": _declared_fifty,
    "endless": _endless,
    "endless-head": _endless_head,
    "slow-head": _slow_head,
    "slow-body": _slow_body,
    "short": _raw("Content-Length: 5000", body=b"<p>less than promised"),
    "bad-chunks": _raw("Transfer-Encoding: chunked", body=b"zz\r\n<p>no number</p>\r\n"),
    "cut-chunks": _raw("Transfer-Encoding: chunked", body=b"400\r\n<p>cut"),
    "bad-gzip": _raw("Content-Encoding: gzip", body=b"\x1f\x8b\x08 this is no gzip"),
    "unknown-encoding": _raw("Content-Encoding: rot13", body=b"<c>uryyb</c>"),
    "not-http": lambda site: (setattr(site, "close_connection", True), site.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n"))[0],
    "reset": _reset,
    "binary": lambda site: site.send(bytes(range(256)) * 400),
    "image": lambda site: site.send(b"\x89PNG\r\n", kind="image/png"),
    "pdf": lambda site: site.send(b"%PDF-1.7", kind="application/pdf"),
    "wrong-charset": _article("wrong-charset", charset="utf-16"),
    "loop": _redirect("/bad/loop-2"),
    "loop-2": _redirect("/bad/loop"),
    "self": _redirect("/bad/self"),
    **{f"chain-{step}": _redirect(f"/bad/chain-{step - 1}") for step in range(1, 9)},
    "chain-0": _article("chain-0"),
    "to-metadata": _redirect("http://169.254.169.254/latest/meta-data/"),
    "to-decimal": _redirect("http://2852039166/latest/meta-data/"),
    "to-private": _redirect("http://10.0.0.1/"),
    "to-wikipedia": _redirect("https://en.wikipedia.org/wiki/Ferry"),
    "to-ftp": _redirect("ftp://files.example/x"),
    "to-nowhere": _redirect(""),
    "to-image": _redirect("/bad/picture.png"),
    "to-secret": _redirect("/secret/redirected"),
    "to-closed-site": _to_site("closed"),
    "to-html-site": _to_site("html"),
    "204": _status(204),
    "206": _status(206, Content_Range="bytes 0-13/99"),
    "304": _status(304),
    "404": _status(404),
    "410": _status(410),
    "451": _status(451),
    "500": _status(500),
    "503-later": _status(503, Retry_After="86400"),
    "noai-header": _article("noai-header", X_Robots_Tag="noai"),
    "tdm-header": _article("tdm-header", TDM_Reservation="1"),
    "usage-header": _article("usage-header", Content_Usage="train-ai=n"),
    "noai-meta": _article("noai-meta", head='<meta name="robots" content="noai, noimageai">'),
    "empty": lambda site: site.send(b""),
    "cookies": _article("cookies", Set_Cookie="id=1; Path=/"),
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    web: "FixtureWeb"
    site: str
    kind: str

    def handle_error(self, *_: Any) -> None:
        """A crawler that hangs up is no error."""


class FixtureWeb:
    """Sites 127.0.0.1 .. 127.0.0.N on one port, until `close`.  `bind`: one site at this address instead, for a container."""

    def __init__(
        self,
        *,
        addresses: int = len(KINDS),
        port: int = 0,
        bind: str = "",
        latency_s: float = 0.0,
        drip_s: float = 0.5,
        log: Log | None = None,
    ) -> None:
        self.log = log or Log()
        self.latency_s = latency_s
        self.drip_s = drip_s
        self._servers: list[_Server] = []
        for number in range(1 if bind else addresses):
            server = _Server((bind or f"127.0.0.{number + 1}", port), Site)
            port = server.server_address[1]
            server.web, server.site, server.kind = self, f"127.0.0.{number + 1}", KINDS[number % len(KINDS)]
            self._servers.append(server)
        self.port = port
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, site: int, path: str) -> str:
        return f"http://127.0.0.{site}:{self.port}{path}"

    def sites(self, kind: str) -> list[int]:
        return [number for number, server in enumerate(self._servers, 1) if server.kind == kind]

    def good_urls(self) -> list[str]:
        numbers = range(1, len(self._servers) + 1)
        return [self.url(site, f"/page/{number}") for site in numbers for number in range(GOOD_PAGES)]

    def bad_urls(self) -> list[str]:
        return [self.url(1, f"/bad/{name}") for name in BAD]

    def close(self) -> None:
        stops = [threading.Thread(target=server.shutdown) for server in self._servers]
        for stop in stops:
            stop.start()
        for stop, server in zip(stops, self._servers, strict=True):
            stop.join()
            server.server_close()

    def __enter__(self) -> "FixtureWeb":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--addresses", type=int, default=len(KINDS))
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--bind", default="", help="serve one site at this address: 0.0.0.0 in a container")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    parser.add_argument("--log", type=argparse.FileType("a"), help="NDJSON, one line a request")
    options = parser.parse_args()
    log = Log(file=options.log)
    settings = {"addresses": options.addresses, "port": options.port, "bind": options.bind, "latency_s": options.latency}
    with FixtureWeb(**settings, log=log) as web:
        sys.stdout.write("\n".join([*web.good_urls(), *web.bad_urls()]) + "\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
