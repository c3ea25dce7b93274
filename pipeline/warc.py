"""WARC 1.1: one record read within bounds, and our own segments written.

`read_response` runs in the sandbox: nothing here imports Beam or requests.
"""

import base64
import hashlib
import io
import re
import uuid
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from warcio.warcwriter import WARCWriter

from pipeline.fetch.message import HttpResponse, MessageError, response_of
from pipeline.fetch.reasons import FetchDrop

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_VERSION_LINE = re.compile(rb"WARC/\d\.\d\r?\n")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_MAX_WARC_HEADER = 65_536
_SLACK = 524_288  # heads and chunk sizes beside a body that just fits


def read_response(record: bytes, *, max_bytes: int) -> HttpResponse:
    """The HTTP answer in one stored WARC record: a gzip member, a zstd frame or plain bytes.

    The body comes without chunks and content encodings, at most `max_bytes` long; memory stays within a small multiple
    of that, whatever the record claims.  Raises MessageError with BROKEN_RECORD, NOT_HTTP, WRONG_LENGTH, BAD_CHUNKS or
    BAD_ENCODING.
    """
    plain, whole = _uncompressed(record, max_bytes=2 * max_bytes + _SLACK)
    fields, start = _record_header(plain)
    kind = fields.get("warc-type", "")
    if kind not in ("response", "resource"):
        raise MessageError(FetchDrop.BROKEN_RECORD, f"type={kind[:20]}")
    length = fields.get("content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) < 16):
        raise MessageError(FetchDrop.BROKEN_RECORD, "no Content-Length")
    block = plain[start : start + int(length)]
    if len(block) < int(length) and whole:
        raise MessageError(FetchDrop.BROKEN_RECORD, f"bytes={len(block)} declared={length}")
    cut = len(block) < int(length) or "warc-truncated" in fields
    if kind == "resource":  # no HTTP head: the block is the body
        headers = [("Content-Type", fields["content-type"])] if "content-type" in fields else []
        return HttpResponse(200, headers, block[:max_bytes], cut or len(block) > max_bytes)
    return response_of(block, max_bytes=max_bytes, cut=cut)


def _uncompressed(record: bytes, *, max_bytes: int) -> tuple[bytes, bool]:
    """The record without its outer compression, and whether it was given whole."""
    if record.startswith(_GZIP_MAGIC):
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            plain = stream.decompress(record, max_bytes)
        except zlib.error:
            raise MessageError(FetchDrop.BROKEN_RECORD, "broken gzip member") from None
        if not stream.eof and len(plain) < max_bytes:
            raise MessageError(FetchDrop.BROKEN_RECORD, "the gzip member is cut short")
        return plain, stream.eof
    if record.startswith(_ZSTD_MAGIC):
        import zstandard

        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(record)
        try:
            plain = reader.read(max_bytes)
            return plain, len(plain) < max_bytes or not reader.read(1)
        except zstandard.ZstdError:
            raise MessageError(FetchDrop.BROKEN_RECORD, "broken zstd frame") from None
    return record[:max_bytes], len(record) <= max_bytes


def _record_header(plain: bytes) -> tuple[dict[str, str], int]:
    version = _VERSION_LINE.match(plain)
    end = _HEADER_END.search(plain, 0, _MAX_WARC_HEADER)
    if version is None or end is None:
        raise MessageError(FetchDrop.BROKEN_RECORD, "no WARC header")
    fields: dict[str, str] = {}
    for line in plain[version.end() : end.start()].decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), value.strip())
    return fields, end.end()


# ---- writing ----


class Member(NamedTuple):
    """A record as it is stored: one gzip member."""

    record_id: str
    data: bytes


def member(
    kind: str,
    *,
    uri: str | None,
    date: str,
    block: bytes,
    content_type: str,
    fields: Mapping[str, str] | None = None,
    packed: bool = False,
) -> Member:
    """A WARC 1.1 record around a block of bytes, which are stored as they are.

    Digests are SHA-1 in base 32, as other tools write and expect them.  `packed`: the block is compressed already, so the
    gzip member only wraps it: of a page that came gzipped, level 1 takes 29 times the CPU and saves nothing.
    """
    headers = {
        "WARC-Record-ID": f"<urn:uuid:{uuid.uuid4()}>",
        "WARC-Date": date,
        **(fields or {}),
        "WARC-Block-Digest": _sha1(block),
        "WARC-Payload-Digest": _sha1(block.partition(b"\r\n\r\n")[2] if kind in ("response", "request") else block),
    }
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=False, warc_version="WARC/1.1")
    record = writer.create_warc_record(uri, kind, warc_content_type=content_type, warc_headers_dict=headers)
    record.raw_stream = io.BytesIO(block)
    record.length = record.payload_length = len(block)
    writer.write_record(record)
    packer = zlib.compressobj(0 if packed else 6, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return Member(headers["WARC-Record-ID"], packer.compress(out.getvalue()) + packer.flush())


def warc_date(seconds: float) -> str:
    """Microseconds, UTC, as WARC 1.1 has them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _sha1(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
