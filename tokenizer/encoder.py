"""Documents in, token ids out.  Most pre-tokens were met before: two caches hold what they became.

- Up to 15 bytes and 7 tokens: a row of half a cache line (the packed word, 7 ids, their number), two rows a set, written to
  the output as two unconditional 8-byte stores.  The keys of a block of words are made, and their rows asked for, before
  the first is looked up, so that the waits overlap.
- Longer ones: by hash, and by their bytes: no crafted collision can give wrong ids.  Full, it is emptied.
"""

import numpy as np

from tokenizer.alphabet import ID_OF_BYTE
from tokenizer.machine import aligned, kernel, load64, prefetch, store64
from tokenizer.pieces import SHORT_PIECE, fill_merges, long_piece, short_piece
from tokenizer.scanner import SLACK, Scanner, classes, scan_chunk
from tokenizer.words import SHORT, hashed, mixed, packed, same, slot_of

ROWS = 1 << 20  # of the short cache; 32 MB, of which only what is used is ever touched
LONG_SLOTS = 1 << 15
LONG_BYTES = 1 << 20  # of text and, in tokens, half as many
LONG_PIECE = 256  # bytes; longer ones are not kept
BLOCK = 32
ROW_BYTES = 32
OUT_SLACK = 16  # ids that may be written past the end

_48 = np.uint64(48)


@kernel
def encode(  # type: ignore[no-untyped-def]
    data, bounds, first, closes, eot, kinds, scanned, id_of_byte, table, shift, rows, row_shift, keys,
    slots, arena, tokens, used, work, heads, waiting, out, written, positions,
):  # fmt: skip
    """Scans and encodes from bound `first` on, chunk by chunk, until the end or a segment that the scanner has no room for.

    One call for a whole batch: a thread that came back for the next chunk would wait for the GIL, behind one that joins texts.
    Returns the bound where it stopped and how many ids are written.
    """
    while first < len(bounds) - 1:
        end, _, counts = scan_chunk(data, bounds, first, kinds, scanned)
        if end == first:
            break
        written = _encode_chunk(
            scanned.text, scanned.ends, counts, closes[first : end + 1], eot, id_of_byte, table, shift, rows, row_shift,
            keys, slots, arena, tokens, used, work, heads, waiting, out, written, positions[first : end + 1],
        )  # fmt: skip
        first = end
    return first, written


@kernel
def _encode_chunk(  # type: ignore[no-untyped-def]
    text, ends, counts, closes, eot, id_of_byte, table, shift, rows, row_shift, keys,
    slots, arena, tokens, used, work, heads, waiting, out, written, positions,
):  # fmt: skip
    """Writes the ids of the pre-tokens to `out`, and `eot` (unless negative) after each bound that `closes` a document.

    `positions`: where the ids of each bound end.  `used`: bytes of `arena` and ids of `tokens` in use.
    """
    for bound in range(len(counts) - 1):
        number = counts[bound]
        while number < counts[bound + 1]:
            block = min(BLOCK, counts[bound + 1] - number)
            first_start = ends[number - 1] if number else 0
            start = first_start
            for place in range(block):
                end = ends[number + place]
                if end - start <= SHORT:
                    first, second = packed(text, start, end - start)
                    row = np.int64(mixed(first, second) >> row_shift)
                    store64(keys, place * 24, first)
                    store64(keys, place * 24 + 8, second)
                    store64(keys, place * 24 + 16, np.uint64(row))
                    prefetch(rows, row * ROW_BYTES)
                start = end
            start = first_start
            for place in range(block):
                end = ends[number + place]
                if end - start <= SHORT:
                    first, second = load64(keys, place * 24), load64(keys, place * 24 + 8)
                    row = np.int64(load64(keys, place * 24 + 16))
                    at = row * ROW_BYTES
                    if load64(rows, at) != first or load64(rows, at + 8) != second:
                        row ^= 1
                        at = row * ROW_BYTES
                    if load64(rows, at) == first and load64(rows, at + 8) == second:
                        tail = load64(rows, at + 24)
                        store64(out, 2 * written, load64(rows, at + 16))
                        store64(out, 2 * written + 8, tail)
                        written += np.int64(tail >> _48)
                    else:
                        after = short_piece(text, start, end, id_of_byte, table, shift, work[0], work[1], out, written)
                        if after - written <= 7:
                            row ^= 1  # the older of the two rows gives way
                            for column in range(4):
                                rows[row ^ 1, column] = rows[row, column]
                            rows[row, 0], rows[row, 1] = first, second
                            rows[row, 2] = load64(out, 2 * written)
                            seven = load64(out, 2 * written + 8) & ((np.uint64(1) << _48) - np.uint64(1))
                            rows[row, 3] = seven | np.uint64(after - written) << _48
                        written = after
                elif end - start > LONG_PIECE:
                    written = long_piece(text, start, end, id_of_byte, table, shift, heads, waiting, out, written)
                else:
                    written = _long(
                        text, start, end, id_of_byte, table, shift, slots, arena, tokens, used, work, heads, waiting, out, written
                    )  # fmt: skip
                start = end
            number += block
        if eot >= 0 and closes[bound + 1]:
            out[written] = eot
            written += 1
        positions[bound + 1] = written
    return written


@kernel
def _long(  # type: ignore[no-untyped-def]
    text, start, end, id_of_byte, table, shift, slots, arena, tokens, used, work, heads, waiting, out, written
):
    """A piece of 16 to LONG_PIECE bytes by way of its cache: rows of (hash, start, length, first token, tokens)."""
    size = end - start
    code = hashed(text, start, size)
    slot = slot_of(code, slots)
    if (
        np.uint64(slots[slot, 0]) == code
        and slots[slot, 2] == size
        and same(text, start, arena, slots[slot, 1], size)
    ):
        first = slots[slot, 3]
        for place in range(slots[slot, 4]):
            out[written + place] = tokens[first + place]
        return written + slots[slot, 4]
    if size <= SHORT_PIECE:
        after = short_piece(text, start, end, id_of_byte, table, shift, work[0], work[1], out, written)
    else:
        after = long_piece(text, start, end, id_of_byte, table, shift, heads, waiting, out, written)
    if used[0] + size > LONG_BYTES or used[1] + after - written > LONG_BYTES // 2:
        slots[:, 2] = 0
        used[:] = 0
    slots[slot, 0], slots[slot, 1], slots[slot, 2] = np.int64(code), used[0], size
    slots[slot, 3], slots[slot, 4] = used[1], after - written
    arena[used[0] : used[0] + size] = text[start:end]
    tokens[used[1] : used[1] + after - written] = out[written:after]
    used[0] += size
    used[1] += after - written
    return after


class Merges:
    """The merges as the encoder looks them up.  Shared by all threads."""

    def __init__(self, merges: np.ndarray) -> None:
        bits = max(8, (2 * len(merges)).bit_length())
        self.table = np.zeros(1 << bits, dtype=np.uint64)
        self.shift = np.uint64(64 - bits)
        fill_merges(merges, self.table)
        self.id_of_byte = np.array(ID_OF_BYTE, dtype=np.int64)


class Encoder:
    """Encodes documents.  For one thread at a time: it holds the caches."""

    def __init__(self, merges: Merges) -> None:
        self._merges = merges
        self._scanner = Scanner()
        self._rows = aligned(ROWS, columns=4)
        self._keys = np.empty((BLOCK, 3), dtype=np.uint64)
        self._slots = np.zeros((LONG_SLOTS, 5), dtype=np.int64)
        self._arena = np.zeros(LONG_BYTES + SLACK, dtype=np.uint8)
        self._tokens = np.empty(LONG_BYTES // 2, dtype=np.uint16)
        self._used = np.zeros(2, dtype=np.int64)
        self._work = np.empty((2, SHORT_PIECE), dtype=np.int64)
        self._heads = np.full(1 << 16, -1, dtype=np.int32)
        self._waiting = np.empty(1 << 16, dtype=np.uint64)

    def encode(self, data: np.ndarray, offsets: np.ndarray, *, eot: int = -1) -> tuple[np.ndarray, np.ndarray]:
        """The ids (uint16) of documents of UTF-8, and where those of each end.  `eot` is put after each, unless negative."""
        bounds, last = self._scanner.bounds(data, offsets)
        closes = np.zeros(len(bounds), dtype=np.uint8)
        closes[last] = 1
        positions = np.zeros(len(bounds), dtype=np.int64)
        # No text has more tokens than bytes; memory that is not written to costs nothing.
        out = np.empty(int(offsets[-1] - offsets[0]) + len(offsets) + OUT_SLACK, dtype=np.uint16)
        merges = self._merges
        row_shift = np.uint64(64 - (ROWS.bit_length() - 1))
        first = written = 0
        while first < len(bounds) - 1:
            self._scanner.make_room(bounds, first)
            first, written = encode(
                data, bounds, first, closes, eot, classes(), self._scanner.work, merges.id_of_byte, merges.table, merges.shift,
                self._rows, row_shift, self._keys, self._slots, self._arena, self._tokens, self._used, self._work,
                self._heads, self._waiting, out, written, positions,
            )  # fmt: skip
        self._scanner.make_room(bounds, first)
        return out[:written].copy(), positions[last]
