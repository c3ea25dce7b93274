"""Shards of pages in, shards of documents out."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any

import apache_beam as beam
import pyarrow as pa

from pipeline.archive import stored_record
from pipeline.documents.document import Document, DocumentDrop, ExtractConfig
from pipeline.sandbox import Killed, Sandbox, sandbox
from pipeline.schema import DOCUMENT, LedgerRow, Shard
from pipeline.shards import (
    MapShards,
    batches_of,
    fingerprint,
    finished,
    read_table,
    reusable_rows,
    rows_digest,
    shard_path,
    table_of,
    write_ledger,
    write_shard,
)

VERSION = 3  # 2: pages that ask not to be trained on are dropped, from any archive; 3: by declared language too
TASK = "pipeline.documents.page:document"
# Libraries a change of which may change a text.
DECISIVE = ("lxml", "newspaper3k", "py3langid", "regex", "trafilatura")

LOCATION = ("archive", "offset", "length")  # of a page: where it lies does not change what it says
# Dropped pages rest beside the documents, so that the next build need not look at them again.
DROPPED = pa.schema([("id", pa.string()), ("page_digest", pa.string()), ("reason", pa.string()), ("detail", pa.string())])

NO_HEADER: dict[str, Any] = {}  # a record says all there is to say
Outcome = Document | tuple[str, str]  # a document, or reason and detail


def extract_shard(pages: Shard, *, root: str, config: ExtractConfig, workers: int) -> Shard:
    """The documents of a shard of pages, sorted by id.  A page that an earlier build has seen is not read again."""
    table = read_table(pages.path)
    recipe = fingerprint("documents", VERSION, config, {name: version(name) for name in DECISIVE})
    made_from = fingerprint(recipe, rows_digest(batches_of(table.drop_columns(list(LOCATION)))))
    path = shard_path(root, "documents", pages.number, pages.of)
    if shard := finished(path, made_from):
        return shard
    rows = table.to_pylist()
    seen_path = shard_path(root, "documents", pages.number, pages.of, name="dropped")
    known = earlier_outcomes(path, seen_path, recipe=recipe)
    fresh = outcomes([row for row in rows if (row["id"], row["digest"]) not in known], config=config, workers=workers)
    documents, dropped, ledger = [], [], []
    for row in rows:
        outcome = known.get((row["id"], row["digest"])) or next(fresh)
        if isinstance(outcome, Document):
            documents.append(document_row(row, outcome))
        else:
            reason, detail = outcome
            dropped.append((row["id"], row["digest"], reason, detail))
            ledger.append(LedgerRow("documents", reason, row["url"], row["key"], detail))
    numbered: dict[str, Any] = {
        "stage": "documents", "number": pages.number, "of": pages.of, "recipe": recipe, "made_from": made_from,
    }  # fmt: skip
    write_shard(seen_path, table_of(sorted(dropped), DROPPED), **numbered)
    file = write_ledger(root, "documents", pages.number, ledger)
    counts = {"documents_in": pages.rows, "documents_kept": len(documents)}
    documents.sort(key=lambda row: row["id"])
    return write_shard(path, pa.Table.from_pylist(documents, DOCUMENT), ledger=[file], counts=counts, **numbered)


def outcomes(pages: list[dict[str, Any]], *, config: ExtractConfig, workers: int) -> Iterator[Outcome]:
    """What becomes of each page, in their order; children read and judge them."""
    if not pages:
        return
    pool: Sandbox = sandbox(TASK, asdict(config), workers=workers)
    records = (stored_record(row["archive"], offset=row["offset"], length=row["length"]) for row in pages)
    for answer in pool.map((NO_HEADER, record) for record in records):
        if isinstance(answer, Killed):
            yield DocumentDrop[f"EXTRACT_{answer.reason}"].name, answer.detail
        elif "drop" in answer:
            reason, detail = answer["drop"]
            yield reason, detail
        else:
            yield Document(**answer)


def earlier_outcomes(path: str, dropped_path: str, *, recipe: str) -> dict[tuple[str, str], Outcome]:
    """What the same recipe said before of a page, by id and digest."""
    known: dict[tuple[str, str], Outcome] = {}
    columns = ["id", "page_digest", *Document._fields]
    if (table := reusable_rows(path, recipe, columns=columns)) is not None:
        for page_id, digest, *fields in zip(*(column.to_pylist() for column in table.columns), strict=True):
            known[page_id, digest] = Document(*fields)
    if (table := reusable_rows(dropped_path, recipe)) is not None:
        for row in table.to_pylist():
            known[row["id"], row["page_digest"]] = row["reason"], row["detail"]
    return known


def document_row(page: dict[str, Any], document: Document) -> dict[str, Any]:
    """A row of schema.DOCUMENT: what is known of the link, then what its page says."""
    known = {name: page[name] for name in DOCUMENT.names if name in page}
    return {**known, **document._asdict(), "page_digest": page["digest"]}


@dataclass
class ExtractText(beam.PTransform):
    """Turns pages into documents: gates, main text, language, rules; every page that brings none is in the ledger.

    In: Shard of Page.  Out: Shard of Document, sorted by id, one for each.
    `workers`: killable children at a time in each process of the runner.
    """

    root: str
    config: ExtractConfig = field(default_factory=ExtractConfig)
    workers: int = 1
    journal: str | None = None

    def expand(self, pages: beam.PCollection) -> beam.PCollection:
        work = partial(extract_shard, root=self.root, config=self.config, workers=self.workers)
        return pages | beam.Reshuffle() | MapShards(work, across=self.workers, journal=self.journal)
