"""Archives in, an index of their responses out: which record answers a URL.

Two steps with a barrier between.  Each archive is read once into pages/archive-DIGEST.arrow, record batch p holding the
rows whose key hashes to partition p; then partition p of all archives becomes one file sorted by key hash, uncompressed,
so that a look-up is a binary search in mapped memory however many archives there are.
"""

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa

from pipeline import storage
from pipeline.archive import MAX_RECORD_BYTES, Record, http_head, microseconds, records
from pipeline.schema import Shard
from pipeline.shard_list import ShardList, list_path, shards_in, written_list
from pipeline.shards import Gather, MapShards, fingerprint, finished, open_arrow, read_table, shard_path, table_of, write_shard
from pipeline.url import Allowed, UrlError, canonical

VERSION = 1
REDIRECTS = (301, 302, 303, 307, 308)
DIGEST_SCHEMES = ("sha1:", "sha256:", "md5:", "sha512:", "blake")  # no canonical key begins so: a host has no colon

ENTRY = pa.schema([
    ("hash", pa.uint64()),  # of the key
    ("key", pa.string()),  # canonical URL, or the payload digest of a response in a file that needs it
    ("url", pa.string()),
    ("date_us", pa.int64()),
    ("archive_name", pa.string()),
    ("archive_digest", pa.string()),
    ("archive", pa.string()),  # path
    ("offset", pa.int64()),
    ("length", pa.int64()),
    ("digest", pa.string()),
    ("status", pa.int16()),  # 0: the record holds no HTTP response
    ("location", pa.string()),
    ("revisit_of", pa.string()),  # null, or the key under which the record with the body is found
    ("revisit_date_us", pa.int64()),
    ("damage", pa.string()),
])


class Entry(NamedTuple):
    """One archived response."""

    hash: int
    key: str
    url: str
    date_us: int
    archive_name: str
    archive_digest: str
    archive: str
    offset: int
    length: int
    digest: str
    status: int
    location: str | None
    revisit_of: str | None
    revisit_date_us: int
    damage: str

    @property
    def place(self) -> tuple[str, int]:
        return self.archive_digest, self.offset

    @property
    def usable(self) -> bool:
        """Whether it leads to a page: read in full, and an answer or a redirect."""
        return not self.damage and (self.status == 200 or (self.status in REDIRECTS and bool(self.location)))


def key_hash(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "big")


# ---- step 1: one archive ----


def canonical_key(url: str, *, allowed: Allowed) -> str | None:
    """The key of an archived address; None for one that no link could have."""
    try:
        return canonical(url, allowed=allowed).key
    except UrlError:
        return None


def entries(found: Iterable[Record], *, name: str, digest: str, path: str, allowed: Allowed) -> Iterator[Entry]:
    """Index rows of one archive.  A revisit points to the record it repeats: by URL and date, or else by payload digest.

    A response stands a second time under its payload digest, for those revisits.
    """
    for record in found:
        kind = record.headers.get("warc-type")
        if kind not in ("response", "revisit") or not record.target.lower().startswith(("http://", "https://")):
            continue
        key = canonical_key(record.target, allowed=allowed)
        if key is None:
            continue
        status, headers = http_head(record.head)
        payload = record.headers.get("warc-payload-digest")
        revisit_of, revisit_date_us = None, 0
        if kind == "revisit":
            referred = record.headers.get("warc-refers-to-target-uri", "").strip("<> ")
            revisit_of = (canonical_key(referred, allowed=allowed) if referred else None) or payload or key
            revisit_date_us = microseconds(record.headers.get("warc-refers-to-date", ""))
            status = 200 if status in (0, 304) else status  # the answer it repeats was a page
        entry = Entry(
            hash=key_hash(key), key=key, url=record.target, date_us=microseconds(record.headers.get("warc-date", "")),
            archive_name=name, archive_digest=digest, archive=path, offset=record.offset, length=record.length,
            digest=record.digest, status=status, location=headers.get("location"), revisit_of=revisit_of,
            revisit_date_us=revisit_date_us, damage=record.damage,
        )  # fmt: skip
        yield entry
        if kind == "response" and payload:
            yield entry._replace(hash=key_hash(payload), key=payload)


def index_archive(archive: Shard, *, root: str, allow_private: tuple[str, ...]) -> Shard:
    """Index rows of one archive, sorted by hash.  In: Shard of a WARC file."""
    name = os.path.basename(archive.path)
    path = storage.join(root, "pages", f"archive-{fingerprint(archive.digest, archive.path)[:32]}.arrow")
    recipe = fingerprint("archive", VERSION, MAX_RECORD_BYTES, allow_private)
    made_from = fingerprint(recipe, archive.digest, archive.path)
    if shard := finished(path, made_from):
        return shard
    allowed = Allowed.parse(allow_private)
    found = entries(records(archive.path), name=name, digest=archive.digest, path=archive.path, allowed=allowed)
    rows = list(found)
    # A payload digest serves this archive's own revisits; those of another archive refer by URL.
    repeated = {row.revisit_of for row in rows if row.revisit_of}
    rows = sorted(row for row in rows if not row.key.startswith(DIGEST_SCHEMES) or row.key in repeated)
    damaged = sum(1 for row in rows if row.damage)
    return write_shard(
        path, table_of(rows, ENTRY), stage="pages", number=archive.number, of=archive.of, recipe=recipe, made_from=made_from,
        counts={"damaged": damaged},
    )  # fmt: skip


# ---- step 2: one partition of all archives ----


class Partition(NamedTuple):
    number: int
    of: int
    archives: ShardList


def hash_range(hashes: np.ndarray, *, number: int, of: int) -> slice:
    """Where partition `number` of `of` (a power of two) lies in sorted uint64 hashes."""
    shift = np.uint64(64 - (of.bit_length() - 1)) if of > 1 else None
    prefixes = hashes >> shift if shift is not None else np.zeros(len(hashes), np.uint64)
    return slice(int(np.searchsorted(prefixes, number, "left")), int(np.searchsorted(prefixes, number, "right")))


def rows_of(path: str, *, number: int, of: int) -> Iterator[pa.RecordBatch]:
    """Rows of a partition in a file sorted by hash.

    Hashes are spread evenly, so about which record batches hold it is known: one or two are read, not the file, which each of
    4,096 partitions would unpack whole.
    """
    reader = open_arrow(path)

    def part_of(place: int) -> tuple[pa.RecordBatch, slice]:
        batch = reader.get_batch(place).replace_schema_metadata()
        return batch, hash_range(batch.column("hash").to_numpy(), number=number, of=of)

    first = number * reader.num_record_batches // of
    while first > 0 and part_of(first)[1].start == 0:  # it may begin before
        first -= 1
    for place in range(first, reader.num_record_batches):
        batch, part = part_of(place)
        if part.start < part.stop:
            yield batch.slice(part.start, part.stop - part.start)
        if part.stop < len(batch):
            return


def _rows_of(archive: Shard, *, number: int, of: int) -> list[pa.RecordBatch]:
    return list(rows_of(archive.path, number=number, of=of))


def merge_partition(partition: Partition, *, root: str) -> Shard:
    """The rows of one partition from all archives, sorted by hash, uncompressed."""
    path = shard_path(root, "pages", partition.number, partition.of, name="index")
    recipe = fingerprint("index", VERSION)
    archives = shards_in(partition.archives)
    made_from = fingerprint(recipe, sorted(archive.digest for archive in archives))
    if shard := finished(path, made_from):
        return shard
    cut = partial(_rows_of, number=partition.number, of=partition.of)
    parts = [rows for found in storage.each(cut, archives, at=root) for rows in found]
    order = [(name, "ascending") for name in ("hash", "key", "archive_name", "archive_digest", "offset", "archive")]
    table = pa.Table.from_batches(parts, ENTRY).sort_by(order)
    return write_shard(
        path, table, stage="pages", number=partition.number, of=partition.of, recipe=recipe, made_from=made_from, compression=None
    )


@dataclass
class IndexArchives(beam.PTransform):
    """Indexes WARC files.  In: Shard of an archive.  Out: one sorted list of `partitions` index shards."""

    root: str
    partitions: int = 16  # a power of two
    allow_private: tuple[str, ...] = ()
    across: int = 1

    def expand(self, archives: beam.PCollection) -> beam.PCollection:
        of = self.partitions
        index = partial(index_archive, root=self.root, allow_private=self.allow_private)

        def partitions_of(archives: ShardList) -> list[Partition]:
            return [Partition(number, of, archives) for number in range(of)]

        return (
            archives
            | "IndexArchive" >> MapShards(index, across=self.across)
            | "AllArchives" >> Gather()
            | "ListArchives" >> beam.Map(partial(written_list, path=list_path(self.root, "pages", "archives")))
            | "Partitions" >> beam.FlatMap(partitions_of)
            | beam.Reshuffle()
            | "MergePartition" >> MapShards(partial(merge_partition, root=self.root), across=self.across)
            | "WholeIndex" >> Gather()
        )


class ArchiveIndex:
    """Looks canonical keys up.  Partitions are mapped when first needed, those of an object store from a copy on local disk."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = sorted(shards, key=lambda shard: shard.number)
        self._open: dict[int, tuple[np.ndarray, pa.Table]] = {}

    def find(self, key: str) -> list[Entry]:
        """Every response under a key, in no order of preference."""
        wanted = key_hash(key)
        number = wanted >> (64 - (len(self._shards).bit_length() - 1)) if len(self._shards) > 1 else 0
        if number not in self._open:
            shard = self._shards[number]
            table = read_table(storage.local_copy(shard.path, digest=shard.digest))
            self._open[number] = (table.column("hash").to_numpy(), table)
        hashes, table = self._open[number]
        start = int(np.searchsorted(hashes, np.uint64(wanted), "left"))
        stop = int(np.searchsorted(hashes, np.uint64(wanted), "right"))
        if start == stop:
            return []  # most links of a dump, and a slice of no rows costs as much as one of a few
        rows = (Entry(**row) for row in table.slice(start, stop - start).to_pylist())
        return [row for row in rows if row.key == key]

    def best(self, key: str, *, url: str, without: Collection[tuple[str, int]] = ()) -> Entry | None:
        """The response that answers `url`: one that leads to a page before one that does not, then the very URL, then the
        earliest, then the lowest digest: never the name or place of a file.  `without` are places (archive digest, offset)
        already followed.
        """
        rows = [row for row in self.find(key) if row.place not in without]

        def rank(row: Entry) -> tuple:
            return not row.usable, row.url != url, row.date_us, row.digest, row.url, row.archive_name, *row.place

        return min(rows, key=rank, default=None)

    def body_of(self, entry: Entry) -> Entry | None:
        """The record that holds the body of a response: itself, or for a revisit the one it repeats."""
        if entry.revisit_of is None:
            return entry
        bodies = [row for row in self.find(entry.revisit_of) if row.revisit_of is None and not row.damage and row.status == 200]
        if not bodies:
            return None
        return min(bodies, key=lambda row: (abs(row.date_us - entry.revisit_date_us), row.digest, row.archive_name, *row.place))
