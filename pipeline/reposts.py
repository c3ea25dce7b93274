"""Links of one partition in, each page once out: the best submission stands for all of them."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.link_rules import LinkDrop, origin
from pipeline.schema import LEDGER, LINK, Drop, LedgerRow, Link
from pipeline.shards import table_of


def folded_reposts(found: pa.Table, *, min_karma: int | None = None) -> tuple[pa.Table, pa.Table]:
    """Each key once, sorted by key, and a ledger row for every link that is gone."""
    found = found.take(pc.sort_indices(found, sort_keys=[("key", "ascending")])).combine_chunks()
    keys = found["key"]
    alone = np.ones(found.num_rows, bool)
    if found.num_rows:
        repeated = pc.equal(keys[1:], keys[:-1]).to_numpy()
        alone[1:] &= ~repeated
        alone[:-1] &= ~repeated
    if min_karma is not None:
        alone &= pc.greater_equal(found["karma"], min_karma).to_numpy()
    kept: list[Link] = []
    rows: list[LedgerRow] = []
    together = map(Link._make, zip(*found.filter(pa.array(~alone)).to_pydict().values(), strict=True))
    for _, reposts in groupby(together, key=lambda link: link.key):
        keeper, drops = merged(list(reposts), min_karma=min_karma)
        if keeper is not None:
            kept.append(keeper)
        rows += (LedgerRow("links", drop.reason.name, link.url, link.key, drop.detail, drop.kept) for link, drop in drops)
    keepers = pa.Table.from_pylist([link._asdict() for link in kept], LINK)
    links = pa.concat_tables([found.filter(pa.array(alone)), keepers])
    return links.take(pc.sort_indices(links, sort_keys=[("key", "ascending")])), table_of(rows, LEDGER)


def merged(reposts: Sequence[Link], *, min_karma: int | None = None) -> tuple[Link | None, list[tuple[Link, Drop]]]:
    """The link of the best submission of one page, and what becomes of the others; at least one of them.

    Best is the highest karma, then the earliest, then the smallest submission id, then the other fields.  With `min_karma` the
    karma of all submissions together must reach it, each submission counted once; else all of them are LOW_KARMA.
    """
    ranked = sorted(reposts, key=rank)
    keeper = ranked[0]
    seen: set[str] = set()
    drops: list[tuple[Link, Drop]] = []
    total = 0
    for link in ranked:
        if link.submission_id in seen:
            detail = origin(link.submission_id, link.karma)
            drops.append((link, Drop(LinkDrop.SAME_SUBMISSION, detail, keeper.id)))
            continue
        if seen:
            drops.append((link, Drop(LinkDrop.REPOST, origin(link.submission_id, link.karma), keeper.id)))
        seen.add(link.submission_id)
        total += link.karma
    if min_karma is None or total >= min_karma:
        return keeper, drops
    return None, [
        (link, Drop(LinkDrop.LOW_KARMA, f"{origin(link.submission_id, link.karma)} sum={total}")) for link in ranked
    ]


def rank(link: Link) -> tuple:
    """Sorts the submissions of one page, best first; total, so that no order of rows or files shows."""
    return (-link.karma, link.created_utc, link.submission_id, link.subreddit, link.url)
