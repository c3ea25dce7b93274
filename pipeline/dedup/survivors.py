"""Document shards and verdicts in, the files of a corpus out: ROOT/corpus/data, and ROOT/dedup.json, which is written last."""

import json
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.dedup.columns import Columns
from pipeline.dedup.signing import signatures_path
from pipeline.dedup.tables import PLACE, fitted, one_schema
from pipeline.dedup.verdicts import clusters_path
from pipeline.schema import Shard
from pipeline.shard_list import ShardList, list_path, shards_in, written_list
from pipeline.shards import batches_of, fingerprint, finished, open_arrow, read_metadata, read_table, write_arrow, write_shard

VERSION = 1
SHARD_BYTES = 128 << 20  # of text that went in, a file that comes out; a worker holds three times as much
PLACES = 1 << 64
SIZE = "cluster_size"


class Writing(NamedTuple):
    """File `part` of `of` of the survivors: rows whose place lies in the part-th of `of` ranges."""

    part: int
    of: int
    documents: ShardList
    verdicts: Shard


def plan(documents: Sequence[Shard], verdicts: Shard, *, root: str) -> list[Writing]:
    """The files to write; their number depends on the text alone, not on how it was cut into files."""
    text_bytes = sum(read_metadata(shard.path).counts["text_bytes"] for shard in documents)
    of = max(1, -(-text_bytes // SHARD_BYTES))
    listed = written_list(sorted(documents), path=list_path(root, "duplicates", "documents"))
    return [Writing(part, of, listed, verdicts) for part in range(of)]


def data_path(root: str, part: int, of: int) -> str:
    return storage.join(root, "corpus", "data", f"train-{part:05d}-of-{of:05d}.arrow")


def write_survivors(task: Writing, *, root: str, columns: Columns) -> Shard:
    """Writes one file of survivors, in the order of their ids' hashes, with the size of the cluster each stands for.

    The file holds nothing but rows, so what it was made from stands in a small shard of its own, which is returned.
    """
    name = storage.join(root, "duplicates", f"written-{task.part:05d}-of-{task.of:05d}.arrow")
    path = data_path(root, task.part, task.of)
    recipe = fingerprint("survivors", VERSION, columns)
    documents = shards_in(task.documents)
    made_from = fingerprint(recipe, task.part, task.of, [shard.digest for shard in documents], task.verdicts.digest)
    shard = finished(name, made_from)
    if shard and storage.exists(path) and storage.sha256_of(path) == read_table(name).column("sha256")[0].as_py():
        return shard
    table = survivors(task, columns=columns)
    write_arrow(path, table.schema, batches_of(table))
    said = pa.table({"path": [f"data/{os.path.basename(path)}"], "rows": [len(table)], "sha256": [storage.sha256_of(path)]})
    return write_shard(name, said, stage="written", number=task.part, of=task.of, recipe=recipe, made_from=made_from)


def survivors(task: Writing, *, columns: Columns) -> pa.Table:
    """The kept rows of one range, sorted."""
    documents = shards_in(task.documents)
    schemas = [open_arrow(shard.path).schema for shard in documents]
    schema = one_schema(schemas or [empty_schema(columns)], what="the input files")
    low, high = task.part * PLACES // task.of, (task.part + 1) * PLACES // task.of - 1
    parts = [fitted(rows, schema) for shard in documents for rows in rows_between(shard.path, low=low, high=high)]
    table = pa.concat_tables(parts) if parts else schema.empty_table()
    del parts
    ids = table.column(columns.id).cast(pa.string())
    dropped = read_table(task.verdicts.path, columns=["id"]).column("id")
    kept = pc.invert(pc.is_in(ids, value_set=dropped)).to_numpy()
    keys = pa.table([table.column(PLACE), ids], names=["place", "id"])
    order = pc.sort_indices(keys, sort_keys=[("place", "ascending"), ("id", "ascending")]).to_numpy()
    order = pa.array(order[kept[order]])  # one copy of the text, not one to filter and one to sort
    ids = ids.take(order)
    table = table.drop_columns(PLACE).take(order)
    if SIZE not in table.column_names:
        clusters = read_table(clusters_path(task.verdicts.path))
        sizes = clusters.column(SIZE).take(pc.index_in(ids, value_set=clusters.column("id")))
        table = table.append_column(SIZE, pc.fill_null(sizes, 1).cast(pa.int32()))
    return table


def empty_schema(columns: Columns) -> pa.Schema:
    """Of a corpus that came without a row and without a schema."""
    return pa.schema([(columns.id, pa.string()), (columns.text, pa.string()), (PLACE, pa.uint64())])


def rows_between(path: str, *, low: int, high: int) -> list[pa.Table]:
    """Rows whose place lies in [low, high]; batches outside are not decompressed."""
    places = open_arrow(path, columns=[PLACE])
    rows = open_arrow(path)
    found = []
    for number in range(places.num_record_batches):
        column = places.get_batch(number).column(0).to_numpy()
        first = int(np.searchsorted(column, np.uint64(low), side="left"))
        last = int(np.searchsorted(column, np.uint64(high), side="right"))
        if first < last:
            found.append(pa.Table.from_batches([rows.get_batch(number).slice(first, last - first)]))
    return found


def publish_summary(_: None, documents: list[Shard], verdicts: Shard, written: list[Shard], *, root: str) -> str:
    """Writes ROOT/dedup.json: rows in, kept and dropped by reason, and each file's hash.  Then deletes what is stale.

    Raises AssertionError if a row was lost.
    """
    metadata = read_metadata(verdicts.path)
    files = [read_table(shard.path).to_pylist()[0] for shard in sorted(written)]
    entered, kept = metadata.counts["duplicates_in"], sum(file["rows"] for file in files)
    dropped = metadata.ledger[0].dropped
    assert entered == kept + sum(dropped.values()), f"{entered} rows in, {kept} kept, {dropped} dropped"
    summary = {
        "rows": entered,
        "kept": kept,
        "dropped": dropped,
        "files": files,
        "ledger": [file._asdict() for file in metadata.ledger],
    }
    path = storage.join(root, "dedup.json")
    storage.write_text(path, json.dumps(summary, indent=2, sort_keys=True) + "\n")
    current = {shard.path for shard in (*documents, *written)} | {data_path(root, shard.number, shard.of) for shard in written}
    current |= {signatures_path(root, shard) for shard in documents}
    stale = []
    for folder, names in (("documents", "*"), ("duplicates", "signatures-*"), ("duplicates", "written-*"), ("corpus/data", "*")):
        found = storage.files_in(storage.join(root, *folder.split("/")), f"{names}.arrow")
        stale += [path for path in found if path not in current]
    storage.remove(stale)
    return path
