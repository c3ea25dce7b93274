"""Claim: the report of a ledger of a million rows takes less than 60 CPU seconds and 1 GB, and its file less than 5 MB.

    python benchmarks/report.py [--dropped 1000000] [--kept 200000] [--keep FOLDER]

A corpus is made up of as many documents, dropped records, hosts and duplicates as asked for, in 64 corpus shards and as many
ledger files a stage.  CPU seconds and peak memory are those of `webtext inspect ROOT --html`, start-up included, beside
those of a bare read: every batch of the same files unpacked, and nothing done with it.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
from measured import Usage, measured

from pipeline.manifest import SCHEMA
from pipeline.schema import CORPUS, LEDGER
from pipeline.shards import batches_of, write_arrow

SHARDS = 64
VOCABULARY = 20_000
# Shares of the records that real submissions lose at each step (results/corpus_drops.md), rounded.
REASONS = {
    "links": {"IMAGE_HOST": 0.38, "SELF_POST": 0.12, "LOW_KARMA": 0.14, "REPOST": 0.05, "MEDIA_HOST": 0.06, "REDDIT": 0.03},
    "pages": {"HTTP_STATUS": 0.06, "DNS_FAILURE": 0.02, "ROBOTS_DISALLOWED": 0.01, "DEADLINE": 0.01},
    "documents": {"WRONG_LANGUAGE": 0.03, "TOO_SHORT": 0.03, "NO_TEXT": 0.01, "NOT_HTML": 0.01, "FRAGMENTED": 0.005},
    "duplicates": {"NEAR_DUPLICATE": 0.03, "EXACT_DUPLICATE": 0.005},
}
DETAILS = {
    "HTTP_STATUS": ("status", ("404", "403", "500", "410")),
    "WRONG_LANGUAGE": ("language", ("de", "fr", "es", "pt", "ru")),
}
READ = """
import sys
from pathlib import Path
from pipeline.shards import read_batches
rows = sum(batch.num_rows for folder in ("corpus/data", "ledger") for path in sorted(Path(sys.argv[1], folder).glob("*.arrow"))
           for batch in read_batches(str(path)))
print(rows)
"""


def names(random: np.random.Generator, count: int) -> np.ndarray:
    """Hosts of records: few are many, most are one or two."""
    return np.array([f"host{int(n):x}.example" for n in np.minimum(random.zipf(1.35, count), 5_000_000)])


def ids(first: int, count: int) -> list[str]:
    return sorted(hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(first, first + count))


def ledger_table(stage: str, reason: str, count: int, keepers: list[str], random: np.random.Generator) -> pa.Table:
    hosts, numbers = names(random, count), random.integers(0, 1 << 60, count)
    urls = [f"https://{host}/{number:x}/a-page-of-its-own" for host, number in zip(hosts, numbers, strict=True)]
    karma = random.zipf(1.6, count)
    if stage == "links":
        details = [f"submission={number % (1 << 30):x} karma={points}" for number, points in zip(numbers, karma, strict=True)]
    elif stage == "duplicates":
        details = [f"jaccard={value:.2f}" for value in random.uniform(0.7, 1, count)]
    else:
        name, values = DETAILS.get(reason, ("figure", ("0.25", "0.5")))
        details = [f"{name}={value}" for value in random.choice(values, count)]
    kept = [keepers[int(place)] for place in random.zipf(1.2, count) % len(keepers)] if stage == "duplicates" else [None] * count
    return pa.table([[stage] * count, [reason] * count, urls, urls, details, kept], schema=LEDGER)


def corpus_table(first: int, count: int, words: np.ndarray, random: np.random.Generator) -> pa.Table:
    hosts, lengths = names(random, count), np.clip(random.lognormal(6, 0.8, count), 128, 20_000).astype(int)
    texts = [" ".join(words[random.integers(0, VOCABULARY, length)]) for length in lengths]
    columns = {
        "id": ids(first, count),
        "url": [f"https://{host}/{number:x}" for number, host in enumerate(hosts, first)],
        "text": texts,
        "title": [text[:60] for text in texts],
        "domain": hosts.tolist(),
        "language": random.choice(["en", "de", "fr"], count, p=[0.9, 0.06, 0.04]).tolist(),
        "language_score": [1.0] * count,
        "karma": np.minimum(random.zipf(1.6, count) + 2, 90_000).tolist(),
        "submission_id": [f"{number:x}" for number in range(first, first + count)],
        "subreddit": ["reddit"] * count,
        "created_utc": random.integers(1_150_000_000, 1_510_000_000, count).tolist(),
        "fetched_utc": [1_600_000_000] * count,
        "extractor": ["trafilatura"] * count,
        "words": lengths.tolist(),
        "text_hash": ["0" * 64] * count,
        "cluster_size": np.minimum(random.zipf(3.0, count), 5_000).tolist(),
    }
    return pa.table(columns, schema=CORPUS)


def parts(count: int) -> Iterator[tuple[int, int, int]]:
    """Number, first row and rows of each shard."""
    for number in range(SHARDS):
        first = count * number // SHARDS
        yield number, first, count * (number + 1) // SHARDS - first


def write_root(root: Path, *, kept: int, dropped: int) -> int:
    """A finished corpus; returns the rows of its ledger."""
    random = np.random.default_rng(8)
    words = np.array([f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{n:x}" for n in range(VOCABULARY)])
    shards, ledger = [], []
    for number, first, count in parts(kept):
        name = f"data/train-{number:05d}-of-{SHARDS:05d}.arrow"
        write_arrow(str(root / "corpus" / name), CORPUS, batches_of(corpus_table(first, count, words, random)))
        shards.append({"path": name, "split": "train", "rows": count, "bytes": 0, "sha256": "0" * 64})
    keepers, stages, entered = ids(0, 2_000), [], kept + dropped
    for stage, shares in REASONS.items():
        counts = {reason: int(dropped * share) for reason, share in shares.items()}
        tables = [ledger_table(stage, reason, count, keepers, random) for reason, count in counts.items()]
        table = pa.concat_tables(tables).sort_by([("key", "ascending")])
        for number, first, count in parts(len(table)):
            name = f"ledger/{stage}-{number:05d}.arrow"
            write_arrow(str(root / name), LEDGER, batches_of(table.slice(first, count)))
            ledger.append({"path": name, "rows": count, "bytes": 0, "sha256": "0" * 64})
        stages.append({"name": stage, "in": entered, "kept": entered - len(table), "dropped": counts})
        entered -= len(table)
    (root / "corpus" / "manifest.json").write_text(
        json.dumps(
            {
                "schema": SCHEMA, "config": {"min_karma": 3}, "inputs": [], "stages": stages, "shards": shards, "ledger": ledger,
                "versions": {"python": "3.11", "webtext": version("webtext")},
            }
        )
    )  # fmt: skip
    return sum(file["rows"] for file in ledger)


def told(name: str, usage: Usage) -> str:
    own, resident = (max(peak["main"].values(), default=0.0) for peak in (usage.peak_mb, usage.resident_mb))
    return f"{name:<12}{usage.cpu_s:8.1f} CPU s{own:8.0f} MB of its own, {resident:.0f} MB resident with mapped files"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dropped", type=int, default=1_010_000)
    parser.add_argument("--kept", type=int, default=200_000)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = options.keep or Path(folder)
        rows = write_root(root, kept=options.kept, dropped=options.dropped)
        size = sum(path.stat().st_size for path in root.rglob("*.arrow"))
        print(f"Python {sys.version.split()[0]}, pyarrow {version('pyarrow')}, vl-convert-python {version('vl-convert-python')}")
        print(f"{rows:,} rows in the ledger, {options.kept:,} documents, {size / 1e6:,.0f} MB of shards")
        bare = measured([sys.executable, "-c", READ, str(root)])
        report = root / "corpus" / "report.html"
        ours = measured([sys.executable, "-m", "dags", "inspect", str(root), "--html", str(report)])
        print(told("bare read", bare))
        print(told("report", ours))
        print(f"ours / bare read: {ours.cpu_s / bare.cpu_s:.1f}x")
        print(f"report.html: {report.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
