"""Stored bytes in, the bytes they stand for out: streamed, bounded in memory, and never quietly cut short.

The format is told by the first bytes, so a file means the same under any name.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Protocol

import zstandard

CHUNK = 1 << 20  # bytes handed on at a time, at most
# Reddit dumps are written with `zstd --long=31`; the default limit of the library refuses them (python-zstandard#157).
MAX_WINDOW = 1 << 31
MAX_XZ_MEMORY = 1 << 31
# 4 compressed bytes can stand for a block of 128 KiB, so this many yield at most 32 MiB in one step.
ZSTD_STEP = 1024
# Real dumps expand 5 to 20 times.  A file past both bounds is a bomb: no memory would be lost, only days.
MAX_RATIO = 1000
MAX_RATIO_FROM = 1 << 30

BROKEN = (zstandard.ZstdError, lzma.LZMAError, zlib.error, OSError)


class CutShortError(Exception):
    """The stored bytes end before what they stand for does."""


class CorruptError(Exception):
    """The stored bytes are damaged, or a bomb."""


class _Decompressor(Protocol):
    """One frame, stream or member: what bz2 and lzma offer."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Zstd:
    """zstandard's own object has no bound on its output: it is fed in small steps instead."""

    def __init__(self) -> None:
        self._frame = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
        self._pending = memoryview(b"")
        self.eof = False
        self.needs_input = True
        self.unused_data = b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if data:
            self._pending = memoryview(data)
        out = self._frame.decompress(self._pending[:ZSTD_STEP])
        self._pending = self._pending[ZSTD_STEP:]
        self.eof = self._frame.eof
        self.needs_input = not self._pending
        if self.eof:
            self.unused_data = self._frame.unused_data + bytes(self._pending)
        return out


class _Gzip:
    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self.eof = False
        self.needs_input = True
        self.unused_data = b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._member.decompress(self._member.unconsumed_tail + data, max_length)
        self.eof = self._member.eof
        self.needs_input = not self._member.unconsumed_tail
        self.unused_data = self._member.unused_data
        return out


FORMATS: dict[bytes, Callable[[], _Decompressor]] = {
    b"\x28\xb5\x2f\xfd": _Zstd,
    **{bytes([0x50 + low]) + b"\x2a\x4d\x18": _Zstd for low in range(16)},  # a skippable frame may come first
    b"\xfd7zXZ\x00": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY),
    b"BZh": bz2.BZ2Decompressor,
    b"\x1f\x8b": _Gzip,
}


def decompressed(file: IO[bytes]) -> Iterator[bytes]:
    """The content of a .zst, .xz, .bz2, .gz or plain file in pieces, several frames or members read as one.

    Raises CutShortError where a frame is not whole, CorruptError where one is damaged; what came before has been yielded.
    """
    first = file.read(CHUNK)
    make = next((make for magic, make in FORMATS.items() if first.startswith(magic)), None)
    if make is None:
        while first:
            yield first
            first = file.read(CHUNK)
        return
    try:
        yield from _members(file, make=make, data=first)
    except EOFError:
        raise CutShortError from None
    except BROKEN as error:
        raise CorruptError(str(error)) from error


def _members(file: IO[bytes], *, make: Callable[[], _Decompressor], data: bytes) -> Iterator[bytes]:
    stored, content = len(data), 0
    while data:
        member = make()
        while True:
            piece = member.decompress(data, CHUNK)
            content += len(piece)
            if content > MAX_RATIO_FROM and content > MAX_RATIO * stored:
                raise CorruptError(f"expands more than {MAX_RATIO:,} times, as no dump does")
            for start in range(0, len(piece), CHUNK):
                yield piece[start : start + CHUNK]
            if member.eof:
                break
            data = b""
            if member.needs_input:
                data = file.read(CHUNK)
                stored += len(data)
                if not data:
                    raise EOFError
        # xz pads a stream with zeros, and tape tools pad any file so
        data = member.unused_data.lstrip(b"\0")
        while not data and (more := file.read(CHUNK)):
            stored += len(more)
            data = more.lstrip(b"\0")
