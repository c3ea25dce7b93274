"""The tokenizer: text to ids and back."""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np

from tokenizer import files
from tokenizer.documents import Documents, batches, check_texts, joined, largest_first
from tokenizer.encoder import Encoder, Merges
from tokenizer.words import scan_fingerprint

FIRST_MERGE = 256  # id of the first merge's token, behind those of the bytes
SMALLEST_VOCAB = FIRST_MERGE + 1  # the bytes and the end-of-text token
LARGEST_VOCAB = 1 << 16  # ids are uint16, in memory and in token shards


class Tokenizer:
    """A byte-level BPE in the way of GPT-2.  Any bytes can be encoded, and decode to themselves.

    Text is ordinary: a literal `<|endoftext|>` in it is encoded letter by letter, unless the special token is asked for.
    May be used by several threads at once.
    """

    def __init__(self, merges: np.ndarray) -> None:
        """`merges`: int64, shape (n, 2), the pairs of ids in their order; merge number m makes the token 256 + m."""
        if len(merges) + SMALLEST_VOCAB > LARGEST_VOCAB:
            raise files.TokenizerError(
                f"{len(merges):,} merges make a vocabulary of {len(merges) + SMALLEST_VOCAB:,}; ids are 16 bits, so the "
                f"largest is {LARGEST_VOCAB:,}. `Tokenizer.truncated` makes a smaller one."
            )
        self.merges = np.ascontiguousarray(merges, dtype=np.int64).reshape(-1, 2)
        made = np.arange(len(self.merges))[:, None] + FIRST_MERGE
        if ((self.merges < 0) | (self.merges >= made)).any() or len(np.unique(self.merges, axis=0)) < len(self.merges):
            raise files.TokenizerError("merges are pairs of ids that were made before, each pair once")
        self.merges.flags.writeable = False
        self._lookup = Merges(self.merges)
        self._idle: list[Encoder] = []  # encoders keep what they have seen, one thread at a time

    def __reduce__(self) -> tuple:
        return type(self), (self.merges,)  # caches stay behind when it is sent to another process

    # ---- what it is ----

    @property
    def n_vocab(self) -> int:
        """Tokens in all: bytes, merges, end-of-text."""
        return len(self.merges) + SMALLEST_VOCAB

    @property
    def eot(self) -> int:
        """Id of the end-of-text token: the last."""
        return self.n_vocab - 1

    @cached_property
    def tokens(self) -> list[bytes]:
        """The bytes of each token, by id."""
        return [*files.tokens_of(self.merges), files.END_OF_TEXT.encode()]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what decides about ids: merges, pattern, character classes, special token."""
        digest = hashlib.sha256()
        for part in (files.merges_text(self.merges), files.END_OF_TEXT, scan_fingerprint()):
            digest.update(part.encode() + b"\0")
        return digest.hexdigest()

    def truncated(self, size: int) -> Self:
        """The tokenizer that training to a vocabulary of `size` would have given: the first merges."""
        if not SMALLEST_VOCAB <= size <= self.n_vocab:
            raise ValueError(f"size is {size:,}; a part of this vocabulary has {SMALLEST_VOCAB} to {self.n_vocab:,} tokens")
        return type(self)(self.merges[: size - SMALLEST_VOCAB])

    # ---- text to ids ----

    def encode(self, text: str | bytes, *, allow_special: bool = False) -> list[int]:
        """The ids of a text.  `allow_special`: a literal `<|endoftext|>` becomes the one special id."""
        if not allow_special:
            return self.encode_documents(joined([text]))[0].tolist()
        special: str | bytes = files.END_OF_TEXT if isinstance(text, str) else files.END_OF_TEXT.encode()
        pieces = text.split(special)  # type: ignore[arg-type]
        return self.encode_documents(joined(pieces), append_eot=True)[0].tolist()[:-1]

    def encode_batch(self, texts: Iterable[str | bytes], *, workers: int | None = None) -> list[np.ndarray]:
        """The ids of each text, uint16, worked out by `workers` threads (None: one a processor)."""
        workers = (os.cpu_count() or 1) if workers is None else workers
        check_texts(texts, workers=workers)

        def encoded(batch: list[str | bytes]) -> list[np.ndarray]:
            ids, ends = self.encode_documents(joined(batch))
            starts = [0, *ends.tolist()]
            return [ids[start:end] for start, end in pairwise(starts)]

        if workers == 1:
            return [ids for batch in batches(texts) for ids in encoded(batch)]
        parts = list(batches(texts))
        with ThreadPoolExecutor(workers) as threads:  # the largest first, so that none is left alone with it at the end
            waiting = {place: threads.submit(encoded, parts[place]) for place in largest_first(parts)}
            return [ids for place in range(len(parts)) for ids in waiting[place].result()]

    def encode_documents(self, documents: Documents, *, append_eot: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all documents one after another, uint16, and where those of each end, int64.

        `append_eot`: each document is followed by the end-of-text id.  Runs without the GIL, on the calling thread.
        """
        try:
            encoder = self._idle.pop()
        except IndexError:
            encoder = Encoder(self._lookup)
        try:
            return encoder.encode(*documents, eot=self.eot if append_eot else -1)
        finally:
            self._idle.append(encoder)

    # ---- ids to text ----

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that the ids stand for."""
        numbers = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        if numbers and (min(numbers) < 0 or max(numbers) >= self.n_vocab):
            odd = next(number for number in numbers if not 0 <= number < self.n_vocab)
            raise ValueError(f"id {odd} is not in this vocabulary of {self.n_vocab:,} tokens")
        tokens = self.tokens
        return b"".join([tokens[number] for number in numbers])

    def decode(self, ids: Iterable[int]) -> str:
        """The text that the ids stand for.  Bytes that are no UTF-8, such as half a character, become U+FFFD."""
        return self.decode_bytes(ids).decode(errors="replace")

    # ---- files ----

    def save(self, folder: str | os.PathLike) -> None:
        """Writes vocab.json, merges.txt, tokenizer.json and gpt2.tiktoken."""
        files.save(folder, self.merges)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Self:
        """A saved tokenizer, or GPT-2's own (encoder.json and vocab.bpe).  Raises TokenizerError."""
        return cls(files.load(folder))
