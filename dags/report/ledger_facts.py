"""What was thrown away: hosts, what reasons say in detail, members of clusters and a sample of every reason, from the ledger."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dags.finished_corpus import ledger_batches
from dags.report.corpus_facts import counted
from dags.report.tallies import Lowest, Tally
from pipeline.url import HOST, registrable_domain

CHUNK_ROWS = 1 << 16
DROPPED_SAMPLE = 20  # of each reason of each stage
MEMBERS = 25  # shown of a cluster
TOLD_VALUES = 10_000  # of a reason's details that are told apart
NO_HOST = "(no host name)"
# Of the URL as it was submitted, so that userinfo, ports and strange schemes may stand in it.
HOST_OF = r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(?P<host>[^/?#:@\\]+)"
# What details tell: reason -> the name before the equals sign.
TOLD = {
    "HTTP_STATUS": "status",
    "NOT_HTML": "media_type",
    "BINARY": "format",
    "WRONG_LANGUAGE": "language",
    "UNCLEAR_LANGUAGE": "language",
}


class Dropped(NamedTuple):
    """A record that went no further."""

    stage: str
    reason: str
    url: str | None
    detail: str
    kept: str | None


class LedgerFacts(NamedTuple):
    rows: int
    domains: dict[str, Counter[str]]  # registrable domain -> reason -> records
    forgotten: int  # hosts with no more records than this may be missing
    told: dict[str, Counter[str]]  # reason -> value of its detail -> records
    members: dict[str, list[Dropped]]  # id of a keeper -> some of those folded into it, by URL
    sample: list[Dropped]  # by stage and reason


def ledger_facts(root: str, manifest: dict[str, Any], *, keepers: Collection[str]) -> LedgerFacts:
    """`keepers`: ids of documents whose duplicates are wanted.  Raises ShardError for a file that is missing or damaged."""
    hosts: Tally[tuple[str | None, str]] = Tally()
    told: defaultdict[str, Tally[str]] = defaultdict(lambda: Tally(most=TOLD_VALUES))  # a server may call its media type anything
    members: defaultdict[str, list[Dropped]] = defaultdict(list)
    samples: defaultdict[tuple[str, str], Lowest[Dropped]] = defaultdict(lambda: Lowest(DROPPED_SAMPLE))
    rows = 0
    for chunk in chunks(ledger_batches(root, manifest)):
        rows += chunk.num_rows
        hosts.add(host_counts(chunk))
        for reason, counts in details(chunk):
            told[reason].add(counts)
        for member in members_of(keepers, chunk):
            if member.kept is not None:
                members[member.kept] = sorted([*members[member.kept], member], key=lambda row: row.url or "")[:MEMBERS]
        columns = [chunk.column(name).to_pylist() for name in Dropped._fields]
        for fields in zip(*columns, strict=True):
            stage, reason, url, detail, _ = fields
            lowest, key = samples[stage, reason], f"{url} {detail}"
            if (rank := lowest.rank(key)) is not None:
                lowest.put(rank, key, Dropped(*fields))
    return LedgerFacts(
        rows=rows,
        domains=domains_of(hosts),
        forgotten=hosts.forgotten,
        told={reason: tally.counts for reason, tally in told.items()},
        members=dict(members),
        sample=[row for _, lowest in sorted(samples.items()) for row in lowest.items()],
    )


def chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows in tables large enough to be counted at once, one in memory at a time."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(each.num_rows for each in waiting) >= CHUNK_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def host_counts(chunk: pa.Table) -> dict[tuple[str | None, str], int]:
    """Records by host and reason; rows without a URL are not counted."""
    linked = chunk.filter(pc.is_valid(chunk.column("url")))
    host = pc.struct_field(pc.extract_regex(linked.column("url"), HOST_OF), "host")
    pairs = pa.table({"host": pc.ascii_lower(host), "reason": linked.column("reason")})
    grouped = pairs.group_by(["host", "reason"]).aggregate([([], "count_all")]).to_pydict()
    return dict(zip(zip(grouped["host"], grouped["reason"], strict=True), grouped["count_all"], strict=True))


def domains_of(hosts: Tally[tuple[str | None, str]]) -> dict[str, Counter[str]]:
    """Hosts by who holds them; what is no host name is one."""
    domains: defaultdict[str, Counter[str]] = defaultdict(Counter)
    names: dict[str | None, str] = {}
    for (host, reason), count in hosts.counts.items():
        if host not in names:
            names[host] = domain_of(host)
        domains[names[host]][reason] += count
    return dict(domains)


def host_of(url: str) -> str | None:
    """As `host_counts` finds it."""
    found = re.match(HOST_OF, url)
    return found["host"].lower() if found else None


def domain_of(host: str | None) -> str:
    if host is None or len(host) > 253 or not HOST.fullmatch(host):
        return NO_HOST
    return registrable_domain(host) or host


def details(chunk: pa.Table) -> Iterator[tuple[str, dict[str, int]]]:
    for reason, name in TOLD.items():
        detail = chunk.column("detail").filter(pc.equal(chunk.column("reason"), reason))
        if len(detail):
            values = pc.struct_field(pc.extract_regex(detail, rf"(?:^| ){name}=(?P<value>[^ ]{{1,60}})"), "value")
            yield reason, counted(values.drop_null().combine_chunks())


def members_of(keepers: Collection[str], chunk: pa.Table) -> Iterator[Dropped]:
    if not keepers:
        return
    wanted = pc.and_(pc.equal(chunk.column("stage"), "duplicates"), pc.is_in(chunk.column("kept"), pa.array(sorted(keepers))))
    for row in chunk.filter(wanted).select(Dropped._fields).to_pylist():
        yield Dropped(**row)
