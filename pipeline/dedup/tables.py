"""Anybody's corpus in, document shards out: Arrow, Parquet and JSONL read in bounded pieces.

Rows of a piece are sorted by a hash of their id, so that later a range of it is read from every piece: the order of the
survivors, and their files, depend on the rows alone.
"""

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.dedup.columns import Columns, check_columns, id_hashes
from pipeline.schema import PipelineError, Shard
from pipeline.shards import fingerprint, finished, read_metadata, write_shard

VERSION = 1
PLACE = "webtext:place"  # hash of the id, the column by which rows are sorted and cut
PIECE_BYTES = 64 << 20  # of rows in memory at a time
PIECE_ROWS = 1 << 17
READ_BYTES = 4 << 20


class TableFile(NamedTuple):
    path: str
    number: int
    of: int


def split(file: TableFile, *, root: str, columns: Columns) -> list[Shard]:
    """The document shards of a file: ROOT/documents/documents-CONTENT-NNNNN.arrow.  All columns are kept."""
    digest = storage.sha256_of(file.path)
    recipe = fingerprint("split", VERSION, PIECE_BYTES, PIECE_ROWS, columns.id, columns.text)
    stem = storage.join(root, "documents", f"documents-{digest[:16]}")

    def made_from(place: int) -> str:
        return fingerprint(recipe, digest, os.path.splitext(file.path)[1], place)

    shards: list[Shard] = []
    while shard := finished(f"{stem}-{len(shards):05d}.arrow", made_from(len(shards))):
        shards.append(shard._replace(number=file.number, of=file.of))
        if read_metadata(shard.path).counts["last"]:
            return shards
    shards = []
    held: pa.Table | None = None
    for piece in pieces(file.path):
        if held is not None:
            shards.append(_write_piece(held, file, stem, len(shards), recipe, made_from(len(shards)), columns, last=False))
        held = piece
    if held is not None:
        shards.append(_write_piece(held, file, stem, len(shards), recipe, made_from(len(shards)), columns, last=True))
    return shards


def _write_piece(
    table: pa.Table, file: TableFile, stem: str, place: int, recipe: str, made_from: str, columns: Columns, *, last: bool
) -> Shard:
    check_columns(table.schema, columns, path=file.path)
    ids = table.column(columns.id)
    if ids.null_count:
        raise PipelineError(f"{file.path}: {ids.null_count:,} rows have no {columns.id!r}; every row needs an id of its own.")
    texts = table.column(columns.text)
    text_bytes = 0 if pa.types.is_null(texts.type) else pc.sum(pc.binary_length(texts)).as_py() or 0
    table = table.append_column(PLACE, id_hashes(ids.cast(pa.string())))
    table = table.take(pc.sort_indices(table, sort_keys=[(PLACE, "ascending"), (columns.id, "ascending")]))
    path = f"{stem}-{place:05d}.arrow"
    counts = {"last": int(last), "text_bytes": text_bytes}
    return write_shard(
        path, table, stage="documents", number=file.number, of=file.of, recipe=recipe, made_from=made_from, counts=counts
    )


# ---- reading ----


def pieces(path: str) -> Iterator[pa.Table]:
    """A file's rows, at most PIECE_BYTES and PIECE_ROWS at a time.  Raises PipelineError if the file is not whole."""
    held: list[pa.Table] = []
    rows = size = 0
    any_yet = False
    try:
        for table in reader_of(path)(path):
            held.append(plain(table))
            rows, size = rows + table.num_rows, size + table.nbytes
            if size >= PIECE_BYTES or rows >= PIECE_ROWS:
                yield joined(held, what=path)
                held, rows, size, any_yet = [], 0, 0, True
    except (pa.ArrowInvalid, EOFError, OSError) as error:
        raise PipelineError(f"{path}: cannot be read to its end ({error}). Is the file whole?") from error
    if rows or (held and not any_yet):  # a file without rows still has columns
        yield joined(held, what=path)


def reader_of(path: str) -> Callable[[str], Iterator[pa.Table]]:
    """What reads a file of this name.  Raises PipelineError if nothing does."""
    name = path.lower()
    if name.endswith((".parquet", ".pq")):
        return _parquet
    if name.endswith((".arrow", ".ipc", ".feather")):
        return _arrow
    if name.removesuffix(".gz").removesuffix(".zst").endswith((".jsonl", ".ndjson", ".json")):
        return _json_lines
    raise PipelineError(f"{path}: expected a name that ends in .arrow, .parquet, .jsonl, .jsonl.gz or .jsonl.zst.")


def _parquet(path: str) -> Iterator[pa.Table]:
    with storage.arrow_source(path) as source:
        file = pq.ParquetFile(source)
        yield file.schema_arrow.empty_table()
        for batch in file.iter_batches(batch_size=4096):
            yield pa.Table.from_batches([batch])


def _arrow(path: str) -> Iterator[pa.Table]:
    try:
        reader = pa.ipc.open_file(storage.arrow_source(path))
        batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
    except pa.ArrowInvalid:  # a stream, as Hugging Face's datasets writes them
        reader = pa.ipc.open_stream(storage.arrow_source(path))
        batches = iter(reader)
    yield reader.schema.empty_table()
    for batch in batches:
        yield pa.Table.from_batches([batch])


def _json_lines(path: str) -> Iterator[pa.Table]:
    rows: list[dict] = []
    size = 0
    for number, line in enumerate(lines(path), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise PipelineError(f"{path}: line {number:,} is not JSON ({error}).") from error
        if not isinstance(row, dict):
            raise PipelineError(f"{path}: line {number:,} holds {type(row).__name__}, expected an object with named columns.")
        rows.append(row)
        size += len(line)
        if size >= READ_BYTES:
            yield _rows_table(rows, path, number)
            rows, size = [], 0
    if rows:
        yield _rows_table(rows, path, number)


def _rows_table(rows: list[dict], path: str, number: int) -> pa.Table:
    names = list(rows[0])
    if any(list(row) != names for row in rows):
        names = sorted({name for row in rows for name in row})
    columns = {}
    for name in names:
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            where = f"before line {number:,}" if number > len(rows) else "in this file"
            raise PipelineError(f"{path}: column {name!r} holds values of several types {where} ({error}).") from error
    return pa.table(columns)


def lines(path: str) -> Iterator[bytes]:
    """The lines of a file, plain, .gz or .zst.  A compressed file that was cut short raises OSError at its end."""
    source = storage.arrow_source(path)
    compression = {".gz": "gzip", ".zst": "zstd"}.get(os.path.splitext(path)[1].lower())
    stream = pa.CompressedInputStream(source, compression) if compression else source
    kept: list[bytes] = []  # of a line that is longer than a read
    with stream:
        while data := stream.read(READ_BYTES):
            parts = data.split(b"\n")
            kept.append(parts[0])
            if len(parts) > 1:
                yield b"".join(kept)
                yield from parts[1:-1]
                kept = [parts[-1]]
    if any(kept):
        yield b"".join(kept)


# ---- one schema ----


def plain(table: pa.Table) -> pa.Table:
    """The table in types that every reader knows, so that one row is one row whatever format it came in; no metadata."""
    columns = []
    for column in table.columns:
        if pa.types.is_run_end_encoded(column.type):
            column = pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], column.type.value_type)
        kind = plain_type(column.type)
        columns.append(column if column.type.equals(kind, check_metadata=True) else column.cast(kind))
    return pa.table(columns, names=table.column_names)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """A type without dictionaries, views and extensions; the values of every list are called `item`."""
    if isinstance(kind, pa.ExtensionType):
        return plain_type(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(plain_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, plain_type(field.type)) for field in kind])
    return kind


def joined(tables: list[pa.Table], *, what: str) -> pa.Table:
    schema = one_schema([table.schema for table in tables], what=what)
    return pa.concat_tables([fitted(table, schema) for table in tables])


def one_schema(schemas: list[pa.Schema], *, what: str) -> pa.Schema:
    """The schema into which rows of all these fit.  Columns keep their order if all agree on it, else they go by name.

    Raises PipelineError if a column holds things that no type holds together.
    """
    try:
        united = pa.unify_schemas([schema.remove_metadata() for schema in schemas], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise PipelineError(f"{what}: the schemas do not fit together ({error}). Give a column one type.") from error
    if any(schema.names != schemas[0].names for schema in schemas):
        united = pa.schema(sorted(united, key=lambda field: field.name))
    return pa.schema([field.with_nullable(True) for field in united])


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with just the columns of `schema`; those it lacks are null."""
    columns = [
        table.column(field.name).cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
