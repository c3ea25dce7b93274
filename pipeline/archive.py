"""Any WARC file in, its records one by one: where each lies, and what its headers say.

Reads .warc, .warc.gz (a gzip member a record) and .warc.zst (a frame a record, with or without a dictionary), versions
0.17 to 1.1, from whatever wrote them.  Bodies are passed over in constant memory; `stored_record` fetches one again.
A damaged record is reported as such, and reading goes on at the next one.
"""

import contextlib
import functools
import hashlib
import mmap
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import zstandard

from pipeline import storage
from pipeline.schema import PipelineError

HEAD_BYTES = 256 << 10  # of a record, kept to parse the WARC and HTTP headers from
MAX_RECORD_BYTES = 256 << 20  # unpacked; a longer one is not read to its end: no page of text is near it
CHUNK = 64 << 10
ZSTD_CHUNK = 1 << 10  # small, because a frame cannot be unpacked in bounded steps: 1 kB unpacks to 32 MB at most
ZSTD_WINDOW = 1 << 27  # 128 MiB, what `zstd --long` writes at most without a flag to the reader
GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_DICTIONARY_MAGIC = b"\x5d\x2a\x4d\x18"  # skippable frame of the .warc.zst specification 1.0


class Record(NamedTuple):
    """One record of a WARC file.  Header names are lower case; the last of a repeated header wins."""

    offset: int  # bytes, in the file as stored
    length: int  # bytes as stored
    digest: str  # SHA-256 of the bytes as stored
    headers: dict[str, str]  # WARC headers
    head: bytes  # what follows them, at most HEAD_BYTES
    damage: str  # empty, or what is wrong: cut short, not unpackable, longer than MAX_RECORD_BYTES, wrong length

    @property
    def target(self) -> str:
        return self.headers.get("warc-target-uri", "").strip("<> ")


@contextlib.contextmanager
def _mapped(path: str) -> Iterator[mmap.mmap | bytes]:
    """The bytes of a file, mapped; a remote one is copied to a temporary file first."""
    with contextlib.ExitStack() as stack:
        local = path
        if not storage.is_local(path):
            copy = stack.enter_context(tempfile.NamedTemporaryFile(suffix=os.path.basename(path)))
            with storage.open_read(path) as source:
                shutil.copyfileobj(source, copy)
            copy.flush()
            local = copy.name
        file = stack.enter_context(open(local, "rb"))
        if os.fstat(file.fileno()).st_size == 0:
            yield b""
        else:
            yield stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def records(path: str) -> Iterator[Record]:
    """Every record of a WARC file, in order.  Raises PipelineError if the file is none, or cannot be read record by record."""
    with _mapped(path) as data:
        if len(data) == 0:
            return
        if data[:3] == GZIP_MAGIC:
            yield from _compressed(data, path, _gzip_member, GZIP_MAGIC)
        elif data[:4] in (ZSTD_MAGIC, ZSTD_DICTIONARY_MAGIC):
            start, dictionary = _zstd_dictionary(data)
            yield from _compressed(data, path, functools.partial(_zstd_frame, dictionary=dictionary), ZSTD_MAGIC, start=start)
        elif data[:5] == b"WARC/":
            yield from _plain(data)
        else:
            raise PipelineError(f"{path}: is no WARC file (it begins with {bytes(data[:16])!r}).")


def stored_record(path: str, *, offset: int, length: int) -> bytes:
    """The bytes of one record as stored; a zstd frame is unpacked, since its dictionary lies elsewhere in the file."""
    with storage.open_read(path) as file:
        stored = storage.read_range(file, offset=offset, length=length)
        if stored[:4] != ZSTD_MAGIC:
            return stored
        dictionary = _zstd_dictionary(storage.read_range(file, offset=0, length=64 << 20))[1]
    return _zstd_frame(stored, 0, keep=MAX_RECORD_BYTES, dictionary=dictionary).head


# ---- containers ----


class _Unpacked(NamedTuple):
    head: bytes
    total: int  # bytes unpacked
    end: int  # offset behind the member; meaningless when damaged
    damage: str


Bytes = mmap.mmap | bytes


def _gzip_member(data: Bytes, offset: int, *, keep: int = HEAD_BYTES) -> _Unpacked:
    member = zlib.decompressobj(31)
    head, total, position = bytearray(), 0, offset
    while not member.eof:
        chunk = member.unconsumed_tail
        if not chunk:
            chunk = data[position : position + CHUNK]
            position += len(chunk)
            if not chunk:
                return _Unpacked(bytes(head), total, position, "cut short")
        try:
            out = member.decompress(chunk, 1 << 20)
        except zlib.error:
            return _Unpacked(_salvaged(data, offset, keep=keep), total, position, "cannot be unpacked")
        total += len(out)
        head += out[: keep - len(head)]
        if total > MAX_RECORD_BYTES:
            return _Unpacked(bytes(head), total, position, f"longer than {MAX_RECORD_BYTES} bytes")
    return _Unpacked(bytes(head), total, position - len(member.unused_data), "")


def _salvaged(data: Bytes, offset: int, *, keep: int) -> bytes:
    """What a member unpacks to before its damage: its headers name the page that is lost."""
    member = zlib.decompressobj(31)
    head = bytearray()
    with contextlib.suppress(zlib.error):
        for position in range(offset, min(offset + keep, len(data)), 16):
            head += member.decompress(data[position : position + 16])
            if len(head) >= keep:
                break
    return bytes(head[:keep])


def _zstd_dictionary(data: Bytes) -> tuple[int, zstandard.ZstdCompressionDict | None]:
    """Where the records start, and the dictionary that a file may begin with."""
    if data[:4] != ZSTD_DICTIONARY_MAGIC:
        return 0, None
    (length,) = struct.unpack("<I", data[4:8])
    content = bytes(data[8 : 8 + length])
    if content[:4] == ZSTD_MAGIC:  # the dictionary itself may be packed
        content = _zstd_frame(content, 0, keep=MAX_RECORD_BYTES, dictionary=None).head
    return 8 + length, zstandard.ZstdCompressionDict(content)


def _zstd_frame(
    data: Bytes, offset: int, *, keep: int = HEAD_BYTES, dictionary: zstandard.ZstdCompressionDict | None
) -> _Unpacked:
    frame = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=ZSTD_WINDOW).decompressobj()
    head, total, position = bytearray(), 0, offset
    while not frame.eof:
        chunk = data[position : position + ZSTD_CHUNK]
        position += len(chunk)
        if not chunk:
            return _Unpacked(bytes(head), total, position, "cut short")
        try:
            out = frame.decompress(chunk)
        except zstandard.ZstdError:
            return _Unpacked(bytes(head), total, position, "cannot be unpacked")
        total += len(out)
        head += out[: keep - len(head)]
        if total > MAX_RECORD_BYTES:
            return _Unpacked(bytes(head), total, position, f"longer than {MAX_RECORD_BYTES} bytes")
    return _Unpacked(bytes(head), total, position - len(frame.unused_data), "")


def _compressed(data: Bytes, path: str, unpack, magic: bytes, *, start: int = 0) -> Iterator[Record]:  # type: ignore[no-untyped-def]
    offset = start
    while offset < len(data):
        member = unpack(data, offset)
        end = member.end
        if member.damage:
            end = _next_record(data, offset + len(magic), unpack, magic)
        parsed = _warc_headers(member.head)
        if parsed is None:
            if not member.damage and member.total:
                if offset == start:
                    raise PipelineError(f"{path}: is no WARC file (unpacked, it begins with {member.head[:16]!r}).")
                member = member._replace(damage="no WARC record")
            parsed = no_headers(member.head)
        headers, body_at = parsed
        if headers:
            surplus = member.total - body_at - _content_length(headers)
            if not member.damage and surplus > 4 and offset == start and b"\r\n\r\nWARC/" in member.head[body_at:]:
                raise PipelineError(
                    f"{path}: is compressed as a whole, not record by record, so no record can be found in it. "
                    "Repack it with `warcio recompress`."
                )
            if not member.damage and surplus not in (0, 4):
                member = member._replace(damage="wrong length")
        digest = hashlib.sha256(data[offset:end]).hexdigest()
        yield Record(offset, end - offset, digest, headers, member.head[body_at:], member.damage)
        offset = end


def _next_record(data: Bytes, position: int, unpack, magic: bytes) -> int:  # type: ignore[no-untyped-def]
    """Where the next member begins that holds a WARC record, or the end of the file."""
    while (position := data.find(magic, position)) >= 0:
        if unpack(data[position : position + CHUNK], 0, keep=5).head == b"WARC/":
            return position
        position += 1
    return len(data)


def _plain(data: Bytes) -> Iterator[Record]:
    offset = 0
    while offset < len(data):
        head = data[offset : offset + HEAD_BYTES]
        parsed = _warc_headers(head)
        headers, body_at = parsed or no_headers(head)
        body_end = offset + body_at + _content_length(headers)
        end, damage = body_end + 4, ""
        if parsed is None:
            end, damage = _next_plain(data, offset + 1), "no WARC record"
        elif data[body_end:end] != b"\r\n\r\n" or data[end : end + 5] not in (b"WARC/", b""):
            end = _next_plain(data, offset + body_at)
            damage = "cut short" if body_end > len(data) else "wrong length"
        digest = hashlib.sha256(data[offset:end]).hexdigest()
        yield Record(offset, end - offset, digest, headers, head[body_at : end - offset], damage)
        offset = end


def _next_plain(data: Bytes, position: int) -> int:
    found = data.find(b"\r\nWARC/1.", position)
    return len(data) if found < 0 else found + 2


# ---- headers ----


def microseconds(warc_date: str) -> int:
    """A WARC-Date in microseconds since 1970; 0 if it is no date."""
    try:
        moment = datetime.fromisoformat(warc_date)
    except ValueError:
        return 0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _content_length(headers: dict[str, str]) -> int:
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _header_fields(block: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in block.decode("utf-8", "replace").splitlines():
        if line[:1] in (" ", "\t") and name:
            fields[name] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower() if colon else ""
        if name:
            fields[name] = value.strip()
    return fields


def _warc_headers(head: bytes) -> tuple[dict[str, str], int] | None:
    """WARC headers and where the block behind them starts, or None."""
    end = head.find(b"\r\n\r\n")
    if not head.startswith(b"WARC/") or end < 0:
        return None
    _, _, block = head[:end].partition(b"\r\n")
    return _header_fields(block), end + 4


def no_headers(head: bytes) -> tuple[dict[str, str], int]:
    return {}, len(head)


def http_head(block: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of an HTTP response; status 0 if it is none."""
    end = block.find(b"\r\n\r\n")
    lines, _, fields = block[: end if end >= 0 else len(block)].partition(b"\n")
    words = lines.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit() or len(words[1]) != 3:
        return 0, {}
    return int(words[1]), _header_fields(fields)
