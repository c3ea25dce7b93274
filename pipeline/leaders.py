"""Clusters in, keepers out: which documents of a cluster are folded into which.

Nothing here knows files or Beam.  Buckets are told apart by 64-bit keys of bands, as in pipeline/minhash.py.
"""

import numpy as np
from numba import njit

from pipeline.minhash import key_of_band

MAX_LEADERS = 4096  # kept documents a bucket remembers, earliest first: bounds the compares of one document


def leaders(
    signatures: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    fixed: np.ndarray,
    *,
    bands: int,
    band_rows: int,
    threshold: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Who is folded into whom, by the leader rule in its edge form.

    A document is dropped if a kept, earlier one of its component shares a whole band with it and agrees with it in at
    least `threshold` of all places.  So a chain of small edits does not fold its end into its beginning.
    `order` int64: rows of `signatures`, one component after another and each in its keep order; `starts` as from
    `members`; `fixed` marks places of `order` that are kept whatever they resemble.  The keeper is the one that agrees
    most, the earlier among equals.

    Returns for each place of `order` the place of its keeper (-1: kept) and in how many values the two agree.
    """
    least = int(np.ceil(round(threshold * signatures.shape[1], 6)))
    return _leaders(signatures, order, starts, fixed, bands, band_rows, least)


def firsts(
    signatures: np.ndarray, order: np.ndarray, starts: np.ndarray, fixed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As `leaders`, but a component keeps its first document only: the rule of datatrove and OpenWebText2."""
    return _firsts(signatures, order, starts, fixed)


@njit(cache=True, nogil=True)
def table_size(entries: int) -> int:
    """Slots of a hash table at most half full: a power of two."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return size


@njit(cache=True, nogil=True)
def _agreeing(signatures: np.ndarray, one: int, other: int) -> int:
    equal = 0
    for place in range(signatures.shape[1]):
        equal += signatures[one, place] == signatures[other, place]
    return equal


@njit(cache=True, nogil=True)
def _firsts(
    signatures: np.ndarray, order: np.ndarray, starts: np.ndarray, fixed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    keepers = np.full(len(order), -1, np.int64)
    agreeing = np.zeros(len(order), np.int64)
    for cluster in range(len(starts) - 1):
        first = starts[cluster]
        for row in range(first + 1, starts[cluster + 1]):
            if not fixed[row]:
                keepers[row] = first
                agreeing[row] = _agreeing(signatures, order[first], order[row])
    return keepers, agreeing


@njit(cache=True, nogil=True)
def _leaders(
    signatures: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    fixed: np.ndarray,
    bands: int,
    band_rows: int,
    least: int,
) -> tuple[np.ndarray, np.ndarray]:
    rows = len(order)
    keepers = np.full(rows, -1, np.int64)
    agreeing = np.zeros(rows, np.int64)
    compared = np.full(rows, -1, np.int64)  # the last row that was compared with this one
    row_keys = np.empty(bands, np.uint64)
    row_slots = np.empty(bands, np.int64)
    for cluster in range(len(starts) - 1):
        begin, end = starts[cluster], starts[cluster + 1]
        # Bucket -> its kept rows, as chains through `links`.  Only kept rows enter.
        size = table_size(2 * bands)
        table = np.zeros(size, np.uint64)
        heads = np.full(size, -1, np.int64)
        tails = np.full(size, -1, np.int64)
        lengths = np.zeros(size, np.int64)
        used = 0
        links = np.empty(4 * bands, np.int64)
        linked = np.empty(4 * bands, np.int64)
        link_count = 0
        for row in range(begin, end):
            for band in range(bands):
                row_keys[band] = key_of_band(signatures, order[row], band, band_rows)
            if 2 * (used + bands) > size:
                size *= 2
                table, heads, tails, lengths = _grown(table, heads, tails, lengths, size)
            mask = np.uint64(size - 1)
            best = np.int64(-1)
            for band in range(bands):
                slot = np.int64(row_keys[band] & mask)
                while table[slot] != 0 and table[slot] != row_keys[band]:
                    slot = (slot + 1) & np.int64(mask)
                row_slots[band] = slot
                if fixed[row] or table[slot] == 0:
                    continue
                link = heads[slot]
                while link >= 0:
                    leader = linked[link]
                    link = links[link]
                    if compared[leader] != row:
                        compared[leader] = row
                        equal = _agreeing(signatures, order[leader], order[row])
                        if equal >= least and (equal > agreeing[row] or (equal == agreeing[row] and leader < best)):
                            best = leader
                            agreeing[row] = equal
            keepers[row] = best
            if best >= 0:
                continue
            if link_count + bands > len(links):
                links = np.append(links, np.empty(len(links), np.int64))
                linked = np.append(linked, np.empty(len(linked), np.int64))
            for band in range(bands):
                slot = row_slots[band]
                while table[slot] != 0 and table[slot] != row_keys[band]:  # another band of this row may have come here
                    slot = (slot + 1) & np.int64(mask)
                if table[slot] == 0:
                    table[slot] = row_keys[band]
                    used += 1
                if lengths[slot] >= MAX_LEADERS:
                    continue
                lengths[slot] += 1
                linked[link_count] = row
                links[link_count] = -1
                if tails[slot] >= 0:
                    links[tails[slot]] = link_count
                else:
                    heads[slot] = link_count
                tails[slot] = link_count
                link_count += 1
    return keepers, agreeing


@njit(cache=True, nogil=True)
def _grown(
    table: np.ndarray, heads: np.ndarray, tails: np.ndarray, lengths: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    mask = np.uint64(size - 1)
    new_table = np.zeros(size, np.uint64)
    new_heads = np.full(size, -1, np.int64)
    new_tails = np.full(size, -1, np.int64)
    new_lengths = np.zeros(size, np.int64)
    for old in range(len(table)):
        if table[old] != 0:
            slot = np.int64(table[old] & mask)
            while new_table[slot] != 0:
                slot = (slot + 1) & np.int64(mask)
            new_table[slot] = table[old]
            new_heads[slot], new_tails[slot], new_lengths[slot] = heads[old], tails[old], lengths[old]
    return new_table, new_heads, new_tails, new_lengths
