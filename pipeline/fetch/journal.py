"""What became of every link that was ever asked for: one line each, beside the WARC segment that proves it.

A link with a line is finished.  A journal can be made again from its segment, whose metadata records say the same.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import orjson

from pipeline import storage
from pipeline.archive import records

WARC = ".warc.gz"
OPEN = ".open"  # a segment being written; renamed when it is closed
JOURNAL = ".journal"
METADATA_FIELD = b"webtext: "  # of a metadata record: WARC has it hold named fields
CLOSED = b'{"closed":true}\n'  # last line of a journal that is whole


class Entry(NamedTuple):
    """The outcome of one link.  `reason` empty: a page, whose response record lies at `offset` of `archive`."""

    id: str
    reason: str
    detail: str
    final_url: str
    fetched_utc: int
    offset: int
    length: int
    digest: str  # SHA-256 of the response record as stored
    archive: str = ""  # name of the segment; not in the line itself

    def line(self) -> bytes:
        return orjson.dumps(self[:-1]) + b"\n"


def entry_of(line: bytes, *, archive: str) -> Entry | None:
    """The entry on a line; None for the closing line and for one cut short by a crash."""
    if not line.endswith(b"\n"):
        return None
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(fields, list) or len(fields) != len(Entry._fields) - 1:
        return None
    return Entry._make([*fields, archive])


def entries_in(path: str, *, archive: str) -> tuple[list[Entry], int]:
    """Every entry that a segment proves, and where its last whole record ends."""
    found: list[Entry] = []
    places: dict[str, tuple[int, int, str]] = {}
    end = 0
    for record in records(path):
        if record.damage:
            break
        end = record.offset + record.length
        kind = record.headers.get("warc-type")
        if kind == "response":
            places[record.headers.get("warc-record-id", "")] = (record.offset, record.length, record.digest)
        elif kind == "metadata":
            verdict = verdict_in(record.head)
            if verdict is not None:
                offset, length, digest = places.get(verdict["response"] or "", (0, 0, ""))
                outcome = [verdict[name] for name in ("id", "reason", "detail", "final_url", "fetched_utc")]
                found.append(Entry._make([*outcome, offset, length, digest, archive]))
                places.clear()
    return found, end


def verdict_in(block: bytes) -> dict[str, Any] | None:
    """What a metadata record of ours says of a link; None if it is another's."""
    try:
        verdict = orjson.loads(block.removeprefix(METADATA_FIELD).rstrip())
    except orjson.JSONDecodeError:
        return None
    return verdict if isinstance(verdict, dict) and "response" in verdict else None


class Journal:
    """All journals of a folder, as an index of 16 bytes an entry."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._names: list[str] = []  # of segments, in the order of their time
        self._hashes: list[np.ndarray] = []
        self._offsets: list[np.ndarray] = []
        self._index: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def refresh(self, pattern: str = "*") -> None:
        """Takes up the segments of these names that were closed since."""
        known = set(self._names)
        for path in storage.files_in(self._folder, pattern + WARC):
            name = os.path.basename(path)
            if name not in known:
                self._read(name)
                self._index = None

    def _read(self, name: str) -> None:
        hashes: list[int] = []
        offsets: list[int] = []
        for offset, entry in self._lines(name):
            hashes.append(int(entry.id[:16], 16))
            offsets.append(offset)
        self._names.append(name)
        self._hashes.append(np.array(hashes, dtype=np.uint64))
        self._offsets.append(np.array(offsets, dtype=np.uint32))

    def _lines(self, name: str) -> Iterator[tuple[int, Entry]]:
        return journal_lines(storage.join(self._folder, name))

    def find(self, ids: Iterable[str], *, and_of_shard: int | None = None) -> dict[str, Entry]:
        """The newest entry of each link that has one.  `and_of_shard`: also in segments that this shard has closed since.

        Those are read through, not indexed: sorting the index again for every shard would cost the square of a large crawl.
        """
        wanted = set(ids)
        found = self._indexed(wanted)
        if and_of_shard is not None:
            known = set(self._names)
            for path in storage.files_in(self._folder, f"*-{and_of_shard:05d}-*{WARC}"):
                name = os.path.basename(path)
                if name not in known:
                    found.update((entry.id, entry) for _, entry in self._lines(name) if entry.id in wanted)
        return found

    def _indexed(self, wanted: set[str]) -> dict[str, Entry]:
        if self._index is None:
            counts = [len(part) for part in self._hashes]
            hashes = np.concatenate(self._hashes) if counts else np.empty(0, np.uint64)
            order = np.argsort(hashes, kind="stable")
            files = np.repeat(np.arange(len(counts), dtype=np.uint32), counts)[order]
            offsets = (np.concatenate(self._offsets) if counts else np.empty(0, np.uint32))[order]
            self._index = (hashes[order], files, offsets)
        hashes, files, offsets = self._index
        places: set[tuple[int, int]] = set()
        keys = np.array([int(name[:16], 16) for name in wanted], dtype=np.uint64)
        for start, stop in zip(np.searchsorted(hashes, keys), np.searchsorted(hashes, keys, side="right"), strict=True):
            places.update((int(files[place]), int(offsets[place])) for place in range(start, stop))
        found: dict[str, Entry] = {}
        names_in_time = sorted(places, key=lambda place: (self._names[place[0]], place[1]))
        file, opened = None, -1
        try:
            for number, offset in names_in_time:
                if number != opened:
                    if file is not None:
                        file.close()
                    file = storage.open_read(storage.join(self._folder, self._names[number]) + JOURNAL)
                    opened = number
                assert file is not None
                file.seek(offset)
                entry = entry_of(file.readline(), archive=self._names[number])
                if entry is not None and entry.id in wanted:
                    found[entry.id] = entry
        finally:
            if file is not None:
                file.close()
        return found


def journal_lines(path: str) -> Iterator[tuple[int, Entry]]:
    """Place and entry of every line in the journal of a closed segment; one that is not whole is made again."""
    if not _is_whole(path + JOURNAL):
        rebuild(path)
    offset = 0
    with storage.open_read(path + JOURNAL) as file:
        for line in file:
            if entry := entry_of(line, archive=os.path.basename(path)):
                yield offset, entry
            offset += len(line)


def _is_whole(path: str) -> bool:
    if not storage.exists(path):
        return False
    size = storage.size(path)
    with storage.open_read(path) as file:
        return size >= len(CLOSED) and storage.read_range(file, offset=size - len(CLOSED), length=len(CLOSED)) == CLOSED


def rebuild(path: str) -> None:
    """Writes the journal of a closed segment anew."""
    entries, _ = entries_in(path, archive=os.path.basename(path))
    with storage.publish(path + JOURNAL) as file:
        for entry in entries:
            file.write(entry.line())
        file.write(CLOSED)
