"""Our own archive: WARC segments that are appended to, closed and never touched again, each with its journal.

An exchange is first in the WARC file, then in the journal; a crash between the two costs nothing, a crash before them the
exchange in hand.  On an object store a segment is written to local disk and copied when it is closed.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from pipeline import storage
from pipeline.archive import Record, records
from pipeline.fetch.deadline import Stopped
from pipeline.fetch.journal import CLOSED, JOURNAL, METADATA_FIELD, OPEN, WARC, Entry, entries_in, rebuild
from pipeline.fetch.message import header_values
from pipeline.fetch.reasons import FetchDrop
from pipeline.fetch.transport import Exchange
from pipeline.schema import Link, PipelineError
from pipeline.warc import Member, member, warc_date

REQUEST = "application/http; msgtype=request"
RESPONSE = "application/http; msgtype=response"


class Verdict(NamedTuple):
    """What a link came to.  `page`: the last of its exchanges is its page."""

    reason: str
    detail: str
    final_url: str
    page: bool


class Segments:
    """The segments of one shard in one run.  `append` may be called from many threads."""

    def __init__(self, folder: str, *, shard: int, max_exchanges: int, about: dict[str, str]) -> None:
        self._folder = folder
        self._local = folder if storage.is_local(folder) else tempfile.mkdtemp(prefix="webtext-segments-")
        self._shard = shard
        self._max_exchanges = max_exchanges
        self._about = about
        self._lock = threading.Lock()
        self._name = ""
        self._warc = -1
        self._journal = -1
        self._size = 0
        self._exchanges = 0
        self._closed = False
        self.bytes_written = 0
        storage.make_folder(self._local)

    def append(self, link: Link, exchanges: Sequence[Exchange], verdict: Verdict) -> Entry:
        """Stores what was exchanged for a link and what came of it.  Raises PipelineError when the disk is full."""
        now = time.time()
        members = _members(exchanges)
        response = members[-2] if verdict.page else None
        response_at = sum(len(stored.data) for stored in members[:-2])
        fetched_utc = int(exchanges[-1].started) if exchanges else int(now)
        report = _report(link, exchanges, verdict, response=response and response.record_id, fetched_utc=fetched_utc)
        date = warc_date(exchanges[-1].started if exchanges else now)
        refers = {"WARC-Refers-To": response.record_id} if response else None
        block = METADATA_FIELD + orjson.dumps(report) + b"\r\n"
        # Of any other type, pywb would serve it in place of the page.
        members.append(
            member("metadata", uri=link.url, date=date, block=block, content_type="application/warc-fields", fields=refers)
        )
        data = b"".join(stored.data for stored in members)
        digest = hashlib.sha256(response.data).hexdigest() if response else ""
        with self._lock:
            offset = self._write(data)
            entry = Entry(
                link.id, verdict.reason, verdict.detail, verdict.final_url, fetched_utc,
                offset + response_at if response else 0, len(response.data) if response else 0, digest, self._name,
            )  # fmt: skip
            _write_all(self._journal, entry.line(), self._name + JOURNAL)
            self._exchanges += max(1, len(exchanges))
            if self._exchanges >= self._max_exchanges:
                self._close()
        return entry

    def keep(self, exchanges: Sequence[Exchange]) -> None:
        """Stores what was exchanged for a link that has come to nothing yet."""
        members = _members(exchanges)
        if members:
            with self._lock:
                self._write(b"".join(stored.data for stored in members))
                self._exchanges += len(exchanges)

    def _write(self, data: bytes) -> int:
        """Appends to the open segment, whole or not at all.  Returns where it begins."""
        if self._closed:
            raise Stopped
        if self._warc < 0:
            self._open()
        offset = self._size
        try:
            _write_all(self._warc, data, self._name)
        except PipelineError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._warc, offset)
            raise
        self._size += len(data)
        self.bytes_written += len(data)
        return offset

    def _open(self) -> None:
        now = time.time()
        moment = time.strftime("%Y%m%d%H%M%S", time.gmtime(now)) + f"{int(now * 1000) % 1000:03d}"  # names sort by time
        self._name = f"{moment}-{self._shard:05d}-{uuid.uuid4().hex[:8]}{WARC}"
        path = os.path.join(self._local, self._name)
        self._warc = _opened(path + OPEN)
        fcntl.flock(self._warc, fcntl.LOCK_EX | fcntl.LOCK_NB)  # so that nobody repairs it under our hands
        self._journal = _opened(path + JOURNAL)
        self._size = self._exchanges = 0
        fields = {"software": "webtext", "format": "WARC File Format 1.1", **self._about}
        block = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()
        info = member(
            "warcinfo", uri=None, date=warc_date(time.time()), block=block, content_type="application/warc-fields",
            fields={"WARC-Filename": self._name},
        )  # fmt: skip
        self._write(info.data)

    def _close(self) -> None:
        """Makes the open segment part of the archive."""
        if self._warc < 0:
            return
        path = os.path.join(self._local, self._name)
        _write_all(self._journal, CLOSED, self._name + JOURNAL)
        os.fsync(self._journal)
        os.close(self._journal)
        os.fsync(self._warc)
        if self._local == self._folder:
            os.rename(path + OPEN, path)
        else:
            for source, target in ((path + OPEN, self._name), (path + JOURNAL, self._name + JOURNAL)):
                with open(source, "rb") as local, storage.publish(storage.join(self._folder, target)) as file:
                    shutil.copyfileobj(local, file)
                os.remove(source)
        os.close(self._warc)
        self._warc = self._journal = -1

    def close(self) -> None:
        with self._lock:
            self._close()
            self._closed = True
        if self._local != self._folder:
            shutil.rmtree(self._local, ignore_errors=True)


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError as error:
        raise PipelineError(f"cannot write {path}: {error.strerror}. Mend that, then run the same command again.") from error


def _write_all(descriptor: int, data: bytes, name: str) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except OSError as error:
            message = f"cannot write {name}: {error.strerror}. Mend that, then run the same command again."
            raise PipelineError(message) from error


def _members(exchanges: Sequence[Exchange]) -> list[Member]:
    """Response and request of every answer that came whole, or was refused by its head; the others are in the report.

    So is a page that asks not to be trained on: what is not kept cannot come back in a replay.
    """
    pairs = [_pair(exchange) for exchange in exchanges if exchange.fault is None or _is_kept_head(exchange)]
    return [stored for pair in pairs for stored in pair]


def _is_kept_head(exchange: Exchange) -> bool:
    return exchange.refused and exchange.fault is not None and exchange.fault.reason is not FetchDrop.TRAINING_OPT_OUT


def _pair(exchange: Exchange) -> tuple[Member, Member]:
    date = warc_date(exchange.started)
    fields = {"WARC-IP-Address": exchange.address} if exchange.address else {}
    if exchange.cut:
        fields["WARC-Truncated"] = "length"
    response = member(
        "response", uri=exchange.url, date=date, block=exchange.response, content_type=RESPONSE, fields=fields,
        packed=bool(header_values(exchange.headers, "content-encoding")),
    )  # fmt: skip
    request = member(
        "request", uri=exchange.url, date=date, block=exchange.request, content_type=REQUEST,
        fields={"WARC-Concurrent-To": response.record_id},
    )  # fmt: skip
    return response, request


def _report(
    link: Link, exchanges: Sequence[Exchange], verdict: Verdict, *, response: str | None, fetched_utc: int
) -> dict[str, Any]:
    return {
        **link._asdict(),
        "reason": verdict.reason,
        "detail": verdict.detail,
        "final_url": verdict.final_url,
        "fetched_utc": fetched_utc,
        "response": response,
        "exchanges": [
            {
                "url": exchange.url,
                "status": exchange.status,
                "seconds": round(exchange.latency_s, 3),
                "bytes": len(exchange.response),
                "fault": exchange.fault and f"{exchange.fault.reason.name} {exchange.fault.detail}".strip(),
            }
            for exchange in exchanges
        ],
    }


def repair(folder: str) -> list[str]:
    """Closes the segments that a killed run left open: cut after the last whole record, the journal made to agree.

    Local folders only; on an object store an open segment was never there.  Returns the names of what was closed.
    """
    closed = []
    for path in sorted(Path(folder).glob(f"*{WARC}{OPEN}")) if storage.is_local(folder) else ():
        with open(path, "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # somebody is writing it
            name = path.name.removesuffix(OPEN)
            try:
                entries, end = entries_in(str(path), archive=name)
            except PipelineError:  # not even its first record was written
                entries, end = [], 0
            file.truncate(end)
            os.fsync(file.fileno())
            with storage.publish(os.path.join(folder, name + JOURNAL)) as journal:
                for entry in entries:
                    journal.write(entry.line())
                journal.write(CLOSED)
            if entries:
                os.rename(path, os.path.join(folder, name))
                closed.append(name)
            else:  # killed before its first exchange was whole
                os.remove(os.path.join(folder, name + JOURNAL))
                path.unlink()
    return closed


def clean(path: str, *, is_named: Callable[[str], bool]) -> int:
    """Takes every link out of a closed segment of which a URL is named: all that was exchanged for it, and its line.

    The other records keep their bytes, not their places: page shards that point into the segment must be made again.  Returns
    how many exchanges are gone.
    """
    kept: list[Record] = []
    gone = 0
    group: list[Record] = []  # what was exchanged for one link; its metadata record comes last
    for record in records(path):
        group.append(record)
        if record.headers.get("warc-type") == "metadata":
            if any(is_named(part.target) for part in group):
                gone += responses(group)
            else:
                kept += group
            group = []
        elif record.headers.get("warc-type") == "warcinfo":
            kept.append(group.pop())
    rest = [part for part in group if not is_named(part.target)]  # exchanged for links that have come to nothing yet
    gone += responses(group) - responses(rest)
    storage.remove([path + JOURNAL])  # without one a segment's journal is made again, whatever happens now
    with storage.open_read(path) as source, storage.publish(path) as target:
        for record in [*kept, *rest]:
            target.write(storage.read_range(source, offset=record.offset, length=record.length))
    rebuild(path)
    return gone


def responses(group: Sequence[Record]) -> int:
    return sum(record.headers.get("warc-type") == "response" for record in group)
