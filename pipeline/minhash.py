"""Text in, MinHash signatures and band keys out; one compiled pass a document.

Shingle = 5 consecutive lower-cased words joined by one space; hash = xxh32 of its bytes; permutations = datasketch 2
`affine32`, seed 1, so that every row equals `datasketch.MinHash(num_perm=P, seed=1, hashfunc=xxh32).hashvalues`.
Affine families are 2-universal only: an estimate may be biased a little.  What that does to a corpus is measured by
benchmarks/dedup_quality.py.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numba import njit

from pipeline.xxh32 import fmix32, xxh32

if TYPE_CHECKING:
    from datasketch import LeanMinHash, MinHashLSH

Bytes: TypeAlias = np.ndarray  # uint8
Words: TypeAlias = np.ndarray  # uint32
Longs: TypeAlias = np.ndarray  # int64 or uint64
Integer: TypeAlias = "int | np.integer"  # of a width the compiled code depends on

NUM_PERM = 252  # 36 bands of 7 rows: docs/dedup.md, "Why 36x7"
NGRAM = 5  # words a shingle: docs/dedup.md
SEED = 1
EMPTY = np.uint32(0xFFFFFFFF)  # in every place of the row of a text without a word
BATCH_BYTES = 16 << 20  # of UTF-8 joined for one call of the kernel: bounds scratch memory, costs nothing in speed

# Byte to its lower-cased self, 0 where the byte separates words.  Bytes from 0x80 on belong to words, see `_tokens`.
WORD_BYTE = np.array(
    [byte | 0x20 if 65 <= byte <= 90 else byte if chr(byte).isalnum() or byte in b"_" or byte >= 0x80 else 0
     for byte in range(256)],
    dtype=np.uint8,
)  # fmt: skip


@cache
def permutations(num_perm: int, *, seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """The multipliers and summands of datasketch's `affine32`: two uint32 arrays."""
    from datasketch import MinHash  # 0.5 s of SciPy, needed by workers that sign only

    multipliers, summands = MinHash(num_perm=num_perm, seed=seed, scheme="affine32").permutations
    return np.ascontiguousarray(multipliers, np.uint32), np.ascontiguousarray(summands, np.uint32)


def signature(text: str, *, num_perm: int = NUM_PERM, ngram: int = NGRAM) -> np.ndarray:
    """MinHash of the word `ngram`-shingles of a text.  Broder 1997; values equal datasketch 2 `affine32`, seed 1.

    Returns uint32, shape (num_perm,).  A text with fewer than `ngram` words is one shingle, one without a word is all
    0xFFFFFFFF.  Two texts with Jaccard similarity s agree in each place with probability s.
    """
    return signatures([text], num_perm=num_perm, ngram=ngram)[0]


def signatures(texts: Sequence[str], *, num_perm: int = NUM_PERM, ngram: int = NGRAM) -> Words:
    """The signature of every text: uint32, shape (len(texts), num_perm)."""
    return signatures_of([lowered(text) for text in texts], num_perm=num_perm, ngram=ngram)


def lowered(text: str) -> bytes:
    """The UTF-8 of a text, its non-ASCII letters in lower case; the kernel lowers ASCII as it reads."""
    return text.encode() if text.isascii() else text.lower().encode("utf-8", "surrogatepass")


def signatures_of(encoded: Sequence[bytes], *, num_perm: int = NUM_PERM, ngram: int = NGRAM) -> Words:
    """As `signatures`, of texts that went through `lowered`."""
    multipliers, summands = permutations(num_perm)
    rows = np.empty((len(encoded), num_perm), np.uint32)
    size = first = 0
    for place, data in enumerate(encoded):
        size += len(data)
        if size >= BATCH_BYTES or place == len(encoded) - 1:
            joined, offsets = joined_bytes(encoded[first : place + 1])
            _sign(joined, offsets, np.int64(ngram), multipliers, summands, rows[first : place + 1])
            size, first = 0, place + 1
    return rows


def joined_bytes(parts: Sequence[bytes]) -> tuple[Bytes, Longs]:
    """All parts in one buffer, and where each begins; the last offset is the end."""
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return np.frombuffer(b"".join(parts), np.uint8), offsets


def band_keys(rows: Words, *, bands: range, band_rows: int) -> Longs:
    """A 64-bit key for each of these bands of each signature: uint64, shape (len(bands), len(rows)).

    The band's number is mixed in, so that keys of two bands never meet.  Key 0 means no band: the text has no word.
    """
    keys = np.empty((len(bands), len(rows)), np.uint64)
    _bands(rows, np.int64(bands.start), np.int64(band_rows), keys)
    return keys


def lean_minhash(row: Words) -> "LeanMinHash":
    """The signature as datasketch's LeanMinHash, to be stored or compared by other programs."""
    from datasketch import LeanMinHash

    return LeanMinHash(seed=SEED, hashvalues=row, scheme="affine32")


def query_index(ids: Sequence[str], rows: Words, *, bands: int, band_rows: int) -> "MinHashLSH":
    """A datasketch MinHashLSH over signatures, for questions about a corpus that fits in memory.

    `index.query(lean_minhash(row))` names the documents that share a band: candidates, not verified.
    """
    from datasketch import MinHashLSH

    index = MinHashLSH(num_perm=rows.shape[1], params=(bands, band_rows))
    for name, row in zip(ids, rows, strict=True):
        index.insert(name, lean_minhash(row))
    return index


@njit(cache=True, nogil=True)
def _sign(
    data: Bytes, offsets: Longs, ngram: Integer, multipliers: Words, summands: Words, rows: Words
) -> None:
    """Fills `rows` with the signature of each text data[offsets[k] : offsets[k + 1]]."""
    longest = 0
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    scratch = np.empty(2 * longest + 8, np.uint8)  # characters as tokens grow from 3 bytes to 4
    starts = np.empty(longest // 2 + 3, np.uint64)  # a token and the separator after it take two bytes at least
    hashes = np.empty(longest // 2 + 3, np.uint32)
    places = len(multipliers)
    for document in range(len(offsets) - 1):
        begin, end = np.uint64(offsets[document]), np.uint64(offsets[document + 1])
        count, unspaced, word_bytes = _tokens(data, begin, end, False, scratch, starts)
        if 2 * unspaced > word_bytes:
            count, unspaced, word_bytes = _tokens(data, begin, end, True, scratch, starts)
        row = rows[document]
        row[:] = EMPTY
        if count == 0:
            continue
        shingles = max(count - ngram + 1, 1)
        width = min(ngram, count)
        for shingle in range(shingles):
            hashes[shingle] = fmix32(xxh32(scratch, starts[shingle], starts[shingle + width] - np.uint64(1)))
        fours = shingles // 4 * 4
        for shingle in range(0, fours, 4):  # four at a time: a third fewer loads and stores of the row
            value0, value1, value2, value3 = hashes[shingle : shingle + 4]
            for place in range(places):
                multiplier, summand = multipliers[place], summands[place]
                image0 = np.uint32(multiplier * value0 + summand)
                image1 = np.uint32(multiplier * value1 + summand)
                image2 = np.uint32(multiplier * value2 + summand)
                image3 = np.uint32(multiplier * value3 + summand)
                image0 = image0 if image0 < image1 else image1
                image2 = image2 if image2 < image3 else image3
                image0 = image0 if image0 < image2 else image2
                row[place] = image0 if image0 < row[place] else row[place]
        for shingle in range(fours, shingles):
            value = hashes[shingle]
            for place in range(places):
                image = np.uint32(multipliers[place] * value + summands[place])
                row[place] = image if image < row[place] else row[place]


@njit(cache=True, nogil=True)
def _tokens(
    data: Bytes, begin: Integer, end: Integer, by_character: bool, scratch: Bytes, starts: Longs
) -> tuple[Integer, Integer, Integer]:
    """Lower-cased tokens into `scratch`, one space after each, so that a shingle is a slice of it.

    A token is a run of ASCII letters, digits, `_` and non-ASCII bytes, but general punctuation (E2 80, E2 81) and
    Latin-1 signs (C2) separate.  `by_character`: a character of a script written without spaces is a token by itself.
    Token k lies in scratch[starts[k] : starts[k + 1] - 1].
    Returns tokens, bytes of characters of such scripts, bytes of words.
    """
    one = np.uint64(1)  # unsigned: no wrap-around test at each read
    count = np.uint64(0)
    unspaced = np.uint64(0)
    write = np.uint64(0)
    inside = np.uint64(0)
    read: Integer = begin
    while read < end:  # without branches on ASCII: words end where no predictor knows
        byte = data[read]
        lowered = WORD_BYTE[byte]
        step = one
        if byte >= 0xC2:
            length = np.uint64(0)
            if byte == 0xC2:
                lowered, step = np.uint8(0), np.uint64(2)
            elif read + one < end and (
                (byte == 0xE2 and (data[read + one] == 0x80 or data[read + one] == 0x81))
                or (by_character and byte == 0xE3 and data[read + one] == 0x80)  # CJK punctuation
            ):
                lowered, step = np.uint8(0), np.uint64(3)
            elif byte >= 0xE0 and read + np.uint64(2) < end:
                length = np.uint64(_unspaced(data, read, end))
                unspaced += length
            if by_character and length > 0:
                scratch[write] = 32
                write += inside
                inside = np.uint64(0)
                starts[count] = write
                count += one
                for extra in range(length):
                    scratch[write] = data[read + np.uint64(extra)]
                    write += one
                scratch[write] = 32
                write += one
                read += length
                continue
        word = np.uint64(lowered != 0)
        starts[count] = write  # overwritten until a token begins here
        count += word & (inside ^ one)
        scratch[write] = lowered if word else np.uint8(32)
        write += word | inside
        inside = word
        read += step
    if inside:
        scratch[write] = 32
        write += one
    starts[count] = write
    return np.int64(count), np.int64(unspaced), np.int64(write - count)


@njit(cache=True, nogil=True, inline="always")
def _unspaced(data: Bytes, read: Integer, end: Integer) -> int:
    """Bytes of the character here if its script puts no spaces between words, else 0.

    Thai, Lao, Tibetan; Myanmar; Khmer; kana; Han with extension A, compatibility forms, extensions from B on.
    """
    first, second = data[read], data[read + 1]
    if (
        (first == 0xE0 and second >= 0xB8)
        or (first == 0xE1 and (0x80 <= second <= 0x82 or 0x9E <= second <= 0x9F))
        or (first == 0xE3 and (0x81 <= second <= 0x83 or second >= 0x90))
        or 0xE4 <= first <= 0xE9
        or (first == 0xEF and 0xA4 <= second <= 0xAB)
    ):
        return 3
    if first == 0xF0 and 0xA0 <= second <= 0xB3 and read + 3 < end:
        return 4
    return 0


@njit(cache=True, nogil=True)
def _bands(rows: Words, first: Integer, band_rows: Integer, keys: Longs) -> None:
    for document in range(len(rows)):
        for band in range(len(keys)):
            keys[band, document] = key_of_band(rows, document, first + band, band_rows)


@njit(cache=True, nogil=True)
def key_of_band(rows: Words, document: Integer, band: Integer, band_rows: Integer) -> np.uint64:
    """The rounds of splitmix64 (Steele et al. 2014) over a band's values, two to a round, from its number on."""
    key = np.uint64(band + 1) * np.uint64(0x9E3779B97F4A7C15)
    place = band * band_rows
    stop = place + band_rows
    empty = True
    while place < stop:
        value = np.uint64(rows[document, place])
        if place + 1 < stop:
            value |= np.uint64(rows[document, place + 1]) << np.uint64(32)
        else:
            value |= np.uint64(EMPTY) << np.uint64(32)
        empty = empty and value == np.uint64(0xFFFFFFFFFFFFFFFF)
        key = (key ^ value) * np.uint64(0xBF58476D1CE4E5B9)
        key ^= key >> np.uint64(31)
        place += 2
    key *= np.uint64(0x94D049BB133111EB)
    key ^= key >> np.uint64(29)
    return np.uint64(0) if empty else max(key, np.uint64(1))
