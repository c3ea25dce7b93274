"""Main text against gold, ours beside plain trafilatura, on the same pages.

    python benchmarks/extraction_quality.py SHARED

SHARED holds `data/pages-dev.warc.gz` and `data/gold-dev.jsonl.zst`.  Ours is the path of the corpus: `page.explanation`
with no rules, so gates, charset, extraction and normalisation.  Peers are `trafilatura.extract(body)` as it comes, which
adds comments, and with `include_comments=False`.  A page's score is the F1 of its 4-gram shingles (Zyte's
article-extraction-benchmark): `\\w+` tokens, counted as a bag.  Corpus F1 takes the shares of right, surplus and missing
shingles of each page, so that long pages weigh no more than short ones.  Differences are paired, with a 95 % bootstrap
interval over pages.
"""

import json
import re
import sys
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import trafilatura
import zstandard

from pipeline.archive import records, stored_record
from pipeline.documents.page import explanation
from pipeline.response import MAX_BODY_BYTES
from pipeline.warc import read_response

RESAMPLES = 4_000
SEED = 1
NAMES = ("ours", "trafilatura, no comments", "trafilatura as it comes")
OURS = {"language": "any", "rules": "none"}


class Parts(NamedTuple):
    """Shares of a page's shingles (or snippets): found and right, found and wrong, missing."""

    right: float
    surplus: float
    missing: float


def shingles(text: str, *, length: int = 4) -> Counter[tuple[str, ...]]:
    tokens = re.findall(r"\w+", text)
    return Counter(tuple(tokens[start : start + length]) for start in range(max(1, len(tokens) - length + 1)) if tokens)


def shingle_parts(text: str, gold: str) -> Parts:
    found, wanted = shingles(text), shingles(gold)
    right, all_found, all_wanted = sum((found & wanted).values()), sum(found.values()), sum(wanted.values())
    total = all_found + all_wanted - right
    return Parts(right / total, (all_found - right) / total, (all_wanted - right) / total) if total else Parts(1, 0, 0)


def snippet_parts(text: str, *, wanted: list[str], unwanted: list[str]) -> Parts:
    right = sum(snippet in text for snippet in wanted)
    return Parts(right, sum(snippet in text for snippet in unwanted), len(wanted) - right)


def f1(parts: np.ndarray) -> float:
    """Corpus F1 of rows of Parts."""
    right, surplus, missing = parts.sum(axis=0)
    return 2 * right / (2 * right + surplus + missing)


def interval(ours: np.ndarray, peer: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the difference of corpus F1, pages resampled together."""
    chance = np.random.default_rng(SEED)
    differences = []
    for _ in range(RESAMPLES):
        chosen = chance.integers(len(ours), size=len(ours))
        differences.append(f1(ours[chosen]) - f1(peer[chosen]))
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)


def text_by(name: str, record: bytes) -> str:
    if name == "ours":
        document = explanation(OURS, record)["document"]
        return document["text"] if document else ""
    body = read_response(record, max_bytes=MAX_BODY_BYTES).body
    return trafilatura.extract(body, include_comments=name == "trafilatura as it comes") or ""


def texts_of(record: bytes, cpu_s: np.ndarray, *, first: int) -> list[str]:
    """The text by each of NAMES; its CPU seconds are added to `cpu_s`.  The one that goes first warms the caches of the rest."""
    made = [""] * len(NAMES)
    for turn in range(len(NAMES)):
        number = (first + turn) % len(NAMES)
        start = time.process_time()
        made[number] = text_by(NAMES[number], record)
        cpu_s[number] += time.process_time() - start
    return made


def gold_rows(path: Path) -> list[dict[str, Any]]:
    with zstandard.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def scores(data: Path) -> tuple[dict[str, list[list[Parts]]], np.ndarray]:
    """Parts by group of pages, a row a page and a column for each of NAMES; and CPU seconds."""
    archive = str(data / "pages-dev.warc.gz")
    pages = [record for record in records(archive) if record.headers["warc-type"] == "response"]
    groups: dict[str, list[list[Parts]]] = {}
    cpu_s = np.zeros(len(NAMES))
    for number, (page, gold) in enumerate(zip(pages, gold_rows(data / "gold-dev.jsonl.zst"), strict=True)):  # in one order
        texts = texts_of(stored_record(archive, offset=page.offset, length=page.length), cpu_s, first=number % len(NAMES))
        if gold["gold_kind"] == "snippets":
            wanted, unwanted = gold["with_"] or [], gold["without"] or []
            row = [snippet_parts(text, wanted=wanted, unwanted=unwanted) for text in texts]
            groups.setdefault("snippets (German)", []).append(row)
            continue
        row = [shingle_parts(text, gold["gold_text"] or "") for text in texts]
        for group in ("full text", f"{gold['dataset']}: {gold['page_type']}"):
            groups.setdefault(group, []).append(row)
    return groups, cpu_s


def main() -> None:
    groups, cpu_s = scores(Path(sys.argv[1]) / "data")
    print(f"trafilatura {version('trafilatura')}, lxml {version('lxml')}; corpus F1; difference [95 % interval]\n")
    print(f"| pages | n | ours | {NAMES[1]} | difference | {NAMES[2]} | difference |")
    print("|---|---|---|---|---|---|---|")
    for group, rows in sorted(groups.items(), key=lambda item: -len(item[1])):
        table = np.array(rows, dtype=float)
        cells = [group, str(len(rows)), f"{f1(table[:, 0]):.4f}"]
        for peer in (1, 2):
            low, high = interval(table[:, 0], table[:, peer])
            difference = f1(table[:, 0]) - f1(table[:, peer])
            cells += [f"{f1(table[:, peer]):.4f}", f"{difference:+.4f} [{low:+.4f}, {high:+.4f}]"]
        print(f"| {' | '.join(cells)} |")
    ours, bare, _ = cpu_s
    print(f"\nCPU s: record to document, with language, {ours:.1f}; {NAMES[1]}, {bare:.1f}; ratio {ours / bare:.2f}")


if __name__ == "__main__":
    main()
