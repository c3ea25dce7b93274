"""An object as a file to read: each read is a request for just its bytes, and reading on fetches more and more ahead."""

import io
import os
from collections.abc import Callable

FIRST_AHEAD = 256 << 10  # bytes asked for by the second of two reads that follow each other; then twice as many
MOST_AHEAD = 8 << 20
TAIL = 64 << 10  # of an Arrow file: the footer, and all of a small one


class RangeFile(io.RawIOBase):
    """`read(start, length)` gives bytes of the object, fewer at its end; `size()` is asked once, if it must be known."""

    def __init__(self, read: Callable[[int, int], bytes], size: Callable[[], int], *, tail: bool = False) -> None:
        self._read = read
        self._ask_size = size
        self._size: int | None = None
        self._position = 0
        self._ahead = 0
        self._held, self._held_at = b"", -1
        self._tail, self._tail_at = b"", -1
        self._wants_tail = tail

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self.size()
        self._position = max(0, offset)
        return self._position

    def size(self) -> int:
        if self._size is None:
            self._size = self._ask_size()
        return self._size

    def read(self, size: int | None = -1, /) -> bytes:
        """All `size` bytes, fewer only at the end."""
        if size is None or size < 0:
            size = max(0, self.size() - self._position)
        data = self._bytes(self._position, size)
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer, /) -> int:  # type: ignore[no-untyped-def]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _bytes(self, start: int, length: int) -> bytes:
        if length <= 0 or (self._size is not None and start >= self._size):
            return b""
        if self._wants_tail and start + length > self.size() - TAIL:
            self._wants_tail = False
            self._tail_at = max(0, self.size() - TAIL)
            self._tail = self._read(self._tail_at, TAIL)
        if 0 <= self._tail_at <= start:
            return self._tail[start - self._tail_at : start - self._tail_at + length]
        held_to = self._held_at + len(self._held)
        have = self._held[start - self._held_at :][:length] if self._held_at <= start < held_to else b""
        if len(have) == length:
            return have
        reads_on = bool(have) or start == held_to
        self._ahead = min(MOST_AHEAD, max(FIRST_AHEAD, 2 * self._ahead)) if reads_on else 0
        missing = length - len(have)
        self._held_at = start + len(have)
        wanted = max(missing, self._ahead)
        self._held = self._read(self._held_at, wanted)
        if 0 < len(self._held) < wanted:
            self._size = self._held_at + len(self._held)
        return have + self._held[:missing]
