"""xxHash's XXH32 and MurmurHash3's finaliser, compiled to run inside other compiled loops.

Callers compile these into themselves: after a change here, delete __pycache__.
"""

from typing import Any

import numpy as np
from numba import njit

PRIME1, PRIME2, PRIME3 = np.uint32(0x9E3779B1), np.uint32(0x85EBCA77), np.uint32(0xC2B2AE3D)
PRIME4, PRIME5 = np.uint32(0x27D4EB2F), np.uint32(0x165667B1)  # all five: xxHash specification, XXH32


@njit(cache=True, nogil=True, inline="always")
def _rotate(value: np.uint32, bits: int) -> np.uint32:
    return np.uint32((value << np.uint32(bits)) | (value >> np.uint32(32 - bits)))


@njit(cache=True, nogil=True, inline="always")
def _word(data: np.ndarray, place: np.uint64) -> np.uint32:
    return np.uint32(
        np.uint32(data[place])
        | np.uint32(data[place + np.uint64(1)]) << np.uint32(8)
        | np.uint32(data[place + np.uint64(2)]) << np.uint32(16)
        | np.uint32(data[place + np.uint64(3)]) << np.uint32(24)
    )


@njit(cache=True, nogil=True)
def xxh32(data: np.ndarray, start: Any, stop: Any) -> np.uint32:
    """XXH32, seed 0, of data[start:stop]; `data` is uint8."""
    place, end = np.uint64(start), np.uint64(stop)  # unsigned: no wrap-around test at each read, twice as fast
    length = end - place
    four = np.uint64(4)
    if length >= np.uint64(16):
        lane1 = np.uint32(PRIME1 + PRIME2)
        lane2 = PRIME2
        lane3 = np.uint32(0)
        lane4 = np.uint32(np.uint32(0) - PRIME1)
        while place + np.uint64(16) <= end:
            lane1 = np.uint32(_rotate(np.uint32(lane1 + np.uint32(_word(data, place) * PRIME2)), 13) * PRIME1)
            place += four
            lane2 = np.uint32(_rotate(np.uint32(lane2 + np.uint32(_word(data, place) * PRIME2)), 13) * PRIME1)
            place += four
            lane3 = np.uint32(_rotate(np.uint32(lane3 + np.uint32(_word(data, place) * PRIME2)), 13) * PRIME1)
            place += four
            lane4 = np.uint32(_rotate(np.uint32(lane4 + np.uint32(_word(data, place) * PRIME2)), 13) * PRIME1)
            place += four
        value = np.uint32(_rotate(lane1, 1) + _rotate(lane2, 7) + _rotate(lane3, 12) + _rotate(lane4, 18))
    else:
        value = PRIME5
    value = np.uint32(value + np.uint32(length))
    while place + four <= end:
        value = np.uint32(_rotate(np.uint32(value + np.uint32(_word(data, place) * PRIME3)), 17) * PRIME4)
        place += four
    while place < end:
        value = np.uint32(_rotate(np.uint32(value + np.uint32(np.uint32(data[place]) * PRIME5)), 11) * PRIME1)
        place += np.uint64(1)
    value = np.uint32((value ^ (value >> np.uint32(15))) * PRIME2)
    value = np.uint32((value ^ (value >> np.uint32(13))) * PRIME3)
    return np.uint32(value ^ (value >> np.uint32(16)))


@njit(cache=True, nogil=True, inline="always")
def fmix32(value: np.uint32) -> np.uint32:
    """MurmurHash3's finaliser, with which `affine32` starts."""
    value = np.uint32((value ^ (value >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    value = np.uint32((value ^ (value >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(value ^ (value >> np.uint32(16)))
