"""Pre-tokens in, counts of distinct words out.  Addition is all there is, so the order of texts, their split over
threads and the way counts were merged change nothing.

A word of at most 15 bytes is packed into two 64-bit numbers, (bytes 0-7) and (bytes 8-14, length), which are its key in an
open table; longer ones are compared by hash, length and bytes in a second one.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from tokenizer.machine import aligned, kernel, load64, prefetch
from tokenizer.pattern import PATTERN
from tokenizer.scanner import SLACK, Chunk, Scanner
from tokenizer.unicode_classes import class_of_scalar

SHORT = 15  # bytes: the longest packed word
AHEAD = 16  # words whose row is asked for before it is needed: benchmarks/tokenizer_train.py, 8 to 32 are alike

_BYTES = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(SHORT + 1)], dtype=np.uint64)  # of the first word, by length
_MORE = np.array([(1 << 8 * max(n - 8, 0)) - 1 for n in range(SHORT + 1)], dtype=np.uint64)  # of the second
_56 = np.uint64(56)
_31 = np.uint64(31)
_32 = np.uint64(32)
# Odd numbers with no pattern: fractional parts of the golden ratio and of the square roots of 2 and 3.
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0x6A09E667F3BCC909), np.uint64(0xBB67AE8584CAA73B))


@kernel
def packed(text, start, length):  # type: ignore[no-untyped-def]
    """The key of a word of 1 to 15 bytes.  Reads 16 bytes."""
    first = load64(text, start) & _BYTES[length]
    second = load64(text, start + 8) & _MORE[length] | np.uint64(length) << _56
    return first, second


@kernel
def mixed(first, second):  # type: ignore[no-untyped-def]
    """A 64-bit hash whose high bits are good."""
    both = first * _MIX[0] + second * _MIX[1]
    return (both ^ both >> _31) * _MIX[2]


@kernel
def hashed(text, start, length):  # type: ignore[no-untyped-def]
    """A 64-bit hash of a word of 8 bytes or more."""
    total = np.uint64(length)
    for place in range(start, start + length - 7, 8):
        total = mixed(total, load64(text, place))
    return mixed(total, load64(text, start + length - 8))


@kernel
def same(left, left_start, right, right_start, length):  # type: ignore[no-untyped-def]
    """Whether two words of 8 bytes or more are equal."""
    for place in range(0, length - 7, 8):
        if load64(left, left_start + place) != load64(right, right_start + place):
            return False
    return load64(left, left_start + length - 8) == load64(right, right_start + length - 8)


@kernel
def _count_short(rows, bits, first, second, amount):  # type: ignore[no-untyped-def]
    """Adds to a word's row of (key, key, count, unused).  Returns 1 if the word is new."""
    mask = len(rows) - 1
    row = np.int64(mixed(first, second) >> np.uint64(64 - bits))
    while True:
        if rows[row, 1] == second and rows[row, 0] == first:
            rows[row, 2] += np.uint64(amount)
            return 0
        if rows[row, 1] == 0:
            rows[row, 0], rows[row, 1], rows[row, 2] = first, second, np.uint64(amount)
            return 1
        row = (row + 1) & mask


@kernel
def slot_of(code, slots):  # type: ignore[no-untyped-def]
    """The place of a hash among `slots`, a power of two: from its upper half, which every letter of the word has reached."""
    return np.int64(code >> _32) & (len(slots) - 1)


@kernel
def count(text, ends, begin, weights, rows, ring, slots, arena, starts, hashes, amounts, used):  # type: ignore[no-untyped-def]
    """Counts the pre-tokens from number `begin` on, each once or `weights` times.

    `used`: short words, long words, bytes of `arena`.  Returns where it stopped: at the end, or for want of room.
    """
    bits = 0
    while 1 << bits < len(rows):
        bits += 1
    room = len(rows) * 3 // 4 - AHEAD
    slot_mask = len(slots) - 1
    start = ends[begin - 1] if begin else 0
    queued = done = 0
    stopped = len(ends)
    for number in range(begin, len(ends)):
        end = ends[number]
        length = end - start
        amount = weights[number] if len(weights) else 1
        if length <= SHORT:
            first, second = packed(text, start, length)
            prefetch(rows, np.int64(mixed(first, second) >> np.uint64(64 - bits)) * 32)
            place = queued & (AHEAD - 1)
            if queued - done == AHEAD:
                used[0] += _count_short(rows, bits, ring[place, 0], ring[place, 1], np.int64(ring[place, 2]))
                done += 1
            ring[place, 0], ring[place, 1], ring[place, 2] = first, second, np.uint64(amount)
            queued += 1
            if used[0] >= room:
                stopped = number + 1
                break
        else:
            if used[1] + 1 >= len(starts) or used[2] + length + SLACK > len(arena):
                stopped = number
                break
            code = hashed(text, start, length)
            slot = slot_of(code, slots)
            while True:
                word = slots[slot] - 1
                if word < 0:
                    word = used[1]
                    used[1] += 1
                    slots[slot] = word + 1
                    hashes[word], amounts[word] = code, amount
                    starts[word], starts[word + 1] = used[2], used[2] + length
                    arena[used[2] : used[2] + length] = text[start:end]
                    used[2] += length
                    break
                if (
                    hashes[word] == code
                    and starts[word + 1] - starts[word] == length
                    and same(text, start, arena, starts[word], length)
                ):
                    amounts[word] += amount
                    break
                slot = (slot + 1) & slot_mask
        start = end
    while done < queued:
        place = done & (AHEAD - 1)
        used[0] += _count_short(rows, bits, ring[place, 0], ring[place, 1], np.int64(ring[place, 2]))
        done += 1
    return stopped


@kernel
def _rehash(rows, larger):  # type: ignore[no-untyped-def]
    bits = 0
    while 1 << bits < len(larger):
        bits += 1
    for row in range(len(rows)):
        if rows[row, 1] != 0:
            _count_short(larger, bits, rows[row, 0], rows[row, 1], np.int64(rows[row, 2]))


@kernel
def _reslot(hashes, slots):  # type: ignore[no-untyped-def]
    mask = len(slots) - 1
    for word in range(len(hashes)):
        slot = slot_of(hashes[word], slots)
        while slots[slot]:
            slot = (slot + 1) & mask
        slots[slot] = word + 1


@kernel
def _unpack(rows, text, ends, counts):  # type: ignore[no-untyped-def]
    """Writes the short words one after another."""
    at, word = np.int64(0), 0
    for row in range(len(rows)):
        if rows[row, 1] != 0:
            length = np.int64(rows[row, 1] >> _56)
            for place in range(length):
                half = rows[row, place >> 3]
                text[at + place] = np.uint8(half >> np.uint64(8 * (place & 7)) & np.uint64(255))
            at += length
            ends[word], counts[word] = at, np.int64(rows[row, 2])
            word += 1
    return at


class WordCounts(NamedTuple):
    """Distinct words, one after another, and how often each was seen.  In no particular order."""

    text: np.ndarray  # uint8
    ends: np.ndarray  # int64, where each word ends in `text`
    counts: np.ndarray  # int64

    def words(self) -> Iterable[tuple[bytes, int]]:
        """Each word and its count: for looking at."""
        text, start = self.text.tobytes(), 0
        for end, amount in zip(self.ends.tolist(), self.counts.tolist(), strict=True):
            yield text[start:end], amount
            start = end


class WordCounter:
    """Counts the pre-tokens of documents.  For one thread at a time: give each its own and `add` one to the other."""

    def __init__(self) -> None:
        self._scanner = Scanner()
        self._rows = aligned(1 << 15, columns=4)
        self._ring = np.empty((AHEAD, 3), dtype=np.uint64)
        self._used = np.zeros(3, dtype=np.int64)
        self._slots = np.zeros(1 << 12, dtype=np.int32)
        self._arena = np.zeros(1 << 16, dtype=np.uint8)
        self._starts = np.zeros(1 << 11, dtype=np.int64)
        self._hashes = np.zeros(1 << 11, dtype=np.uint64)
        self._amounts = np.zeros(1 << 11, dtype=np.int64)

    def count(self, data: np.ndarray, offsets: np.ndarray) -> None:
        """Counts documents of UTF-8: uint8 `data`, document d from offsets[d] to offsets[d + 1]."""
        bounds, _ = self._scanner.bounds(data, offsets)
        for chunk in self._scanner.chunks(data, bounds):
            self._count(chunk, np.zeros(0, dtype=np.int64))

    def add(self, words: WordCounts) -> None:
        """Adds what another counter found."""
        text = np.concatenate([words.text, np.zeros(SLACK, dtype=np.uint8)])
        self._count(Chunk(text, words.ends, words.counts), words.counts)

    def _count(self, chunk: Chunk, weights: np.ndarray) -> None:
        begin = 0
        while begin < len(chunk.ends):
            stopped = count(
                chunk.text, chunk.ends, begin, weights, self._rows, self._ring, self._slots, self._arena,
                self._starts, self._hashes, self._amounts, self._used,
            )  # fmt: skip
            length = int(chunk.ends[stopped] - (chunk.ends[stopped - 1] if stopped else 0)) if stopped < len(chunk.ends) else 0
            self._grow(length)  # also at the end: a chunk of one word may have filled the last row
            begin = stopped

    def _grow(self, length: int) -> None:
        """Room for more short words, and for a long one of `length` bytes."""
        short, long, size = self._used.tolist()
        if short + 2 * AHEAD >= len(self._rows) * 3 // 4:
            larger = aligned(2 * len(self._rows), columns=4)
            _rehash(self._rows, larger)
            self._rows = larger
        if size + length + SLACK > len(self._arena):
            self._arena = np.concatenate([self._arena, np.zeros(len(self._arena) // 2 + length, dtype=np.uint8)])
        if long + 1 >= len(self._starts):
            self._starts, self._hashes, self._amounts = (
                np.concatenate([array, np.zeros_like(array)]) for array in (self._starts, self._hashes, self._amounts)
            )
            self._slots = np.zeros(2 * len(self._slots), dtype=np.int32)
            _reslot(self._hashes[:long], self._slots)

    def total(self) -> WordCounts:
        """What was counted so far."""
        short, long, size = self._used.tolist()
        text = np.empty(SHORT * short + size, dtype=np.uint8)
        ends, counts = np.empty(short + long, dtype=np.int64), np.empty(short + long, dtype=np.int64)
        middle = _unpack(self._rows, text, ends, counts)
        text[middle : middle + size] = self._arena[:size]
        ends[short:] = self._starts[1 : long + 1] + middle
        counts[short:] = self._amounts[:long]
        return WordCounts(text[: middle + size].copy(), ends, counts)


def scan_fingerprint() -> str:
    """SHA-256 of what decides how text is cut into words: counts made under another one cannot be added to these."""
    return hashlib.sha256(PATTERN.encode() + b"\0" + class_of_scalar().tobytes()).hexdigest()
