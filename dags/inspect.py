"""What a corpus holds and what was thrown away: shards, the funnel, drops by reason, the largest domains."""

import argparse
import json
from collections import Counter
from typing import Any

from dags.finished_corpus import corpus_batches, funnel_lines, manifest_of, root_of
from dags.report.writing import write_report
from pipeline.schema import PipelineError

ERRORS = (PipelineError,)
TOP_DOMAINS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", metavar="ROOT", help="the --output of `webtext corpus`, or its corpus folder")
    parser.add_argument("--json", action="store_true", help="the same facts for programs")
    parser.add_argument("--html", nargs="?", const="", metavar="FILE", help="write the report: FILE, or ROOT/corpus/report.html")


def run(options: argparse.Namespace) -> int:
    root = root_of(options.root)
    if options.html is not None:
        print(f"report: {write_report(root, options.html or None)}")
        return 0
    facts = facts_of(root)
    print(json.dumps(facts, indent=2, ensure_ascii=False) if options.json else "\n".join(told(root, facts)))
    return 0


def facts_of(root: str) -> dict[str, Any]:
    """Everything `inspect` tells, as JSON holds it."""
    manifest = manifest_of(root)
    domains: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    words = folded = 0
    for _, batch in corpus_batches(root, manifest, columns=["domain", "language", "words", "cluster_size"]):
        domains.update(batch.column("domain").to_pylist())
        languages.update(batch.column("language").to_pylist())
        words += sum(batch.column("words").to_pylist())
        folded += sum(size - 1 for size in batch.column("cluster_size").to_pylist())
    return {
        **manifest,
        "documents": sum(shard["rows"] for shard in manifest["shards"]),
        "words": words,
        "folded": folded,
        "languages": dict(sorted(languages.items(), key=by_count)),
        "domains": len(domains),
        "top_domains": dict(sorted(domains.items(), key=by_count)[:TOP_DOMAINS]),
    }


def by_count(pair: tuple[str, int]) -> tuple[int, str]:
    return -pair[1], pair[0]


def told(root: str, facts: dict[str, Any]) -> list[str]:
    lines = [f"{root}: {facts['documents']:,} documents, {facts['words']:,} words, {facts['domains']:,} domains", ""]
    lines += funnel_lines(facts)
    lines += ["", "dropped"]
    for stage in facts["stages"]:
        for reason, count in sorted(stage["dropped"].items(), key=by_count):
            lines.append(f"  {stage['name']:<12}{reason:<26}{count:>10,}")
    lines += ["", "domains"]
    lines += [f"  {domain:<38}{count:>10,}" for domain, count in facts["top_domains"].items()]
    lines += ["", "languages   " + ", ".join(f"{language} {count:,}" for language, count in facts["languages"].items())]
    lines += ["", "shards"]
    for shard in facts["shards"]:
        lines.append(f"  {shard['path']:<42}{shard['rows']:>10,} rows{shard['bytes']:>14,} bytes")
    return lines
