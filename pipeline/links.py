"""Submissions in, outbound links out: each canonical key once, with the karma of its best submission."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from typing import TypeVar

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.dump import BadLine, read_dump
from pipeline.exclude import NO_EXCLUSIONS, Exclusions
from pipeline.link_rules import Judged, LinkDrop, entry_against, judged, link_id, origin, url_drop
from pipeline.reposts import folded_reposts, merged
from pipeline.schema import LEDGER, Drop, LedgerRow, Link, PipelineError, Shard, Submission
from pipeline.score_age import median_h, score_age_h, score_age_warning
from pipeline.shard_list import ShardList, list_path, shards_in, written_list
from pipeline.shards import Gather, MapShards, fingerprint, finished, shard_path, table_of, write_ledger_table, write_shard
from pipeline.spill import read_partition, spill_summary, write_spill
from pipeline.url import MAX_CHARS, NOTHING_ALLOWED, Allowed
from pipeline.wanted import Wanted

__all__ = ["Judged", "LinkConfig", "LinkDrop", "SelectLinks", "judged", "link_id", "merged", "select_link", "url_drop"]

VERSION = 1  # of the rules: raise it when the same submissions give other links or ledger rows
MIN_KARMA = 3  # Radford et al. 2019, section 2.1

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LinkConfig:
    """Which submissions a run looks at and which links it takes from them."""

    wanted: Wanted = field(default_factory=Wanted)
    min_karma: int = MIN_KARMA
    karma: str = "max"  # "max": one submission reaches min_karma; "sum": all of a page together, as OpenWebText2 counts
    exclude: Exclusions = NO_EXCLUSIONS
    removed: Exclusions = NO_EXCLUSIONS  # by `webtext remove`; asked behind the spills: no dump is read again
    allow_private: tuple[str, ...] = ()
    allow_truncated: bool = False
    partitions: int = 16  # one must fit into a worker's memory: 1.8 kB a link while put together, 150 bytes a dropped row

    def __post_init__(self) -> None:
        if self.karma not in ("max", "sum"):
            raise PipelineError(f"--karma {self.karma!r} is unknown. Choose max or sum.")
        if self.partitions < 1 or self.partitions & (self.partitions - 1):
            raise PipelineError(f"{self.partitions} partitions: expected a power of two.")
        try:
            self.allowed  # noqa: B018  read once, so that a wrong entry is found before the run
        except ValueError as error:
            raise PipelineError(f"--allow-private: {error}.") from None

    @cached_property
    def allowed(self) -> Allowed:
        return Allowed.parse(self.allow_private)


# ---- one submission ----


def select_link(
    submission: Submission,
    *,
    min_karma: int | None = MIN_KARMA,
    allowed: Allowed = NOTHING_ALLOWED,
    excluded: Exclusions = NO_EXCLUSIONS,
) -> Link | Drop:
    """The outbound link of a submission its readers found worth a vote.  `min_karma` None: the votes are counted later."""
    return selected(submission, min_karma=min_karma, allowed=allowed, excluded=excluded)[0]


def selected(
    submission: Submission, *, min_karma: int | None, allowed: Allowed, excluded: Exclusions
) -> tuple[Link | Drop, str | None]:
    """As `select_link`, with the canonical key as far as there is one."""
    karma = submission.score
    reason = None
    if submission.is_self:
        reason = LinkDrop.SELF_POST
    elif submission.removed:
        reason = LinkDrop.REMOVED
    elif submission.over_18:
        reason = LinkDrop.OVER_18
    elif submission.url is None:
        reason = LinkDrop.NO_URL
    elif karma is None:
        reason = LinkDrop.NO_KARMA
    elif min_karma is not None and karma < min_karma:
        reason = LinkDrop.LOW_KARMA
    if reason is not None:
        return Drop(reason, origin(submission.id, karma)), None
    assert submission.url is not None
    assert karma is not None
    page, drop = judged(submission.url, allowed=allowed, excluded=excluded)
    if drop is None and submission.id in excluded.submission_set:
        drop = Drop(LinkDrop.EXCLUDED, f"entry=t3_{submission.id}")
    if drop is not None:
        detail = origin(submission.id, karma)
        return Drop(drop.reason, f"{detail} {drop.detail}" if drop.detail else detail), page and page.key
    assert page is not None
    link = Link(
        id=link_id(page.key),
        key=page.key,
        url=page.fetch_url,
        domain=page.domain,
        karma=karma,
        submission_id=submission.id,
        subreddit=submission.subreddit,
        created_utc=submission.created_utc,
    )
    return link, page.key


# ---- one dump ----


def spill_dump(dump: Shard, *, root: str, config: LinkConfig, min_score_age_h: float | None = None) -> Shard:
    """The spill of a dump: its links and dropped records by partition, in ROOT/links.  Parsed once, whatever happens later."""
    made_from = fingerprint(VERSION, replace(config, removed=NO_EXCLUSIONS), dump.digest)
    path = storage.join(root, "links", f"spill-{dump.digest}.arrow")
    summary = spill_summary(path, made_from=made_from)
    if summary is None:
        ages: Counter[int] = Counter()
        counts: Counter[str] = Counter()
        with storage.open_read(dump.path) as file:
            lines = read_dump(file, name=dump.path, allow_truncated=config.allow_truncated)
            records = _records(lines, config=config, ages=ages, counts=counts)
            write_spill(
                path,
                records,
                partitions=config.partitions,
                made_from=made_from,
                summary=lambda: {**counts, "score_age_h": median_h(ages)},
            )
        summary = {**counts, "score_age_h": median_h(ages)}
    warning = score_age_warning(summary["score_age_h"], name=dump.path, min_score_age_h=min_score_age_h)
    if warning:
        log.warning("%s", warning)
    return Shard("spill", 0, 1, path, summary.get("links", 0), summary.get("dropped", 0), made_from)


def _records(
    lines: Iterator[Submission | BadLine], *, config: LinkConfig, ages: Counter[int], counts: Counter[str]
) -> Iterator[Link | LedgerRow]:
    """A link or a ledger row for every line of a dump, counted on the way."""
    min_karma = config.min_karma if config.karma == "max" else None
    allowed, excluded, unwanted = config.allowed, config.exclude, config.wanted.drop
    links = dropped = 0
    for line in _ahead(lines):
        if isinstance(line, BadLine):
            detail = f"sha256={line.sha256} {line.detail}".rstrip()
            row = LedgerRow("submissions", line.reason.name, None, None, detail)
        else:
            age = score_age_h(line)
            if age is not None:
                ages[age] += 1
            stage, key = "submissions", None
            drop = unwanted(line)
            if drop is None:
                record, key = selected(line, min_karma=min_karma, allowed=allowed, excluded=excluded)
                if isinstance(record, Link):
                    links += 1
                    yield record
                    continue
                stage, drop = "links", record
            row = LedgerRow(stage, drop.reason.name, line.url and line.url[:MAX_CHARS], key, drop.detail)
        dropped += 1
        yield row
    counts.update(links=links, dropped=dropped)


def _ahead(lines: Iterator[T]) -> Iterator[T]:
    """The same, read some ahead: parsing many, then judging many, spares a tenth of the time by keeping each in the cache."""
    while some := list(islice(lines, 512)):
        yield from some


# ---- one partition ----


def merge_partition(partition: tuple[int, ShardList], *, root: str, config: LinkConfig) -> Shard:
    """The links of one partition of registrable domains, sorted by key, reposts folded; and its two ledger files."""
    number, listed = partition
    spills = shards_in(listed)
    recipe = fingerprint(VERSION, config)
    made_from = fingerprint(recipe, number, sorted(spill.digest for spill in spills))
    path = shard_path(root, "links", number, config.partitions)
    if shard := finished(path, made_from):
        return shard
    found, rows = read_partition([spill.path for spill in spills], number=number, partitions=config.partitions)
    remaining, removed = without_removed(found, excluded=config.removed)
    links, folded = folded_reposts(remaining, min_karma=config.min_karma if config.karma == "sum" else None)
    before = rows.filter(pc.equal(rows["stage"], "submissions"))
    dropped = rows.filter(pc.equal(rows["stage"], "links"))
    counts = {
        "submissions_in": found.num_rows + rows.num_rows,
        "submissions_kept": found.num_rows + dropped.num_rows,
        "links_in": found.num_rows + dropped.num_rows,
        "links_kept": links.num_rows,
    }
    ledger = [
        write_ledger_table(root, "submissions", number, before),
        write_ledger_table(root, "links", number, pa.concat_tables([dropped, removed, folded])),
    ]
    return write_shard(
        path,
        links,
        stage="links",
        number=number,
        of=config.partitions,
        recipe=recipe,
        made_from=made_from,
        ledger=ledger,
        counts=counts,
    )


def without_removed(found: pa.Table, *, excluded: Exclusions) -> tuple[pa.Table, pa.Table]:
    """The links that a removal list does not name, and a ledger row for each that it does: as if a dump's reader had asked it."""
    if not excluded:
        return found, LEDGER.empty_table()
    entries = [
        f"t3_{submission}" if submission in excluded.submission_set else entry_against(key, excluded=excluded)
        for key, submission in zip(found["key"].to_pylist(), found["submission_id"].to_pylist(), strict=True)
    ]
    named = pa.array([entry is not None for entry in entries], pa.bool_())
    removed = found.filter(named)
    rows = [
        removal_row(Link(**link), entry=entry)
        for link, entry in zip(removed.to_pylist(), filter(None, entries), strict=True)
    ]
    return found.filter(pc.invert(named)), table_of(rows, LEDGER)


def removal_row(link: Link, *, entry: str) -> LedgerRow:
    detail = f"{origin(link.submission_id, link.karma)} entry={entry}"
    return LedgerRow("links", LinkDrop.EXCLUDED.name, link.url, link.key, detail)


# ---- the stage ----


@dataclass  # not frozen: Beam writes attributes on its transforms
class SelectLinks(beam.PTransform):
    """Keeps outbound links with at least `min_karma` karma, each canonical key once.

    In: Shard of a dump.  Out: Shard of Link, sorted by key; a registrable domain lies in one shard.
    """

    root: str
    config: LinkConfig = field(default_factory=LinkConfig)
    min_score_age_h: float | None = None
    across: int = 1
    journal: str | None = None

    def expand(self, dumps: beam.PCollection) -> beam.PCollection:
        spill = partial(spill_dump, root=self.root, config=self.config, min_score_age_h=self.min_score_age_h)
        merge = partial(merge_partition, root=self.root, config=self.config)
        numbers = range(self.config.partitions)
        return (
            dumps
            | "SpillDumps" >> MapShards(spill, across=self.across)
            | "AllSpills" >> Gather()
            | "ListSpills" >> beam.Map(partial(written_list, path=list_path(self.root, "links", "spills")))
            | "Partitions" >> beam.FlatMap(lambda spills: [(number, spills) for number in numbers])
            | "SpreadPartitions" >> beam.Reshuffle()
            | "MergePartitions" >> MapShards(merge, across=self.across, journal=self.journal)
        )
