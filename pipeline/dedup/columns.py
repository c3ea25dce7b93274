"""Where the parts of a document lie in a table, and the plain files in which duplicates are sought.

Band columns and signatures are read where they lie: these files are not compressed (their bytes are random) and hold one
record batch, so a column is a slice of the mapped file.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from pipeline.schema import PipelineError, Shard
from pipeline.shards import METADATA, LedgerFile, ShardMetadata, read_table, rows_digest, write_arrow

ORDER = (("karma", "descending"), ("created_utc", "ascending"))  # the best loved, then the first to be posted


@dataclass(frozen=True)
class Columns:
    """Names of columns.  `order`: which copy is kept, by column and direction; equals are kept by id."""

    id: str = "id"
    text: str = "text"
    order: tuple[tuple[str, str], ...] = ORDER
    url: str | None = "url"
    key: str | None = "key"
    text_hash: str | None = "text_hash"  # lets signatures of unchanged rows be taken over from an earlier build


def write_columns(
    path: str,
    table: pa.Table,
    *,
    stage: str,
    number: int,
    of: int,
    recipe: str,
    made_from: str,
    ledger: Sequence[LedgerFile] = (),
    counts: dict[str, int] | None = None,
    batch_rows: int | None = None,
) -> Shard:
    """As `write_shard`, but not compressed and in one record batch, or in batches of `batch_rows`."""
    batches = table.to_batches(max_chunksize=batch_rows) if batch_rows else table.combine_chunks().to_batches()
    metadata = ShardMetadata(
        stage, number, of, table.num_rows, rows_digest(batches), recipe, made_from, list(ledger), dict(counts or {})
    )
    text = json.dumps({**metadata._asdict(), "ledger": [file._asdict() for file in ledger]}, sort_keys=True)
    schema = table.schema.with_metadata({METADATA: text.encode()})
    write_arrow(path, schema, (batch.replace_schema_metadata(schema.metadata) for batch in batches), compression=None)
    return Shard(stage, number, of, path, table.num_rows, metadata.dropped, metadata.digest)


class SignedCorpus:
    """The signature shards of a corpus as one table of nodes: node n is row n - base of its shard.

    A shard is mapped while it is read and no longer.  `age` of a node: its place among the corpora that are compared
    against, oldest first; new documents come last.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = list(shards)
        self.bases = np.concatenate([[0], np.cumsum([shard.rows for shard in shards])]).astype(np.int64)

    @property
    def nodes(self) -> int:
        return int(self.bases[-1])

    def pieces(self, column: str) -> Iterator[tuple[int, pa.Array]]:
        """Base and whole column of each shard that has rows."""
        for base, shard in zip(self.bases, self.shards, strict=False):
            if shard.rows:
                yield int(base), read_table(shard.path, columns=[column]).column(0).combine_chunks()

    def take(self, nodes: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Rows of ascending `nodes`."""
        parts = []
        for base, stop, shard in zip(self.bases, self.bases[1:], self.shards, strict=False):
            first, last = np.searchsorted(nodes, [base, stop])
            if first < last:
                parts.append(read_table(shard.path, columns=columns).take(nodes[first:last] - base))
        if not parts:
            return pa.table({name: pa.array([], pa.string()) for name in columns})
        return pa.concat_tables(parts, promote_options="permissive")

    def signatures(self, nodes: np.ndarray, *, num_perm: int) -> np.ndarray:
        """Signatures of `nodes`, in any order: uint32, shape (nodes, num_perm)."""
        rows = np.empty((len(nodes), num_perm), np.uint32)
        order = np.argsort(nodes)
        ascending = nodes[order]
        for base, stop, shard in zip(self.bases, self.bases[1:], self.shards, strict=False):
            first, last = np.searchsorted(ascending, [base, stop])
            if first < last:
                column = read_table(shard.path, columns=["signature"]).column(0).combine_chunks()
                rows[order[first:last]] = signature_rows(column, num_perm=num_perm)[ascending[first:last] - base]
        return rows


def signature_rows(column: pa.FixedSizeBinaryArray, *, num_perm: int) -> np.ndarray:
    """A signature column as uint32, shape (rows, num_perm), without a copy."""
    flat = np.frombuffer(column.buffers()[1], np.uint32)
    return flat[column.offset * num_perm : (column.offset + len(column)) * num_perm].reshape(len(column), num_perm)


def binary_column(rows: np.ndarray) -> pa.FixedSizeBinaryArray:
    """Rows of numbers as fixed-size binary, without a copy."""
    rows = np.ascontiguousarray(rows)
    width = rows.shape[1] * rows.dtype.itemsize
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), [None, pa.py_buffer(rows)])


def id_hashes(ids: pa.ChunkedArray) -> pa.Array:
    """XXH3-64 of each id, a string: where ids meet and how rows are spread; equality is always checked on the ids."""
    return pa.array([xxh3_64_intdigest(name.encode()) for name in ids.to_pylist()], pa.uint64())


def check_columns(schema: pa.Schema, columns: Columns, *, path: str) -> None:
    """Raises PipelineError unless there are the columns that `columns` names, of types that can serve."""
    for name in (columns.id, columns.text, *(name for name, _ in columns.order)):
        if name not in schema.names:
            raise PipelineError(f"{path}: has no column {name!r}; it has {', '.join(schema.names) or 'none'}.")
    kind = schema.field(columns.text).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise PipelineError(f"{path}: column {columns.text!r} holds {kind}, not text. Name the text column.")
    for name in (columns.id, *(name for name, _ in columns.order)):
        if pa.types.is_nested(schema.field(name).type):
            raise PipelineError(f"{path}: column {name!r} holds {schema.field(name).type}; an id or an order is a plain value.")
