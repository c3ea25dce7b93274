"""One pre-token in, its tokens out: the merges applied in their order, the first of them as far left as it stands.

The id of a merge's token is 256 + its number, so the smallest id among the pairs at hand is the next merge.
"""

import numpy as np

from tokenizer.machine import kernel

NO_MERGE = 1 << 30  # more than any id
SHORT_PIECE = 64  # bytes; below it a look at every pair is quicker than a heap

_1 = np.uint64(1)
_16 = np.uint64(16)
_ID = np.uint64(0xFFFF)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing, Knuth volume 3, 6.4


@kernel
def fill_merges(merges, table):  # type: ignore[no-untyped-def]
    """Writes every merge into a table of `(left << 16 | right) + 1 << 16 | new id`, 0 where empty."""
    bits = 0
    while 1 << bits < len(table):
        bits += 1
    mask = len(table) - 1
    for number in range(len(merges)):
        pair = np.uint64(merges[number, 0]) << _16 | np.uint64(merges[number, 1])
        row = np.int64(pair * _GOLDEN >> np.uint64(64 - bits))
        while table[row] != 0:
            row = (row + 1) & mask
        table[row] = (pair + _1) << _16 | np.uint64(256 + number)


@kernel
def merged(table, shift, left, right):  # type: ignore[no-untyped-def]
    """The id that a pair becomes, or NO_MERGE."""
    pair = np.uint64(left) << _16 | np.uint64(right)
    row = np.int64(pair * _GOLDEN >> shift)
    while True:
        entry = table[row]
        if entry >> _16 == pair + _1:
            return np.int64(entry & _ID)
        if entry == 0:
            return np.int64(NO_MERGE)
        row = (row + 1) & (len(table) - 1)


@kernel
def short_piece(text, start, end, id_of_byte, table, shift, ids, joins, out, written):  # type: ignore[no-untyped-def]
    """Writes the tokens of a piece of at most SHORT_PIECE bytes to `out`.  Returns where they end."""
    size = end - start
    for place in range(size):
        ids[place] = id_of_byte[text[start + place]]
    for place in range(size - 1):
        joins[place] = merged(table, shift, ids[place], ids[place + 1])
    while size > 1:
        best = joins[0]
        at = 0
        for place in range(1, size - 1):
            if joins[place] < best:
                best, at = joins[place], place
        if best == NO_MERGE:
            break
        ids[at] = best
        size -= 1
        for place in range(at + 1, size):
            ids[place] = ids[place + 1]
            joins[place - 1] = joins[place]
        if at > 0:
            joins[at - 1] = merged(table, shift, ids[at - 1], best)
        if at < size - 1:
            joins[at] = merged(table, shift, best, ids[at + 1])
    for place in range(size):
        out[written + place] = ids[place]
    return written + size


@kernel
def _push(heap, size, entry):  # type: ignore[no-untyped-def]
    at = size
    while at > 0 and heap[(at - 1) >> 1] > entry:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = entry


@kernel
def _pop(heap, size):  # type: ignore[no-untyped-def]
    """The least entry of a heap of `size` entries, which has one fewer afterwards."""
    least, entry = heap[0], heap[size - 1]
    at, size = 0, size - 1
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= entry:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = entry
    return least


@kernel
def long_piece(text, start, end, id_of_byte, table, shift, heads, waiting, out, written):  # type: ignore[no-untyped-def]
    """As `short_piece` for any size, in O(n) and the sorting of runs.

    A merge makes only pairs that hold its own token, and what they become has a larger id.  So each new id is dealt with once,
    in ascending order.  `heads` (all -1, before and after) and `links` list the places where it could be made, `waiting` is a
    heap of the ids with places; both have room for every id.
    """
    size = end - start
    ids, after, before = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int32)
    links, places = np.empty(3 * size, np.int32), np.empty(3 * size, np.int32)
    chosen = np.empty(size, np.int32)
    listed = entries = 0
    for place in range(size - 1, -1, -1):  # backwards, so that lists ascend
        ids[place] = id_of_byte[text[start + place]]
        after[place], before[place] = place + 1, place - 1
        if place < size - 1:
            new = merged(table, shift, ids[place], ids[place + 1])
            if new != NO_MERGE:
                listed, entries = _listed(heads, links, places, waiting, listed, entries, new, place)
    while entries:
        new = np.int64(_pop(waiting, entries))
        entries -= 1
        many = 0
        entry = heads[new]
        heads[new] = -1
        ascending = True
        while entry >= 0:
            chosen[many] = places[entry]
            ascending &= many == 0 or chosen[many - 1] < chosen[many]
            many += 1
            entry = links[entry]
        if not ascending:  # only `aaa` asks which comes first; the leftmost does
            chosen[:many].sort()
        for number in range(many):
            left = chosen[number]
            right = after[left]
            if ids[left] < 0 or right == size or merged(table, shift, ids[left], ids[right]) != new:
                continue  # one of the two has become part of another token
            ids[left], ids[right] = new, -1
            after[left] = after[right]
            if after[left] < size:
                before[after[left]] = left
                join = merged(table, shift, new, ids[after[left]])
                if join != NO_MERGE:
                    listed, entries = _listed(heads, links, places, waiting, listed, entries, join, left)
            if left > 0:
                join = merged(table, shift, ids[before[left]], new)
                if join != NO_MERGE:
                    listed, entries = _listed(heads, links, places, waiting, listed, entries, join, before[left])
    at = 0
    while at < size:
        out[written] = ids[at]
        written += 1
        at = after[at]
    return written


@kernel
def _listed(heads, links, places, waiting, listed, entries, new, place):  # type: ignore[no-untyped-def]
    """Lists a place where `new` could be made.  Returns the entries of the lists, and of the heap."""
    if heads[new] < 0:
        _push(waiting, entries, np.uint64(new))
        entries += 1
    places[listed], links[listed] = place, heads[new]
    heads[new] = listed
    return listed + 1, entries
