"""What a corpus holds and what was thrown away, on one screen: the funnel, reasons, lengths, karma, domains, clusters, times."""

import argparse
import json
import textwrap
from collections import Counter
from typing import Any

from dags.finished_corpus import funnel_lines, one_line, root_of
from dags.report.facts import Facts, facts_of
from dags.report.tallies import quantile, top
from dags.report.writing import write_report
from pipeline.schema import PipelineError

ERRORS = (PipelineError,)
TOP_DOMAINS = 10
LARGEST = 3  # clusters that are named
SHARES = {"least": 0.0, "10 %": 0.1, "half": 0.5, "90 %": 0.9, "99 %": 0.99, "most": 1.0}
WIDTH = 118
NO_BREAK = "\N{NO-BREAK SPACE}"
LEFT = 15  # characters before what a line says


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", metavar="ROOT", help="the --output of `webtext corpus`, or its corpus folder")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the same facts for programs, and the whole manifest")
    form.add_argument(
        "--html", nargs="?", const="", metavar="FILE", help="write the report anew; default ROOT/corpus/report.html"
    )


def run(options: argparse.Namespace) -> int:
    root = root_of(options.root)
    if options.html is not None:
        print(f"report: {write_report(root, options.html or None)}")
        return 0
    facts = facts_of(root)
    print(json.dumps(as_json(facts), indent=2, ensure_ascii=True) if options.json else "\n".join(screen(root, facts)))
    return 0


# ---- for programs ----


def as_json(facts: Facts) -> dict[str, Any]:
    """Everything that is told, under plain names, beside the fields of the manifest."""
    corpus = facts.corpus
    return {
        **facts.manifest,
        "documents": corpus.documents,
        "words": corpus.words,
        "folded": corpus.folded,
        "languages": dict(top(corpus.languages)),
        "years": dict(sorted(years(corpus.months).items())),
        "length": quantiles(corpus.lengths),
        "karma": quantiles(corpus.karma),
        "cluster_sizes": {str(size): count for size, count in sorted(corpus.cluster_sizes.items())},
        "clusters": [{"id": row.id, "url": row.url, "size": row.cluster_size} for row in corpus.clusters],
        "domains": len(corpus.domains.counts),
        "top_domains": dict(top(corpus.domains.counts, TOP_DOMAINS)),
        "dropped_domains": {domain: dict(top(reasons)) for domain, reasons in most_dropped(facts)},
        "run": facts.run,
    }


def quantiles(values: Counter[int]) -> dict[str, int]:
    return {name: quantile(values, share) for name, share in SHARES.items()} if values else {}


def years(months: Counter[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for month, count in months.items():
        found[month.partition("-")[0]] += count
    return found


def most_dropped(facts: Facts) -> list[tuple[str, Counter[str]]]:
    domains = facts.ledger.domains
    totals = {name: sum(reasons.values()) for name, reasons in domains.items()}
    return [(name, domains[name]) for name, _ in top(totals, TOP_DOMAINS)]


# ---- for people ----


def screen(root: str, facts: Facts) -> list[str]:
    corpus = facts.corpus
    lines = [f"{root}: {corpus.documents:,} documents, {corpus.words:,} words, {len(corpus.domains.counts):,} domains", ""]
    lines += [*funnel_lines(facts.manifest), "", "dropped"]
    for stage in facts.manifest["stages"]:
        lines += told(f"  {stage['name']}", [f"{reason} {count:,}" for reason, count in top(stage["dropped"])])
    lines += ["", *domain_lines(facts), ""]
    lines += told("words", [f"{name} {value:,}" for name, value in quantiles(corpus.lengths).items()])
    lines += told("karma", [f"{name} {value:,}" for name, value in quantiles(corpus.karma).items()])
    lines += told("posted", [f"{year} {count:,}" for year, count in sorted(years(corpus.months).items())])
    lines += told("languages", [f"{one_line(language)} {count:,}" for language, count in top(corpus.languages)])
    lines += told("clusters", [f"{count:,} of {size:,}" for size, count in sorted(corpus.cluster_sizes.items()) if size > 1])
    lines += [f"{'':<{LEFT}}{row.cluster_size:,} as {one_line(row.url, characters=90)}" for row in corpus.clusters[:LARGEST]]
    lines += told("shards", split_sizes(facts.manifest["shards"]))
    return lines + told("last run", times(facts.run))


def told(name: str, entries: list[str]) -> list[str]:
    """Entries after a name, on as many lines as they need; nothing if there are none."""
    if not entries:
        return []
    unbroken = ", ".join(entry.replace(" ", NO_BREAK) for entry in entries)
    wrapped = textwrap.wrap(unbroken, WIDTH - LEFT, break_long_words=False)
    heads = [name, *[""] * (len(wrapped) - 1)]
    return [f"{head:<{LEFT}}{line.replace(NO_BREAK, ' ')}" for head, line in zip(heads, wrapped, strict=True)]


def domain_lines(facts: Facts) -> list[str]:
    """The largest domains of the corpus beside those of which most was dropped, each with its most frequent reason."""
    domains = top(facts.corpus.domains.counts, TOP_DOMAINS)
    kept = [f"  {one_line(domain, characters=40):<40}{count:>9,}" for domain, count in domains]
    dropped = []
    for domain, reasons in most_dropped(facts):
        ((reason, _),) = top(reasons, 1)
        dropped.append(f"{one_line(domain, characters=34):<34}{sum(reasons.values()):>9,}  {one_line(reason, characters=26)}")
    height = max(len(kept), len(dropped))
    rows = zip(kept + [""] * (height - len(kept)), dropped + [""] * (height - len(dropped)), strict=True)
    return [f"{'domains kept':<56}domains dropped", *(f"{left:<54}  {right}".rstrip() for left, right in rows)]


def split_sizes(shards: list[dict[str, Any]]) -> list[str]:
    found = []
    for split in ("train", "validation"):
        chosen = [shard for shard in shards if shard["split"] == split]
        rows, size = (sum(shard[name] for shard in chosen) for name in ("rows", "bytes"))
        found.append(f"{split} {len(chosen):,} with {rows:,} rows in {size:,} bytes")
    return found


def times(run: dict[str, Any]) -> list[str]:
    """Of run.json, which anybody may have written."""
    if not run:
        return []
    stages = {name: stage.get("seconds") for name, stage in run["stages"].items() if isinstance(stage, dict)}
    named = {"in all": run.get("seconds"), **stages}
    return [f"{one_line(name, characters=20)} {spent:,.1f} s" for name, spent in named.items() if isinstance(spent, int | float)]
