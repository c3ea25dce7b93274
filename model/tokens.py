"""Token shards in, batches out: windows of the token stream, read in place from Arrow files.

A shard holds documents (`list<uint16>`), each ending in the end-of-text id.  The list's values lie one document after
another, so a record batch is already a piece of the training stream: nothing is copied before a window is taken.
"""

import hashlib
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from model.config import ModelError
from model.shuffle import permuted
from pipeline.schema import TOKENS

SHARD_NAME = re.compile(r"(train|validation)-(\d{5})-of-(\d{5})\.arrow")
LARGEST_VOCAB = 2**16  # ids are 16 bits
EDGE_BYTES = 2**20  # of a shard that go into the fingerprint, from either end: the schema, the sizes, some tokens
BLOCK = 4096  # windows whose place in the shuffle is computed at once
FORGET_EVERY = 512  # batches between two times the pages read so far are given back: else RSS grows to the corpus


class TokensError(ModelError):
    """Token shards that cannot be trained on."""


class TokenShards:
    """The token stream of one split, memory-mapped.

    `n_vocab`, `eot`, `tokenizer` (fingerprint) as the shards say; `fingerprint` tells these shards from others.
    """

    def __init__(self, directory: Path, *, split: str) -> None:
        self.directory, self.split = Path(directory), split
        paths = shard_paths(self.directory, split)
        self._maps: list[mmap.mmap] = []
        self._pieces: list[np.ndarray] = []  # token ids of each record batch
        self._shard_of_piece: list[Path] = []
        self.documents = 0
        described: set[tuple[str, int, int]] = set()
        digest = hashlib.sha256()
        for path in paths:
            described.add(self._open(path))
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
            digest.update(self._maps[-1][:EDGE_BYTES])
            digest.update(self._maps[-1][-EDGE_BYTES:])
        if len(described) > 1:
            raise TokensError(
                f"{self.directory}: shards of {len(described)} tokenizers lie side by side. Rebuild with `webtext tokens`."
            )
        self.tokenizer, self.n_vocab, self.eot = described.pop()
        self.fingerprint = digest.hexdigest()
        self._starts = np.cumsum([0, *map(len, self._pieces)])
        self.tokens = int(self._starts[-1])
        if not self.tokens:
            raise TokensError(f"{self.directory}: the {split} shards hold no tokens. Was the corpus empty?")

    def _open(self, path: Path) -> tuple[str, int, int]:
        rebuild = "Delete it and run `webtext tokens` again."
        with path.open("rb") as file:
            try:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                reader = pa.ipc.open_file(pa.py_buffer(mapped))
                columns = ", ".join(f"{field.name}: {field.type}" for field in reader.schema)
            except (ValueError, OSError, pa.ArrowException) as error:  # empty: cannot be mapped; cut: no footer; a spoiled footer
                raise TokensError(f"{path}: is cut short or no Arrow file ({error}). {rebuild}") from error
        if not reader.schema.equals(TOKENS, check_metadata=False):
            raise TokensError(f"{path}: columns are ({columns}), expected (ids: list<uint16>, document: string). {rebuild}")
        metadata = reader.schema.metadata or {}
        try:
            tokenizer, n_vocab, eot = metadata[b"tokenizer"].decode(), int(metadata[b"n_vocab"]), int(metadata[b"eot"])
        except (KeyError, ValueError) as error:
            raise TokensError(f"{path}: its metadata does not name tokenizer, n_vocab and eot. {rebuild}") from error
        if not 0 <= eot < n_vocab <= LARGEST_VOCAB:
            raise TokensError(
                f"{path}: its metadata says n_vocab {n_vocab:,} and eot {eot:,}, expected at most {LARGEST_VOCAB:,} and an id "
                f"below n_vocab. {rebuild}"
            )
        self._maps.append(mapped)
        for number in range(reader.num_record_batches):
            try:
                column = reader.get_batch(number).column(0)
                column.validate()  # Arrow ends the process where lengths are beyond their buffers
            except (pa.ArrowException, OSError) as error:
                raise TokensError(f"{path}: record batch {number} cannot be read ({error}). {rebuild}") from error
            self.documents += len(column)
            ids = column.flatten()
            if ids.null_count or column.null_count:
                raise TokensError(f"{path}: record batch {number} has nulls among its ids. {rebuild}")
            if len(ids):
                self._pieces.append(ids.to_numpy(zero_copy_only=True))
                self._shard_of_piece.append(path)
        return tokenizer, n_vocab, eot

    def read(self, starts: np.ndarray, *, length: int) -> np.ndarray:
        """`length` tokens from each start, uint16, shape (len(starts), length).

        The stream is a ring: its end meets its beginning.
        """
        rows = np.empty((len(starts), length), dtype=np.uint16)
        pieces = np.searchsorted(self._starts, starts, side="right") - 1
        offsets = starts - self._starts[pieces]
        for row, piece, offset in zip(rows, pieces.tolist(), offsets.tolist(), strict=True):
            values = self._pieces[piece][offset : offset + length]
            row[: len(values)] = values
            filled = len(values)
            while filled < length:
                piece = (piece + 1) % len(self._pieces)
                values = self._pieces[piece][: length - filled]
                row[filled : filled + len(values)] = values
                filled += len(values)
        if self.n_vocab < LARGEST_VOCAB and rows.max() >= self.n_vocab:
            self._refuse(rows, starts)
        return rows

    def _refuse(self, rows: np.ndarray, starts: np.ndarray) -> None:
        row, column = np.argwhere(rows >= self.n_vocab)[0]
        place = (starts[row] + column) % self.tokens
        path = self._shard_of_piece[np.searchsorted(self._starts, place, side="right") - 1]
        raise TokensError(
            f"{path}: holds id {rows[row, column]}, its vocabulary ends at {self.n_vocab - 1}. "
            "Delete it and run `webtext tokens` again."
        )

    def forget(self) -> None:
        """Gives the pages read so far back to the system; they are read again when needed."""
        for mapped in self._maps:
            mapped.madvise(mmap.MADV_DONTNEED)


def shard_paths(directory: Path, split: str) -> list[Path]:
    """The shards of one split, in order, none missing."""
    matches = [
        match for path in sorted(directory.glob("*.arrow")) if (match := SHARD_NAME.fullmatch(path.name)) and match[1] == split
    ]
    if not matches:
        raise TokensError(
            f"{directory}: holds no {split} shards, expected {split}-00000-of-NNNNN.arrow. Make them with `webtext tokens`."
        )
    totals = {int(match[3]) for match in matches}
    if len(totals) > 1 or len(matches) != max(totals):
        wanted = " or ".join(map(str, sorted(totals)))
        raise TokensError(
            f"{directory}: holds {len(matches)} {split} shards, their names say {wanted}. Run `webtext tokens` again."
        )
    return [directory / match[0] for match in matches]


class Batches:
    """The training stream cut into windows, every window once an epoch, in an order that seed and epoch decide.

    Batch `b` is a function of (seed, b) alone: no state to lose, the same rows in the same order for any number of ranks.
    Each epoch cuts the ring of tokens at another place, so that a document is not always cut at the same word.
    """

    def __init__(self, shards: TokenShards, *, length: int, batch: int, seed: int) -> None:
        self.shards, self.length, self.batch, self.seed = shards, length, batch, seed
        self.windows = shards.tokens // length  # an epoch
        if self.windows < batch:
            raise TokensError(
                f"{shards.directory}: {shards.tokens:,} training tokens make {self.windows:,} windows of {length:,}, "
                f"a batch takes {batch:,}. Build a larger corpus, or lower --batch or --n-ctx."
            )
        self._block: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))
        self._taken = 0

    def starts(self, number: int) -> np.ndarray:
        """Where in the stream the windows of batch `number` begin."""
        first = number * self.batch
        parts = []
        while first < (number + 1) * self.batch:
            block, offset = divmod(first, BLOCK)
            if self._block[0] != block:
                self._block = block, self._block_starts(block)
            part = self._block[1][offset : offset + (number + 1) * self.batch - first]
            parts.append(part)
            first += len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _block_starts(self, block: int) -> np.ndarray:
        items = np.arange(block * BLOCK, (block + 1) * BLOCK)
        epochs = items // self.windows
        starts = np.empty(BLOCK, dtype=np.int64)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            chosen = epochs == epoch
            windows = permuted(items[chosen] % self.windows, size=self.windows, seed=self.seed, epoch=epoch)
            shift = int(permuted(np.zeros(1), size=self.length, seed=self.seed + 1, epoch=epoch)[0]) if epoch else 0
            starts[chosen] = (windows * self.length + shift) % self.shards.tokens
        return starts

    def rows(self, number: int, *, first: int = 0, count: int | None = None) -> np.ndarray:
        """Rows `first` .. `first + count` of batch `number`: ids, and targets one to the right.  uint16, (count, length + 1)."""
        self._taken += 1
        if self._taken % FORGET_EVERY == 0:
            self.shards.forget()
        starts = self.starts(number)
        if first or count is not None:
            starts = starts[first : first + (self.batch if count is None else count)]
        return self.shards.read(starts, length=self.length + 1)


def windows_in_order(shards: TokenShards, *, length: int, batch: int, max_tokens: int) -> Iterator[np.ndarray]:
    """The stream from its start, every target once: arrays of ids and targets side by side, uint16, (rows, length + 1).

    The last array may be a single shorter row.  At most `max_tokens` targets, rounded up to a whole window.
    """
    targets = min(shards.tokens - 1, max_tokens)
    full = targets // length
    for first in range(0, full, batch):
        yield shards.read(np.arange(first, min(first + batch, full)) * length, length=length + 1)
    if targets % length:
        yield shards.read(np.array([full * length]), length=targets % length + 1)
