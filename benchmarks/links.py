"""Submissions to links: submissions per CPU second, peak memory as the dump grows, and drops beside those known.

    python benchmarks/links.py SHARED [--copies 10]

SHARED holds `data/submissions_real.zst`.  The stage is the one of the DAG, on Beam's in-memory runner: parse, select, spill,
merge, shards and ledger written; the start-up that is taken off is the same stage over a dump of one line.  The peer is the
least that any reader of dumps does: zstandard, a line loop, `orjson.loads`.  The large dump holds the same submissions once
more for each copy, under other hosts and ids.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

import orjson
import zstandard
from measured import own_peak_mb

# Of 1,625,997 links of the same source (docs/links.md).  Ours are a sample of its 2,260,510 rows, by subreddit.
KNOWN = {"IMAGE_HOST": 849_708, "MEDIA_HOST": 210_116, "EXTENSION": 59_417, "LOW_KARMA": 32_587, "REDDIT": 25_929,
         "WIKIPEDIA": 9_097, "UNPARSABLE": 26, "SCHEME": 24, "kept": 438_513}  # fmt: skip


def cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def run_stage(dump: str, root: str, *, partitions: int) -> None:
    import apache_beam as beam

    from pipeline.links import LinkConfig, SelectLinks
    from pipeline.submissions import ReadSubmissions

    config = LinkConfig(partitions=partitions)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        pipeline | ReadSubmissions([dump]) | SelectLinks(root=root, config=config)


def counted(root: str) -> tuple[Counter[str], Counter[str]]:
    from pipeline.shards import read_metadata

    counts: Counter[str] = Counter()
    drops: Counter[str] = Counter()
    for path in sorted(Path(root, "links").glob("links-*.arrow")):
        metadata = read_metadata(str(path))
        counts.update(metadata.counts)
        for ledger in metadata.ledger:
            drops.update(ledger.dropped)
    return counts, drops


def child(dump: str, first: str) -> None:
    """One measurement in a fresh process; prints JSON."""
    from dags.corpus import partitions_for

    partitions = partitions_for([dump])
    with tempfile.TemporaryDirectory() as folder:
        run_stage(first, f"{folder}/first", partitions=partitions)
        idle_mb, start = own_peak_mb(), cpu_s()
        run_stage(first, f"{folder}/again", partitions=partitions)
        startup = cpu_s() - start
        start = cpu_s()
        run_stage(dump, f"{folder}/stage", partitions=partitions)
        spent = cpu_s() - start - startup
        counts, drops = counted(f"{folder}/stage")
    found = {
        "cpu_s": spent, "startup_s": startup, "idle_mb": idle_mb, "peak_mb": own_peak_mb(),
        "partitions": partitions, "counts": counts, "drops": drops,
    }  # fmt: skip
    print(json.dumps(found))


def measured(dump: Path, first: Path) -> dict:
    command = [sys.executable, __file__, "--child", str(dump), str(first)]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(found.stdout.splitlines()[-1])


def lines_of(path: Path) -> Iterator[bytes]:
    unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    with path.open("rb") as file, unpacker.stream_reader(file, read_across_frames=True) as stream:
        rest = b""
        while piece := stream.read(1 << 20):
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines


def bare_read_s(path: Path) -> float:
    start = cpu_s()
    for line in lines_of(path):
        orjson.loads(line)
    return cpu_s() - start


def write_copies(source: Path, target: Path, *, copies: int) -> None:
    from pipeline import hosts
    from pipeline.exclude import parents
    from pipeline.url import UrlError, canonical

    unmoved = hosts.REDDIT | hosts.WIKIPEDIA | hosts.IMAGES | hosts.MEDIA

    @cache
    def is_moved(host: str) -> bool:
        return unmoved.isdisjoint(parents(host))

    with target.open("wb") as file, zstandard.ZstdCompressor(level=1).stream_writer(file) as stream:
        for copy in range(copies):
            for line in lines_of(source):
                record = orjson.loads(line)
                record["id"] += f"c{copy}"
                try:
                    page = canonical(record["url"])
                except UrlError:
                    page = None
                if copy and page and is_moved(page.host):
                    record["url"] = record["url"].replace(page.domain, f"c{copy}-{page.domain}", 1)
                stream.write(orjson.dumps(record) + b"\n")


def report(shared: Path, *, copies: int) -> None:
    source = shared / "data" / "submissions_real.zst"
    with tempfile.TemporaryDirectory() as folder:
        first, large = Path(folder, "first.ndjson"), Path(folder, "large.zst")
        first.write_bytes(next(lines_of(source)) + b"\n")
        write_copies(source, large, copies=copies)
        bare = bare_read_s(source)
        small_run, large_run = measured(source, first), measured(large, first)
    names = ("apache-beam", "pyarrow", "orjson", "zstandard", "ada-url", "tldextract")
    print(f"Python {sys.version.split()[0]}, " + ", ".join(f"{name} {version(name)}" for name in names))
    print(f"\nbare read, zstd + lines + orjson   {bare:8.2f} CPU s")
    for run in (small_run, large_run):
        rows = run["counts"]["submissions_in"]
        rate = f"{run['cpu_s']:8.2f} CPU s (start-up {run['startup_s']:.2f} off)   {rows / run['cpu_s']:10,.0f} a CPU second"
        memory = f"peak {run['peak_mb']:6.0f} MB, {run['idle_mb']:.0f} of them before the first row"
        print(f"{rows:>9,} submissions: {rate}   {memory}   {run['partitions']} partitions")
    print(f"ours / bare read: {small_run['cpu_s'] / bare:.1f}x")
    print(f"peak memory, {copies}x the rows: {large_run['peak_mb'] / small_run['peak_mb']:.2f}x")
    links = small_run["counts"]["submissions_in"] - small_run["drops"]["SELF_POST"]
    print(f"\n{'of the links (self posts aside)':34}{'ours':>9}{'share':>9}{'known':>11}{'share':>9}")
    for name, number in [*small_run["drops"].items(), ("kept", small_run["counts"]["links_kept"])]:
        known = f"{KNOWN[name]:>11,}{KNOWN[name] / 1_625_997:>9.2%}" if name in KNOWN else ""
        print(f"{name:34}{number:>9,}{'' if name == 'SELF_POST' else f'{number / links:>9.2%}'}{known}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--copies", type=int, default=10)
    options = parser.parse_args()
    report(options.shared, copies=options.copies)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:4])
    else:
        main()
