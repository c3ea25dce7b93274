"""A shuffle without replacement and without memory: where item `i` of an epoch goes is computed, not stored."""

import numpy as np

ROUNDS = 4  # Luby and Rackoff 1988: four rounds of a Feistel network make a strong pseudo-random permutation

U64 = np.uint64


def mixed(values: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser (Steele, Lea, Flood 2014): every bit of the input moves half the bits of the output."""
    values = (values ^ (values >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> U64(27))) * U64(0x94D049BB133111EB)
    return values ^ (values >> U64(31))


def permuted(indices: np.ndarray, *, size: int, seed: int, epoch: int) -> np.ndarray:
    """The places of `indices` in a permutation of `range(size)` that seed and epoch choose.  int64.

    A Feistel network permutes the next power of four; a value that falls outside walks on until it falls inside
    (Black and Rogaway 2002), at most four steps on average.
    """
    half_bits = U64(max(1, -(-(size - 1).bit_length() // 2)))
    half = (U64(1) << half_bits) - U64(1)
    start = (seed * 0x9E3779B97F4A7C15 + epoch * 0xD1B54A32D192ED03) % 2**64
    keys = mixed(np.arange(1, ROUNDS + 1, dtype=U64) * U64(0x9E3779B97F4A7C15) + U64(start))
    values = np.array(indices, dtype=U64)
    outside = np.ones(len(values), dtype=bool)
    while outside.any():
        left, right = values[outside] >> half_bits, values[outside] & half
        for key in keys:
            left, right = right, left ^ (mixed(right + key) & half)
        values[outside] = (left << half_bits) | right
        outside = values >= U64(size)
    return values.astype(np.int64)
