"""An HTTP answer as bytes, read within bounds: head, chunks, content encodings.

Live pages and stored ones come through here, so both are judged alike.  Imports neither requests nor Beam: this runs in
the sandbox too.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.fetch.codings import DECOMPRESSORS
from pipeline.fetch.reasons import FetchDrop, MessageError

MAX_HEAD_BYTES = 262_144  # http.client gives up at 100 headers of 65,536; real heads stay under 16 kB
MAX_LAYERS = 3  # gzip in gzip in gzip: nobody honest goes further

_STATUS_LINE = re.compile(rb"HTTP/\d+(?:\.\d+)?[ \t]+(\d{3})(?:[ \t]|\r?\n|$)")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")

Headers = list[tuple[str, str]]


class Head(NamedTuple):
    """A status line and its headers, names as sent."""

    status: int
    headers: Headers


class HttpResponse(NamedTuple):
    """A whole answer: the body without chunks and content encodings.

    `truncated`: the body goes on past `max_bytes`, or the archive says that it was cut.
    """

    status: int
    headers: Headers
    body: bytes
    truncated: bool


def header_values(headers: Headers, name: str) -> list[str]:
    """Every value of a header, in order; names compare without case."""
    return [value for key, value in headers if key.lower() == name]


def parse_head(block: bytes) -> tuple[Head, int]:
    """The last head of a block and where its body starts.  Interim answers (100, 103) before it are passed over."""
    start = 0
    while True:
        status_line = _STATUS_LINE.match(block, start)
        end = _HEAD_END.search(block, start, start + MAX_HEAD_BYTES)
        if status_line is None:
            raise MessageError(FetchDrop.NOT_HTTP, "no status line")
        if end is None:
            raise MessageError(FetchDrop.NOT_HTTP, "the head does not end")
        status = int(status_line[1])
        if 100 <= status < 200 and status != 101:
            start = end.end()
            continue
        return Head(status, _header_fields(block[start : end.start()])), end.end()


def _header_fields(head: bytes) -> Headers:
    fields: Headers = []
    for line in head.decode("latin-1").replace("\r\n", "\n").split("\n")[1:]:
        if line[:1] in (" ", "\t") and fields:  # obs-fold, RFC 9112 section 5.2
            fields[-1] = (fields[-1][0], f"{fields[-1][1]} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if colon:
            fields.append((name.strip(), value.strip()))
    return fields


class BodyDecoder:
    """Undoes the content encodings of a body, piece by piece, and stops at `max_bytes`.

    `body` holds at most `max_bytes`; `too_large` says that there was more.  `keep` bounds what is remembered.
    """

    def __init__(self, headers: Headers, *, max_bytes: int, keep: int | None = None) -> None:
        names = [name.strip().lower() for value in header_values(headers, "content-encoding") for name in value.split(",")]
        names = [name for name in names if name not in ("", "identity", "none")]
        if len(names) > MAX_LAYERS:
            raise MessageError(FetchDrop.BAD_ENCODING, f"{len(names)} layers of compression")
        for name in names:
            if name not in DECOMPRESSORS:
                raise MessageError(FetchDrop.BAD_ENCODING, f"encoding={name[:40]}")
        self._layers = [DECOMPRESSORS[name]() for name in reversed(names)]
        self._max_bytes = max_bytes
        self._keep = max_bytes if keep is None else keep
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self.size = 0
        self.too_large = False

    def feed(self, data: bytes) -> None:
        """Takes bytes as sent; what comes after `too_large` is ignored."""
        for piece in self._through(data, 0):
            self._store(piece)
            if self.too_large:
                return

    def _through(self, data: bytes, layer: int) -> Iterable[bytes]:
        if layer == len(self._layers):
            yield data
            return
        for piece in self._layers[layer].pieces(data):
            yield from self._through(piece, layer + 1)

    def _store(self, piece: bytes) -> None:
        self.size += len(piece)
        if self._kept_bytes < self._keep:
            part = piece[: self._keep - self._kept_bytes]
            self._kept.append(part)
            self._kept_bytes += len(part)
        self.too_large = self.size > self._max_bytes

    def finish(self) -> None:
        """Checks that every compressed stream came to its end; an empty body needs no end."""
        if self.too_large or not self.size:
            return
        if not all(layer.finished() for layer in self._layers):
            raise MessageError(FetchDrop.BAD_ENCODING, "the compressed stream is cut short")

    @property
    def body(self) -> bytes:
        return b"".join(self._kept)


def without_chunks(data: bytes, *, cut: bool = False) -> bytes:
    """The body that was sent in chunks.  `cut`: the end is known to be missing, so give what there is.

    Many archives hold the body already joined under a `Transfer-Encoding: chunked` header: data that does not start
    with a chunk size is taken as it is.
    """
    parts: list[bytes] = []
    place = 0
    while True:
        size_line = _CHUNK_SIZE.match(data, place)
        if size_line is None:
            if place == 0 and data:
                return data
            if cut:
                return b"".join(parts)
            raise MessageError(FetchDrop.BAD_CHUNKS, "the last chunk is missing" if place >= len(data) else "no chunk size")
        size = int(size_line[1], 16)
        if size == 0:
            return b"".join(parts)
        start = size_line.end()
        parts.append(data[start : start + size])
        place = start + size
        if place > len(data):
            if cut:
                return b"".join(parts)
            raise MessageError(FetchDrop.BAD_CHUNKS, "a chunk is cut short")
        if data[place : place + 2] == b"\r\n":
            place += 2
        elif data[place : place + 1] == b"\n":
            place += 1
        elif not cut and place < len(data):
            raise MessageError(FetchDrop.BAD_CHUNKS, "a chunk is longer than it says")


def declared_length(headers: Headers) -> int | None:
    """Content-Length, if there is one that can be believed: digits, the same each time."""
    values = {part.strip() for value in header_values(headers, "content-length") for part in value.split(",")}
    if len(values) != 1:
        return None
    value = values.pop()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None


_MAGIC = {"gzip": b"\x1f\x8b", "x-gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


def _already_decoded(headers: Headers, payload: bytes) -> bool:
    """Some archives store the decoded body under its old headers."""
    names = [value.strip().lower() for value in header_values(headers, "content-encoding")]
    return bool(names) and names[-1] in _MAGIC and not payload.startswith(_MAGIC[names[-1]])


def response_of(block: bytes, *, max_bytes: int, cut: bool = False) -> HttpResponse:
    """The answer that a block of wire bytes holds.  `cut`: its end is known to be missing.

    Raises MessageError: NOT_HTTP, WRONG_LENGTH, BAD_CHUNKS, BAD_ENCODING.
    """
    head, start = parse_head(block)
    payload = block[start:]
    chunked = any("chunked" in value.lower() for value in header_values(head.headers, "transfer-encoding"))
    if chunked:
        payload = without_chunks(payload, cut=cut)
    decoded_before = bool(payload) and _already_decoded(head.headers, payload)
    if not chunked and not decoded_before:
        length = declared_length(head.headers)
        if length is not None and len(payload) > length:
            payload = payload[:length]
        elif length is not None and len(payload) < length and not cut:
            raise MessageError(FetchDrop.WRONG_LENGTH, f"bytes={len(payload)} declared={length}")
    decoder = BodyDecoder([] if decoded_before else head.headers, max_bytes=max_bytes)
    try:
        decoder.feed(payload)
        if not cut:
            decoder.finish()
    except MessageError:
        if not cut:
            raise
    body = decoder.body
    return HttpResponse(head.status, head.headers, body, cut or decoder.too_large)
