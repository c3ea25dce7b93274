"""Content encodings undone piece by piece: gzip, deflate, brotli, zstd.  No step gives more than a few pieces at once."""

import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Protocol

from pipeline.fetch.reasons import FetchDrop, MessageError

PIECE_BYTES = 65_536


class Decompressor(Protocol):
    """Undoes one content encoding, never giving more than asked for at once."""

    def pieces(self, data: bytes) -> Iterator[bytes]: ...
    def finished(self) -> bool: ...


class Gzip:
    """gzip (members in a row, garbage after the last ignored, as browsers do) and deflate, with or without zlib header."""

    def __init__(self, *, deflate: bool = False) -> None:
        self._deflate = deflate
        self._stream = zlib.decompressobj(zlib.MAX_WBITS if deflate else zlib.MAX_WBITS | 16)
        self._first = True
        self._rest = b""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        data = self._rest + data
        self._rest = b""
        full = False
        while data or full:
            full = False
            if self._stream.eof:
                if self._deflate or not data.lstrip(b"\0"):
                    return
                if len(data) < 3:
                    self._rest = data
                    return
                if data[:3] != b"\x1f\x8b\x08":
                    return
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                piece = self._stream.decompress(data, PIECE_BYTES)
            except zlib.error:
                if self._deflate and self._first:  # raw deflate, sent by old servers against RFC 9110
                    self._first = False
                    self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
                    continue
                raise MessageError(FetchDrop.BAD_ENCODING, "broken deflate stream") from None
            self._first = False
            data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if piece:
                yield piece
            if not data and len(piece) == PIECE_BYTES and not self._stream.eof:
                full = True  # zlib may hold output back although it took all input

    def finished(self) -> bool:
        return self._stream.eof


class Brotli:
    """br, where the brotli package is installed and can bound its output (1.2 and later)."""

    def __init__(self) -> None:
        import brotli

        self._error = brotli.error
        self._stream = brotli.Decompressor()

    def pieces(self, data: bytes) -> Iterator[bytes]:
        try:
            piece = self._stream.process(data, output_buffer_limit=PIECE_BYTES)
            while piece:
                yield piece
                piece = b"" if self._stream.is_finished() else self._stream.process(
                    b"", output_buffer_limit=PIECE_BYTES
                )
        except self._error:
            raise MessageError(FetchDrop.BAD_ENCODING, "broken brotli stream") from None

    def finished(self) -> bool:
        return bool(self._stream.is_finished())


class Zstd:
    """zstd with windows up to 8 MiB, as RFC 9659 asks of the web."""

    def __init__(self, *, max_window: int = 8 << 20) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        self._stream = zstandard.ZstdDecompressor(max_window_size=max_window).decompressobj()

    def pieces(self, data: bytes) -> Iterator[bytes]:
        # A block grows at most 131,072 bytes and takes at least 4: fed by 64, the output stays under 2 MiB a step.
        for start in range(0, len(data), 64):
            if self._stream.eof:
                return
            try:
                piece = self._stream.decompress(data[start : start + 64])
            except self._error:
                raise MessageError(FetchDrop.BAD_ENCODING, "broken zstd stream") from None
            if piece:
                yield piece

    def finished(self) -> bool:
        return bool(self._stream.eof)


def _brotli_is_bounded() -> bool:
    if find_spec("brotli") is None:
        return False
    import brotli

    return hasattr(brotli.Decompressor, "can_accept_more_data")  # came with output_buffer_limit, in 1.2


DECOMPRESSORS: dict[str, Callable[[], Decompressor]] = {
    "gzip": Gzip,
    "x-gzip": Gzip,
    "deflate": lambda: Gzip(deflate=True),
}
if find_spec("zstandard") is not None:
    DECOMPRESSORS["zstd"] = Zstd
if _brotli_is_bounded():
    DECOMPRESSORS["br"] = Brotli
