"""Records of one dump in, a file out from which each partition can be read alone.

The file is written in chunks, so memory does not grow with the dump.  A chunk is 2 P record batches: for each of the P
partitions its links, then its ledger rows.  One more batch, without rows, closes the file and carries the summary.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.schema import LEDGER, LINK, LedgerRow, Link, ShardError
from pipeline.shards import open_arrow

CHUNK_ROWS = 1 << 14  # 65,536 take 65 MB more and are no faster
BATCH_ROWS = 256  # a chunk is larger where there are many partitions: batches of a few rows cost more than the rows
CHUNK_CHARACTERS = 1 << 25  # of URLs: a dump of nothing but long ones fills no memory either
MADE_FROM, SUMMARY = b"made_from", b"summary"
ROW = pa.schema([field for field in LEDGER if field.name != "kept"])  # nothing is folded before the partitions are read
DROPPED = [field for field in ROW if field.name not in LINK.names]
SPILL = pa.schema([*LINK, *DROPPED])


@lru_cache(maxsize=1 << 16)
def partition_of_domain(domain: str, partitions: int) -> int:
    """The partition that holds all links of a registrable domain, so that one worker can be polite to it."""
    return int.from_bytes(hashlib.sha256(domain.encode()).digest()[:8], "big") % partitions


def partition_of_row(row: LedgerRow, partitions: int) -> int:
    """The partition of a ledger row: by page, not by domain, or all pictures of imgur.com would lie in one."""
    return zlib.crc32((row.key or row.url or row.detail).encode()) % partitions


def write_spill(
    path: str,
    records: Iterable[Link | LedgerRow],
    *,
    partitions: int,
    made_from: str,
    summary: Callable[[], dict[str, Any]],
) -> None:
    """Writes every record; `summary` is asked when all of them have passed."""
    schema = SPILL.with_metadata({MADE_FROM: made_from.encode()})
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with storage.publish(path) as file, pa.ipc.new_file(file, schema, options=options) as writer:
        for chunk in _chunks(records, partitions):
            for links, rows in zip(*chunk, strict=True):
                writer.write_batch(_link_batch(links))
                writer.write_batch(_row_batch(rows))
        closing = json.dumps(summary(), sort_keys=True).encode()
        writer.write_batch(_row_batch([]), custom_metadata={SUMMARY: closing})


def spill_summary(path: str, *, made_from: str) -> dict[str, Any] | None:
    """What was counted while the spill at `path` was written; None if it is not there or was made from something else."""
    if not storage.exists(path):
        return None
    try:
        reader = open_arrow(path)
    except ShardError:
        return None  # cut short by a crash of the machine
    if (reader.schema.metadata or {}).get(MADE_FROM) != made_from.encode():
        return None
    closing = reader.get_batch_with_custom_metadata(reader.num_record_batches - 1)
    return json.loads(closing.custom_metadata[SUMMARY])


def read_partition(paths: Sequence[str], *, number: int, partitions: int) -> tuple[pa.Table, pa.Table]:
    """The links and the ledger rows of one partition, of all spills; in no order that means anything."""
    links, rows = [], []
    for path in paths:
        reader = open_arrow(path)
        for first in range(2 * number, reader.num_record_batches - 1, 2 * partitions):
            links.append(reader.get_batch(first).select(LINK.names))
            rows.append(reader.get_batch(first + 1).select(ROW.names))
    dropped = pa.Table.from_batches([batch.replace_schema_metadata() for batch in rows], ROW)
    kept = pa.nulls(dropped.num_rows, pa.string())
    return (
        pa.Table.from_batches([batch.replace_schema_metadata() for batch in links], LINK),
        dropped.append_column(LEDGER.field("kept"), kept),
    )


Chunk = tuple[list[list[tuple]], list[list[tuple]]]


def _chunks(records: Iterable[Link | LedgerRow], partitions: int) -> Iterator[Chunk]:
    """Records by partition, as many as memory should hold at a time.

    As plain tuples: the garbage collector visits each named one again and again, a tenth of the time of the stage.
    """
    links: list[list[tuple]] = [[] for _ in range(partitions)]
    rows: list[list[tuple]] = [[] for _ in range(partitions)]
    held = characters = 0
    rows_at_once = max(CHUNK_ROWS, BATCH_ROWS * partitions)
    for record in records:
        if isinstance(record, Link):
            links[partition_of_domain(record.domain, partitions)].append(tuple(record))
        else:
            rows[partition_of_row(record, partitions)].append(tuple(record))
        held += 1
        characters += len(record.url or "")
        if held == rows_at_once or characters > CHUNK_CHARACTERS:
            yield links, rows
            links, rows = [[] for _ in range(partitions)], [[] for _ in range(partitions)]
            held = characters = 0
    if held:
        yield links, rows


def _link_batch(links: Sequence[tuple]) -> pa.RecordBatch:
    columns = list(zip(*links, strict=True)) or [()] * len(LINK)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, LINK, strict=True)]
    return pa.record_batch([*arrays, *(pa.nulls(len(links), field.type) for field in DROPPED)], schema=SPILL)


def _row_batch(rows: Sequence[tuple]) -> pa.RecordBatch:
    columns = dict(zip(LedgerRow._fields, zip(*rows, strict=True), strict=True)) if rows else {}
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(len(rows), field.type)
        for field in SPILL
    ]
    return pa.record_batch(arrays, schema=SPILL)
