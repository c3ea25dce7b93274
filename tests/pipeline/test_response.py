import functools
import gzip
import random
import subprocess
import sys
import zlib

import pytest

from pipeline.response import MAX_BODY_BYTES, PageDrop, body_drop, media_type, media_type_drop, wikipedia_drop

gzipped = functools.partial(gzip.compress, mtime=0)  # the time in it would stand in the names of tests
PAGE = b"<!DOCTYPE html><html><head><title>A</title></head><body><p>Some words.</p></body></html>"
NOISE = random.Random(5).randbytes(20_000)


@pytest.mark.parametrize(
    ("value", "declared", "kept"),
    [
        ("text/html", "text/html", True),
        ("TEXT/HTML; charset=utf-8", "text/html", True),
        ("application/xhtml+xml", "application/xhtml+xml", True),
        (" text/html ;charset=x", "text/html", True),
        ("text/html, text/html", "text/html", True),
        ("", None, True),
        ("html", None, True),
        ("; charset=utf-8", None, True),
        ("text/plain", "text/plain", False),
        ("application/pdf", "application/pdf", False),
        ("image/png", "image/png", False),
        ("application/octet-stream", "application/octet-stream", False),
        ("text/htmlx", "text/htmlx", False),
    ],
)
def test_only_html_and_what_names_no_type_pass_the_first_gate(value: str, declared: str | None, kept: bool) -> None:
    headers = [("Server", "x"), ("content-TYPE", value)]
    assert media_type(headers) == declared
    drop = media_type_drop(headers)
    assert (drop is None) == kept
    if drop:
        assert drop.reason is PageDrop.NOT_HTML
        assert drop.detail == f"media_type={declared}"


def test_no_headers_no_drop_and_the_last_of_two_counts() -> None:
    assert media_type_drop([]) is None
    assert media_type_drop([("Content-Type", "image/png"), ("Content-Type", "text/html")]) is None
    assert media_type_drop([("Content-Type", "text/html"), ("Content-Type", "image/png")]) is not None


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"%PDF-1.4\nwords words words", "format=PDF"),
        (b"\n\n  %PDF-1.4\nwords words words", "format=PDF"),
        (b"\x89PNG\r\n\x1a\n", "format=PNG"),
        (b"GIF89a and more", "format=GIF"),
        (b"\xff\xd8\xff\xe0JFIF", "format=JPEG"),
        (b"PK\x03\x04 word/document.xml", "format=zip"),
        (gzipped(PAGE), "format=gzip"),
        (zlib.compress(PAGE), "format=zlib"),
        (b"{\\rtf1 words}", "format=RTF"),
    ],
)
def test_a_file_is_known_by_its_first_bytes(body: bytes, detail: str) -> None:
    drop = body_drop(body)
    assert drop is not None
    assert (drop.reason, drop.detail) == (PageDrop.BINARY, detail)


def test_noise_is_binary_and_a_stray_nul_is_not() -> None:
    drop = body_drop(NOISE)
    assert drop is not None
    assert drop.reason is PageDrop.BINARY
    assert body_drop(PAGE.replace(b"<p>", b"<p\0>") * 3) is None


def test_an_article_about_pdf_is_no_pdf() -> None:
    assert body_drop(PAGE.replace(b"Some", b"A file begins with %PDF-1.7 or so.")) is None


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "shift_jis", "cp1251", "iso2022_jp"])
def test_text_in_any_charset_is_text(codec: str) -> None:
    words = "Новости" if codec == "cp1251" else "言葉が並ぶ" if "jp" in codec or "jis" in codec else "Wörter – words"
    body = f"<html><body><p>{words * 40}</p></body></html>".encode(codec)
    assert body_drop(body) is None


@pytest.mark.parametrize("body", [b"", b"  \r\n\t", b"\0\0\0"])
def test_nothing_is_empty(body: bytes) -> None:
    drop = body_drop(body)
    assert drop is not None
    assert drop.reason is PageDrop.EMPTY_BODY


def test_the_cap_is_three_million_bytes() -> None:
    filler = PAGE + b" " * (3_000_000 - len(PAGE))
    assert len(filler) == MAX_BODY_BYTES
    assert body_drop(filler) is None
    drop = body_drop(filler + b" ")
    assert drop is not None
    assert drop.reason is PageDrop.TOO_LARGE


def test_without_a_media_type_the_body_must_look_like_html() -> None:
    prose = b"Dear reader, here is a letter without any markup. " * 10
    assert body_drop(PAGE, typed=False) is None
    assert body_drop(b"\n<P>Old page", typed=False) is None
    assert body_drop(prose) is None
    drop = body_drop(prose, typed=False)
    assert drop is not None
    assert drop.reason is PageDrop.NOT_HTML


GENERATOR = '<meta name="generator" content="MediaWiki 1.43.0"/>'
CANONICAL = '<link rel="canonical" href="https://en.wikipedia.org/wiki/Otter"/>'


@pytest.mark.parametrize(
    ("head", "mirror"),
    [
        (GENERATOR + CANONICAL, True),
        (CANONICAL + GENERATOR, True),
        ("<meta content='MediaWiki 1.2' name=generator><link href=//de.m.wikipedia.org/wiki/A rel=canonical>", True),
        (GENERATOR, False),
        (CANONICAL, False),
        (GENERATOR + '<link rel="canonical" href="https://wiki.example/Otter"><a href="https://en.wikipedia.org/">x</a>', False),
        (GENERATOR + '<link rel="stylesheet" href="https://en.wikipedia.org/s.css">', False),
        (GENERATOR + '<link rel="canonical" href="https://notwikipedia.org/wiki/Otter">', False),
        ("", False),
    ],
)
def test_a_mirror_is_mediawiki_with_a_canonical_link_to_wikipedia(head: str, mirror: bool) -> None:
    drop = wikipedia_drop(f"<html><head>{head}</head><body>wikipedia.org</body></html>")
    assert (drop is not None) == mirror
    if drop:
        assert drop.reason is PageDrop.WIKIPEDIA_MIRROR


def test_the_gates_cost_neither_beam_nor_a_client() -> None:
    code = "import sys, pipeline.response; print([m for m in ('apache_beam', 'requests', 'lxml') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
