"""Documents and the verdicts on them in, the shards of the corpus out.

Document shards are sorted by id and an id is a hash, so a corpus shard is a range of ids of every document shard: a random
sample, the same whatever machine wrote it.  The validation split is the lowest range.
"""

import bisect
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.schema import CORPUS, Shard, ShardError
from pipeline.shard_list import ShardList, list_path, shards_in, written_list
from pipeline.shards import (
    Gather,
    MapShards,
    fingerprint,
    finished,
    open_arrow,
    read_batches,
    read_table,
    rows_digest,
    shard_path,
    write_shard,
)

VERSION = 1
BUCKETS = 4096  # of ids, by their first 3 hex digits: shards are cut between them
IDS = 1 << 32  # of the first 8 hex digits, by which splits and shards are cut
SHARD_BYTES = 128 << 20  # of text; small enough for a worker's memory, large enough for an object store

SIZE = pa.schema([("bucket", pa.uint16()), ("rows", pa.int64()), ("bytes", pa.int64()), ("lowest", pa.uint32())])


ClustersPath = Callable[[str], str]  # path of the verdicts -> path of the cluster sizes beside them


class Range(NamedTuple):
    """A corpus shard to be: ids whose first 8 hex digits, as a number, lie in [low, high)."""

    split: str
    number: int
    of: int
    low: int
    high: int

    def path(self, root: str) -> str:
        return storage.join(root, "corpus", "data", f"{self.split}-{self.number:05d}-of-{self.of:05d}.arrow")


# ---- which ids go where ----


def prefixes(ids: pa.Array) -> np.ndarray:
    """First 8 hex digits of each id as uint32."""
    joined = "".join(pc.utf8_slice_codeunits(ids, 0, 8).to_pylist())
    return np.frombuffer(bytes.fromhex(joined), ">u4").astype(np.uint32)


def cut_of(fraction: float, *, lowest: int | None) -> int:
    """The first id prefix that is not validation.  Unless the fraction is 0, the lowest document is."""
    cut = math.ceil(fraction * IDS)
    return cut if not fraction or lowest is None else max(cut, lowest + 1)


def plan(sizes: pa.Table, *, validation: float, shard_bytes: int) -> list[Range]:
    """The shards of the corpus, each about `shard_bytes` of text.  In: rows of SIZE from all document shards."""
    weights = np.zeros(BUCKETS, np.int64)
    np.add.at(weights, sizes.column("bucket").to_numpy(), sizes.column("bytes").to_numpy())
    lowest = pc.min(sizes.column("lowest")).as_py()
    cut = cut_of(validation, lowest=lowest)
    ranges = []
    for split, low, high in (("train", cut, IDS), ("validation", 0, cut)):
        first, last = low * BUCKETS // IDS, -(-high * BUCKETS // IDS)
        total = int(weights[first:last].sum())
        of = max(1, min(-(-total // shard_bytes), last - first))
        # Cut where the running sum passes each n-th of the total.  A bucket is not cut in two.
        running = np.cumsum(weights[first:last])
        inner = {first + bisect.bisect_left(running, total * n / of) + 1 for n in range(1, of)}
        edges = [low, *sorted(edge * (IDS // BUCKETS) for edge in inner if low < edge * (IDS // BUCKETS) < high), high]
        spans = list(itertools.pairwise(edges))
        ranges += [Range(split, number, len(spans), *span) for number, span in enumerate(spans)]
    return ranges


# ---- reading documents by id ----


def dropped_in(path: str, *, low: int, high: int) -> pa.Array:
    """Ids of dropped documents within a range."""
    parts = [rows.column("id").combine_chunks() for rows in rows_between(path, low=low, high=high, columns=["id"])]
    return pa.concat_arrays(parts) if parts else pa.array([], pa.string())


def rows_between(path: str, *, low: int, high: int, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Rows of a file sorted by id whose prefix lies in [low, high).

    Ids are hashes, spread evenly, so about which record batches hold the range is known: the others are not read.
    """
    reader = open_arrow(path, columns=columns and sorted({*columns, "id"}))

    def span(number: int) -> tuple[pa.RecordBatch, int, int]:
        batch = reader.get_batch(number)
        start, stop = np.searchsorted(prefixes(batch.column("id")), [low, high], "left")
        return batch, int(start), int(stop)

    first = max(0, min(low * reader.num_record_batches // IDS, reader.num_record_batches - 1))
    while first > 0 and span(first)[1] == 0:  # it may begin before
        first -= 1
    for number in range(first, reader.num_record_batches):
        batch, start, stop = span(number)
        if start < stop:
            table = pa.Table.from_batches([batch.slice(start, stop - start)])
            yield table if columns is None else table.select(columns)
        if stop < len(batch):
            return


# ---- the stage ----


class Measuring(NamedTuple):
    documents: Shard
    verdicts: Shard


def measure(task: Measuring, *, root: str) -> Shard:
    """Rows and bytes of the documents that stay, by bucket of their ids."""
    documents = task.documents
    path = shard_path(root, "documents", documents.number, documents.of, name="sizes")
    made_from = fingerprint("sizes", VERSION, documents.digest, task.verdicts.digest)
    if shard := finished(path, made_from):
        return shard
    rows, sizes, lowest = np.zeros(BUCKETS, np.int64), np.zeros(BUCKETS, np.int64), np.full(BUCKETS, IDS, np.int64)
    dropped = read_table(task.verdicts.path, columns=["id"]).column("id")
    reader = open_arrow(documents.path, columns=["id", "text"])
    for number in range(reader.num_record_batches):
        batch = pa.Table.from_batches([reader.get_batch(number)])
        kept = batch.filter(pc.invert(pc.is_in(batch.column("id"), value_set=dropped)))
        ids = prefixes(kept.column("id").combine_chunks())
        buckets = ids >> np.uint32(20)
        np.add.at(rows, buckets, 1)
        np.add.at(sizes, buckets, pc.binary_length(kept.column("text")).to_numpy())
        np.minimum.at(lowest, buckets, ids)
    used = np.flatnonzero(rows)
    table = pa.table([used, rows[used], sizes[used], lowest[used]], names=SIZE.names).cast(SIZE)
    return write_shard(
        path, table, stage="sizes", number=documents.number, of=documents.of, recipe=made_from, made_from=made_from
    )


class Writing(NamedTuple):
    """One corpus shard to write."""

    range: Range
    documents: ShardList
    verdicts: Shard
    made_from: str


def tasks(
    sizes: list[Shard], documents: list[Shard], verdicts: Shard, *, root: str, validation: float, shard_bytes: int
) -> list[Writing]:
    """What is to be written.  If anything is, the manifest of the corpus that stood here goes first."""
    table = pa.concat_tables(storage.each(read_table, [shard.path for shard in sizes], at=root))
    listed = written_list(documents, path=list_path(root, "documents", "documents"))
    made = [
        Writing(part, listed, verdicts, fingerprint(VERSION, part, [shard.digest for shard in documents], verdicts.digest))
        for part in plan(table, validation=validation, shard_bytes=shard_bytes)
    ]
    if not all(finished(task.range.path(root), task.made_from) for task in made):
        storage.remove([storage.join(root, "corpus", "manifest.json")])
    return made


def write_corpus_shard(task: Writing, *, root: str, clusters_path: ClustersPath) -> Shard:
    path = task.range.path(root)
    if (shard := finished(path, task.made_from)) and is_unharmed(path, shard.digest, root=root):
        return shard
    low, high = task.range.low, task.range.high
    dropped = dropped_in(task.verdicts.path, low=low, high=high)
    columns = [name for name in CORPUS.names if name != "cluster_size"]

    def kept_in(documents: Shard) -> list[pa.Table]:
        found = rows_between(documents.path, low=low, high=high, columns=columns)
        return [rows.filter(pc.invert(pc.is_in(rows.column("id"), value_set=dropped))) for rows in found]

    parts = [rows for found in storage.each(kept_in, shards_in(task.documents), at=root) for rows in found]
    table = (pa.concat_tables(parts) if parts else CORPUS.empty_table().select(columns)).combine_chunks()
    del parts  # a shard of text is held twice while it is sorted, not three times
    table = table.sort_by("id")
    sizes = cluster_sizes(table.column("id"), clusters_path(task.verdicts.path), low=low, high=high)
    table = table.append_column("cluster_size", sizes)
    counts = {"corpus_in": table.num_rows, "corpus_kept": table.num_rows}
    return write_shard(
        path, table.select(CORPUS.names).cast(CORPUS), stage="corpus", number=task.range.number, of=task.range.of,
        recipe=fingerprint(VERSION), made_from=task.made_from, counts=counts,
    )  # fmt: skip


def is_unharmed(path: str, digest: str, *, root: str) -> bool:
    """Whether a shard is still as it was written: its bytes as the manifest has them, or its rows where none speaks of it."""
    if (recorded := recorded_digest(path, root=root)) is not None:
        return recorded == storage.sha256_of(path)
    try:
        return rows_digest(batch.replace_schema_metadata() for batch in read_batches(path)) == digest
    except ShardError:
        return False


def recorded_digest(path: str, *, root: str) -> str | None:
    """SHA-256 of a corpus shard as the manifest that stands there has it; None if none does."""
    try:
        shards = json.loads(storage.read_text(storage.join(root, "corpus", "manifest.json")))["shards"]
        written = {os.path.basename(shard["path"]): shard["sha256"] for shard in shards}
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, damaged, or gone since another task began
        return None
    return written.get(os.path.basename(path))


def cluster_sizes(ids: pa.ChunkedArray, path: str, *, low: int, high: int) -> pa.Array:
    """cluster_size of each id: as the file says, else 1."""
    known: dict[str, int] = {}
    for rows in rows_between(path, low=low, high=high, columns=["id", "cluster_size"]):
        known.update(zip(rows.column("id").to_pylist(), rows.column("cluster_size").to_pylist(), strict=True))
    return pa.array([known.get(id_, 1) for id_ in ids.to_pylist()], pa.int32())


@dataclass
class WriteCorpus(beam.PTransform):
    """Writes the documents that stay as Arrow IPC shards under ROOT/corpus/data.

    In: (Shard of documents, one Shard of verdicts: rows of dropped documents, sorted by id).  Out: Shard of corpus rows.
    `clusters_path`: where id and cluster_size of those that stand for several lie, sorted by id, from the verdicts' path.
    `validation`: a document is validation if its id, as a number below 1, is below this; at least one is.
    """

    root: str
    clusters_path: ClustersPath
    validation: float = 0.005
    shard_bytes: int = SHARD_BYTES
    across: int = 1  # shards in work at a time
    journal: str | None = None

    def expand(self, inputs: tuple[beam.PCollection, beam.PCollection]) -> beam.PCollection:
        documents, verdicts = inputs
        verdict = beam.pvalue.AsSingleton(verdicts)
        everything = documents | "AllDocuments" >> Gather()
        sizes = (
            documents
            | "WithVerdicts" >> beam.Map(Measuring, verdict)
            | "Measure" >> MapShards(partial(measure, root=self.root), across=self.across)
            | "AllSizes" >> Gather()
        )
        choices: dict[str, Any] = {"root": self.root, "validation": self.validation, "shard_bytes": self.shard_bytes}

        def plan_tasks(sizes: list[Shard], documents: list[Shard], verdicts: Shard) -> list[Writing]:
            return tasks(sizes, documents, verdicts, **choices)

        write = partial(write_corpus_shard, root=self.root, clusters_path=self.clusters_path)
        return (
            sizes
            | "Plan" >> beam.FlatMap(plan_tasks, beam.pvalue.AsSingleton(everything), verdict)
            | beam.Reshuffle()
            | "Write" >> MapShards(write, across=self.across, journal=self.journal)
        )
