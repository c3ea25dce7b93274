"""Work folders and the archive of a live crawl, cleaned of what was taken out of a corpus.

    submissions/  praw's dumps are inputs, as other dumps are: never touched, nor is an archive that was given with --archive
    links/        spills: a link becomes the ledger row it would be in a new build; link shards: its row goes
    pages/        page shards: its row goes; live/: its exchanges go from our own WARC segments, whose journals are made again
    documents/    its row goes, and with it the text
    duplicates/   its signature goes, and every file that was made from signatures

A work shard that is written anew keeps its recipe, so that the next build takes its other rows over, but says no longer what it
was made from, so that no build passes it by.  Whatever is killed on the way, the same command again ends it.
"""

import os
from collections.abc import Callable, Iterator, Set
from typing import NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.dedup.columns import write_columns
from pipeline.exclude import Exclusions
from pipeline.fetch.journal import WARC, journal_lines
from pipeline.fetch.segments import clean, repair
from pipeline.link_rules import entry_against, judged
from pipeline.links import removal_row
from pipeline.schema import LINK, Link
from pipeline.shards import fingerprint, open_arrow, read_batches, read_metadata, read_table, write_shard
from pipeline.spill import SPILL, SUMMARY
from pipeline.url import Allowed

PURGED = "purged"


class Purged(NamedTuple):
    """What was cleaned: exchanges of our archive, rows of each folder."""

    exchanges: int = 0
    documents: int = 0
    signatures: int = 0
    pages: int = 0
    links: int = 0

    def lines(self) -> list[str]:
        if not any(self):
            return ["purged      nothing: the work folders hold nothing of what was taken out"]
        counts = zip(self._fields, self, strict=True)
        return ["purged      " + ", ".join(f"{count:,} {name}" for name, count in counts if count)]


def purged(root: str, removed: Exclusions, *, allow_private: tuple[str, ...] = ()) -> Purged:
    """Cleans the work folders under ROOT of what a removal list names.  Call it while the directory is held."""
    allowed = Allowed.parse(allow_private)

    def is_named(url: str) -> bool:
        page = judged(url, allowed=allowed, final=True).page
        return page is not None and entry_against(page.key, excluded=removed) is not None

    ids = {*removed.ids, *ids_in(root, removed, is_named=is_named)}
    live = storage.join(root, "pages", "live")
    repair(live)
    segments = [
        path
        for path in storage.files_in(live, f"*{WARC}")
        if any(entry.id in ids or is_named(entry.final_url) for _, entry in journal_lines(path))
    ]
    # Page shards first: they say where in a segment a page lies.  Links and spills last: they say which ids a domain has.
    pages = sum(without(path, ids, archives=segments) for path in shards_in(root, "pages", "pages"))
    exchanges = sum(clean(path, is_named=is_named) for path in segments)
    documents = sum(without(path, ids) for path in shards_in(root, "documents", "documents"))
    signatures = without_signatures(root, ids)
    sum(without(path, ids) for path in shards_in(root, "links", "links"))
    links = sum(spill_without(path, removed) for path in shards_in(root, "links", "spill"))
    return Purged(exchanges, documents, signatures, pages, links)


def shards_in(root: str, folder: str, name: str) -> list[str]:
    return storage.files_in(storage.join(root, folder), f"{name}-*.arrow")


def ids_in(root: str, removed: Exclusions, *, is_named: Callable[[str], bool]) -> Iterator[str]:
    """Ids of links, pages and documents that a removal list names, and of pages that lay behind a redirect to one."""
    for folder, name in (("links", "spill"), ("links", "links"), ("pages", "pages"), ("documents", "documents")):
        for path in shards_in(root, folder, name):
            columns = ["id", "key", *(["url", "final_url"] if name == "pages" else [])]
            for batch in read_batches(path, columns=columns):
                known = batch.filter(pc.is_valid(batch.column("id")))  # a spill also holds ledger rows
                for id_, key in zip(known.column("id").to_pylist(), known.column("key").to_pylist(), strict=True):
                    if entry_against(key, excluded=removed):
                        yield id_
                if name == "pages":
                    led_on = known.filter(pc.not_equal(known.column("url"), known.column("final_url")))
                    for id_, url in zip(led_on.column("id").to_pylist(), led_on.column("final_url").to_pylist(), strict=True):
                        if is_named(url):
                            yield id_


def without(path: str, ids: Set[str], *, archives: list[str] | None = None) -> int:
    """Writes a work shard anew if it holds one of these ids, or points into one of these archives; returns how many it held."""
    named = pa.array(sorted(ids), pa.string())
    held = sum(pc.sum(pc.is_in(batch.column("id"), value_set=named)).as_py() or 0 for batch in read_batches(path, columns=["id"]))
    if not held and not (archives and points_into(path, archives)):
        return 0
    metadata = read_metadata(path)
    table = read_table(path)
    write_shard(
        path, table.filter(pc.invert(pc.is_in(table["id"], value_set=named))), stage=metadata.stage, number=metadata.number,
        of=metadata.of, recipe=metadata.recipe, made_from=fingerprint(PURGED, metadata.made_from), ledger=metadata.ledger,
    )  # fmt: skip
    return held


def points_into(path: str, archives: list[str]) -> bool:
    names = pa.array(archives, pa.string())
    places = (batch.column("archive") for batch in read_batches(path, columns=["archive"]))
    return any(pc.any(pc.is_in(place, value_set=names)).as_py() for place in places)


def without_signatures(root: str, ids: Set[str]) -> int:
    """Takes signatures away, and before them all that was made from them."""
    named = pa.array(sorted(ids), pa.string())
    touched = {}
    for path in shards_in(root, "duplicates", "signatures"):
        table = read_table(path)
        gone = pc.is_in(table["id"], value_set=named)
        if held := pc.sum(gone).as_py():
            touched[path] = held
    if touched:
        made = storage.files_in(storage.join(root, "duplicates"), "*.arrow")
        storage.remove([path for path in made if not os.path.basename(path).startswith(("signatures-", "older-"))])
    for path in touched:
        metadata = read_metadata(path)
        table = read_table(path)
        write_columns(
            path, table.filter(pc.invert(pc.is_in(table["id"], value_set=named))), stage=metadata.stage, number=metadata.number,
            of=metadata.of, recipe=metadata.recipe, made_from=fingerprint(PURGED, metadata.made_from),
        )  # fmt: skip
    return sum(touched.values())


def spill_without(path: str, removed: Exclusions) -> int:
    """Turns links of a spill into the ledger rows that a partition without them has.  It stays the spill of its dump."""
    reader = open_arrow(path)
    last = reader.num_record_batches - 1
    count = sum(entry is not None for number in range(0, last, 2) for entry in entries_in(reader.get_batch(number), removed))
    if not count:
        return 0
    closing = reader.get_batch_with_custom_metadata(last)
    summary = orjson.loads(closing.custom_metadata[SUMMARY])
    summary = {**summary, "links": summary.get("links", 0) - count, "dropped": summary.get("dropped", 0) + count}
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with storage.publish(path) as file, pa.ipc.new_file(file, reader.schema, options=options) as writer:
        for number in range(0, last, 2):
            links, rows = reader.get_batch(number), reader.get_batch(number + 1)
            entries = entries_in(links, removed)
            gone = pa.array([entry is not None for entry in entries], pa.bool_())
            leaving = links.filter(gone).select(LINK.names).to_pylist()
            made = [removal_row(Link(**link), entry=entry) for link, entry in zip(leaving, filter(None, entries), strict=True)]
            added = pa.RecordBatch.from_pylist([row._asdict() for row in made], SPILL)
            writer.write_batch(links.filter(pc.invert(gone)))
            writer.write_batch(pa.concat_batches([rows, added.replace_schema_metadata(reader.schema.metadata)]))
        writer.write_batch(closing.batch, custom_metadata={SUMMARY: orjson.dumps(summary, option=orjson.OPT_SORT_KEYS)})
    return count


def entries_in(links: pa.RecordBatch, removed: Exclusions) -> list[str | None]:
    return [entry_against(key, excluded=removed) for key in links.column("key").to_pylist()]
