"""A tiny finished corpus of our own text, in the layout of the contract."""

import hashlib
import random
from pathlib import Path

import pyarrow as pa

from pipeline.schema import CORPUS

WORDS = [
    *("the", "of", "and", "to", "in", "a", "is", "that", "it", "was", "for", "on", "are", "as", "with", "his", "they", "at"),
    *("be", "this", "from", "have", "or", "by", "one", "had", "not", "but", "what", "all"),
]


def text(*, seed: int, words: int = 200) -> str:
    """Sentences of known words with rare ones between them."""
    draw = random.Random(seed)
    chosen = [draw.choice(WORDS) if draw.random() < 0.8 else f"{draw.choice(WORDS)}{draw.choice(WORDS)}" for _ in range(words)]
    return " ".join(chosen).capitalize() + ". <|endoftext|> It's 1984 — né\n"


def rows(count: int, *, seed: int = 0) -> list[dict[str, object]]:
    """Corpus rows sorted by id."""
    made = []
    for number in range(count):
        body = text(seed=seed * 1000 + number)
        made.append({
            "id": hashlib.sha256(f"{seed} {number}".encode()).hexdigest()[:32],
            "url": f"https://site{number % 3}.example/{number}",
            "text": body,
            "title": f"Document {number}",
            "domain": f"site{number % 3}.example",
            "language": "en" if number % 4 else "de",
            "language_score": 0.99,
            "karma": 3,
            "submission_id": f"{number:x}",
            "subreddit": "test",
            "created_utc": 1_500_000_000,
            "fetched_utc": 1_500_000_100,
            "extractor": "trafilatura",
            "words": len(body.split()),
            "text_hash": hashlib.sha256(body.encode()).hexdigest(),
            "cluster_size": 1,
        })
    return sorted(made, key=lambda row: str(row["id"]))


def write_corpus(root: Path, all_rows: list[dict[str, object]], *, shards: int = 3, validation: int = 5) -> Path:
    """ROOT with corpus/data: one validation shard of the first rows, the others in so many train shards."""
    data = root / "corpus" / "data"
    data.mkdir(parents=True, exist_ok=True)
    train = all_rows[validation:]
    size = -(-len(train) // shards)
    parts = {f"train-{number:05d}-of-{shards:05d}": train[number * size : (number + 1) * size] for number in range(shards)}
    for name, part in {"validation-00000-of-00001": all_rows[:validation], **parts}.items():
        table = pa.Table.from_pylist(part, schema=CORPUS)
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.OSFile(str(data / f"{name}.arrow"), "wb") as sink, pa.ipc.new_file(sink, CORPUS, options=options) as writer:
            writer.write_table(table, max_chunksize=1024)
    return root
