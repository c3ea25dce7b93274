"""Writes the offline sample: `pages.warc.gz` from sites.toml and sites/, `submissions.ndjson.zst` from submissions.csv.

    python examples/build.py [--output DIR]

The same sources give the same bytes on every run: no clock, no random number, no name of this machine.
"""

import argparse
import base64
import csv
import hashlib
import json
import struct
import tomllib
import uuid
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

HERE = Path(__file__).parent
STEP = timedelta(seconds=37)  # between two records of the crawl
REASONS = {200: "OK", 301: "Moved Permanently", 302: "Found", 404: "Not Found", 503: "Service Unavailable"}
REVISIT = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"
ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}  # as Pushshift's dumps escape a URL
MONTH_S = 2_629_800  # 365.25 days / 12


# ---- bodies too large or too odd to keep as files ----


def tide_readings() -> bytes:
    """An honest page that is only too long: 3.5 million bytes of gauge readings, far fewer once compressed."""
    lines = [f"<li>day {n // 96} reading {n % 96}: {(n * n * 7 + n * 31) % 611 - 96} cm above datum</li>" for n in range(75_000)]
    head = "<!DOCTYPE html>\n<html><head><meta charset='utf-8'><title>Every reading of gauge 4</title></head><body><ul>\n"
    return (head + "\n".join(lines) + "\n</ul></body></html>\n").encode()


def too_deep() -> bytes:
    """One sentence below 400 open tags: past the depth of 255 at which libxml2 gives up."""
    sentence = "<p>At the bottom of the well somebody had written that the rope is too short.</p>"
    page = "<html><head><title>The well</title></head><body>" + "<div>" * 400 + sentence + "</div>" * 400
    return (page + "</body></html>\n").encode()


def picture() -> bytes:
    """A PNG of one grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    # A stored block: these bytes do not depend on the compressor.
    pixel = b"\x78\x01\x01\x02\x00\xfd\xff\x00\x80" + struct.pack(">I", zlib.adler32(b"\x00\x80"))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


def manual() -> bytes:
    """The head and the tail of a PDF."""
    return b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"


MADE: dict[str, Callable[[], bytes]] = {
    "tide_readings": tide_readings,
    "too_deep": too_deep,
    "picture": picture,
    "manual": manual,
    "nothing": bytes,
}


# ---- WARC ----


class Response(NamedTuple):
    """What a server sent: the head, ended by an empty line, and the body as it went over the wire."""

    head: bytes
    payload: bytes


def member(data: bytes, *, level: int = 9) -> bytes:
    """One gzip member, without a time or a system in its header."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(data) + deflate.flush()
    return b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def sha1(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def warc_record(kind: str, fields: dict[str, str], block: bytes) -> bytes:
    """A record in a gzip member of its own.  Its id follows from what it says."""
    said = repr((kind, fields, hashlib.sha256(block).hexdigest()))
    lines = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, said)}>",
        **fields,
        "WARC-Block-Digest": sha1(block),
        "Content-Length": str(len(block)),
    }
    head = "WARC/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    return member(head.encode() + block + b"\r\n\r\n")


def encoded(text: str, encoding: str) -> bytes:
    """The text in the charset of its page; UTF-16 little-endian and `utf-8-sig` begin with a byte order mark."""
    return b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16" else text.encode(encoding)


def chunks(data: bytes, *, size: int = 1000) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def response(entry: dict[str, Any], when: datetime) -> Response:
    """The HTTP response of an entry of sites.toml: its host's settings, overridden by its own."""
    if "make" in entry:
        body = MADE[entry["make"]]()
    else:
        text = (HERE / "sites" / entry["file"]).read_text(encoding="utf-8")
        body = encoded(text.replace("@@LOCATION@@", entry.get("location", "")), entry.get("encoding", "utf-8"))
    status = entry.get("status", 200)
    headers = {"Date": f"{when:%a, %d %b %Y %H:%M:%S} GMT", "Server": "example"}
    if content_type := entry.get("content_type", "text/html; charset=utf-8"):
        headers["Content-Type"] = content_type
    if "location" in entry:
        headers["Location"] = entry["location"]
    if entry.get("coding") == "gzip":
        headers["Content-Encoding"] = "gzip"
        body = member(body)
    if entry.get("chunked"):
        headers["Transfer-Encoding"] = "chunked"
        body = chunks(body)
    else:
        headers["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return Response(f"HTTP/1.1 {status} {REASONS[status]}\r\n{lines}\r\n".encode(), body)


def records(crawl: dict[str, Any]) -> Iterator[bytes]:
    """The archive, record by record: warcinfo, then requests, responses and revisits in the order of sites.toml."""
    clock: datetime = crawl["begins"]
    info = {"WARC-Date": f"{clock:%Y-%m-%dT%H:%M:%SZ}", "Content-Type": "application/warc-fields"}
    yield warc_record("warcinfo", info, b"software: examples/build.py\r\nformat: WARC File Format 1.1\r\n")
    seen: dict[str, tuple[str, bytes]] = {}  # URL -> date and payload of its latest response
    for line in crawl["record"]:
        clock += STEP
        host = line["url"].split("/")[2]
        entry = {**crawl["host"].get(host, {}), **line}
        when = entry.get("date", clock)
        date = f"{when:%Y-%m-%dT%H:%M:%SZ}"
        fields = {"WARC-Target-URI": entry["url"], "WARC-Date": date, "Content-Type": "application/http; msgtype=response"}
        if original := entry.get("revisit"):
            first, payload = seen[original]
            fields |= {"WARC-Payload-Digest": sha1(payload), "WARC-Profile": REVISIT}
            fields |= {"WARC-Refers-To-Target-URI": original, "WARC-Refers-To-Date": first}
            yield warc_record("revisit", fields, b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n")
            continue
        if entry.get("request"):
            asked = {**fields, "Content-Type": "application/http; msgtype=request"}
            path = "/" + entry["url"].split("/", 3)[3]
            yield warc_record("request", asked, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = response(entry, when)
        seen[entry["url"]] = (date, answer.payload)
        fields["WARC-Payload-Digest"] = sha1(answer.payload)
        yield warc_record("response", fields, answer.head + answer.payload)


# ---- submissions ----


def escaped(url: str) -> str:
    return "".join(ESCAPED.get(letter, letter) for letter in url)


def submission(row: dict[str, str]) -> str:
    """One line of a dump, with the fields and the habits of the year in which it was posted (facts: docs/sample.md)."""
    if row["kind"] == "broken":
        return row["url"]
    created = datetime.fromisoformat(row["created"]).replace(tzinfo=UTC)
    created_utc = int(created.timestamp())
    url = None if row["kind"] == "null_url" else escaped(row["url"])
    line: dict[str, Any] = {
        "id": row["id"],
        "subreddit": row["subreddit"],
        "url": url,
        "score": None if row["score"] == "null" else int(row["score"]),
        "is_self": row["kind"] == "self",
        "over_18": row["kind"] == "over_18",
        "permalink": f"/r/{row['subreddit']}/comments/{row['id']}/",
        "title": "",
        "selftext": row["url"] if row["kind"] == "self" else "",
        "num_comments": int(row["id"], 36) % 23,
        # A string from 2014-01 to 2015-11, as in the real dumps.
        "created_utc": str(created_utc) if "2014-01" <= row["created"] < "2015-12" else created_utc,
    }
    if row["created"] >= "2012-09":
        line["retrieved_on"] = created_utc + 2 * MONTH_S + int(row["id"], 36) % MONTH_S
    if row["kind"] == "self":
        line["url"] = f"https://www.reddit.com{line['permalink']}"
    if row["kind"] == "removed":
        line |= {"removed_by_category": "moderator", "selftext": "[removed]"}
    if row["kind"] == "crosspost":
        parent, line["url"] = line["url"], "/r/news/comments/5xk2p/"
        line |= {"crosspost_parent": "t3_5xk2p", "crosspost_parent_list": [{"id": "5xk2p", "url": parent, "score": 4120}]}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def submissions() -> bytes:
    with (HERE / "submissions.csv").open(encoding="utf-8", newline="") as table:
        return "".join(submission(row) + "\n" for row in csv.DictReader(table)).encode()


def build(output: Path) -> None:
    """Writes both files of the sample into `output`."""
    crawl = tomllib.loads((HERE / "sites.toml").read_text(encoding="utf-8"))
    (output / "pages.warc.gz").write_bytes(b"".join(records(crawl)))
    (output / "submissions.ndjson.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(submissions()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE, help="an existing folder (default: beside this script)")
    build(parser.parse_args().output)


if __name__ == "__main__":
    main()
