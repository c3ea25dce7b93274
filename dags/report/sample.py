"""The sample that readers search: documents that were kept, records that were dropped and why."""

from typing import NamedTuple

from dags.report.corpus_facts import Kept
from dags.report.facts import Facts
from dags.report.ledger_facts import Dropped, domain_of, host_of
from dags.report.outside_text import cut, link_target
from dags.report.tallies import hashed
from dags.report.words import plural


class Row(NamedTuple):
    """A line of the sample: a document that was kept or a record that was dropped."""

    stage: str
    reason: str  # empty: kept
    title: str
    url: str
    target: str | None  # what the URL may lead to
    domain: str
    karma: int | None
    words: int | None
    language: str
    detail: str
    excerpt: str
    cluster: str  # id of the keeper of a cluster that the page tells of


def sample_rows(facts: Facts) -> list[Row]:
    """Kept documents and dropped records, mixed by a hash."""
    told = {row.id for row in facts.corpus.clusters}
    rows = [kept_row(row, told) for row in facts.corpus.sample] + [dropped_row(row, told) for row in facts.ledger.sample]
    return sorted(rows, key=lambda row: (hashed(f"{row.url} {row.reason} {row.detail}"), row.url, row.detail))


def kept_row(row: Kept, told: set[str]) -> Row:
    folded = f"with {plural(row.cluster_size - 1, 'duplicate')}" if row.cluster_size > 1 else ""
    return Row(
        "corpus", "", row.title, cut(row.url, characters=160), link_target(row.url), row.domain, row.karma, row.words,
        cut(row.language, characters=12),
        folded, row.excerpt, row.id if row.id in told else "",
    )  # fmt: skip


def dropped_row(row: Dropped, told: set[str]) -> Row:
    domain = domain_of(host_of(row.url)) if row.url else ""
    karma = next((word[6:] for word in row.detail.split() if word.startswith("karma=")), "")
    language = next((word[9:] for word in row.detail.split() if word.startswith("language=")), "")
    return Row(
        row.stage, row.reason, "", cut(row.url, characters=160), link_target(row.url), domain,
        int(karma) if karma.removeprefix("-").isdecimal() else None, None, cut(language, characters=12),
        cut(row.detail, characters=160), "", row.kept if row.stage == "duplicates" and row.kept in told else "",
    )  # fmt: skip


def sample_sizes(sample: list[Row]) -> dict[str, int]:
    kept = sum(not row.reason for row in sample)
    return {"kept": kept, "dropped": len(sample) - kept, "all": len(sample)}


def halved(sample: list[Row]) -> list[Row]:
    return sample[::2] if len(sample) > 1 else []
