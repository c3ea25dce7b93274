"""Claim: who asks to be left out is served in a minute: only the shards that held the page are written anew.

    python benchmarks/removal.py [--documents 400000] [--keep FOLDER]

A corpus is made up of as many documents as asked for, in shards of 128 MB of text as a build cuts them, with page shards
(three in ten behind a redirect) and a ledger of duplicates (one for ten documents).  One page is taken out by its URL, then a
domain with pages in every shard, and the corpus is verified.  The peer is what one would do by hand: every shard read, filtered
and written with pyarrow.  CPU seconds are of the whole command, start-up and the report drawn anew included.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from measured import Usage, measured

from pipeline import storage
from pipeline.card import dataset_card
from pipeline.link_rules import link_id
from pipeline.manifest import SCHEMA
from pipeline.schema import CORPUS, PAGE, LedgerRow
from pipeline.shards import shard_path, write_ledger, write_shard

WORDS = 450  # a document; WebText's have about 650 of GPT-2's tokens
SHARD_DOCUMENTS = 50_000  # about 128 MB of text
HOSTS = 5_000
PEER = """
import sys
from pathlib import Path
import pyarrow as pa, pyarrow.compute as pc
for path in sorted(Path(sys.argv[1], "corpus", "data").glob("*.arrow")):
    with pa.memory_map(str(path)) as source, pa.OSFile(sys.argv[2], "wb") as sink:
        reader = pa.ipc.open_file(source)
        with pa.ipc.new_file(sink, reader.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                writer.write_batch(batch.filter(pc.not_equal(batch.column("url"), sys.argv[3])))
"""


def url_of(number: int) -> str:
    return f"http://host{number % HOSTS}.example/{number}"


def rows(first: int, count: int, random: np.random.Generator) -> Iterator[dict[str, Any]]:
    vocabulary = np.array([f"{n * 2_654_435_761 % 2**28:x}" if n % 3 else "the" for n in range(20_000)])
    for number in range(first, first + count):
        url = url_of(number)
        text = " ".join(vocabulary[np.minimum(random.zipf(1.3, WORDS), 19_999)].tolist())
        yield {
            "id": link_id(url.partition("://")[2]), "url": url, "text": text, "title": f"Page {number}",
            "domain": url.split("/")[2], "language": "en", "language_score": 0.99, "karma": 3 + number % 500,
            "submission_id": f"s{number:x}", "subreddit": "r", "created_utc": 1_400_000_000 + number,
            "fetched_utc": 1_500_000_000, "extractor": "trafilatura", "words": WORDS,
            "text_hash": hashlib.sha256(text.encode()).hexdigest(), "cluster_size": 1,
        }  # fmt: skip


def made_corpus(root: Path, *, documents: int) -> int:
    """Writes ROOT; returns the bytes of its shards."""
    random = np.random.default_rng(1)
    of = -(-documents // SHARD_DOCUMENTS)
    shards, entered = [], 0
    plain: dict[str, Any] = {"recipe": "r", "made_from": "m"}
    for number in range(of):
        first = number * SHARD_DOCUMENTS
        table = pa.Table.from_pylist(list(rows(first, min(SHARD_DOCUMENTS, documents - first), random)), CORPUS).sort_by("id")
        name = f"train-{number:05d}-of-{of:05d}.arrow" if number else "validation-00000-of-00001.arrow"
        path = str(root / "corpus" / "data" / name)
        write_shard(path, table, stage="corpus", number=number, of=of, **plain)
        hashes = {"bytes": storage.size(path), "sha256": storage.sha256_of(path)}
        shards.append({"path": f"data/{name}", "split": name.split("-")[0], "rows": table.num_rows, **hashes})
        entered += table.num_rows
        pages = table.select([name for name in PAGE.names if name in CORPUS.names])
        redirected = [f"{url}/moved" if n % 10 < 3 else url for n, url in enumerate(pages["url"].to_pylist())]
        known = {"final_url": redirected, "key": [url[7:] for url in pages["url"].to_pylist()]}
        rest = {name: ["x"] * len(pages) for name in ("archive", "digest")} | {n: [0] * len(pages) for n in ("offset", "length")}
        for name, column in (known | rest).items():
            pages = pages.append_column(name, pa.array(column))
        path = shard_path(str(root), "pages", number, of)
        write_shard(path, pages.select(PAGE.names).cast(PAGE), stage="pages", number=number, of=of, **plain)
    keepers = [link_id(url_of(number)[7:]) for number in range(0, documents, 10)]
    copies = [f"copy{n % 999}.example/{n}" for n in range(len(keepers))]
    duplicates = [
        LedgerRow("duplicates", "NEAR_DUPLICATE", f"http://{key}", key, "jaccard=0.90", keeper)
        for key, keeper in zip(copies, keepers, strict=True)
    ]
    file = write_ledger(str(root), "duplicates", 0, duplicates)
    ledger = {"path": f"ledger/{file.name}", "rows": file.rows, "sha256": file.sha256}
    dropped = {"name": "duplicates", "in": entered + file.rows, "kept": entered, "dropped": file.dropped}
    manifest = {
        "schema": SCHEMA, "config": {"source": "archive"}, "inputs": [], "shards": shards,
        "stages": [dropped, {"name": "corpus", "in": entered, "kept": entered, "dropped": {}}],
        "ledger": [{**ledger, "bytes": storage.size(str(root / "ledger" / file.name))}],
        "versions": {"python": "", "webtext": version("webtext")},
    }  # fmt: skip
    (root / "corpus" / "README.md").write_text(dataset_card(manifest))
    (root / "corpus" / "manifest.json").write_text(json.dumps(manifest))
    return sum(shard["bytes"] for shard in shards)


def told(name: str, usage: Usage) -> str:
    peak = max(usage.resident_mb["main"].values())
    return f"{name:<34}{usage.cpu_s:7.1f} CPU s {peak:8,.0f} MB resident with mapped files"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=400_000, help="default %(default)s")
    parser.add_argument("--keep", metavar="FOLDER", help="where the corpus is made, and left; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(options.keep or temporary) / "root"
        size = made_corpus(root, documents=options.documents)
        print(f"Python {sys.version.split()[0]}, pyarrow {pa.__version__}")
        print(f"{options.documents:,} documents, {size / 1e6:,.0f} MB of shards")
        webtext = [sys.executable, "-m", "dags"]
        url = url_of(options.documents // 2)
        by_hand = measured([sys.executable, "-c", PEER, str(root), f"{temporary}/sink", url])
        page = measured([*webtext, "remove", "--corpus", str(root), "--url", url])
        domain = measured([*webtext, "remove", "--corpus", str(root), "--domain", "host7.example"])
        print(told("by hand, every shard written", by_hand))
        print(told("webtext remove --url", page))
        print(told("webtext remove --domain", domain))
        print(f"by hand / one URL: {by_hand.cpu_s / page.cpu_s:.2f}x")
        print(f"by hand / a domain in every shard: {by_hand.cpu_s / domain.cpu_s:.2f}x")
        print("\n".join(domain.output.splitlines()[:1] + measured([*webtext, "verify", str(root)]).output.splitlines()))


if __name__ == "__main__":
    main()
