"""What became of a URL: its submissions, its page, its text, its duplicates and its place in the corpus, a sentence each.

Told from the ledger and the corpus, and from the work folders as far as they are there.  Exit 1 if it was never seen.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dags.finished_corpus import corpus_batches, ledger_batches, manifest_of, one_line, root_of, urls_of
from dags.reasons import sentence_of
from pipeline import stage_names, storage
from pipeline.link_rules import judged, link_id
from pipeline.schema import PipelineError
from pipeline.shards import read_batches
from pipeline.spill import partition_of_domain
from pipeline.url import MAX_CHARS, Allowed, CanonicalUrl

ERRORS = (PipelineError,)
LONGEST = 1_000  # characters of a sentence
NAMED = 5  # duplicates that are named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="as it was submitted, or any spelling of it")
    parser.add_argument("--corpus", required=True, metavar="ROOT", help="the --output of `webtext corpus`, or its corpus folder")


def run(options: argparse.Namespace) -> int:
    root = root_of(options.corpus)
    manifest = manifest_of(root)
    url = options.url.encode(errors="replace").decode()  # the bytes of a command line need not be UTF-8
    lines = list(story(url, root=root, manifest=manifest))
    if not lines:
        print(f"webtext why: {one_line(url)} was never seen: no submission of this corpus links to it.", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def story(url: str, *, root: str, manifest: dict[str, Any]) -> Iterator[str]:
    """Lines, the stage before each sentence, in the order of the stages; the end of it first.  None if the URL was never seen."""
    allowed = Allowed.parse(manifest["config"].get("allow_private", ()))
    page = judged(url, allowed=allowed).page  # a copy of a page leads to the page
    told = list(steps(url, page, root=root, manifest=manifest))
    if not told and page is not None:
        for leading in led_on(page, root=root, allowed=allowed):
            yield f"{'':<13}No submission links to {one_line(url)}, but one links to a page that led there."
            url = leading
            told = list(steps(url, judged(url, allowed=allowed).page, root=root, manifest=manifest))
            break
    if not told:
        return
    yield f"{'':<13}{one_line(url)} {outcome(told)}."
    for stage, sentence in told:
        yield f"{stage:<13}{one_line(sentence, characters=LONGEST)}"


Step = tuple[str, str]  # stage, sentence


def outcome(told: Sequence[Step]) -> str:
    if any(stage == "corpus" and sentence.startswith("kept as") for stage, sentence in told):
        return "is in the corpus"
    return f"is not in the corpus: its story ends in the stage {told[-1][0]}"


def steps(url: str, page: CanonicalUrl | None, *, root: str, manifest: dict[str, Any]) -> Iterator[Step]:
    """What is known of a URL, in the order of the stages."""
    spellings, keys = {url, url[:MAX_CHARS]}, set()
    if page is not None:
        spellings.add(page.fetch_url)
        keys.add(page.key)
    ledger = list(rows_about(spellings, keys, ledger=ledger_batches(root, manifest)))
    keys |= {row["key"] for row in ledger if row["key"]}
    ids = {link_id(key) for key in keys}
    domain = page.domain if page is not None else None
    for stage in stage_names():
        if stage in TOLD and domain is not None:
            columns, told = TOLD[stage]
            for row in work_rows(root, stage, ids, domain=domain, columns=columns):
                yield stage, told(row)
        for row in sorted((row for row in ledger if row["stage"] == stage), key=lambda row: (row["reason"], row["detail"] or "")):
            yield stage, told_drop(row)
            if stage == "duplicates":
                keeper = urls_of({row["kept"]}, root=root, manifest=manifest).get(row["kept"])
                yield stage, f"that document is kept: {keeper}" if keeper else "that document is not in this corpus"
    for place, row in rows_kept(ids, root=root, manifest=manifest):
        others = f", with {row['cluster_size'] - 1} duplicates folded into it" if row["cluster_size"] > 1 else ""
        yield "corpus", (
            f"kept as {row['id']} in {place}: {row['words']:,} words, language {row['language']}, "
            f"karma {row['karma']} from submission {row['submission_id']} in r/{row['subreddit']}{others}"
        )
        if row["cluster_size"] > 1:
            for folded in islice(rows_folded_into(row["id"], ledger=ledger_batches(root, manifest, stage="duplicates")), NAMED):
                yield "", f"folded into it: {folded['url']} ({folded['reason']} {folded['detail']})"


# ---- sentences ----


def tell_link(row: dict[str, Any]) -> str:
    posted = f"posted on {moment(row['created_utc'])}, earned it {row['karma']:,} karma"
    return f"Submission {row['submission_id']} in r/{row['subreddit']}, {posted}, the most of all; to fetch: {row['url']}"


def tell_page(row: dict[str, Any]) -> str:
    behind = f", behind a redirect to {row['final_url']}" if row["final_url"] != row["url"] else ""
    place = f"{os.path.basename(row['archive'])} at byte {row['offset']:,}"
    return f"The page is as it was on {moment(row['fetched_utc'])}{behind}; it lies in {place}, {row['length']:,} bytes"


def tell_document(row: dict[str, Any]) -> str:
    text = f"{row['words']:,} words in the language {row['language']} ({row['language_score']:.2f})"
    return f"{row['extractor']} found {text}, titled {row['title']!r}"


TOLD = {  # what of the row of a stage is told, and how
    "links": (["id", "url", "karma", "submission_id", "subreddit", "created_utc"], tell_link),
    "pages": (["id", "url", "final_url", "fetched_utc", "archive", "offset", "length"], tell_page),
    "documents": (["id", "title", "language", "language_score", "extractor", "words"], tell_document),
}


def told_drop(row: dict[str, Any]) -> str:
    detail = f" ({row['detail']})" if row["detail"] else ""
    kept = f" -> {row['kept']}" if row["kept"] else ""
    return f"{row['reason']}: {sentence_of(row['reason'])}{detail}{kept}"


def moment(seconds: int) -> str:
    return f"{np.datetime64(seconds, 's')}".replace("T", " ") + " UTC"


# ---- rows ----


def rows_about(spellings: set[str], keys: set[str], *, ledger: Iterator[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    urls, wanted = (pa.array(sorted(names), pa.string()) for names in (spellings, keys))
    for batch in ledger:
        about = pc.or_(pc.is_in(batch.column("url"), value_set=urls), pc.is_in(batch.column("key"), value_set=wanted))
        yield from batch.filter(about).to_pylist()


def rows_folded_into(id_: str, *, ledger: Iterator[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    for batch in ledger:
        yield from batch.filter(pc.equal(batch.column("kept"), id_)).to_pylist()


def rows_kept(ids: set[str], *, root: str, manifest: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of the corpus, each with its shard and its place there."""
    columns = ["id", "url", "karma", "submission_id", "subreddit", "language", "words", "cluster_size"]
    wanted = pa.array(sorted(ids), pa.string())
    before: dict[str, int] = {}  # rows of a shard
    for path, batch in corpus_batches(root, manifest, columns=columns):
        first = before.get(path, 0)
        found = np.flatnonzero(pc.is_in(batch.column("id"), value_set=wanted).to_numpy(zero_copy_only=False))
        for place, row in zip(found.tolist(), batch.take(pa.array(found)).to_pylist(), strict=True):
            yield f"{path}, row {first + place:,}", row
        before[path] = first + batch.num_rows


def work_rows(root: str, stage: str, ids: set[str], *, domain: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of a work folder: links, pages and documents of a domain lie in one shard, wherever the folder is still there."""
    wanted = pa.array(sorted(ids), pa.string())
    for path in storage.files_in(storage.join(root, stage), f"{stage}-*.arrow"):
        number, _, of = os.path.basename(path).removesuffix(".arrow").removeprefix(f"{stage}-").partition("-of-")
        if of.isdecimal() and number.isdecimal() and int(of) > 0 and int(number) == partition_of_domain(domain, int(of)):
            for batch in read_batches(path, columns=columns):
                yield from batch.filter(pc.is_in(batch.column("id"), value_set=wanted)).to_pylist()


def led_on(page: CanonicalUrl, *, root: str, allowed: Allowed) -> Iterator[str]:
    """URLs of links that were redirected to a page, as far as ROOT/pages is there."""
    for path in storage.files_in(storage.join(root, "pages"), "pages-*.arrow"):
        for batch in read_batches(path, columns=["url", "final_url", "domain"]):
            led = batch.filter(pc.not_equal(batch.column("url"), batch.column("final_url"))).to_pylist()
            for row in led:
                final = judged(row["final_url"], allowed=allowed, final=True).page
                if final is not None and final.key == page.key:
                    yield row["url"]
