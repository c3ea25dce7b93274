"""Links in, pages out: where the answer to each link lies, in archives that are there or in those of a live crawl."""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import NamedTuple

import ada_url
import apache_beam as beam

from pipeline import storage
from pipeline.archive_index import REDIRECTS, ArchiveIndex, Entry, IndexArchives
from pipeline.exclude import NO_EXCLUSIONS, Exclusions
from pipeline.fetch.config import FetchConfig
from pipeline.fetch.crawl import crawl_shard
from pipeline.fetch.reasons import FetchDrop
from pipeline.link_rules import judged, url_drop
from pipeline.schema import PAGE, Drop, LedgerRow, Link, Shard
from pipeline.shard_list import ShardList, list_path, shards_in, written_list
from pipeline.shards import MapShards, fingerprint, finished, read_table, shard_path, table_of, write_ledger, write_shard
from pipeline.url import MAX_CHARS, Allowed

VERSION = 1
MAX_REDIRECTS = 5  # as the live crawl


class ReplayDrop(StrEnum):
    """Why a link found no page in the archives, beside the reasons of `FetchDrop`."""

    NOT_ARCHIVED = "no archive holds an answer for this link"


class Page(NamedTuple):
    """A link and the stored answer to it.  Fields as schema.PAGE."""

    id: str
    key: str
    url: str
    domain: str
    karma: int
    submission_id: str
    subreddit: str
    created_utc: int
    final_url: str
    fetched_utc: int
    archive: str
    offset: int
    length: int
    digest: str


def archived_page(link: Link, index: ArchiveIndex, *, allowed: Allowed, excluded: Exclusions) -> Page | Drop:
    """The archived answer to a link, redirects followed inside the archives; where they lead must pass the rules for links."""
    url, key = link.url, link.key
    followed: set[tuple[str, int]] = set()
    for hop in range(MAX_REDIRECTS + 1):
        entry = index.best(key, url=url, without=followed)
        detail = f"redirect={url}" if hop else ""
        if entry is None:
            loop = bool(hop) and any(place.url == url for place in index.find(key) if place.place in followed)
            return Drop(FetchDrop.REDIRECT_LOOP if loop else ReplayDrop.NOT_ARCHIVED, detail)
        if entry.damage:
            reason = FetchDrop.TOO_LARGE if entry.damage.startswith("longer") else FetchDrop.BROKEN_RECORD
            return Drop(reason, entry.damage)
        if entry.status == 200:
            final = judged(entry.url, allowed=allowed, excluded=excluded, final=True)
            if final.drop is not None:
                return final.drop._replace(detail=detail)
            body = index.body_of(entry)
            if body is None:
                return Drop(ReplayDrop.NOT_ARCHIVED, f"a revisit of {entry.revisit_of}, which no archive holds")
            return page_of(link, url=entry.url, entry=entry, body=body)
        if entry.status not in REDIRECTS:
            return Drop(FetchDrop.HTTP_STATUS, f"status={entry.status}" if entry.status else "not an HTTP response")
        target = redirect_target(entry)
        if target is None:
            return Drop(FetchDrop.BAD_REDIRECT, f"status={entry.status} location={(entry.location or '')[:200]}")
        page, drop = judged(target, allowed=allowed, excluded=excluded)
        if page is None or drop is not None:
            return Drop(drop.reason if drop else FetchDrop.BAD_REDIRECT, f"redirect={target[:MAX_CHARS]}")
        followed.add(entry.place)
        url, key = page.fetch_url, page.key
    return Drop(FetchDrop.TOO_MANY_REDIRECTS, f"more than {MAX_REDIRECTS}")


def redirect_target(entry: Entry) -> str | None:
    """The absolute URL a redirect leads to, or None."""
    try:
        return ada_url.join_url(entry.url, entry.location or "").partition("#")[0] if entry.location else None
    except ValueError:
        return None


def page_of(link: Link, *, url: str, entry: Entry, body: Entry) -> Page:
    fetched_utc = entry.date_us // 1_000_000
    return Page(*link, url, fetched_utc, body.archive, body.offset, body.length, body.digest)


# ---- the stage ----


class Lookup(NamedTuple):
    """A shard of links and the index to find their pages in."""

    links: Shard
    archive_index: ShardList


def find_pages(lookup: Lookup, *, root: str, allow_private: tuple[str, ...], excluded: Exclusions) -> Shard:
    """The archived pages of one shard of links."""
    links = lookup.links
    path = shard_path(root, "pages", links.number, links.of)
    recipe = fingerprint("pages", VERSION, MAX_REDIRECTS, allow_private, excluded)
    parts = shards_in(lookup.archive_index)
    made_from = fingerprint(recipe, links.digest, [shard.digest for shard in parts])
    if shard := finished(path, made_from):
        return shard
    index = ArchiveIndex(parts)
    allowed = Allowed.parse(allow_private)
    pages: list[Page] = []
    ledger: list[LedgerRow] = []
    for row in read_table(links.path).to_pylist():
        link = Link(**row)
        found = archived_page(link, index, allowed=allowed, excluded=excluded)
        if isinstance(found, Page):
            pages.append(found)
        else:
            ledger.append(LedgerRow("pages", found.reason.name, link.url, link.key, found.detail))
    pages.sort(key=lambda page: page.id)
    file = write_ledger(root, "pages", links.number, ledger)
    counts = {"pages_in": links.rows, "pages_kept": len(pages)}
    return write_shard(
        path, table_of(pages, PAGE), stage="pages", number=links.number, of=links.of, recipe=recipe, made_from=made_from,
        ledger=[file], counts=counts,
    )  # fmt: skip


def archive_shard(numbered: tuple[int, str], *, of: int) -> Shard:
    number, path = numbered
    return Shard("archives", number, of, path, 0, 0, storage.input_digest(path))


@dataclass
class FetchPages(beam.PTransform):
    """Finds the page behind every link.

    In: Shard of Link.  Out: Shard of Page, one for each; what it points to is read by `pipeline.archive.stored_record`.
    `archives`: WARC files to replay, and the network is never touched; None: a live crawl, as `fetch` says.
    """

    root: str
    archives: list[str] | None = None
    fetch: FetchConfig | None = None
    partitions: int = 16  # of links, and of the index; a power of two
    allow_private: tuple[str, ...] = ()
    excluded: Exclusions = NO_EXCLUSIONS
    across: int = 1  # shards in work at a time
    journal: str | None = None

    def expand(self, links: beam.PCollection) -> beam.PCollection:
        return self.crawled(links) if self.archives is None else self.replayed(links, self.archives)

    def crawled(self, links: beam.PCollection) -> beam.PCollection:
        assert self.fetch is not None, "a live crawl needs a FetchConfig"
        rule = partial(url_drop, allowed=Allowed.parse(self.allow_private), excluded=self.excluded)
        work = partial(crawl_shard, root=self.root, config=self.fetch, url_drop=rule, rules=fingerprint(self.excluded))
        # All shards at once, so that one slow host never idles the crawl; the engine bounds the exchanges.
        return (
            links
            | "SpreadLinks" >> beam.Reshuffle()
            | "Crawl" >> MapShards(work, across=self.partitions, journal=self.journal)
        )

    def replayed(self, links: beam.PCollection, archives: list[str]) -> beam.PCollection:
        numbered = list(enumerate(archives))
        index = (
            links.pipeline
            | "Archives" >> beam.Create(numbered, reshuffle=False)
            | "Digest" >> MapShards(partial(archive_shard, of=len(numbered)), across=self.across)
            | IndexArchives(self.root, partitions=self.partitions, allow_private=self.allow_private, across=self.across)
            | "ListIndex" >> beam.Map(partial(written_list, path=list_path(self.root, "pages", "index")))
        )
        work = partial(find_pages, root=self.root, allow_private=self.allow_private, excluded=self.excluded)
        return (
            links
            | "WithIndex" >> beam.Map(Lookup, beam.pvalue.AsSingleton(index))
            | "SpreadLinks" >> beam.Reshuffle()
            | "FindPages" >> MapShards(work, across=self.across, journal=self.journal)
        )
