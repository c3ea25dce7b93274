"""Many shards as one small record: the list of them rests in a file, so that a task that reads them all does not carry them.

    documents | Gather() | beam.Map(partial(written_list, path=path))     # one ShardList, some 200 bytes
    for shard in shards_in(task.documents): ...                           # in whatever worker

A task a partition, each with a list of all partitions, would be the square of their number: 3 GB between two steps at 4,096.
"""

import functools
import os
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from pipeline import storage
from pipeline.schema import Shard, ShardError
from pipeline.shards import batches_of, fingerprint, read_table, table_of, write_arrow

IN_ROOT = "@/"  # begins the path of a shard in the list's own ROOT, which may be moved: the list is the same

SHARD = pa.schema([
    ("stage", pa.string()),
    ("number", pa.int64()),
    ("of", pa.int64()),
    ("path", pa.string()),
    ("rows", pa.int64()),
    ("dropped", pa.int64()),
    ("digest", pa.string()),
])


class ShardList(NamedTuple):
    """Where the records of some shards lie, in an order that means something to who wrote them."""

    path: str
    digest: str  # of the records


def written_list(shards: Sequence[Shard], *, path: str) -> ShardList:
    """Writes the records of `shards` to `path`, unless just they are there."""
    inside = f"{_root(path)}/"
    placed = [
        shard._replace(path=IN_ROOT + shard.path.removeprefix(inside)) if shard.path.startswith(inside) else shard
        for shard in shards
    ]
    listed = ShardList(path, digest_of(placed))
    try:
        _read(listed)
    except ShardError:
        write_arrow(path, SHARD, batches_of(table_of(placed, SHARD)))
    return listed


def digest_of(shards: Sequence[Shard]) -> str:
    return fingerprint([list(shard) for shard in shards])


def _root(path: str) -> str:
    """ROOT of ROOT/STAGE/list-NAME.arrow."""
    return os.path.dirname(os.path.dirname(path))


@functools.lru_cache(maxsize=8)
def shards_in(listed: ShardList) -> tuple[Shard, ...]:
    """The shards of a list.  Raises ShardError if it is not the one that was written."""
    return _read(listed)


def _read(listed: ShardList) -> tuple[Shard, ...]:
    table = read_table(listed.path)
    if table.schema.names != SHARD.names:
        raise ShardError(f"{listed.path}: is no list of shards. Delete it and run the command again.")
    shards = tuple(map(Shard, *(column.to_pylist() for column in table.columns)))
    if digest_of(shards) != listed.digest:
        raise ShardError(f"{listed.path}: holds another list than this run wrote. One run at a time can work in a directory.")
    root = _root(listed.path)
    return tuple(
        shard._replace(path=storage.join(root, shard.path.removeprefix(IN_ROOT))) if shard.path.startswith(IN_ROOT) else shard
        for shard in shards
    )


def list_path(root: str, stage: str, name: str) -> str:
    return storage.join(root, stage, f"list-{name}.arrow")
