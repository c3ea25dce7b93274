"""The shards of a corpus by split, and what the commands that read them share."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline import storage
from pipeline.schema import PipelineError, ShardError
from pipeline.shards import BATCH_ROWS, open_arrow
from tokenizer.documents import Documents

SHARD_NAME = re.compile(r"(train|validation)-(\d{5})-of-(\d{5})\.arrow")
SPLITS = ("train", "validation")


class CorpusShard(NamedTuple):
    """A file of corpus rows."""

    split: str
    number: int  # among those of its split
    of: int
    path: str

    @property
    def name(self) -> str:
        return self.path.replace("\\", "/").rsplit("/", 1)[-1]


def root_and_data(corpus: str) -> tuple[str, str]:
    """ROOT and its corpus/data, of what a person named: ROOT or ROOT/corpus.  Raises PipelineError if there is none."""
    corpus = corpus.rstrip("/") or corpus
    for root, folder in ((corpus, storage.join(corpus, "corpus")), (os.path.dirname(corpus) or ".", corpus)):
        data = storage.join(folder, "data")
        if storage.files_in(data, "*.arrow"):
            return root, data
    raise PipelineError(f"{corpus} holds no corpus: there is no corpus/data/*.arrow. Name the --output of `webtext corpus`.")


def corpus_shards(data: str, splits: Sequence[str] = SPLITS) -> list[CorpusShard]:
    """The shards of these splits in order.  Raises PipelineError if one is missing, or if there is none of a split."""
    found: dict[str, list[tuple[int, int, str]]] = {split: [] for split in splits}
    for path in storage.files_in(data, "*.arrow"):
        match = SHARD_NAME.fullmatch(path.replace("\\", "/").rsplit("/", 1)[-1])
        if match and match[1] in found:
            found[match[1]].append((int(match[2]), int(match[3]), path))
    for split, shards in found.items():
        if not shards:
            raise PipelineError(f"{data} holds no {split} shards. Run `webtext corpus` to its end.")
        totals = {of for _, of, _ in shards}
        if len(totals) > 1 or sorted(number for number, _, _ in shards) != list(range(max(totals))):
            wanted = " or ".join(map(str, sorted(totals)))
            told = f"{data} holds {len(shards)} {split} shards, their names say {wanted}"
            raise PipelineError(f"{told}. Run `webtext corpus` again.")
    return [CorpusShard(split, *shard) for split in splits for shard in sorted(found[split])]


def text_batches(path: str, *, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches of at most BATCH_ROWS rows with `text` and these columns.  Raises ShardError for a row without a text."""
    reader = open_arrow(path, columns=["text", *columns])
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        texts = batch.column(batch.schema.get_field_index("text"))
        if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
            raise ShardError(f"{path}: the column `text` is {texts.type}, expected string. Is it a corpus of webtext?")
        if texts.null_count:
            raise ShardError(f"{path}: {texts.null_count} rows have no text. Run `webtext corpus` again.")
        for first in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(first, BATCH_ROWS)


def documents_of(texts: pa.Array) -> Documents:
    """The documents of a string column, without a copy of their text."""
    _, offsets_buffer, data_buffer = texts.buffers()
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    if not len(texts):
        return Documents(np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64))
    offsets = np.frombuffer(offsets_buffer, dtype=width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer is not None else np.zeros(0, dtype=np.uint8)
    return Documents(data, offsets)
