"""Texts in, hashes out that are equal for texts that differ in letter case and white space alone."""

import hashlib
import itertools
import unicodedata
from collections.abc import Sequence

import numpy as np
from numba import njit

from pipeline.minhash import joined_bytes

HASH_BYTES = 16  # of SHA-256: an enemy cannot make two texts meet, and a billion documents do not meet by chance

NOT_SPACE = np.array([not (byte < 0x80 and chr(byte).isspace()) for byte in range(256)], np.uint8)
LOWER = np.array([byte | 0x20 if 0x41 <= byte <= 0x5A else byte for byte in range(256)], np.uint8)


def normalised_hashes(texts: Sequence[str], lowered: Sequence[bytes]) -> list[bytes]:
    """SHA-256, cut to 16 bytes, of each text in NFC, lower case, runs of white space as one space, none at the ends.

    `lowered`: the same texts as `pipeline.minhash.lowered` gives them.
    """
    parts = [
        low if text.isascii() or unicodedata.is_normalized("NFC", text) else _composed(text)
        for text, low in zip(texts, lowered, strict=True)
    ]
    joined, offsets = joined_bytes(parts)
    out = np.empty(len(joined) + 1, np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    _collapse(joined, offsets, out, ends)
    view = out.data
    return [hashlib.sha256(view[begin:end]).digest()[:HASH_BYTES] for begin, end in itertools.pairwise(ends.tolist())]


def _composed(text: str) -> bytes:
    return unicodedata.normalize("NFC", text).lower().encode("utf-8", "surrogatepass")


@njit(cache=True, nogil=True)
def _collapse(data: np.ndarray, offsets: np.ndarray, out: np.ndarray, ends: np.ndarray) -> None:
    """Writes the collapsed texts one after another to `out`; text k ends at ends[k + 1].  ASCII is lower-cased."""
    write = np.uint64(0)
    one = np.uint64(1)
    for document in range(len(offsets) - 1):
        read, end = np.uint64(offsets[document]), np.uint64(offsets[document + 1])
        start = write
        after_word = np.uint64(0)  # without branches on ASCII, as in pipeline/minhash.py
        while read < end:
            byte = data[read]
            step = one
            if byte >= 0xC2:
                length = np.uint64(_space(data, read, end))
                kept = np.uint64(length == 0)
                step = max(length, one)
            else:
                kept = np.uint64(NOT_SPACE[byte])
            out[write] = LOWER[byte] if kept else np.uint8(0x20)
            write += kept | after_word
            after_word = kept
            read += step
        if write > start and after_word == 0:
            write -= one
        ends[document + 1] = write


@njit(cache=True, nogil=True)
def _space(data: np.ndarray, read: np.uint64, end: np.uint64) -> int:
    """Bytes of the non-ASCII white space here, 0 if there is none.  White space is what `str.split` splits at."""
    byte = data[read]
    if byte == 0xC2 and read + np.uint64(1) < end:
        second = data[read + np.uint64(1)]
        return 2 if second == 0x85 or second == 0xA0 else 0
    if byte < 0xE1 or byte > 0xE3 or read + np.uint64(2) >= end:
        return 0
    second, third = data[read + np.uint64(1)], data[read + np.uint64(2)]
    if (
        (byte == 0xE1 and second == 0x9A and third == 0x80)
        or (byte == 0xE2 and second == 0x80 and (third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF))
        or (byte == 0xE2 and second == 0x81 and third == 0x9F)
        or (byte == 0xE3 and second == 0x80 and third == 0x80)
    ):
        return 3
    return 0
