"""Edges in, verdicts out: which documents are dropped, for whom, and how many each keeper stands for."""

import tempfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.components import components
from pipeline.dedup.columns import Columns, SignedCorpus, write_columns
from pipeline.dedup.edges import DuplicateDrop, digests, in_keep_order, older_nodes, signed_corpus
from pipeline.dedup.rule import Rule, kept_inside
from pipeline.dedup.signing import signatures_path
from pipeline.schema import LEDGER, Shard
from pipeline.shards import fingerprint, finished, note, open_arrow, read_batches, read_metadata, read_table, write_ledger_table
from pipeline.star_rounds import star_rounds

VERSION = 1
CHUNK_ROWS = 1 << 18  # signatures in memory at a time, 264 MB; a larger cluster is read whole
MAX_UNION_NODES = 200_000_000  # documents whose components are found in memory, 16 bytes each: 3.2 GB
BATCH_ROWS = 1 << 16  # of verdicts, so that a range of ids is found by reading the ids alone

VERDICT = pa.schema([("id", pa.string()), ("kept", pa.string()), ("jaccard", pa.float32()), ("reason", pa.string())])
CLUSTER = pa.schema([("id", pa.string()), ("cluster_size", pa.int32())])


class Folded(NamedTuple):
    """Dropped nodes, ascending, each with the kept node it was folded into."""

    nodes: np.ndarray
    keepers: np.ndarray
    agreeing: np.ndarray  # places of the signature in which the two agree
    reasons: np.ndarray  # names of DuplicateDrop


def clusters_path(verdicts: str) -> str:
    """The file of cluster sizes beside a file of verdicts: id and cluster_size of keepers of two or more, sorted by id."""
    return verdicts.removesuffix("verdicts.arrow") + "clusters.arrow"


def decide(shards: list[Shard], *, root: str, rule: Rule, columns: Columns, journal: str | None = None) -> Shard:
    """ROOT/duplicates/verdicts.arrow, clusters.arrow and the ledger, from all that was found.

    `shards`: documents, their signatures, exact copies and edges, in any order.
    """
    shard = _decided(shards, root=root, rule=rule, columns=columns)
    if journal is not None:
        note(journal, shard._replace(rows=read_metadata(shard.path).counts["duplicates_kept"]))
    return shard


def _decided(shards: list[Shard], *, root: str, rule: Rule, columns: Columns) -> Shard:
    corpus = signed_corpus(shards)
    signed = {shard.path: place for place, shard in enumerate(corpus.shards)}
    documents = [shard for shard in sorted(shards) if shard.stage not in ("older", "signatures", "copies", "edges")]
    documents.sort(key=lambda shard: signed.get(signatures_path(root, shard), 0))  # as their nodes
    path = storage.join(root, "duplicates", "verdicts.arrow")
    recipe = fingerprint("verdicts", VERSION, rule, columns)
    edges = sorted(shard for shard in shards if shard.stage == "edges")
    sources = [*corpus.shards, *(shard for shard in shards if shard.stage == "copies"), *edges, *documents]
    made_from = fingerprint(recipe, digests(sources))
    if finished(clusters_path(path), made_from) and (shard := finished(path, made_from)):
        return shard
    found = folded_nodes(corpus, shards, root=root, rule=rule, columns=columns)
    table, sizes = verdict_tables(corpus, found, older=older_nodes(shards), num_perm=rule.num_perm)
    rows = sum(shard.rows for shard in documents)
    ledger = write_ledger_table(root, "duplicates", 0, ledger_of(documents, corpus, found, table, columns=columns))
    table = table.drop_columns("node").take(pc.sort_indices(table, sort_keys=[("id", "ascending")]))
    write_columns(
        clusters_path(path), sizes, stage="clusters", number=0, of=1, recipe=recipe, made_from=made_from, batch_rows=BATCH_ROWS
    )
    return write_columns(
        path, table.cast(VERDICT), stage="duplicates", number=0, of=1, recipe=recipe, made_from=made_from, ledger=[ledger],
        counts={"duplicates_in": rows, "duplicates_kept": rows - len(table)}, batch_rows=BATCH_ROWS,
    )  # fmt: skip


def clusters_of(shards: Sequence[Shard], *, nodes: int, folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Members and starts of what the edges connect: by union-find in memory, or by star rounds in `folder` where it is large."""

    def pieces() -> Iterator[np.ndarray]:
        for shard in sorted(shard for shard in shards if shard.stage == "edges"):
            for batch in read_batches(shard.path):
                yield np.stack([batch.column(0).to_numpy(), batch.column(1).to_numpy()], axis=1)

    if nodes <= MAX_UNION_NODES:
        return components(nodes, pieces())
    if not storage.is_local(folder):
        folder = tempfile.mkdtemp(prefix="webtext-rounds-")
    return star_rounds(pieces(), folder=folder)


def folded_nodes(corpus: SignedCorpus, shards: Sequence[Shard], *, root: str, rule: Rule, columns: Columns) -> Folded:
    """Every node that is dropped.  A copy of a document that is itself dropped goes to that one's keeper, as near as it."""
    members, starts = clusters_of(shards, nodes=corpus.nodes, folder=storage.join(root, "duplicates", "rounds"))
    members, starts = in_keep_order(corpus, members, starts, columns=columns)
    older = older_nodes(shards)
    parts = [
        _folded_piece(corpus, members[starts[first] : starts[last]], starts[first : last + 1], older, rule)
        for first, last in spans(starts, rows=CHUNK_ROWS)
    ]
    near = [np.concatenate([part[place] for part in parts] or [np.empty(0, np.int64)]) for place in range(3)]
    order = np.argsort(near[0])
    nodes, keepers, agreeing = (column[order] for column in near)

    copies = read_table(next(shard.path for shard in shards if shard.stage == "copies"))
    copy_nodes, copy_keepers = copies.column("node").to_numpy(), copies.column("keeper").to_numpy().copy()
    copy_agreeing = np.full(len(copy_nodes), rule.num_perm, np.int64)
    copy_reasons = np.array(copies.column("reason").to_pylist(), object)
    place = np.searchsorted(nodes, copy_keepers)
    moved = np.flatnonzero(np.append(nodes, -1)[place] == copy_keepers)
    copy_keepers[moved], copy_agreeing[moved] = keepers[place[moved]], agreeing[place[moved]]
    copy_reasons[moved] = DuplicateDrop.NEAR_DUPLICATE.name

    reasons = np.append(np.full(len(nodes), DuplicateDrop.NEAR_DUPLICATE.name, object), copy_reasons)
    nodes, keepers = np.append(nodes, copy_nodes), np.append(keepers, copy_keepers)
    order = np.argsort(nodes)
    same = np.flatnonzero(reasons == DuplicateDrop.SAME_ID.name)
    agreeing = np.append(agreeing, copy_agreeing)
    one, other = (corpus.signatures(chosen[same], num_perm=rule.num_perm) for chosen in (nodes, keepers))
    agreeing[same] = (one == other).sum(axis=1)
    return Folded(nodes[order], keepers[order], agreeing[order], reasons[order])


def spans(starts: np.ndarray, *, rows: int) -> Iterator[tuple[int, int]]:
    """First and last start of runs of whole clusters, each of at most `rows` rows unless one cluster is larger."""
    first = 0
    while first < len(starts) - 1:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + rows, side="right")) - 1)
        yield first, last
        first = last


def _folded_piece(
    corpus: SignedCorpus, members: np.ndarray, starts: np.ndarray, older: int, rule: Rule
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    signatures = corpus.signatures(members, num_perm=rule.num_perm)
    order = np.arange(len(members))
    inside, agreeing = kept_inside(signatures, order, starts - starts[0], members < older, rule=rule)
    dropped = np.flatnonzero(inside >= 0)
    return members[dropped], members[inside[dropped]], agreeing[dropped]


def verdict_tables(corpus: SignedCorpus, found: Folded, *, older: int, num_perm: int) -> tuple[pa.Table, pa.Table]:
    """VERDICT rows with their nodes, by node; CLUSTER rows by id.  Older keepers have no row: their corpus is written."""
    keepers, counts = np.unique(found.keepers, return_counts=True)
    keeper_ids = corpus.take(keepers, ["id"]).column("id")
    jaccard = np.round(found.agreeing / max(num_perm, 1), 2).astype(np.float32)
    table = pa.table(
        {
            "id": corpus.take(found.nodes, ["id"]).column("id"),
            "kept": keeper_ids.take(pa.array(np.searchsorted(keepers, found.keepers))),
            "jaccard": pa.array(jaccard, pa.float32()),
            "reason": pa.array(found.reasons, pa.string()),
            "node": pa.array(found.nodes),
        }
    )
    own = np.flatnonzero(keepers >= older)
    sizes = pa.table([keeper_ids.take(pa.array(own)), (counts[own] + 1).astype(np.int32)], schema=CLUSTER)
    return table, sizes.take(pc.sort_indices(sizes, sort_keys=[("id", "ascending")]))


def ledger_of(
    documents: Sequence[Shard], corpus: SignedCorpus, found: Folded, verdicts: pa.Table, *, columns: Columns
) -> pa.Table:
    """A ledger row for every verdict, by key, then URL."""
    names = [name for name in (columns.url, columns.key) if name]
    parts = []
    bases = corpus.bases[len(corpus.shards) - len(documents) :]
    for base, stop, shard in zip(bases, bases[1:], documents, strict=False):
        first, last = np.searchsorted(found.nodes, [base, stop])
        if first == last:
            continue
        present = open_arrow(shard.path).schema.names
        rows = read_table(shard.path, columns=[name for name in dict.fromkeys(names) if name in present] or [columns.id])
        rows = rows.take(found.nodes[first:last] - base)
        url, key = (
            rows.column(name).cast(pa.string()) if name in present else pa.nulls(len(rows), pa.string())
            for name in (columns.url, columns.key)
        )
        said = verdicts.slice(first, last - first)
        details = [f"jaccard={value:.2f}" for value in said.column("jaccard").to_pylist()]
        fields = [["duplicates"] * len(rows), said.column("reason"), url, key, details, said.column("kept")]
        parts.append(pa.table(fields, schema=LEDGER))
    table = pa.concat_tables(parts) if parts else LEDGER.empty_table()
    order = [(name, "ascending", "at_start") for name in ("key", "url", "stage", "reason", "detail", "kept")]
    return table.take(pc.sort_indices(table, sort_keys=order))


def read_verdicts(path: str, *, start: str = "", stop: str | None = None) -> tuple[pa.Table, dict[str, int]]:
    """Verdicts on ids in [start, stop), sorted by id, and the cluster sizes above 1 of keepers in that range."""
    sizes = _between(clusters_path(path), start, stop)
    return _between(path, start, stop), dict(
        zip(sizes.column("id").to_pylist(), sizes.column("cluster_size").to_pylist(), strict=True)
    )


def _between(path: str, start: str, stop: str | None) -> pa.Table:
    reader = open_arrow(path)
    parts = []
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)  # mapped, not read: only the ids at its ends are looked at
        ids = batch.column(0)
        if ids[-1].as_py() < start or (stop is not None and ids[0].as_py() >= stop):
            continue
        chosen = pc.greater_equal(ids, start)
        if stop is not None:
            chosen = pc.and_(chosen, pc.less(ids, stop))
        parts.append(batch.filter(chosen))
    return pa.Table.from_batches(parts, reader.schema.remove_metadata()) if parts else reader.schema.empty_table()
