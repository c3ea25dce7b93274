"""What became of a URL, told from the ledger and the corpus.  Exit 1 if it was never seen."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dags.finished_corpus import corpus_batches, ledger_batches, manifest_of, root_of
from dags.reasons import sentence_of
from pipeline import stage_names
from pipeline.link_rules import judged, link_id
from pipeline.schema import PipelineError
from pipeline.url import MAX_CHARS, Allowed

ERRORS = (PipelineError,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="as it was submitted, or any spelling of it")
    parser.add_argument("--corpus", required=True, metavar="ROOT", help="the --output of `webtext corpus`, or its corpus folder")


def run(options: argparse.Namespace) -> int:
    root = root_of(options.corpus)
    manifest = manifest_of(root)
    url = options.url.encode(errors="replace").decode()  # the bytes of a command line need not be UTF-8
    lines = list(story(url, root=root, manifest=manifest))
    if not lines:
        print(f"webtext why: {url} was never seen: no submission of this corpus links to it.", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


class Trace(NamedTuple):
    """Every row that speaks of a URL."""

    ledger: list[dict[str, Any]]
    corpus: list[tuple[str, dict[str, Any]]]


def story(url: str, *, root: str, manifest: dict[str, Any]) -> Iterator[str]:
    """Sentences, in the order of the stages.  None if nothing speaks of the URL."""
    spellings, keys = {url, url[:MAX_CHARS]}, set()
    page = judged(url, allowed=Allowed.parse(manifest["config"].get("allow_private", ()))).page  # a copy leads to its original
    if page is not None:
        spellings.add(page.fetch_url)
        keys.add(page.key)
    ledger = list(rows_about(spellings, keys, ledger=ledger_batches(root, manifest)))
    keys |= {row["key"] for row in ledger if row["key"]}
    columns = ["id", "url", "karma", "submission_id", "subreddit", "language", "words", "cluster_size"]
    kept = list(rows_kept(keys, root=root, manifest=manifest, columns=columns))
    order = stage_names()
    for row in sorted(ledger, key=lambda row: (order.index(row["stage"]), row["reason"], row["detail"])):
        yield told(row)
        if row["stage"] == "duplicates":
            keeper = next(rows_with_id(row["kept"], root=root, manifest=manifest), None)
            if keeper is not None:
                yield f"{'':<12}that document is kept: {keeper}"
    for path, row in kept:
        others = f", with {row['cluster_size'] - 1} duplicates folded into it" if row["cluster_size"] > 1 else ""
        yield (
            f"{'corpus':<12}kept as {row['id']} in {path}: {row['words']:,} words, language {row['language']}, "
            f"karma {row['karma']} from submission {row['submission_id']} in r/{row['subreddit']}{others}"
        )


def rows_about(spellings: set[str], keys: set[str], *, ledger: Iterator[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    urls, wanted = (pa.array(sorted(names), pa.string()) for names in (spellings, keys))
    for batch in ledger:
        about = pc.or_(pc.is_in(batch.column("url"), value_set=urls), pc.is_in(batch.column("key"), value_set=wanted))
        yield from batch.filter(about).to_pylist()


def rows_kept(
    keys: set[str], *, root: str, manifest: dict[str, Any], columns: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    ids = pa.array(sorted(link_id(key) for key in keys), pa.string())
    for path, batch in corpus_batches(root, manifest, columns=columns):
        for row in batch.filter(pc.is_in(batch.column("id"), value_set=ids)).to_pylist():
            yield path, row


def rows_with_id(id_: str, *, root: str, manifest: dict[str, Any]) -> Iterator[str]:
    for _, batch in corpus_batches(root, manifest, columns=["id", "url"]):
        for row in batch.filter(pc.equal(batch.column("id"), id_)).to_pylist():
            yield row["url"]


def told(row: dict[str, Any]) -> str:
    detail = f" ({row['detail']})" if row["detail"] else ""
    kept = f" -> {row['kept']}" if row["kept"] else ""
    return f"{row['stage']:<12}{row['reason']}: {sentence_of(row['reason'])}{detail}{kept}"
