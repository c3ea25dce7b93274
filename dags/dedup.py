"""Drops exact and near duplicates from any corpus in Arrow, Parquet or JSONL (.gz, .zst); all columns are kept.

The survivors stand in ROOT/corpus/data, in an order that depends on the rows alone, each with its cluster_size.  What was
dropped stands in ROOT/ledger with its keeper.  A run that was stopped or killed is taken up by the same command.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import AsList, AsSingleton

from dags.progress import Progress
from dags.running import engine_for, new_pipeline, output_directory, pipeline_options, run_pipeline, stopping_cleanly
from dags.settings import add_workers, parse_with_beam
from pipeline import storage
from pipeline.dedup import Columns, DropDuplicates, DuplicateDrop, Rule, rule_named
from pipeline.dedup.survivors import plan, publish_summary, write_survivors
from pipeline.dedup.tables import TableFile, split
from pipeline.schema import PipelineError
from pipeline.shards import MapShards, read_batches, read_table

ERRORS = (PipelineError,)
EXCERPT = 60  # characters of a text in the report
__all__ = ["ERRORS", "add_arguments", "dedup_dag", "parse", "run"]

parse = parse_with_beam


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", nargs="+", required=True, metavar="GLOB", help=".arrow .parquet .jsonl .jsonl.gz .jsonl.zst")
    parser.add_argument("--output", required=True, metavar="ROOT", help="directory of the survivors and the work; resumable")
    parser.add_argument("--text", default="text", metavar="COL", help="column of the text; default %(default)s")
    parser.add_argument("--id", default="id", metavar="COL", help="column of ids that do not repeat; default %(default)s")
    parser.add_argument(
        "--order", type=order, metavar="COL[:desc]", help="which copy is kept: the least by this column, or the greatest"
    )  # fmt: skip
    parser.add_argument(
        "--dedup", default="webtext", metavar="NAME|BxR@T|none",
        help="webtext, strict, loose, fineweb, openwebtext2, or bands x rows @ threshold; default %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--against", nargs="+", default=[], metavar="DIR", help="older corpora, oldest first: their rows stay, copies of them go"
    )  # fmt: skip
    add_workers(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress")


def order(text: str) -> tuple[str, str]:
    """An argparse type: a column and a direction."""
    name, _, direction = text.partition(":")
    if not name or direction not in ("", "asc", "desc"):
        raise argparse.ArgumentTypeError(f"{text!r}: write COLUMN or COLUMN:desc")
    return name, "descending" if direction == "desc" else "ascending"


def run(options: argparse.Namespace) -> int:
    root = options.output.rstrip("/") or options.output
    rule = rule_named(options.dedup)
    columns = Columns(
        id=options.id,
        text=options.text,
        order=(options.order,) if options.order else (),
        key=options.id,
    )
    inputs = [*options.input, *options.against]
    engine = engine_for(pipeline_options(options.beam), output=root, inputs=inputs, workers=options.workers)
    files = storage.expand(options.input, what="input")
    journal = storage.journal_of(root)
    with output_directory(root), stopping_cleanly("dedup"):
        storage.remove([journal])
        pipeline = new_pipeline(engine.options)
        dedup_dag(
            pipeline, files, root=root, rule=rule, columns=columns, against=options.against,
            across=engine.across, journal=engine.journal(root),
        )  # fmt: skip
        with Progress(journal, quiet=options.quiet).shown():
            has_run = run_pipeline(pipeline)
        if not has_run:
            return 0
    print("\n".join(report(root, files=len(files), columns=columns)))
    return 0


def dedup_dag(
    pipeline: beam.Pipeline,
    files: Sequence[str],
    *,
    root: str,
    rule: Rule,
    columns: Columns,
    against: Sequence[str] = (),
    across: int = 1,
    journal: str | None = None,
) -> beam.PCollection:
    """Files of rows in, the path of the summary out."""
    documents = (
        pipeline
        | "Files" >> beam.Create([TableFile(path, number, len(files)) for number, path in enumerate(files)])
        | "SpreadFiles" >> beam.Reshuffle()
        | "Split" >> MapShards(partial(split, root=root, columns=columns), across=across)
        | "Pieces" >> beam.FlatMap(lambda shards: shards)
    )
    verdicts = documents | DropDuplicates(
        rule, root=root, columns=columns, against=against, across=across, journal=journal
    )
    written = (
        verdicts
        | "Plan" >> beam.FlatMap(lambda shard, documents: plan(documents, shard, root=root), AsList(documents))
        | "SpreadPlan" >> beam.Reshuffle()
        | "Write" >> MapShards(partial(write_survivors, root=root, columns=columns), across=across)
    )
    return (
        pipeline
        | "Once" >> beam.Create([None])
        | "Publish" >> beam.Map(publish_summary, AsList(documents), AsSingleton(verdicts), AsList(written), root=root)
    )


# ---- the report ----


def report(root: str, *, files: int, columns: Columns) -> list[str]:
    """What came in, what was dropped, and which clusters were the largest."""
    summary = json.loads(storage.read_text(storage.join(root, "dedup.json")))
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary["dropped"].items())
    lines = [
        f"rows        {summary['rows']:,} in {files:,} file{'s' * (files != 1)}",
        f"dropped     {sum(summary['dropped'].values()):,}{f' ({reasons})' if reasons else ''}",
        f"survivors   {summary['kept']:,} in {storage.join(root, 'corpus', 'data')}",
    ]
    clusters = read_table(storage.join(root, "duplicates", "clusters.arrow"))
    if len(clusters):
        lines.append(f"clusters    {len(clusters):,} of {pc.sum(clusters.column('cluster_size')).as_py():,} rows")
        largest = clusters.sort_by([("cluster_size", "descending"), ("id", "ascending")]).slice(0, 1).to_pylist()[0]
        verdicts = read_table(storage.join(root, "duplicates", "verdicts.arrow"), columns=["kept", "reason"])
        exact = verdicts.filter(pc.equal(verdicts.column("reason"), DuplicateDrop.EXACT_DUPLICATE.name)).column("kept")
        counted = exact.value_counts().to_pylist()
        common = min(counted, key=lambda entry: (-entry["counts"], entry["values"])) if counted else None
        wanted = [largest["id"], *([common["values"]] if common else [])]
        texts = texts_of(wanted, root=root, files=summary["files"], columns=columns)
        lines.append(f"largest     {largest['cluster_size']:,} rows like {largest['id']}: {texts.get(largest['id'], '')}")
        if common:
            name, count = common["values"], common["counts"] + 1
            lines.append(f"most common {count:,} copies of {name}: {texts.get(name, 'a row of the older corpus')}")
    ledger = storage.join(root, "ledger", "duplicates-00000.arrow")
    return [*lines, "", f"corpus: {storage.join(root, 'corpus')}    what was dropped, and for which row: {ledger}"]


def texts_of(ids: list[str], *, root: str, files: list[dict], columns: Columns) -> dict[str, str]:
    """The beginnings of the texts of these survivors."""
    found: dict[str, str] = {}
    for file in files:
        path = storage.join(root, "corpus", *file["path"].split("/"))
        id_batches, text_batches = (read_batches(path, columns=[name]) for name in (columns.id, columns.text))
        for names, texts in zip(id_batches, text_batches, strict=True):
            rows = pc.index_in(pa.array(ids), value_set=names.column(0).cast(pa.string())).to_pylist()
            for name, row in zip(ids, rows, strict=True):
                if row is not None:
                    text = " ".join((texts.column(0)[row].as_py() or "").split())
                    found[name] = repr(text[:EXCERPT] + ("..." if len(text) > EXCERPT else ""))
        if len(found) == len(set(ids)):
            break
    return found
