"""Counts of words in, merges out: Gage 1994 and Sennrich et al. 2016, with the ties that Hugging Face's `tokenizers` breaks:
the most frequent pair first; of equals the smaller left id, then the smaller right id.

What makes it quick, and small:

- `symbols` holds the tokens of all distinct words in one array.  A token's id stands at the FIRST and LAST byte of its
  span, so both neighbours of any token are one look away: no linked list, no walk through the word.
- Words are sorted by count, so the count of a place is found in the short list of runs of equal count.
- Pairs counted less than `floor` are not kept at all.  A pair's count never rises (a new pair holds the new id), so when
  the best count falls below the floor, a lower one is chosen and the pairs are counted anew from `symbols`: the merges
  are those of a table that holds everything.  The same recount makes room when any array is full.
- The heap is lazy: an entry whose count has fallen is pushed back when it comes up.
"""

from collections.abc import Callable

import numpy as np

from tokenizer.alphabet import ID_OF_BYTE
from tokenizer.machine import aligned, kernel, prefetch
from tokenizer.pairs import NONE, address_bits, count_pairs, keep, post, push, row_of, sink
from tokenizer.words import WordCounts

MAX_SYMBOLS = 1 << 32  # places are uint32

# Chosen on 50 MB of mixed text; they change time and memory, never a merge.  benchmarks/tokenizer_train.py
FIRST_FLOOR = 10_000  # of the best pair's count: 1,000 and 10,000 are alike, keeping all pairs costs 13 % more
NEXT_FLOOR = 16
POOL = 2.5  # postings there is room for, in those of the start: at 1.25 four recounts where 2.5 needs one
PAIRS_PER_TOKEN = 40  # distinct pairs expected by a recount; if there are more it starts again
MERGES_PER_REPORT = 1000

_16 = np.uint64(16)
_1 = np.uint64(1)
_ID = np.uint64(0xFFFF)

DONE, FULL, BELOW_FLOOR = range(3)  # why `_merge` came back


@kernel
def _write_symbols(text, ends, order, id_of_byte, symbols):  # type: ignore[no-untyped-def]
    """Lays the words out in the given order, NONE around each."""
    symbols[0] = NONE
    at = 1
    for word in order:
        start = ends[word - 1] if word else 0
        for place in range(start, ends[word]):
            symbols[at] = id_of_byte[text[place]]
            at += 1
        symbols[at] = NONE
        at += 1


@kernel
def _run_of(run_ends, run, place):  # type: ignore[no-untyped-def]
    """The run that holds a place, at or after `run`: by doubling steps, then by halving."""
    if place < run_ends[run]:
        return run
    step = 1
    while run + step < len(run_ends) and place >= run_ends[run + step]:
        run += step
        step *= 2
    low, high = run + 1, min(run + step, len(run_ends) - 1)
    while low < high:
        middle = (low + high) >> 1
        if place < run_ends[middle]:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def _merge(  # type: ignore[no-untyped-def]
    symbols, lengths, run_ends, run_counts, table, pool, heap, state, merges, wanted, floor, near, seen, weight, cursor
):
    """Merges until `wanted` merges are there.  Returns DONE, FULL (recount, then go on) or BELOW_FLOOR (likewise, lower).

    `state`: merges made, entries of the heap, postings in the pool, rows of the table in use.
    `near`: per occurrence of the pair at hand (left neighbour, its start, right neighbour, start).
    `seen`, `weight`, `cursor`: per side and neighbour, the list of them, their count, and where their postings go.
    """
    bits = address_bits(table)
    room = len(table) * 3 // 4
    made, entries, posted, used = state[0], state[1], state[2], state[3]
    why = DONE
    while made < wanted:
        if entries == 0:
            why = BELOW_FLOOR
            break
        top, pair = heap[0, 0], heap[0, 1]
        row = row_of(table, bits, pair)
        now = table[row, 1]
        if now != top:
            if now >= np.uint64(floor):
                sink(heap, entries, now, pair)
            else:
                entries -= 1
                sink(heap, entries, heap[entries, 0], heap[entries, 1])
            continue
        first, many = np.int64(table[row, 2]), np.int64(table[row, 3])
        births = 2 * min(many, made + 257)
        if posted + 2 * many > len(pool) or used + births > room or entries + births > len(heap):
            why = FULL
            break
        entries -= 1
        if entries:
            sink(heap, entries, heap[entries, 0], heap[entries, 1])
        a, b = np.int64(pair >> np.uint64(16)), np.int64(pair & _ID)
        length_a, length_b = lengths[a], lengths[b]
        new = made + 256
        lengths[new] = length_a + length_b
        merges[made, 0], merges[made, 1] = a, b
        made += 1
        table[row, 1] = 0

        # Join the occurrences, and note what stands beside them.
        found = lefts = rights = run = 0
        for posting in range(first, first + many):
            if posting + 8 < first + many:
                prefetch(symbols, np.int64(pool[posting + 8]) * 2)
            p = np.int64(pool[posting])
            if symbols[p] != a or symbols[p + length_a] != b:
                continue
            symbols[p] = new
            symbols[p + length_a + length_b - 1] = new
            if length_b > 1:
                symbols[p + length_a] = NONE
            run = _run_of(run_ends, run, p)
            amount = run_counts[run]
            x, y = np.int64(symbols[p - 1]), np.int64(symbols[p + length_a + length_b])
            near[found, 0], near[found, 1], near[found, 2] = x, p, y
            found += 1
            if x != NONE:
                if weight[0, x] == 0:
                    seen[0, lefts] = x
                    lefts += 1
                weight[0, x] += amount
            if y != NONE:
                if weight[1, y] == 0:
                    seen[1, rights] = y
                    rights += 1
                weight[1, y] += amount

        # The pairs that lose: (x, a) and (b, y).  Those below the floor are not in the table.
        for place in range(lefts):
            x = seen[0, place]
            if x != new:
                old = row_of(table, bits, np.uint64(x << 16 | a))
                if table[old, 1] != 0:
                    table[old, 1] -= np.uint64(weight[0, x])
        for place in range(rights):
            y = seen[1, place]
            if not (b == a and y == b):
                old = row_of(table, bits, np.uint64(b << 16 | y))
                if table[old, 1] != 0:
                    table[old, 1] -= np.uint64(weight[1, y])
        # A right neighbour that begins the next occurrence has become `new` itself: "abab".
        if weight[0, new]:
            weight[1, a] -= weight[0, new]

        # The pairs that are born: (x, new) and (new, y).
        for side in range(2):
            for place in range(lefts if side == 0 else rights):
                other = seen[side, place]
                cursor[side, other] = -1
                if weight[side, other] >= floor:
                    born = np.uint64(other << 16 | new) if side == 0 else np.uint64(new << 16 | other)
                    row = row_of(table, bits, born)
                    used += 1
                    table[row, 0], table[row, 1] = born + np.uint64(1), np.uint64(weight[side, other])
                    table[row, 3] = 0
                    cursor[side, other] = row
                    push(heap, entries, np.uint64(weight[side, other]), born)
                    entries += 1
                weight[side, other] = 0
        for occurrence in range(found):
            x, y = near[occurrence, 0], near[occurrence, 2]
            if x != NONE and cursor[0, x] >= 0:
                table[cursor[0, x], 3] += np.uint64(1)
            if y != NONE and cursor[1, y] >= 0:
                table[cursor[1, y], 3] += np.uint64(1)
        for side in range(2):
            for place in range(lefts if side == 0 else rights):
                row = cursor[side, seen[side, place]]
                if row >= 0:
                    table[row, 2] = np.uint64(posted)
                    posted += np.int64(table[row, 3])
                    table[row, 3] = 0
        for occurrence in range(found):
            x, p, y = near[occurrence, 0], near[occurrence, 1], near[occurrence, 2]
            if x != NONE and cursor[0, x] >= 0:
                row = cursor[0, x]
                pool[np.int64(table[row, 2] + table[row, 3])] = p - lengths[x]
                table[row, 3] += np.uint64(1)
            if y != NONE and cursor[1, y] >= 0:
                row = cursor[1, y]
                pool[np.int64(table[row, 2] + table[row, 3])] = p
                table[row, 3] += np.uint64(1)
    state[0], state[1], state[2], state[3] = made, entries, posted, used
    return why


class _Merger:
    """The arrays of the merge loop."""

    def __init__(self, words: WordCounts, *, wanted: int) -> None:
        order = _by_count(words)
        counts = words.counts[order]
        sizes = np.diff(words.ends, prepend=0)[order] + 1
        total = int(sizes.sum()) + 1
        if total > MAX_SYMBOLS:
            raise ValueError(
                f"the distinct words hold {total:,} bytes, the merge loop at most {MAX_SYMBOLS:,}: train on less text"
            )
        self.symbols = np.empty(total, dtype=np.uint16)
        _write_symbols(words.text, words.ends, order, np.array(ID_OF_BYTE, dtype=np.uint16), self.symbols)
        last_of_run = np.flatnonzero(np.diff(counts, append=0))
        self.run_ends = np.cumsum(sizes)[last_of_run] + 1
        self.run_counts = counts[last_of_run]
        self.merges = np.empty((wanted, 2), dtype=np.int64)
        ids = 256 + wanted
        self.lengths = np.ones(ids, dtype=np.int64)
        self.seen, self.weight, self.cursor = (np.zeros((2, ids), dtype=np.int64) for _ in range(3))
        self.state = np.zeros(4, dtype=np.int64)

    @property
    def made(self) -> int:
        return int(self.state[0])

    def recount(self, floor: int | None, *, min_count: int) -> int:
        """Counts all pairs anew and keeps those counted at least `floor` times (None: chosen here).  Returns the floor."""
        for name in ("table", "heap", "pool", "near"):  # their memory first
            vars(self).pop(name, None)
        rows = 1 << (PAIRS_PER_TOKEN * (256 + self.made)).bit_length()
        while True:
            every = aligned(rows, columns=4)
            if count_pairs(self.symbols, self.lengths, self.run_ends, self.run_counts, every) >= 0:
                break
            rows *= 2
        counts = every[:, 1]
        if floor is None:
            floor = max(min_count, int(counts.max()) // FIRST_FLOOR)
        kept = counts >= np.uint64(floor)
        pairs = int(np.count_nonzero(kept))
        postings, longest = (int(of(every[kept, 3], initial=0)) for of in (np.sum, np.max))
        # Every array has room for at least one more merge, whichever it is.
        births = 2 * (257 + len(self.merges))
        self.table = aligned(1 << ((2 * pairs + births) * 4 // 3).bit_length(), columns=4)
        self.heap = aligned(2 * pairs + births, columns=2)
        self.pool = np.empty(int(POOL * postings) + 2 * longest, dtype=np.uint32)
        self.near = np.empty((longest, 3), dtype=np.int64)
        keep(every, floor, self.table, self.heap)
        del every, counts, kept
        post(self.symbols, self.lengths, self.table, self.pool)
        self.state[1:] = pairs, postings, pairs
        return floor

    def merge(self, wanted: int, floor: int) -> int:
        return _merge(
            self.symbols, self.lengths, self.run_ends, self.run_counts, self.table, self.pool, self.heap, self.state,
            self.merges, wanted, floor, self.near, self.seen, self.weight, self.cursor,
        )  # fmt: skip


def _by_count(words: WordCounts) -> np.ndarray:
    """Numbers of the words that have a pair, most frequent first."""
    order = np.argsort(-words.counts, kind="stable")
    return order[np.diff(words.ends, prepend=0)[order] > 1]


def merges_of(
    words: WordCounts, *, wanted: int, min_count: int = 2, progress: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """The merges in order, int64, shape (n, 2): (left id, right id); merge number m makes the token 256 + m.

    Fewer than `wanted` if no pair is left that is counted `min_count` times.  `progress(made, wanted)` is called on the way.
    """
    merger = _Merger(words, wanted=wanted)
    floor = merger.recount(None, min_count=min_count)
    while True:
        why = merger.merge(min(wanted, merger.made + MERGES_PER_REPORT), floor)
        if progress is not None:
            progress(merger.made, wanted)
        if merger.made == wanted or (why == BELOW_FLOOR and floor == min_count):
            return merger.merges[: merger.made]
        if why == FULL:
            floor = merger.recount(floor, min_count=min_count)
        elif why == BELOW_FLOOR:
            floor = merger.recount(max(min_count, floor // NEXT_FLOOR), min_count=min_count)
