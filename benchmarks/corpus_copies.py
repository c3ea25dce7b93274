"""A larger web out of a small one: an archive and its submissions, each copy under other hosts, its text altered.

    python benchmarks/corpus_copies.py SHARED FOLDER --copies 8

FOLDER gets `pages-N.warc.gz` and `submissions-N.ndjson` for each copy; copy 0 is the original.  In the others a third of the
words of every text node are replaced by other words of the same page, seeded, so that copies of a page share hardly a
5-gram and no copy is a duplicate of another, while markup, language and length stay what they are.
"""

import argparse
import gzip
import json
import random
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import zstandard
from warcio.archiveiterator import ArchiveIterator

TEXT_NODE = re.compile(rb">([^<>{}]{20,5000})<")  # braces: a style or a script
REPLACED = 3  # one word of so many
HEAD = "WARC/1.1\r\nWARC-Type: response\r\nWARC-Date: {date}\r\nWARC-Target-URI: {url}\r\nWARC-Record-ID: <urn:x:{number}>\r\n"
HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"


def moved(url: str, *, copy: int) -> str:
    """The URL on a host of its own domain; anything that is none stays."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return url
    if not copy or not host or parts.scheme not in ("http", "https"):
        return url
    return urlunsplit(parts._replace(netloc=f"{host.replace('.', '-')}-{copy}.com"))


def altered(body: bytes, *, seed: int) -> bytes:
    """The page with other words in its texts."""
    chosen = random.Random(seed)
    words = [word for node in TEXT_NODE.findall(body) for word in node.split(b" ") if word.isalpha()]
    if not words:
        return body

    def with_others(node: re.Match[bytes]) -> bytes:
        own = node[1].split(b" ")
        for place in range(chosen.randrange(REPLACED), len(own), REPLACED):
            if own[place].isalpha():
                own[place] = words[int(chosen.random() * len(words))]
        return b">" + b" ".join(own) + b"<"

    return TEXT_NODE.sub(with_others, body)


def responses(archive: Path) -> Iterator[tuple[str, str, bytes]]:
    with archive.open("rb") as file:
        for record in ArchiveIterator(file):
            if record.rec_type == "response":
                headers = record.rec_headers
                yield headers["WARC-Target-URI"], headers["WARC-Date"], record.content_stream().read()


def write_archive(archive: Path, path: Path, *, copy: int) -> None:
    with path.open("wb") as file:
        for number, (url, date, body) in enumerate(responses(archive)):
            page = altered(body, seed=zlib.crc32(url.encode()) + copy) if copy else body
            block = HTTP + page
            head = HEAD.format(date=date, url=moved(url, copy=copy), number=number)
            head += f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
            file.write(gzip.compress(head.encode() + block + b"\r\n\r\n", compresslevel=1, mtime=0))


def submissions(dump: Path) -> Iterator[dict]:
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    with dump.open("rb") as file, reader.stream_reader(file) as stream:
        for line in stream.read().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue  # the dump has one broken line


def write_submissions(dump: Path, path: Path, *, copy: int) -> None:
    lines = []
    for row in submissions(dump):
        if copy:
            row = {**row, "id": f"{copy}{row.get('id')}", "url": moved(row["url"], copy=copy) if row.get("url") else None}
        lines.append(json.dumps(row) + "\n")
    path.write_text("".join(lines))


def write_copies(shared: Path, folder: Path, *, copies: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for copy in range(copies):
        write_archive(shared / "data" / "pages-dev.warc.gz", folder / f"pages-{copy}.warc.gz", copy=copy)
        write_submissions(shared / "data" / "submissions-pages.zst", folder / f"submissions-{copy}.ndjson", copy=copy)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=8)
    options = parser.parse_args()
    write_copies(options.shared, options.folder, copies=options.copies)
