"""WARC records as bytes, for tests: plain building blocks, so that a test can break them."""

import gzip

HTML = ("Content-Type: text/html",)


def http(body: bytes = b"<p>hello</p>", *, status: str = "200 OK", headers: tuple[str, ...] = HTML) -> bytes:
    head = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def record(
    url: str,
    block: bytes | None = None,
    *,
    kind: str = "response",
    date: str = "2015-01-01T00:00:00Z",
    length: int | None = None,
    fields: tuple[str, ...] = (),
    version: str = "1.1",
) -> bytes:
    block = http() if block is None else block
    head = [
        f"WARC/{version}", f"WARC-Type: {kind}", f"WARC-Target-URI: {url}", f"WARC-Date: {date}", *fields,
        f"Content-Length: {len(block) if length is None else length}",
    ]  # fmt: skip
    return "\r\n".join(head).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def redirect(url: str, to: str, *, date: str = "2015-01-01T00:00:00Z", status: str = "301 Moved") -> bytes:
    return record(url, http(b"", status=status, headers=(f"Location: {to}",)), date=date)


def packed(*records: bytes) -> bytes:
    """A .warc.gz: a gzip member a record."""
    return b"".join(gzip.compress(part, mtime=0) for part in records)
