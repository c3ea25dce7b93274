"""Bytes in, ends of pre-tokens out: GPT-2's pattern on 64 bytes at a time.

Per byte three bits say letter, number or white space (a character's bytes all carry its class).  With those as 64-bit words
the pattern is arithmetic.  A pre-token starts at a byte

- whose class is not that of the byte before it, unless that one is a plain space; or
- that is the last white space of a run which something follows: `\\s+(?!\\S)` leaves it, so that a word may take it.

Two patches: white space of several bytes starts at its first byte, and a contraction ends after its letters.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tokenizer.machine import block_masks, kernel, trailing_zeros
from tokenizer.unicode_classes import LETTER, NUMBER, SPACE, class_of_scalar

SLACK = 128  # bytes that kernels may read past the text
CHUNK_BYTES = 1 << 18  # of text scanned at once: the work arrays stay in a core's cache

_0 = np.uint64(0)
_1 = np.uint64(1)
_63 = np.uint64(63)
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


class Classes(NamedTuple):
    """The class of every code point in two steps: `rows[blocks[scalar >> 8], scalar & 255]`."""

    blocks: np.ndarray
    rows: np.ndarray


@functools.cache
def classes() -> Classes:
    rows, blocks = np.unique(class_of_scalar().reshape(-1, 256), axis=0, return_inverse=True)
    return Classes(blocks.reshape(-1).astype(np.uint8), rows)


@kernel
def _decoded(text, at, end):  # type: ignore[no-untyped-def]
    """(scalar, length) of the character at a byte above 127, or (-1, 1): this byte belongs to none."""
    lead = np.int64(text[at])
    if 0xC2 <= lead < 0xE0:
        length, scalar, least = 2, lead & 0x1F, 0x80
    elif 0xE0 <= lead < 0xF0:
        length, scalar, least = 3, lead & 0x0F, 0x800
    elif 0xF0 <= lead < 0xF5:
        length, scalar, least = 4, lead & 0x07, 0x10000
    else:
        return np.int64(-1), np.int64(1)
    if at + length > end:
        return np.int64(-1), np.int64(1)
    for place in range(at + 1, at + length):
        byte = np.int64(text[place])
        if byte & 0xC0 != 0x80:
            return np.int64(-1), np.int64(1)
        scalar = scalar << 6 | byte & 0x3F
    if scalar < least or scalar > 0x10FFFF or 0xD800 <= scalar < 0xE000:
        return np.int64(-1), np.int64(1)
    return np.int64(scalar), np.int64(length)


@kernel
def _contraction(text, at, end):  # type: ignore[no-untyped-def]
    """Bytes of the contraction whose apostrophe is at `at`, or 0."""
    if at + 1 >= end:
        return 0
    first = text[at + 1]
    if first == 115 or first == 116 or first == 109 or first == 100:  # s t m d
        return 2
    if at + 2 < end:
        second = text[at + 2]
        if second == 101 and (first == 114 or first == 118):  # re ve
            return 3
        if first == 108 and second == 108:  # ll
            return 3
    return 0


@kernel
def scan(text, bounds, blocks, rows, bits, apostrophes, spaces, ends, counts):  # type: ignore[no-untyped-def]
    """Writes where each pre-token ends, and how many lie before each bound.  Returns how many there are.

    `bounds` cut the text into segments, which know nothing of each other.  `spaces` has room for a pair of numbers per
    2 bytes, `bits` and `apostrophes` for a word per 64 bytes of the longest segment, `ends` for a number per byte.
    """
    found = 0
    counts[0] = 0
    for segment in range(len(bounds) - 1):
        start, end = bounds[segment], bounds[segment + 1]
        size = end - start
        words = (size + 63) >> 6
        # Classes: what runs over from the block before, as bits from 0 up.
        over_letter = over_number = over_space = over_any = _0
        # The last byte before the block: at the start of a text a new class, so that bit 0 is set.
        last_letter = last_number = last_space = last_plain = _0
        waiting_start = waiting_space = _0
        wide = 0
        for word in range(words):
            base = start + (word << 6)
            letter, number, space, plain, apostrophe, high = block_masks(text, base)
            size_left = end - base
            if size_left < 64:
                valid = (_1 << np.uint64(size_left)) - _1
                letter, number, plain, apostrophe, high = (
                    letter & valid, number & valid, plain & valid, apostrophe & valid, high & valid,
                )  # fmt: skip
                space = (space & valid) | ~valid  # past the end all is white space: nothing follows a last run
            high &= ~over_any
            letter |= over_letter
            number |= over_number
            space |= over_space
            over_letter = over_number = over_space = over_any = _0
            while high != _0:
                bit = trailing_zeros(high)
                scalar, length = _decoded(text, base + bit, end)
                mask = (_1 << np.uint64(length)) - _1
                here = mask << np.uint64(bit)
                beyond = mask >> np.uint64(64 - bit) if bit > 60 else _0
                high &= ~here
                over_any |= beyond
                if scalar >= 0:
                    kind = rows[blocks[scalar >> 8], scalar & 255]
                    if kind == LETTER:
                        letter |= here
                        over_letter |= beyond
                    elif kind == SPACE:
                        space |= here
                        over_space |= beyond
                        spaces[wide] = (word << 6) + bit
                        spaces[wide + 1] = length
                        wide += 2
                    elif kind == NUMBER:
                        number |= here
                        over_number |= beyond
            change = (
                (letter ^ (letter << _1 | last_letter))
                | (number ^ (number << _1 | last_number))
                | (space ^ (space << _1 | last_space))
            )
            begins = change & ~(plain << _1 | last_plain)
            last_letter, last_number, last_space, last_plain = letter >> _63, number >> _63, space >> _63, plain >> _63
            if word > 0:
                bits[word - 1] = waiting_start | waiting_space & ~(waiting_space >> _1 | space << _63)
            waiting_start, waiting_space = begins, space
            apostrophes[word] = apostrophe
        if words == 0:
            counts[segment + 1] = found
            continue
        bits[words - 1] = waiting_start | waiting_space & ~(waiting_space >> _1 | _1 << _63)
        if size & 63:
            bits[words - 1] &= (_1 << np.uint64(size & 63)) - _1
        bits[0] |= _1
        for place in range(0, wide, 2):
            first, final = spaces[place], spaces[place] + spaces[place + 1] - 1
            if bits[final >> 6] >> np.uint64(final & 63) & _1:
                bits[final >> 6] &= ~(_1 << np.uint64(final & 63))
                bits[first >> 6] |= _1 << np.uint64(first & 63)
        for word in range(words):
            left = apostrophes[word]
            while left & bits[word] != _0:
                bit = trailing_zeros(left & bits[word])
                left &= _ALL << np.uint64(bit) << _1
                place = (word << 6) + bit
                length = _contraction(text, start + place, end)
                if length:
                    after = place + 1
                    bits[after >> 6] &= ~(_1 << np.uint64(after & 63))
                    after = place + length
                    if after < size:
                        bits[after >> 6] |= _1 << np.uint64(after & 63)
        bits[0] &= ~_1  # an end is the next one's start
        for word in range(words):
            marks = bits[word]
            base = start + (word << 6)
            while marks != _0:
                ends[found] = base + trailing_zeros(marks)
                found += 1
                marks &= marks - _1
        ends[found] = end
        found += 1
        counts[segment + 1] = found
    return found


@kernel
def _segments(data, offsets, longest, bounds, last):  # type: ignore[no-untyped-def]
    """Writes bounds that cut every document, and long ones where a cut changes nothing: before a plain space or line feed
    that follows an ASCII character.  `last[d]`: the bound that ends document d.  Returns the number of bounds."""
    bounds[0] = offsets[0]
    written = 1
    for document in range(len(offsets) - 1):
        at, end = offsets[document], offsets[document + 1]
        while end - at > longest:
            cut = at + longest
            while cut > at + longest // 2 and not (
                (data[cut] == 32 or data[cut] == 10) and data[cut - 1] > 32 and data[cut - 1] < 127
            ):
                cut -= 1
            if cut == at + longest // 2:  # none: look further on
                cut = at + longest
                while cut < end and not (
                    (data[cut] == 32 or data[cut] == 10) and data[cut - 1] > 32 and data[cut - 1] < 127
                ):
                    cut += 1
                if cut == end:
                    break
            bounds[written] = cut
            written += 1
            at = cut
        bounds[written] = end
        last[document] = written
        written += 1
    return written


class Work(NamedTuple):
    """What a scan reads and writes."""

    text: np.ndarray  # uint8, SLACK bytes longer than what is scanned
    bits: np.ndarray
    apostrophes: np.ndarray
    spaces: np.ndarray
    ends: np.ndarray  # int32, where each pre-token ends in `text`


@kernel
def scan_chunk(data, bounds, first, classes, work):  # type: ignore[no-untyped-def]
    """Scans the segments from bound `first` on: as many as fit into CHUNK_BYTES, or one that has room.

    Returns the bound where it stopped, which is `first` if not even one has room, how many pre-tokens there are, and how many
    of them lie before each bound.
    """
    room = len(work.text) - SLACK
    end = first
    while end + 1 < len(bounds) and bounds[end + 1] - bounds[first] <= (room if end == first else min(room, CHUNK_BYTES)):
        end += 1
    counts = np.zeros(end - first + 1, dtype=np.int64)
    work.text[: bounds[end] - bounds[first]] = data[bounds[first] : bounds[end]]
    found = scan(
        work.text, bounds[first : end + 1] - bounds[first], classes.blocks, classes.rows, work.bits, work.apostrophes,
        work.spaces, work.ends, counts,
    )  # fmt: skip
    return end, found, counts


class Chunk(NamedTuple):
    """A stretch of documents after the scan.  Text and ends are the scanner's own: read them before the next chunk."""

    text: np.ndarray  # uint8, SLACK bytes longer than what is scanned
    ends: np.ndarray  # int32, where each pre-token ends in `text`
    counts: np.ndarray  # int64, how many pre-tokens lie before each of the chunk's bounds


class Scanner:
    """Cuts documents into pre-tokens, chunk by chunk in the same work arrays.  For one thread at a time."""

    def __init__(self) -> None:
        self._reserve(CHUNK_BYTES)

    def _reserve(self, size: int) -> None:
        words = size // 64 + 2
        self.work = Work(
            text=np.zeros(size + SLACK, dtype=np.uint8),
            bits=np.empty(words, dtype=np.uint64),
            apostrophes=np.empty(words, dtype=np.uint64),
            spaces=np.empty(size + 2, dtype=np.int32),
            ends=np.empty(size + 1, dtype=np.int32),
        )

    def bounds(self, data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the documents, and the segments of long ones, end; and which of these bounds ends each document."""
        most = len(offsets) + 2 * int(offsets[-1] - offsets[0]) // CHUNK_BYTES + 2
        bounds, last = np.empty(most, dtype=np.int64), np.empty(len(offsets) - 1, dtype=np.int64)
        return bounds[: _segments(data, offsets, CHUNK_BYTES, bounds, last)], last

    def make_room(self, bounds: np.ndarray, first: int) -> None:
        """For the segment after bound `first`, or, where there is none, no more than usual: a long document without a space
        gives its memory back."""
        room = int(bounds[first + 1] - bounds[first]) if first + 1 < len(bounds) else 0
        if max(room, CHUNK_BYTES) != len(self.work.text) - SLACK:
            self._reserve(max(room, CHUNK_BYTES))

    def chunks(self, data: np.ndarray, bounds: np.ndarray) -> Iterator[Chunk]:
        """The segments, as many at a time as fit into CHUNK_BYTES."""
        first = 0
        while first < len(bounds) - 1:
            self.make_room(bounds, first)
            first, found, counts = scan_chunk(data, bounds, first, classes(), self.work)
            yield Chunk(self.work.text, self.work.ends[:found], counts)
        self.make_room(bounds, first)
