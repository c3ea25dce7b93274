"""The pairs of adjacent tokens: their table, their heap, and their count from the symbols.

A pair (left id, right id) is the number `left << 16 | right`, so that smaller pairs are smaller numbers.
"""

import numpy as np

from tokenizer.machine import kernel

NONE = 0xFFFF  # among symbols: between words, and at places inside a token that could be taken for the start of one

_1 = np.uint64(1)
_16 = np.uint64(16)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing, Knuth volume 3, 6.4


@kernel
def address_bits(table):  # type: ignore[no-untyped-def]
    """log2 of the rows of a table."""
    bits = 0
    while 1 << bits < len(table):
        bits += 1
    return bits


@kernel
def row_of(table, bits, pair):  # type: ignore[no-untyped-def]
    """Row of a pair in a table of (pair + 1, count, first posting, postings), or the empty row where it would be."""
    mask = len(table) - 1
    row = np.int64((pair + _1) * _GOLDEN >> np.uint64(64 - bits))
    while table[row, 0] != 0 and table[row, 0] != pair + _1:
        row = (row + 1) & mask
    return row


@kernel
def _before(count, pair, other_count, other_pair):  # type: ignore[no-untyped-def]
    return count > other_count or (count == other_count and pair < other_pair)


@kernel
def push(heap, size, count, pair):  # type: ignore[no-untyped-def]
    """Adds to a heap of four children a node, the best on top.  It has `size` entries before."""
    at = size
    while at > 0:
        parent = (at - 1) >> 2
        if not _before(count, pair, heap[parent, 0], heap[parent, 1]):
            break
        heap[at, 0], heap[at, 1] = heap[parent, 0], heap[parent, 1]
        at = parent
    heap[at, 0], heap[at, 1] = count, pair


@kernel
def sink(heap, size, count, pair):  # type: ignore[no-untyped-def]
    """Puts an entry in the place of the top one of a heap of `size` entries."""
    at = 0
    while True:
        child = 4 * at + 1
        if child >= size:
            break
        best = child
        for other in range(child + 1, min(child + 4, size)):
            if _before(heap[other, 0], heap[other, 1], heap[best, 0], heap[best, 1]):
                best = other
        if not _before(heap[best, 0], heap[best, 1], count, pair):
            break
        heap[at, 0], heap[at, 1] = heap[best, 0], heap[best, 1]
        at = best
    heap[at, 0], heap[at, 1] = count, pair


@kernel
def count_pairs(symbols, lengths, run_ends, run_counts, table):  # type: ignore[no-untyped-def]
    """Counts every pair.  Returns the number of distinct ones, or -1 if the table is too small."""
    bits = address_bits(table)
    room = len(table) * 3 // 4
    pairs = 0
    at = 1
    for run in range(len(run_ends)):
        amount = np.uint64(run_counts[run])
        while at < run_ends[run]:
            left = symbols[at]
            if left == NONE:
                at += 1
                continue
            at += lengths[left]
            right = symbols[at]
            if right == NONE:
                continue
            pair = np.uint64(left) << _16 | np.uint64(right)
            row = row_of(table, bits, pair)
            if table[row, 0] == 0:
                if pairs == room:
                    return -1
                table[row, 0] = pair + _1
                pairs += 1
            table[row, 1] += amount
            table[row, 3] += _1
    return pairs


@kernel
def keep(every, floor, table, heap):  # type: ignore[no-untyped-def]
    """Takes over the pairs counted at least `floor` times: into the table, their postings reserved, and into the heap.
    Returns how many, and how many postings."""
    bits = address_bits(table)
    pairs, postings = 0, np.int64(0)
    for old in range(len(every)):
        if every[old, 0] != 0 and every[old, 1] >= np.uint64(floor):
            pair = every[old, 0] - _1
            row = row_of(table, bits, pair)
            table[row, 0], table[row, 1] = every[old, 0], every[old, 1]
            table[row, 2] = np.uint64(postings)
            postings += np.int64(every[old, 3])
            push(heap, pairs, every[old, 1], pair)
            pairs += 1
    return pairs, postings


@kernel
def post(symbols, lengths, table, pool):  # type: ignore[no-untyped-def]
    """Writes where each kept pair stands, in ascending order."""
    bits = address_bits(table)
    at = 1
    while at < len(symbols):
        left = symbols[at]
        if left == NONE:
            at += 1
            continue
        start = at
        at += lengths[left]
        right = symbols[at]
        if right != NONE:
            row = row_of(table, bits, np.uint64(left) << _16 | np.uint64(right))
            if table[row, 0] != 0:
                pool[np.int64(table[row, 2] + table[row, 3])] = start
                table[row, 3] += _1
