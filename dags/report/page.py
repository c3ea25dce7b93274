"""The page of a report: facts laid out, as one HTML file under a policy that lets nothing run but its own script."""

import base64
import hashlib
import re
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dags.reasons import sentence_of
from dags.report import charts, curves, failures
from dags.report.corpus_facts import LARGEST_CLUSTERS, Kept
from dags.report.drawing import FULL
from dags.report.facts import Facts
from dags.report.ledger_facts import DROPPED_SAMPLE, MEMBERS
from dags.report.outside_text import cut, harmless, link_target
from dags.report.sample import halved, sample_rows, sample_sizes
from dags.report.tallies import binned, top
from dags.report.token_facts import TokenFacts
from dags.report.words import duration, plural, share

MAX_BYTES = 5_000_000  # of the file: the sample is halved until it fits
FILE = ("rows", "bytes", "sha256")
FIGURE = re.compile(r"-|[\d,]+(?:\.\d+)?%?")
MOST_FILES = 200  # shards, inputs and ledger files that are listed


def page(facts: Facts, *, name: str, written: datetime) -> str:
    """The HTML of a report on the corpus `name`; under 5 MB, whatever the texts and however many."""
    sample = sample_rows(facts)
    template, known = environment().get_template("page.html.jinja"), context(facts, name=name, written=written)
    whole = sample_sizes(sample)
    while True:
        html = template.render(**known, sample=sample, of=sample_sizes(sample), sizes=whole)
        if len(html.encode()) <= MAX_BYTES or not sample:
            return html
        sample = halved(sample)


@cache
def environment() -> Environment:
    """Templates in which every value is escaped, and every character that hides or reorders is shown."""
    made = Environment(
        loader=PackageLoader("dags.report", "."),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else harmless(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["is_figure"] = is_figure
    return made


def is_figure(value: Any) -> bool:
    """Whether a cell is to be read as a number."""
    return isinstance(value, (int, float)) or (isinstance(value, str) and FIGURE.fullmatch(value) is not None)


def context(facts: Facts, *, name: str, written: datetime) -> dict[str, Any]:
    style, script = (files("dags.report").joinpath(file).read_text(encoding="utf-8") for file in ("page.css", "page.js"))
    manifest = facts.manifest
    return {
        "name": name,
        "written": written.astimezone(UTC),
        "style": Markup(style),  # files of ours
        "script": Markup(script),
        "policy": policy(style=style, script=script),
        "facts": facts,
        "manifest": manifest,
        "read": manifest["stages"][0]["in"],
        "charts": all_charts(facts),
        "reasons": [
            (stage, [(reason, sentence_of(reason), count, share(count, stage["in"])) for reason, count in top(stage["dropped"])])
            for stage in manifest["stages"]
        ],
        "told": [(reason, top(counts, 12)) for reason, counts in sorted(facts.ledger.told.items()) if reason != "WRONG_LANGUAGE"],
        "clusters": clusters(facts),
        "speed": speed(facts),
        "tokens": token_tables(facts.tokens) if isinstance(facts.tokens, TokenFacts) else None,
        "recipe": [(name, told_value(value)) for name, value in {**facts.training.size, **facts.training.recipe}.items()]
        if facts.training
        else [],
        "config_rows": [(name, told_value(value)) for name, value in sorted(manifest["config"].items())],
        "versions": sorted(manifest["versions"].items()),
        "lists": {
            "inputs": [(file["path"], file["size"], file["sha256"]) for file in manifest["inputs"][:MOST_FILES]],
            "shards": [tuple(map(file.get, ("path", "split", *FILE))) for file in manifest["shards"][:MOST_FILES]],
            "ledger": [tuple(map(file.get, ("path", *FILE))) for file in manifest["ledger"][:MOST_FILES]],
        },
        "most": {"files": MOST_FILES, "members": MEMBERS, "clusters": LARGEST_CLUSTERS, "reason": DROPPED_SAMPLE},
        "duration": duration,
        "share": share,
        "plural": plural,
        "cut": cut,
    }  # fmt: skip


def policy(*, style: str, script: str) -> str:
    """Content Security Policy: no network, no plug-ins, no forms; this style and this script, known by their hashes."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    allowed = "style-src 'sha256-{}'; script-src 'sha256-{}'".format(*hashes)
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"


def all_charts(facts: Facts) -> dict[str, charts.Chart]:
    corpus, ledger = facts.corpus, facts.ledger
    stages = {stage["name"]: stage["dropped"] for stage in facts.manifest["stages"]}
    every = sum(map(Counter, stages.values()), Counter[str]())
    kept_domains = dict(corpus.domains.counts)
    dropped_domains = {domain: reasons.total() for domain, reasons in ledger.domains.items()}
    often = {domain: top(reasons, 1)[0][0] for domain, reasons in ledger.domains.items()}
    sizes = {size: count for size, count in corpus.cluster_sizes.items() if size > 1}
    made = {
        "funnel": charts.funnel(facts.manifest["stages"]),
        "karma": curves.distribution(corpus.karma, binned(corpus.karma, curves.KARMA), title="Karma", unit="karma"),
        "lengths": curves.distribution(corpus.lengths, binned(corpus.lengths, curves.LENGTHS), title="Length", unit="words"),
        "periods": curves.periods(corpus.months),
        "languages": charts.languages(corpus.languages, ledger.told.get("WRONG_LANGUAGE", {})),
        "kept domains": charts.bars(
            kept_domains, title="Domains kept", noun="domain", of="document",
            sentence=f"{plural(len(kept_domains), 'domain')} with {corpus.documents:,} documents.",
        ),
        "dropped domains": charts.bars(
            dropped_domains, title="Domains dropped", noun="domain", of="record", colour="dropped", notes=often,
            sentence=f"{plural(len(dropped_domains), 'domain')} in {ledger.rows:,} records that were dropped.",
        ),
    }  # fmt: skip
    if every:
        made["reasons"] = charts.bars(
            every, title="Why records were dropped", sentence=f"{plural(len(every), 'reason')}.", noun="reason", of="record",
            colour="dropped", wide=FULL,
        )  # fmt: skip
    for stage, kinds, title in (
        ("pages", failures.PAGES, "Links without a page"),
        ("documents", failures.DOCUMENTS, "Pages without a document"),
    ):
        if stages.get(stage):
            counts = failures.by_kind(stages[stage], kinds)
            said = f"{sum(counts.values()):,} in all."
            made[stage] = charts.bars(counts, title=title, sentence=said, noun="kind", of="record", colour="dropped")
    if sizes:
        bins = [(bin_.label, bin_.records) for bin_ in binned(sizes, curves.CLUSTERS)]
        said = f"{plural(sum(sizes.values()), 'cluster')}; {plural(corpus.folded, 'duplicate')} folded into the documents kept."
        made["clusters"] = curves.histogram(
            bins, title="Sizes of duplicate clusters", sentence=said, unit="documents in a cluster", noun="cluster"
        )
    seconds = {stage: float(times["seconds"]) for stage, times in facts.run.get("stages", {}).items()}
    if any(seconds.values()):
        made["speed"] = charts.times(seconds)
    if facts.training is not None and (facts.training.training or facts.training.validation):
        made["losses"] = curves.losses(facts.training)
    return made


def clusters(facts: Facts) -> list[tuple[Kept, str | None, list[tuple[str, str | None, str, str]]]]:
    """The largest clusters: the kept document, where it leads, and its members with what the ledger says of them."""
    found = []
    for keeper in facts.corpus.clusters:
        members = [
            (cut(row.url, characters=160) or "(no URL)", link_target(row.url), row.reason, cut(row.detail, characters=80))
            for row in facts.ledger.members.get(keeper.id, [])
        ]
        found.append((keeper, link_target(keeper.url), members))
    return found


def speed(facts: Facts) -> list[tuple[Any, ...]]:
    """A row a stage: seconds, records a second, records kept and dropped, shards."""
    rows: list[tuple[Any, ...]] = []
    for stage, times in facts.run.get("stages", {}).items():
        records, seconds = times["kept"] + times["dropped"], times["seconds"]
        rate = f"{records / seconds:,.0f}" if seconds >= 0.05 else "-"
        rows.append((stage, f"{seconds:,.2f}", rate, times["kept"], times["dropped"], times["shards"]))
    return rows


def token_tables(facts: TokenFacts) -> dict[str, list[tuple[Any, ...]]]:
    """Compression by split and by language, largest first."""

    def rows(found: dict[str, Any]) -> list[tuple[Any, ...]]:
        order = sorted(found.items(), key=lambda item: (-item[1].bytes, item[0]))[:100]
        return [(name, f"{it.bytes_per_token:.3f}", it.tokens, it.bytes, it.documents) for name, it in order]

    return {"splits": rows(facts.splits), "languages": rows(facts.languages)}


def told_value(value: Any) -> str:
    """A value of the configuration: what is not set is none."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
