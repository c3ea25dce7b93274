"""Signature shards in; who repeats whom exactly, and which documents share a band, out.

A task reads one column of every shard, so its memory is that column: about 40 bytes a document, 320 MB at 8 million, and no
more than MAX_COLUMN_ROWS times that however large the corpus is, as larger columns are read a range of keys at a time.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.components import components, star_edges
from pipeline.dedup.columns import Columns, SignedCorpus, write_columns
from pipeline.dedup.rule import Rule
from pipeline.schema import PipelineError, Shard
from pipeline.shard_list import ShardList, list_path, shards_in, written_list
from pipeline.shards import fingerprint, finished, read_table

VERSION = 1
MAX_COLUMN_ROWS = 100_000_000  # documents in one task: 4 GB

EDGE = pa.schema([("node", pa.int64()), ("first", pa.int64())])
COPY = pa.schema([("node", pa.int64()), ("keeper", pa.int64()), ("reason", pa.string())])


class DuplicateDrop(StrEnum):
    SAME_ID = "the older corpus holds a document of this id"
    EXACT_DUPLICATE = "the text equals a kept document's but for letter case and white space"
    NEAR_DUPLICATE = "most of the text's phrases stand in a kept document"


class BandTask(NamedTuple):
    """A band, and which part of its keys: part `part` of `of`."""

    band: int
    part: int
    of: int
    shards: ShardList  # of signatures, and the one of exact copies


def signed_corpus(shards: Sequence[Shard]) -> SignedCorpus:
    """The older corpora's signatures, oldest first, then the new documents'.  Other shards in the list are passed over."""
    older = sorted((shard for shard in shards if shard.stage == "older"), key=lambda shard: shard.number)
    return SignedCorpus([*older, *sorted(shard for shard in shards if shard.stage == "signatures")])


def older_nodes(shards: Sequence[Shard]) -> int:
    """How many nodes belong to older corpora: they are the first, and they are never dropped."""
    return sum(shard.rows for shard in shards if shard.stage == "older")


def digests(shards: Sequence[Shard]) -> list[list]:
    """What a task made from these shards depends on: their content in the order of their nodes."""
    return [[shard.stage, shard.number, shard.digest] for shard in shards]


# ---- exact copies ----


def find_copies(shards: list[Shard], *, root: str, rule: Rule, columns: Columns) -> Shard:
    """ROOT/duplicates/copies.arrow: every document that is an exact copy of a better one, and that one.  Sorted by node.

    Raises PipelineError if two new documents have one id.
    """
    corpus = signed_corpus(shards)
    path = storage.join(root, "duplicates", "copies.arrow")
    recipe = fingerprint("copies", VERSION, rule.active, columns)
    made_from = fingerprint(recipe, digests(corpus.shards))
    if shard := finished(path, made_from):
        return shard
    older = older_nodes(shards)
    same_id = repeated_ids(corpus, older=older)
    keepers = dict(same_id.tolist())
    reasons = dict.fromkeys(keepers, DuplicateDrop.SAME_ID.name)
    for node, keeper in copies(corpus, columns=columns, older=older, without=same_id[:, 0]).tolist():
        keepers[node] = keeper
        reasons[node] = DuplicateDrop.EXACT_DUPLICATE.name
    nodes = sorted(keepers)
    table = pa.table([nodes, [keepers[node] for node in nodes], [reasons[node] for node in nodes]], schema=COPY)
    return write_columns(path, table, stage="copies", number=0, of=1, recipe=recipe, made_from=made_from)


def repeated_ids(corpus: SignedCorpus, *, older: int) -> np.ndarray:
    """(node, older node) of each new document whose id an older corpus holds: int64, shape (any, 2), ascending."""
    hashes = [np.maximum(column.to_numpy(), np.uint64(1)) for _, column in corpus.pieces("id_hash")]
    edges = _edges(hashes)
    edges = edges[edges[:, 0] >= older]
    if not len(edges):
        return edges
    nodes = np.unique(edges)
    ids = corpus.take(nodes, ["id"]).column("id")
    same = []
    for node, first in edges[np.argsort(edges[:, 0])].tolist():
        name, other = (ids[int(np.searchsorted(nodes, place))].as_py() for place in (node, first))
        if name == other and first >= older:
            raise PipelineError(f"the id {name!r} stands on two documents. Ids must not repeat: name another id column.")
        if name == other:
            same.append((node, first))
    return np.array(same, np.int64).reshape(-1, 2)


def copies(corpus: SignedCorpus, *, columns: Columns, older: int, without: np.ndarray) -> np.ndarray:
    """(node, keeper) of each exact copy but the best; nodes in `without` take no part.  Older documents stay."""
    halves: list[np.ndarray] = []
    seconds: list[np.ndarray] = []
    for base, column in corpus.pieces("exact"):
        flat = np.frombuffer(column.buffers()[1], np.uint64).reshape(-1, 2)[column.offset : column.offset + len(column)]
        first = np.maximum(flat[:, 0], np.uint64(1))
        inside = without[(without >= base) & (without < base + len(column))] - base
        first[inside] = 0
        halves.append(first)
        seconds.append(flat[:, 1])
    edges = _edges(halves)
    second = np.concatenate(seconds) if seconds else np.empty(0, np.uint64)
    edges = edges[second[edges[:, 0]] == second[edges[:, 1]]]
    members, starts = components(corpus.nodes, [edges])
    ranked, starts = in_keep_order(corpus, members, starts, columns=columns)
    keepers = np.repeat(ranked[starts[:-1]], np.diff(starts))
    dropped = (ranked != keepers) & (ranked >= older)
    return np.stack([ranked[dropped], keepers[dropped]], axis=1)


def in_keep_order(
    corpus: SignedCorpus, members: np.ndarray, starts: np.ndarray, *, columns: Columns
) -> tuple[np.ndarray, np.ndarray]:
    """The members of each cluster, the best first: older corpora, then `columns.order`, then id.  Starts are unchanged."""
    if not len(members):
        return members, starts
    clusters = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    ascending = np.argsort(members)
    nodes = members[ascending]
    names = [f"order_{place}" for place in range(len(columns.order))]
    table = corpus.take(nodes, [*names, "id"])
    shards = np.searchsorted(corpus.bases, nodes, side="right") - 1
    ages = np.array([shard.of if shard.stage == "older" else np.iinfo(np.int32).max for shard in corpus.shards])
    table = table.append_column("cluster", pa.array(clusters[ascending])).append_column("age", pa.array(ages[shards]))
    directions = [direction for _, direction in columns.order]
    keys = [("cluster", "ascending"), ("age", "ascending"), *zip(names, directions, strict=True), ("id", "ascending")]
    return nodes[pc.sort_indices(table, sort_keys=keys).to_numpy()], starts


def _edges(pieces: Sequence[np.ndarray]) -> np.ndarray:
    keys = np.concatenate(pieces) if pieces else np.empty(0, np.uint64)
    return star_edges(keys, np.arange(len(keys), dtype=np.int64))


# ---- bands ----


def parts_of(nodes: int) -> int:
    """Into how many ranges of keys a band is cut."""
    return max(1, -(-nodes // MAX_COLUMN_ROWS))


def band_tasks(signed: Sequence[Shard], copies: Sequence[Shard], *, root: str, rule: Rule) -> list[BandTask]:
    """A task for each band, or for each part of it where there are more documents than one task can hold."""
    if not rule.active:
        return []
    of = parts_of(signed_corpus(signed).nodes)
    shards = written_list(sorted([*signed, *copies]), path=list_path(root, "duplicates", "signed"))
    return [BandTask(band, part, of, shards) for band in range(rule.bands) for part in range(of)]


def find_edges(task: BandTask, *, root: str, rule: Rule) -> Shard:
    """ROOT/duplicates/edges-NNNNN.arrow: an edge from each document to the first that shares the band.

    Exact copies take no part: a page that was crawled a million times is out of the way before.
    """
    shards = shards_in(task.shards)
    corpus = signed_corpus(shards)
    copies_shard = next(shard for shard in shards if shard.stage == "copies")
    number, of = task.band * task.of + task.part, rule.bands * task.of
    path = storage.join(root, "duplicates", f"edges-{number:05d}.arrow")
    recipe = fingerprint("edges", VERSION, rule)
    made_from = fingerprint(recipe, number, of, digests(corpus.shards), copies_shard.digest)
    if shard := finished(path, made_from):
        return shard
    away = read_table(copies_shard.path, columns=["node"]).column("node").to_numpy()
    keys: list[np.ndarray] = []
    nodes: list[np.ndarray] = []
    for base, column in corpus.pieces(f"band_{task.band:02d}"):
        values = column.to_numpy()
        chosen = np.ones(len(values), bool) if task.of == 1 else values % np.uint64(task.of) == task.part
        first, last = np.searchsorted(away, [base, base + len(values)])
        chosen[away[first:last] - base] = False
        keys.append(values[chosen])
        nodes.append(np.flatnonzero(chosen) + base)
    edges = star_edges(np.concatenate(keys), np.concatenate(nodes)) if keys else np.empty((0, 2), np.int64)
    table = pa.table([edges[:, 0], edges[:, 1]], schema=EDGE)
    return write_columns(path, table, stage="edges", number=number, of=of, recipe=recipe, made_from=made_from)
