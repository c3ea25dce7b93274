"""Token shards of a seeded text of our own, in the layout of `webtext tokens`, for the tests of the model."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.schema import TOKENS

SUBJECTS = [
    "the miller",
    "an old sailor",
    "her brother",
    "the quiet clerk",
    "a travelling doctor",
    "the gardener",
    "our neighbour",
    "the judge",
]
VERBS = ["found", "carried", "repaired", "counted", "forgot", "painted", "sold", "remembered", "followed", "buried"]
OBJECTS = [
    "a silver key",
    "the broken clock",
    "three letters",
    "the long rope",
    "a map of the coast",
    "the last lantern",
    "two horses",
    "an empty box",
]
PLACES = [
    "near the harbour",
    "behind the mill",
    "under the bridge",
    "in the market",
    "beside the river",
    "at the edge of the forest",
]
TIMES = [
    "before dawn",
    "on a cold morning",
    "after the storm",
    "late in the autumn",
    "when nobody was looking",
    "as he had promised",
]


def document(*, seed: int, sentences: int) -> str:
    """A text with a grammar that a small network can learn."""
    draw = random.Random(seed)
    lines = []
    for _ in range(sentences):
        subject, verb, thing = draw.choice(SUBJECTS), draw.choice(VERBS), draw.choice(OBJECTS)
        sentence = (
            f"{draw.choice(TIMES)} {subject} {verb} {thing} {draw.choice(PLACES)}"
            if draw.random() < 0.5
            else f"{subject} {verb} {thing} {draw.choice(TIMES)}"
        )
        lines.append(sentence[0].upper() + sentence[1:] + ("; nobody asked why." if draw.random() < 0.2 else "."))
    return " ".join(lines)


def documents(count: int, *, sentences: int = 40, seed: int = 0) -> list[str]:
    return [document(seed=seed * 10_000 + number, sentences=sentences) for number in range(count)]


def write_shard(
    path: Path, rows: Iterable[Sequence[int]], *, n_vocab: int, eot: int, tokenizer: str = "f" * 64, batch: int = 1024
) -> None:
    """One token shard; the rows are whole documents with their end-of-text id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = list(rows)
    schema = TOKENS.with_metadata({"tokenizer": tokenizer, "n_vocab": str(n_vocab), "eot": str(eot)})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for first in range(0, len(rows), batch):
            part = rows[first : first + batch]
            ids = pa.array([np.asarray(row, dtype=np.uint16) for row in part], type=pa.list_(pa.uint16()))
            writer.write_batch(pa.record_batch([ids, pa.array([f"{first + n:032x}" for n in range(len(part))])], schema=schema))


def write_tokens(
    directory: Path, *, n_vocab: int = 61, train: int = 3000, validation: int = 400, shards: int = 2, seed: int = 0
) -> Path:
    """Random walks over a small vocabulary: ids that follow one another by a rule, documents of uneven length."""
    draw = np.random.default_rng(seed)

    def rows(total: int) -> list[list[int]]:
        made = []
        while total > 0:
            length = min(total, int(draw.integers(2, 90)))
            steps = draw.integers(1, 4, size=length - 1)
            made.append([*(np.cumsum(steps) % (n_vocab - 1)).tolist(), n_vocab - 1])
            total -= length
        return made

    for split, total, count in (("train", train, shards), ("validation", validation, 1)):
        for number in range(count):
            path = directory / f"{split}-{number:05d}-of-{count:05d}.arrow"
            write_shard(path, rows(total // count), n_vocab=n_vocab, eot=n_vocab - 1, batch=16)
    return directory
