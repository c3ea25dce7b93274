"""What an HTTP response must be to become a document: the same gates for live and replayed pages.

Imports neither Beam nor an HTTP client: it runs beside the fetcher and inside the sandbox alike.
"""

import codecs
import re
from collections.abc import Iterable
from enum import StrEnum

from pipeline.schema import Drop

Headers = Iterable[tuple[str, str]]  # as received, in order

# Above it both libxml2 and trafilatura go on for minutes (20 MB, 200,000 paragraphs); of 1,507 real pages the 99th
# percentile is 1.6 MB.
MAX_BODY_BYTES = 3_000_000  # after content decoding

MEDIA_TYPES = frozenset({"text/html", "application/xhtml+xml"})

SNIFFED_BYTES = 4096
# WHATWG MIME Sniffing 3: "binary data bytes".  One of them makes a resource binary there; that is too strict
# for pages with a stray NUL.  1,499 real pages have none in the first 4,096 bytes, random and compressed bytes 11 in 100.
BINARY_BYTES = bytes([*range(0x09), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)])
MAX_BINARY_SHARE = 0.02

# First bytes of what is served as HTML and is not.  WHATWG MIME Sniffing 6 and the file formats' own specifications.
SIGNATURES = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"RIFF": "RIFF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\1\0": "ICO",
    b"PK\3\4": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\7": "rar",
    b"x\x01": "zlib",
    b"x\x9c": "zlib",
    b"x\xda": "zlib",
    b"\xd0\xcf\x11\xe0": "OLE",
    b"{\\rtf": "RTF",
    b"%!PS": "PostScript",
    b"\x7fELF": "ELF",
    b"OggS": "Ogg",
    b"ID3": "MP3",
    b"fLaC": "FLAC",
    b"wOFF": "font",
    b"wOF2": "font",
}
PDF_SIGNATURE = b"%PDF-"  # readers look for it in the first 1,024 bytes, and so do senders

# Without a media type the body must look like HTML.  WHATWG MIME Sniffing 7.1, plus the tags that old pages begin with.
SOME_MARKUP = re.compile(
    rb"<(!doctype\s+html|html|head|body|title|meta|script|style|link|table|div|p|h[1-6]|font|center|a|br|iframe|article)\b",
    re.IGNORECASE,
)

BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
# A tag, or the white space before it, written two bytes a letter.  XML 1.0 appendix F.
UTF16_LE = re.compile(rb"(?:[\t\n\r ]\0){0,64}<\0[!?/A-Za-z]\0")
UTF16_BE = re.compile(rb"(?:\0[\t\n\r ]){0,64}\0<\0[!?/A-Za-z]")

HEAD_LETTERS = 300_000  # where the tags of a head are looked for, scripts before them included
HEAD_TAG = re.compile(r"<(?:meta|link)\b[^<>]{0,1000}>", re.IGNORECASE)
GENERATOR = re.compile(r"""\bname\s*=\s*["']?\s*generator\b""", re.IGNORECASE)
MEDIAWIKI = re.compile(r"""content\s*=\s*["']?\s*mediawiki""", re.IGNORECASE)
CANONICAL = re.compile(r"""\brel\s*=\s*["']?\s*canonical\b""", re.IGNORECASE)
WIKIPEDIA_HREF = re.compile(r"""\bhref\s*=\s*["']?\s*(?:https?:)?//(?:[a-z0-9-]+\.)*wikipedia\.org\b""", re.IGNORECASE)


class PageDrop(StrEnum):
    NOT_HTML = "the response is not HTML"
    BINARY = "the body is a file, not text, whatever its media type says"
    TOO_LARGE = f"the body is above {MAX_BODY_BYTES:,} bytes"
    EMPTY_BODY = "the body is empty"
    WIKIPEDIA_MIRROR = "the page says that it is a copy of a Wikipedia article"


# ---- gates ----


def media_type(headers: Headers) -> str | None:
    """The declared type in lower case; None if there is none, or none that names a type.  The last header counts."""
    named = [value for name, value in headers if name.lower() == "content-type"]
    essence = named[-1].split(";")[0].split(",")[0].strip().lower() if named else ""
    return essence if "/" in essence else None


def media_type_drop(headers: Headers) -> Drop | None:
    """Refuses every declared type but HTML and XHTML.  An absent one is left to `body_drop`."""
    declared = media_type(headers)
    if declared is None or declared in MEDIA_TYPES:
        return None
    return Drop(PageDrop.NOT_HTML, f"media_type={declared[:100]}")


def body_drop(body: bytes, *, typed: bool = True) -> Drop | None:
    """Refuses what no HTML parser should see.  Unless `typed` as HTML by a header, the body must show markup."""
    if len(body) > MAX_BODY_BYTES:
        return Drop(PageDrop.TOO_LARGE, f"bytes={len(body)}")
    if not body.strip(b" \t\r\n\f\0"):
        return Drop(PageDrop.EMPTY_BODY)
    head = body[:SNIFFED_BYTES]
    if byte_order_mark(body) or utf16_shape(body):
        return None
    start = head.lstrip(b" \t\r\n\f")
    for signature, name in SIGNATURES.items():
        if start.startswith(signature):
            return Drop(PageDrop.BINARY, f"format={name}")
    if PDF_SIGNATURE in head[:1024] and not SOME_MARKUP.search(head[:1024]):
        return Drop(PageDrop.BINARY, "format=PDF")
    share = 1 - len(head.translate(None, BINARY_BYTES)) / len(head)
    if share > MAX_BINARY_SHARE:
        return Drop(PageDrop.BINARY, f"binary_share={share:.2f}")
    if not typed and not SOME_MARKUP.search(head):
        return Drop(PageDrop.NOT_HTML, "no media type, no markup")
    return None


def wikipedia_drop(html: str) -> Drop | None:
    """Refuses a page made by MediaWiki whose canonical link leads to Wikipedia: a mirror that the URL did not betray."""
    head = html[:HEAD_LETTERS]
    if "wikipedia.org" not in head:
        return None
    tags = HEAD_TAG.findall(head)
    made_by_mediawiki = any(GENERATOR.search(tag) and MEDIAWIKI.search(tag) for tag in tags)
    copies_wikipedia = any(CANONICAL.search(tag) and WIKIPEDIA_HREF.search(tag) for tag in tags)
    return Drop(PageDrop.WIKIPEDIA_MIRROR) if made_by_mediawiki and copies_wikipedia else None


def byte_order_mark(body: bytes) -> bytes | None:
    """The mark that a body begins with, a key of BYTE_ORDER_MARKS."""
    return next((mark for mark in BYTE_ORDER_MARKS if body.startswith(mark)), None)


def utf16_shape(body: bytes) -> str | None:
    """The codec of a body that begins with a tag of two bytes a letter."""
    if UTF16_LE.match(body):
        return "utf-16-le"
    return "utf-16-be" if UTF16_BE.match(body) else None
