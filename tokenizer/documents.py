"""Texts in, documents as the kernels read them out: bytes one after another, and where each begins."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

BATCH_BYTES = 1 << 20  # handed to a thread at once


class Documents(NamedTuple):
    """Document d is `data[offsets[d]:offsets[d + 1]]`.  An Arrow string column is this without a copy."""

    data: np.ndarray  # uint8
    offsets: np.ndarray  # int64


def utf8(text: str | bytes) -> bytes:
    """The bytes of a text.  Halves of a surrogate pair are joined, a lone one becomes U+FFFD, as tiktoken does it."""
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def check_texts(texts: object, *, workers: int) -> None:
    """Raises TypeError for one text where a list of texts is meant, ValueError for less than one thread."""
    if isinstance(texts, str | bytes):
        raise TypeError("texts is one text; give a list of texts")
    if workers < 1:
        raise ValueError(f"workers is {workers}; it takes at least one thread")


def joined(texts: Sequence[str | bytes]) -> Documents:
    encoded = [utf8(text) for text in texts]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)), out=offsets[1:])
    return Documents(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)


def batches(texts: Iterable[str | bytes]) -> Iterator[list[str | bytes]]:
    """Texts in lists of about BATCH_BYTES (in characters, where they are str)."""
    batch: list[str | bytes] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def largest_first(parts: Sequence[Sequence[str | bytes]]) -> list[int]:
    """The places of lists of texts, by their size."""
    return sorted(range(len(parts)), key=lambda place: -sum(map(len, parts[place])))
