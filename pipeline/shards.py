"""Shards: durable files of records, skipped when what they were made from has not changed, and the map over them.

A stage is a function from shards to one shard.  It asks `finished` whether its file is there already, computes its rows,
writes the ledger, then the shard with the ledger's hash in it:

    def extract(pages: Shard, *, root: str, config: ExtractConfig) -> Shard:
        path = shard_path(root, "documents", pages.number, pages.of)
        recipe = fingerprint(VERSION, config)
        made_from = fingerprint(recipe, pages.digest)
        if shard := finished(path, made_from):
            return shard
        ...
        ledger = write_ledger(root, "documents", pages.number, rows)
        return write_shard(path, table, stage="documents", number=pages.number, of=pages.of, recipe=recipe, made_from=made_from,
                           ledger=[ledger], counts={"documents_in": pages.rows})

    pages | MapShards(partial(extract, root=root, config=config), across=2)
"""

import dataclasses
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipeline import storage
from pipeline.release import check_release, release
from pipeline.schema import LEDGER, LedgerRow, PipelineError, Shard, ShardError

BATCH_ROWS = 1024  # rows a record batch holds at most
METADATA = b"webtext"  # schema metadata key of a work shard: JSON of ShardMetadata


class LedgerFile(NamedTuple):
    """A ledger file and what it must hold."""

    name: str  # below ROOT/ledger
    rows: int
    sha256: str
    dropped: dict[str, int]  # reason -> rows


class ShardMetadata(NamedTuple):
    """What a work shard says of itself.  Never a path, a time, a worker or a runner."""

    stage: str
    number: int
    of: int
    rows: int
    digest: str
    recipe: str  # of the stage's version and its content-changing config: rows may be reused under an equal recipe
    made_from: str  # of the recipe and the inputs' content: the shard may be reused whole
    ledger: list[LedgerFile]
    counts: dict[str, int]

    @property
    def dropped(self) -> int:
        return sum(file.rows for file in self.ledger)


# ---- names and fingerprints ----


def shard_path(root: str, stage: str, number: int, of: int, *, name: str | None = None) -> str:
    return storage.join(root, stage, f"{name or stage}-{number:05d}-of-{of:05d}.arrow")


def fingerprint(*parts: object) -> str:
    """SHA-256 of config (a dataclass, or anything JSON can hold), version numbers and digests, in this order."""
    plain = [dataclasses.asdict(part) if dataclasses.is_dataclass(part) else part for part in parts]  # type: ignore[arg-type]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


# ---- writing ----


def batches_of(table: pa.Table) -> list[pa.RecordBatch]:
    return table.combine_chunks().to_batches(max_chunksize=BATCH_ROWS)


def rows_digest(batches: Iterable[pa.RecordBatch]) -> str:
    """SHA-256 of the rows: equal for equal batches, whatever file they lie in."""
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(batch.serialize())
    return digest.hexdigest()


def write_arrow(path: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, compression: str | None = "zstd") -> None:
    """An Arrow IPC file that appears whole or not at all."""
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with storage.publish(path) as file, pa.ipc.new_file(file, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)


def write_shard(
    path: str,
    table: pa.Table,
    *,
    stage: str,
    number: int,
    of: int,
    recipe: str,
    made_from: str,
    ledger: Sequence[LedgerFile] = (),
    counts: Mapping[str, int] | None = None,
    compression: str | None = "zstd",
) -> Shard:
    """Writes a work shard, the ledger's hashes in it.  Write the ledger first."""
    batches = batches_of(table)
    metadata = ShardMetadata(
        stage, number, of, table.num_rows, rows_digest(batches), recipe, made_from, list(ledger), dict(counts or {})
    )
    text = json.dumps({**metadata._asdict(), "ledger": [file._asdict() for file in ledger]}, sort_keys=True)
    schema = table.schema.with_metadata({METADATA: text.encode()})
    described = (batch.replace_schema_metadata(schema.metadata) for batch in batches)
    write_arrow(path, schema, described, compression=compression)
    return _shard(path, metadata)


def write_ledger(root: str, stage: str, number: int, rows: Iterable[LedgerRow]) -> LedgerFile:
    """Writes ROOT/ledger/STAGE-NNNNN.arrow."""
    return write_ledger_table(root, stage, number, table_of(rows, LEDGER))


def write_ledger_table(root: str, stage: str, number: int, table: pa.Table) -> LedgerFile:
    """As `write_ledger`, of rows in a table.  The manifest, which speaks of what stood here, goes first."""
    order = [(column, "ascending", "at_start") for column in ("key", "url", "stage", "reason", "detail", "kept")]
    table = table.take(pc.sort_indices(table, sort_keys=order))  # the one order: by key, then URL, then the rest; null first
    name = f"{stage}-{number:05d}.arrow"
    path = storage.join(root, "ledger", name)
    storage.remove([storage.join(root, "corpus", "manifest.json")])
    write_arrow(path, LEDGER, batches_of(table))
    counted = pc.value_counts(table.column("reason"))
    dropped = {entry["values"]: entry["counts"] for entry in counted.to_pylist()}
    return LedgerFile(name, table.num_rows, storage.sha256_of(path), dict(sorted(dropped.items())))


def table_of(rows: Iterable[tuple], schema: pa.Schema) -> pa.Table:
    """A table of records whose fields are the schema's, in its order."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)


# ---- reading ----


# What Arrow is seen to raise on a changed byte: OSError is its word for a buffer that cannot be unpacked.
DAMAGED = (pa.ArrowException, OSError)


def damaged(path: str, error: Exception) -> ShardError:
    return ShardError(f"{path}: is not a whole Arrow IPC file ({error}). Delete it and run the command again.")


def open_arrow(path: str, *, columns: Sequence[str] | None = None) -> pa.ipc.RecordBatchFileReader:
    """An Arrow IPC file, memory-mapped; only `columns` are decompressed.  Raises ShardError if it is not whole."""
    try:
        source = storage.arrow_source(path)
        reader = pa.ipc.open_file(source)
        if columns is not None:
            chosen = [reader.schema.get_field_index(name) for name in columns]
            if -1 in chosen:
                missing = columns[chosen.index(-1)]
                raise ShardError(f"{path}: has no column {missing!r}; it has {', '.join(reader.schema.names)}.")
            options = pa.ipc.IpcReadOptions(included_fields=sorted(chosen))
            reader = pa.ipc.open_file(source, options=options)
    except FileNotFoundError as error:
        raise ShardError(f"{path}: is not there. Run the command that makes it again.") from error
    except DAMAGED as error:
        raise damaged(path, error) from error
    return reader


def read_batches(path: str, *, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The record batches of a file, one in memory at a time.  Raises ShardError if one is damaged."""
    reader = open_arrow(path, columns=columns)
    for number in range(reader.num_record_batches):
        try:
            batch = reader.get_batch(number)
        except DAMAGED as error:
            raise damaged(path, error) from error
        yield batch


def read_table(path: str, *, columns: Sequence[str] | None = None) -> pa.Table:
    reader = open_arrow(path, columns=columns)
    try:
        table = reader.read_all()
    except DAMAGED as error:
        raise damaged(path, error) from error
    return table.select(columns) if columns is not None else table


def read_metadata(path: str) -> ShardMetadata:
    text = (open_arrow(path).schema.metadata or {}).get(METADATA)
    if text is None:
        raise ShardError(f"{path}: is an Arrow file, but not a work shard of webtext.")
    try:
        fields = json.loads(text)
        return ShardMetadata(**{**fields, "ledger": [LedgerFile(**file) for file in fields["ledger"]]})
    except (ValueError, TypeError, KeyError) as error:
        raise damaged(path, error) from error


def _shard(path: str, metadata: ShardMetadata) -> Shard:
    return Shard(metadata.stage, metadata.number, metadata.of, path, metadata.rows, metadata.dropped, metadata.digest)


def shard_at(path: str) -> Shard:
    return _shard(path, read_metadata(path))


def finished(path: str, made_from: str) -> Shard | None:
    """The shard at `path`, if it is whole, was made from just this, and its ledger is as it was written."""
    if not storage.exists(path):
        return None
    try:
        metadata = read_metadata(path)
    except ShardError:
        return None  # cut short by a crash of the machine: made again
    if metadata.made_from != made_from:
        return None
    ledger = storage.join(os.path.dirname(os.path.dirname(path)), "ledger")
    for file in metadata.ledger:
        ledger_path = storage.join(ledger, file.name)
        if not storage.exists(ledger_path) or storage.sha256_of(ledger_path) != file.sha256:
            return None
    return _shard(path, metadata)


def reusable_rows(path: str, recipe: str, *, columns: Sequence[str] | None = None) -> pa.Table | None:
    """Rows of an earlier shard at `path` that the same recipe made: those with an unchanged input may be taken over."""
    if not storage.exists(path):
        return None
    try:
        return read_table(path, columns=columns) if read_metadata(path).recipe == recipe else None
    except ShardError:
        return None


# ---- the map over shards ----


class MapShards(beam.PTransform):
    """Applies `work` to every element, `across` of them at a time in each bundle.

    The local runner gives all shards of a stage to one bundle, one after another; `process` hands each to a thread and
    blocks only while `across` are in flight, `finish_bundle` drains.  `work` is a module function or a partial of one.
    A worker that runs another webtext than the one that submits raises WorkerError before it sees an element.
    `journal`: a local file to which each finished Shard is appended as a line of JSON, for progress.
    """

    def __init__(self, work: Callable[[Any], Any], *, across: int = 1, journal: str | None = None) -> None:
        super().__init__()
        self.work = work
        self.across = across
        self.journal = journal

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        return shards | beam.ParDo(_Across(self.work, self.across, self.journal))


class _Across(beam.DoFn):
    def __init__(self, work: Callable[[Any], Any], across: int, journal: str | None) -> None:
        self.work = work
        self.across = across
        self.journal = journal
        self.submitted = dict(release())

    def setup(self) -> None:
        check_release(self.submitted)
        self.threads = ThreadPoolExecutor(self.across, thread_name_prefix="shard")

    def start_bundle(self) -> None:
        self.in_flight: deque[Future] = deque()

    def process(self, element: Any) -> Iterator[Any]:
        while len(self.in_flight) >= self.across:
            wait(self.in_flight, return_when=FIRST_COMPLETED)
            yield from self._done()
        self.in_flight.append(self.threads.submit(self.work, element))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        while self.in_flight:
            wait(self.in_flight, return_when=FIRST_COMPLETED)
            for result in self._done():
                yield WindowedValue(result, window.max_timestamp(), (window,))

    def teardown(self) -> None:
        self.threads.shutdown(wait=True, cancel_futures=True)

    def _done(self) -> Iterator[Any]:
        ready = [future for future in self.in_flight if future.done()]
        for future in ready:
            self.in_flight.remove(future)
            try:
                result = future.result()
            except BaseException:
                for other in self.in_flight:
                    other.cancel()
                raise
            if self.journal is not None and isinstance(result, Shard):
                note(self.journal, result)
            yield result


def note(journal: str, shard: Shard) -> None:
    """Appends one line; a single write of a line is atomic between processes.  Raises PipelineError when the disk is full."""
    line = json.dumps(shard._asdict()) + "\n"
    try:
        descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        message = f"cannot write {journal}: {error.strerror}. Mend that, then run the same command again."
        raise PipelineError(message) from error


class Gather(beam.PTransform):
    """All shards as one sorted list: the barrier between two steps.  No shards, no list."""

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        keyed = shards | beam.Map(lambda shard: (0, shard))
        return keyed | beam.GroupByKey() | beam.MapTuple(lambda _, group: sorted(group))
