"""A small web made up by a seeded pen, the submissions that link to it, and what must become of every one of them.

    web = small_web()            # 250 articles to keep, and records that each stage must drop
    web.write(folder)            # folder/dumps/*.ndjson.zst, folder/archives/*.warc.gz

Every line of the dump has its fate planned, so a test need not believe the ledger: it can count it.
"""

import gzip
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from pipeline.link_rules import link_id
from pipeline.url import UrlError, canonical

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))
from warc_bytes import http, record, redirect

KEPT = ("corpus", "")
POSTED = 1_380_057_440  # 24 September 2013; the day ends in the middle of the posts

WHO = (
    "the miller|an old sailor|her youngest aunt|the night porter|a retired surveyor|our neighbour Ines|"
    "the bell ringer|a schoolmaster|the harbour pilot|his cousin|a travelling printer|the lock keeper|"
    "a botanist from the valley|the signalman|two apprentices|the ferryman|a glass cutter|the village doctor|"
    "an organ builder|the postmistress|a shepherd|the clockmaker's widow|a cartographer"
)
DID = (
    "mended|described|measured|carried home|forgot about|painted over|argued about|counted|photographed|sold|buried|"
    "restored|borrowed|dreamt of|kept a diary about|tore down|dug up|wrote a song about|catalogued|lost sight of|"
    "gave away|weighed|guarded|drew a plan of"
)
WHAT = (
    "the leaking aqueduct|a crate of lemons|the oldest pear tree|an unfinished bridge|the brass telescope|"
    "seven letters|the flooded quarry|a broken loom|the lighthouse stairs|a map of the marshes|the parish register|"
    "an iron stove|the wooden viaduct|a hive of bees|the copper kettle|a tide table|the observatory dome|"
    "a box of seeds|the weathercock|an unsigned portrait|the drying racks|a sundial"
)
WHERE = (
    "behind the tannery|before the first frost|on the road to the coast|near the upper weir|in a rented attic|"
    "under the railway arch|at the autumn fair|without telling anyone|by candle light|during the long strike|"
    "among the reeds|for a whole winter|against all advice|in the lower meadow|after the storm had passed|"
    "with borrowed tools|from the edge of the cliff|on market days"
)
WHY = (
    "because the rent was due|although nobody had asked|since the river had changed its bed|"
    "so that the children could see it|which cost more than it should have|and the newspaper mentioned it twice|"
    "while the rest of the town slept|as the records still show|until the council forbade it|"
    "and that was the end of the matter|which explains the smell of tar|but the ledger says otherwise"
)
GERMAN = (
    "Der Müller verließ am frühen Morgen das Haus und ging über die nasse Wiese zum Wehr. Dort wartete schon der "
    "Nachbar, der ihm vom Brand in der alten Gerberei erzählte. Niemand wusste, wie das Feuer entstanden war, aber "
    "alle hatten eine Meinung dazu. "
)
LOREM = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore "
    "magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo "
    "consequat. "
)


class Fate(NamedTuple):
    """How a record of the input is known in the output, and where it ends."""

    name: str  # sha256=... of a bad line, a submission's id up to the links stage, a document's id from there on
    stage: str
    reason: str


class Web(NamedTuple):
    lines: list[bytes]  # of the dump
    fates: list[Fate]  # one a line
    records: list[bytes]  # WARC records, not compressed

    @property
    def expected(self) -> Counter[Fate]:
        return Counter(self.fates)

    def write(self, folder: Path, *, seed: int | None = None, dumps: int = 2, archives: int = 2) -> "Files":
        """Dumps and archives.  `seed`: rows and records are dealt out in another order, the files named otherwise."""
        lines, stored = list(self.lines), list(self.records)
        prefix = ""
        if seed is not None:
            random.Random(seed).shuffle(lines)
            random.Random(seed + 1).shuffle(stored)
            prefix = f"{seed % 7}-copy-"
        for sub in ("dumps", "archives"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        for n in range(dumps):
            dump = b"".join(line + b"\n" for line in lines[n::dumps])
            (folder / "dumps" / f"{prefix}RS-{dumps - n}.ndjson.zst").write_bytes(zstandard.compress(dump))
        for n in range(archives):
            warc = b"".join(gzip.compress(part, 1, mtime=0) for part in stored[n::archives])
            (folder / "archives" / f"{prefix}{n}.warc.gz").write_bytes(warc)
        return Files(str(folder / "dumps" / "*.zst"), str(folder / "archives" / "*.warc.gz"))


class Files(NamedTuple):
    """Globs."""

    dumps: str
    archives: str

    @property
    def arguments(self) -> list[str]:
        return ["--submissions", self.dumps, "--archive", self.archives]


class Pen:
    """Writes sentences that no other seed writes."""

    def __init__(self, seed: object) -> None:
        self.chance = random.Random(str(seed))

    def sentence(self) -> str:
        who, did, what, where, why = (self.chance.choice(words.split("|")) for words in (WHO, DID, WHAT, WHERE, WHY))
        other, year = self.chance.choice(WHAT.split("|")), self.chance.randint(1780, 1979)
        return f"{who[0].upper()}{who[1:]} {did} {what} {where} in {year}, {why}, and of {other} there was nothing to be said."

    def paragraphs(self, count: int, *, sentences: int = 3) -> list[str]:
        return [" ".join(self.sentence() for _ in range(sentences)) for _ in range(count)]


def article(paragraphs: Sequence[str], *, title: str = "From the archive", language: str = "en") -> bytes:
    body = "".join(f"<p>{paragraph}</p>\n" for paragraph in paragraphs)
    return (
        f"<!DOCTYPE html><html lang='{language}'><head><meta charset='utf-8'><title>{title}</title></head><body>\n"
        f"<nav><a href='/'>Home</a> <a href='/about'>About</a></nav>\n<article><h1>{title}</h1>\n{body}</article>\n"
        "<footer>All rights reserved.</footer></body></html>"
    ).encode()


class Maker:
    """Adds submissions and pages one by one."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.web = Web([], [], [])
        self.chance = random.Random(seed)

    def bad_line(self, line: bytes, reason: str) -> None:
        self.web.lines.append(line)
        self.web.fates.append(Fate(f"sha256={hashlib.sha256(line).hexdigest()}", "submissions", reason))

    def submit(self, url: str | None, stage: str, reason: str, *, name: str | None = None, **fields: Any) -> str:
        """One line of the dump.  Returns the submission's id."""
        number = len(self.web.lines)
        name = name or f"s{self.seed}x{number}"
        known = {
            "id": name, "url": url, "score": 3 + number % 40, "created_utc": POSTED + 61 * number, "subreddit": f"r{number % 9}",
            "is_self": False, "over_18": False, "retrieved_on": POSTED + 10_000_000,
        }  # fmt: skip
        self.web.lines.append(json.dumps({**known, **fields}).encode())
        self.web.fates.append(Fate(name if stage in ("submissions", "links") else document_id(url), stage, reason))
        return name

    def store(self, url: str, body: bytes, *, date: str | None = None, **http_fields: Any) -> None:
        date = date or f"2014-03-{1 + len(self.web.records) % 28:02d}T12:00:00Z"
        self.web.records.append(record(url, http(body, **http_fields), date=date))

    def page(self, url: str, body: bytes, stage: str = KEPT[0], reason: str = KEPT[1], **fields: Any) -> None:
        self.submit(url, stage, reason, **fields)
        self.store(url, body)


def document_id(url: str | None) -> str:
    try:
        return link_id(canonical(url or "").key)
    except UrlError:
        return ""


def small_web(articles: int = 230, *, seed: int = 1, hosts: int = 37, paragraphs: int = 5) -> Web:
    """`articles` pages to keep on `hosts` hosts, and some eighty records that are dropped, of every stage."""
    maker = Maker(seed)
    for n in range(articles):
        pen = Pen((seed, n))
        address = f"http://www.site{n % hosts}.example/{seed}/story-{n}.html"
        maker.page(address, article(pen.paragraphs(paragraphs), title=f"Story {n}"))
    drop_submissions(maker)
    drop_links(maker)
    drop_pages(maker)
    drop_documents(maker)
    drop_duplicates(maker)
    order = list(range(len(maker.web.lines)))
    maker.chance.shuffle(order)
    maker.chance.shuffle(maker.web.records)
    return Web([maker.web.lines[n] for n in order], [maker.web.fates[n] for n in order], maker.web.records)


def drop_submissions(maker: Maker) -> None:
    maker.bad_line(b'{"id": "cut off in the mid', "BAD_JSON")
    maker.bad_line(b'{"id": "b1", "url": "http://a.example/\xff\xfe"}', "BAD_UTF8")
    maker.bad_line(b'{"id": "b2", "url": "http://a.example/"}\0\0\0\0', "NUL_BYTE")
    maker.bad_line(b'{"id": 17, "url": "http://a.example/", "score": 5, "created_utc": 1380000000}', "BAD_FIELD")
    maker.bad_line(b'["no", "object"]', "BAD_JSON")


def drop_links(maker: Maker) -> None:
    s = maker.submit
    for n in range(4):
        s(f"http://www.unloved.example/{n}", "links", "LOW_KARMA", score=2 - n)
    s("http://www.site1.example/self", "links", "SELF_POST", is_self=True)
    s("http://www.site1.example/gone", "links", "REMOVED", removed_by_category="moderator")
    s("http://www.site1.example/nsfw", "links", "OVER_18", over_18=True)
    s(None, "links", "NO_URL")
    s("http://www.site1.example/unscored", "links", "NO_KARMA", score=None)
    s("/r/books/comments/1/a_title/", "links", "REDDIT")
    s("http://www.reddit.com/r/books", "links", "REDDIT")
    s("http://de.m.wikipedia.org/wiki/Wehr", "links", "WIKIPEDIA")
    s("http://i.imgur.com/abc", "links", "IMAGE_HOST")
    s("https://www.youtube.com/watch?v=1", "links", "MEDIA_HOST")
    s("https://archive.is/xYz12", "links", "ARCHIVE_WRAPPER")
    s("http://www.site2.example/paper.PDF", "links", "EXTENSION")
    s("mailto:someone@site2.example", "links", "SCHEME")
    s("http://10.0.0.1/secret", "links", "IP_HOST")
    s("http://user:word@site2.example/", "links", "USERINFO")
    s("http://intranet/", "links", "BAD_HOST")
    s("http://site2.example:8080/", "links", "PORT")
    s("http://www.site2.example/" + "x" * 3000, "links", "TOO_LONG")
    for n in range(8):  # the same page, spelled otherwise and less loved
        s(f"https://site{n % 37}.example/{maker.seed}/story-{n}.html?utm_source=feed{n}", "links", "REPOST", score=3)
    twin = maker.submit("http://www.twice.example/", "pages", "NOT_ARCHIVED", name=f"twin{maker.seed}", score=9)
    line = maker.web.lines[-1]
    maker.web.lines.append(line)  # a dump that overlaps with another
    maker.web.fates.append(Fate(twin, "links", "SAME_SUBMISSION"))


def drop_pages(maker: Maker) -> None:
    s, records = maker.submit, maker.web.records
    for n in range(5):
        s(f"http://www.forgotten.example/{n}", "pages", "NOT_ARCHIVED")
    for n, status in enumerate(("404 Not Found", "500 Broken", "403 No")):
        s(f"http://www.errors.example/{n}", "pages", "HTTP_STATUS")
        maker.store(f"http://www.errors.example/{n}", b"<p>no</p>", status=status)
    for n, (target, reason) in enumerate([
        ("http://en.wikipedia.org/wiki/Weir", "WIKIPEDIA"), ("http://www.reddit.com/", "REDDIT"),
        ("http://192.168.0.1/", "IP_HOST"), ("http://www.moved.example/3", "REDIRECT_LOOP"),
        ("ftp://www.moved.example/", "SCHEME"), ("/lost", "NOT_ARCHIVED"),
        ("http://", "BAD_REDIRECT"),
    ]):  # fmt: skip
        s(f"http://www.moved.example/{n}", "pages", reason)
        records.append(redirect(f"http://www.moved.example/{n}", target))
    s("http://www.far.example/0", "pages", "TOO_MANY_REDIRECTS")
    records.extend(redirect(f"http://www.far.example/{n}", f"/{n + 1}") for n in range(9))
    for n in range(4):  # leads to an article of its own
        s(f"http://www.short.example/{n}", *KEPT)
        records.append(redirect(f"http://www.short.example/{n}", f"http://www.long.example/moved-{n}"))
        maker.store(f"http://www.long.example/moved-{n}", article(Pen((maker.seed, "moved", n)).paragraphs(5)))
    for n in range(4):  # two captures of one second, two bodies: which one is read must not depend on the files
        s(f"http://www.twofold.example/{n}", *KEPT)
        for copy in range(3):
            body = article(Pen((maker.seed, "twofold", n, copy)).paragraphs(5))
            maker.store(f"http://www.twofold.example/{n}", body, date="2014-05-05T05:05:05Z")


def drop_documents(maker: Maker) -> None:
    pen, page = Pen((maker.seed, "dropped")), maker.page
    for n in range(4):
        page(f"http://www.brief.example/{n}", article([pen.sentence()]), "documents", "TOO_SHORT")
        page(f"http://www.zeitung.example/{n}", article([GERMAN * 4 + str(n)], language="de"), "documents", "WRONG_LANGUAGE")
    page("http://www.filler.example/", article([LOREM * 6]), "documents", "WRONG_LANGUAGE")
    page("http://www.hollow.example/", b"<html><body></body></html>", "documents", "NO_TEXT")
    page("http://www.blank.example/", b" \n ", "documents", "EMPTY_BODY")
    page("http://www.picture.example/", b"\x89PNG\r\n\x1a\n" + bytes(500), "documents", "BINARY")
    page("http://www.huge.example/", article(["x " * 1_600_000]), "documents", "TOO_LARGE")
    url = "http://www.plain.example/"
    maker.submit(url, "documents", "NOT_HTML")
    maker.store(url, b"plain words", headers=("Content-Type: text/plain",))


def drop_duplicates(maker: Maker) -> None:
    """The best copy is the most loved one: karma here is above all others."""
    for n in range(6):
        original = Pen((maker.seed, "copied", n)).paragraphs(6)
        maker.page(f"http://www.first{n}.example/", article(original), score=900)
        maker.page(f"http://www.copy{n}.example/", article(original), "duplicates", "EXACT_DUPLICATE", score=100)
        touched = [*original[:-1], original[-1].replace(" and ", " but also ", 2)]
        maker.page(f"http://www.near{n}.example/", article(touched), "duplicates", "NEAR_DUPLICATE", score=50)
