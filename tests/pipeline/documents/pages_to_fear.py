"""Pages that break parsers, generated: what each is, its bytes, and the headers it comes with."""

import gzip
import io
import random
import zlib
from collections.abc import Callable
from typing import NamedTuple

HTML = [("Content-Type", "text/html")]

GERMAN = (
    "Am frühen Morgen verließ der Fischer sein Haus am Hafen. Noch lag Nebel über dem Wasser, und nur die Möwen waren wach. "
    "Er prüfte die Netze, füllte die Lampe mit Öl und rief leise nach seinem Hund.\nSeit vierzig Jahren fuhr er hinaus, "
    "doch heute wollte er nicht fischen. Ein Brief war gekommen, geschrieben von einer Frau, die er lange vergessen glaubte. "
    "Sie wohnte nun auf der Insel, zwei Stunden gegen den Wind, und bat ihn um einen letzten Besuch.\nAls die Sonne aufging, "
    "sah er schon den Leuchtturm. Kinder standen am Strand und winkten, ohne zu wissen, wer dort kam. Er winkte zurück, "
    "band das Boot fest und trug den Brief in der Hand den steilen Weg hinauf. Oben roch es nach Brot, nach Rauch und nach "
    "nassem Gras, und jemand spielte auf einem verstimmten Klavier ein Lied aus seiner Jugend."
)


class Fear(NamedTuple):
    body: Callable[[], bytes]
    outcomes: tuple[str, ...]  # reasons that are right, more than one where the machine's speed decides; "" for a document
    headers: list[tuple[str, str]] = HTML
    slow: bool = False


def sentences(count: int, *, seed: int = 0) -> list[str]:
    """Sentences of plain English, no two alike: trafilatura folds equal paragraphs of a page into one."""
    who = ["the old baker", "a young teacher", "our neighbour", "the night watchman", "her brother", "the captain", "a student"]
    did = ["found", "repaired", "described", "carried", "painted", "measured", "forgot", "bought", "wrote about", "waited for"]
    what = ["the broken clock", "a wooden boat", "the long road", "an empty house", "the red lantern", "a letter", "the river"]
    where = ["behind the mill", "near the station", "at the market", "before the storm", "in the valley", "with great care"]
    chance = random.Random(seed)
    return [
        f"{chance.choice(who).capitalize()} {chance.choice(did)} {chance.choice(what)} {chance.choice(where)}, entry {n}, "
        f"and {chance.choice(who)} {chance.choice(did)} {chance.choice(what)} of that same year {n} {chance.choice(where)}."
        for n in range(count)
    ]


def paragraphs(count: int = 12, *, seed: int = 0) -> str:
    lines = sentences(4 * count, seed=seed)
    return "".join(f"<p>{' '.join(lines[4 * n : 4 * n + 4])}</p>" for n in range(count))


def page(inside: str | None = None, *, head: str = "<title>A page</title>") -> str:
    return f"<!DOCTYPE html><html><head>{head}</head><body>{paragraphs() if inside is None else inside}</body></html>"


def around(inside: str) -> bytes:
    return page(f"<article>{paragraphs(6)}{inside}{paragraphs(6, seed=1)}</article>").encode()


def zeros(*, megabytes: int, compressed: bool) -> bytes:
    """A gzip or zlib bomb."""
    buffer = io.BytesIO()
    chunk = b"\0" * (1 << 20)
    if compressed:
        with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file:
            for _ in range(megabytes):
                file.write(chunk)
        return buffer.getvalue()
    stream = zlib.compressobj()
    return b"".join([*(stream.compress(chunk) for _ in range(megabytes)), stream.flush()])


ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 11))
RANDOM = random.Random(7).randbytes(1 << 20)

FEARS = {
    "control": Fear(lambda: page().encode(), ("",)),
    "100,000 nested divs": Fear(lambda: page("<div>" * 100_000 + paragraphs() + "</div>" * 100_000).encode(), ("TOO_DEEP",)),
    "100,000 unclosed divs": Fear(lambda: page("<div>" * 100_000 + paragraphs()).encode(), ("TOO_DEEP",)),
    "20,000 <b><i>": Fear(lambda: page("<b><i>" * 20_000 + paragraphs()).encode(), ("TOO_DEEP",)),
    "20 MB article": Fear(lambda: page(paragraphs(500) * 80).encode(), ("TOO_LARGE",)),
    "20 MB links": Fear(lambda: page('<a href="/x">a link of many</a> ' * 650_000).encode(), ("TOO_LARGE",)),
    "20 MB script": Fear(lambda: page("<script>" + "x=1;" * 5_000_000 + "</script>" + paragraphs()).encode(), ("TOO_LARGE",)),
    "2.9 MB links": Fear(lambda: page('<a href="/x">a link of many</a> ' * 90_000).encode(), ("EXTRACT_TIMEOUT",), slow=True),
    "2.9 MB script": Fear(lambda: page("<script>" + "x=1;" * 700_000 + "</script>" + paragraphs()).encode(), ("",)),
    "1 MB random bytes": Fear(lambda: RANDOM, ("BINARY",)),
    "PDF": Fear(lambda: b"%PDF-1.7\n" + RANDOM[:5000], ("BINARY",)),
    "PNG": Fear(lambda: b"\x89PNG\r\n\x1a\n" + RANDOM[:5000], ("BINARY",)),
    "UTF-16, mark": Fear(lambda: page().encode("utf-16"), ("",)),
    "UTF-16, no mark": Fear(lambda: page().encode("utf-16-be"), ("",)),
    "NUL bytes in tags": Fear(lambda: around("<p cl\0ass='x'>Some words \0 here.</p>"), ("",)),
    "gzip page": Fear(lambda: gzip.compress(page().encode(), mtime=0), ("BINARY",)),
    "gzip bomb": Fear(lambda: zeros(megabytes=1024, compressed=True), ("BINARY",), slow=True),
    "zlib bomb": Fear(lambda: zeros(megabytes=500, compressed=False), ("BINARY",), slow=True),
    "20,000 unclosed tag groups": Fear(lambda: page("<div><p><span><b><ul><li>" * 20_000 + paragraphs()).encode(), ("TOO_DEEP",)),
    "1 MB attribute": Fear(lambda: around(f"<p title='{'x' * 1_000_000}'>Some words.</p>"), ("",)),
    "1 MB attribute, unclosed": Fear(lambda: around(f"<p title='{'x' * 1_000_000}"), ("",)),
    "entity expansion": Fear(
        lambda: (f'<!DOCTYPE html [<!ENTITY e0 "ha">{ENTITIES}]>' + page(paragraphs() + "<p>&e10;</p>")).encode(), ("",)
    ),
    "external entity": Fear(
        lambda: ('<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + page(paragraphs() + "<p>&x;</p>")).encode(), ("",)
    ),
    "empty": Fear(lambda: b"", ("EMPTY_BODY",)),
    "white space": Fear(lambda: b" \n\t " * 1000, ("EMPTY_BODY",)),
    "100,000 <": Fear(lambda: b"<html><body>" + b"<" * 100_000, ("WRONG_LANGUAGE",)),
    "1,000,000 &": Fear(lambda: around("<p>" + "&" * 1_000_000 + "</p>"), ("LONG_WORDS",)),
    "2,000 nested tables": Fear(lambda: page("<table><tr><td>" * 2_000 + paragraphs()).encode(), ("TOO_DEEP",)),
    "130,000 <p>": Fear(
        lambda: page("".join(f"<p>One {n} two.</p>" for n in range(130_000))).encode(),
        ("EXTRACT_TIMEOUT",), slow=True,
    ),
    "200,000 <p>": Fear(lambda: page("<p>Some words here.</p>" * 200_000).encode(), ("TOO_LARGE",)),
    "200,000 <br>": Fear(lambda: around("<br>" * 200_000), ("", "EXTRACT_TIMEOUT"), slow=True),
    "a word of 1 MB": Fear(lambda: around("<p>" + "x" * 1_000_000 + "</p>"), ("LONG_WORDS",)),
    "a paragraph of 2.8 MB": Fear(
        lambda: page("<p>" + " ".join(sentences(18_000)) + "</p>").encode(), ("REPETITIVE", "EXTRACT_TIMEOUT"), slow=True
    ),
    "100,000 attributes": Fear(
        lambda: around("<p " + " ".join(f"a{n}=1" for n in range(100_000)) + ">Some words.</p>"), ("EXTRACT_TIMEOUT",), slow=True
    ),
    "control characters": Fear(
        lambda: around("<p>Bad \x01\x02\x0b\x1f &#0; &#x1; &#xD800; &#xFFFE; &#1114112; &#150; entities.</p>"), ("",)
    ),
    "frameset": Fear(lambda: b"<html><frameset cols='50%,50%'><frame src=a><frame src=b></frameset></html>", ("NO_TEXT",)),
    "100,000 comments": Fear(lambda: around("<!-- a comment -->" * 100_000), ("",)),
    "XHTML that says UTF-16": Fear(
        lambda: f"<?xml version='1.0' encoding='utf-16'?>{page()}".encode(), ("",), [("Content-Type", "application/xhtml+xml")]
    ),
    "unknown charset": Fear(lambda: page().encode(), ("",), [("Content-Type", "text/html; charset=martian-7")]),
    "UTF-7": Fear(lambda: page().encode("utf-7"), ("",), [("Content-Type", "text/html; charset=utf-7")]),
    "5,000 nested lists": Fear(lambda: page("<ul><li>" * 5_000 + paragraphs()).encode(), ("TOO_DEEP",)),
    "300,000 mixed tags": Fear(
        lambda: page("".join(random.Random(3).choices(["<div>", "<p>", "<b>", "</b>", "</div>", "<td>"], k=300_000))).encode(),
        ("TOO_DEEP",),
    ),
    "200,000 dates": Fear(lambda: around("<p>" + "2020-" * 200_000 + "</p>"), ("LONG_WORDS",)),
    "500 blockquotes": Fear(lambda: page("<blockquote>" * 500 + paragraphs()).encode(), ("TOO_DEEP",)),
    "3,000 spans": Fear(lambda: around("".join(f"<span>word{n} </span>" for n in range(3_000))), ("",)),
    "an image's media type": Fear(lambda: page().encode(), ("NOT_HTML",), [("Content-Type", "image/png")]),
    "no media type, no markup": Fear(lambda: "\n".join(sentences(50)).encode(), ("NOT_HTML",), []),
}  # fmt: skip


def record(body: bytes, headers: list[tuple[str, str]] = HTML, *, status: int = 200) -> bytes:
    """A WARC response record, not compressed."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    http = f"HTTP/1.1 {status} OK\r\n{head}\r\n".encode() + body
    return b"WARC/1.1\r\nWARC-Type: response\r\nContent-Length: %d\r\n\r\n%b\r\n\r\n" % (len(http), http)
