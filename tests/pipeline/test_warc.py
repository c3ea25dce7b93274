"""Stored records, honest and hostile."""

import functools
import gzip
import subprocess
import sys
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.fetch.message import MessageError, response_of, without_chunks
from pipeline.warc import read_response

gzipped = functools.partial(gzip.compress, mtime=0)  # the time in it would stand in the names of tests

PAGE = b"<html><body><p>A page of our own.</p></body></html>"
CAP = 3_000_000


def record(block: bytes, *, kind: str = "response", extra: str = "") -> bytes:
    head = f"WARC/1.1\r\nWARC-Type: {kind}\r\n{extra}Content-Length: {len(block)}\r\n\r\n".encode()
    return head + block + b"\r\n\r\n"


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *headers)).encode() + b"\r\n\r\n" + body


def chunked(body: bytes, size: int = 7) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(f"{len(part):x};x=1\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\n\r\n"


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress], ids=["plain", "gzip", "zstd"])
def test_a_record_is_read_however_it_is_compressed(pack):
    response = read_response(pack(record(answer(PAGE, f"Content-Length: {len(PAGE)}"))), max_bytes=CAP)
    assert response == (200, [("Content-Length", str(len(PAGE)))], PAGE, False)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzipped(PAGE)),
        ("x-gzip", gzipped(PAGE)),
        ("gzip", gzipped(PAGE[:9]) + gzipped(PAGE[9:])),
        ("gzip", gzipped(PAGE) + b"garbage after the end"),
        ("gzip", gzipped(PAGE) + b"\0\0\0\0"),
        ("deflate", zlib.compress(PAGE)),
        ("deflate", raw_deflate(PAGE)),
        ("br", brotli.compress(PAGE)),
        ("zstd", zstandard.ZstdCompressor().compress(PAGE)),
        ("gzip, br", brotli.compress(gzipped(PAGE))),
        ("identity", PAGE),
        ("gzip", PAGE),  # decoded before it was stored
    ],
)
def test_a_content_encoding_is_undone(encoding, body):
    headers = (f"Content-Encoding: {encoding}", f"Content-Length: {len(body)}")
    assert read_response(record(answer(body, *headers)), max_bytes=CAP).body == PAGE


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_chunks_are_joined(size):
    block = answer(chunked(gzipped(PAGE), size), "transfer-encoding: Chunked", "content-encoding: GZIP")
    assert read_response(record(block), max_bytes=CAP).body == PAGE


def test_a_body_joined_by_its_archive_is_taken_as_it_is():
    assert read_response(record(answer(PAGE, "Transfer-Encoding: chunked")), max_bytes=CAP).body == PAGE


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (b"", "BROKEN_RECORD"),
        (b"no record at all", "BROKEN_RECORD"),
        (gzipped(record(answer(PAGE)))[:-20], "BROKEN_RECORD"),
        (b"\x1f\x8bnot gzip", "BROKEN_RECORD"),
        (b"\x28\xb5\x2f\xfdnot zstd", "BROKEN_RECORD"),
        (record(answer(PAGE))[:-30], "BROKEN_RECORD"),
        (record(b"", kind="revisit"), "BROKEN_RECORD"),
        (b"WARC/1.1\r\nWARC-Type: response\r\nContent-Length: -5\r\n\r\n", "BROKEN_RECORD"),
        (record(b"GET / HTTP/1.1\r\n\r\n"), "NOT_HTTP"),
        (record(b"HTTP/1.1 200 OK\r\nServer: endless"), "NOT_HTTP"),
        (record(answer(PAGE, "Content-Length: 9999")), "WRONG_LENGTH"),
        (record(answer(b"", "Content-Length: 1")), "WRONG_LENGTH"),
        (record(answer(b"5\r\nhello\r\n", "Transfer-Encoding: chunked")), "BAD_CHUNKS"),
        (record(answer(b"5\r\nhel", "Transfer-Encoding: chunked")), "BAD_CHUNKS"),
        (record(answer(b"5\r\nhelloXX\r\n0\r\n\r\n", "Transfer-Encoding: chunked")), "BAD_CHUNKS"),
        (record(answer(gzipped(PAGE)[:-9], "Content-Encoding: gzip")), "BAD_ENCODING"),
        (record(answer(b"\x1f\x8bgarbage", "Content-Encoding: gzip")), "BAD_ENCODING"),
        (record(answer(brotli.compress(PAGE)[:-3], "Content-Encoding: br")), "BAD_ENCODING"),
        (record(answer(b"\xff" * 40, "Content-Encoding: br")), "BAD_ENCODING"),
        (record(answer(b"\x28\xb5\x2f\xfdgarbage", "Content-Encoding: zstd")), "BAD_ENCODING"),
        (record(answer(PAGE, "Content-Encoding: rot13")), "BAD_ENCODING"),
        (record(answer(PAGE, "Content-Encoding: br, br, br, br")), "BAD_ENCODING"),
    ],
)
def test_a_broken_record_names_its_defect(stored, reason):
    with pytest.raises(MessageError) as caught:
        read_response(stored, max_bytes=CAP)
    assert caught.value.reason.name == reason


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "identity", "gzip, gzip"])
def test_a_bomb_is_cut_at_the_cap(encoding):
    body = bytes(3_000_000)
    for name in encoding.split(", "):
        pack = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.ZstdCompressor().compress}.get(name, bytes)
        body = pack(body)
    response = read_response(gzipped(record(answer(body, f"Content-Encoding: {encoding}")), 1), max_bytes=100_000)
    assert response.truncated
    assert len(response.body) == 100_000


def test_a_record_bomb_is_cut_too():
    response = read_response(gzipped(record(answer(bytes(9_000_000)))), max_bytes=100_000)
    assert (len(response.body), response.truncated) == (100_000, True)


def test_a_body_of_exactly_the_cap_is_whole():
    body = bytes(1000)
    assert read_response(record(answer(gzipped(body), "Content-Encoding: gzip")), max_bytes=1000).truncated is False
    assert read_response(record(answer(gzipped(body), "Content-Encoding: gzip")), max_bytes=999).truncated is True


def test_what_the_archive_cut_is_given_as_far_as_it_goes():
    block = answer(PAGE[:20], f"Content-Length: {len(PAGE)}")
    response = read_response(record(block, extra="WARC-Truncated: length\r\n"), max_bytes=CAP)
    assert (response.body, response.truncated) == (PAGE[:20], True)


def test_bytes_past_the_declared_length_are_not_the_body():
    assert read_response(record(answer(PAGE + b"HTTP/1.1 200", f"Content-Length: {len(PAGE)}")), max_bytes=CAP).body == PAGE


def test_interim_answers_are_passed_over():
    block = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(PAGE, "A: b")
    assert read_response(record(block), max_bytes=CAP)[:3] == (200, [("A", "b")], PAGE)


def test_a_folded_header_is_one_header():
    block = b"HTTP/1.0 200 OK\nContent-Type: text/html;\n  charset=utf-8\nbroken line\n\n" + PAGE
    assert response_of(block, max_bytes=CAP).headers == [("Content-Type", "text/html; charset=utf-8")]


def test_a_resource_record_is_its_body():
    response = read_response(record(PAGE, kind="resource", extra="Content-Type: text/html\r\n"), max_bytes=CAP)
    assert response == (200, [("Content-Type", "text/html")], PAGE, False)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_chunks_undo_what_chunked_did(body, size):
    assert without_chunks(chunked(body, size)) == body


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, deflate"]), st.booleans())
def test_no_bytes_make_it_fail_otherwise(body, encoding, in_chunks):
    headers = [f"Content-Encoding: {encoding}", *(["Transfer-Encoding: chunked"] if in_chunks else [])]
    try:
        response = read_response(record(answer(body, *headers)), max_bytes=50)
    except MessageError:
        return
    assert len(response.body) <= 50


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 131_072])
def test_raw_deflate_ends_well_at_every_piece_boundary(size):
    body = b"a" * size
    assert read_response(record(answer(raw_deflate(body), "Content-Encoding: deflate")), max_bytes=CAP).body == body


def test_reading_a_record_imports_neither_an_http_client_nor_beam():
    code = "import sys, pipeline.warc; sys.exit(any(name in sys.modules for name in ('requests', 'urllib3', 'apache_beam')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
