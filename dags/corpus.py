"""Builds a corpus: the outbound links of Reddit submissions, fetched or replayed, as deduplicated Arrow shards.

A run that was stopped or killed is taken up by the same command; one with more dumps reuses what has not changed.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import apache_beam as beam

from dags.finished_corpus import funnel_lines, manifest_of, root_of
from dags.progress import Progress
from dags.running import (
    Engine,
    engine_for,
    new_pipeline,
    output_directory,
    pipeline_options,
    recorded_configuration,
    run_pipeline,
    settle_configuration,
    stopping_cleanly,
)
from dags.settings import CorpusConfig, RunOptions, add_arguments, digest_of_file, parse_with_beam
from pipeline import storage
from pipeline.corpus import WriteCorpus
from pipeline.dedup import DropDuplicates, clusters_path, rule_named
from pipeline.documents.document import ExtractConfig
from pipeline.documents.stage import ExtractText
from pipeline.exclude import NO_EXCLUSIONS, read_exclusions, read_removals, removals_path
from pipeline.fetch.config import FetchConfig
from pipeline.links import LinkConfig, SelectLinks
from pipeline.manifest import WriteManifest
from pipeline.pages import FetchPages
from pipeline.removal import hand_over
from pipeline.schema import PipelineError
from pipeline.submissions import ReadSubmissions
from pipeline.wanted import Wanted

ERRORS = (PipelineError,)
__all__ = ["ERRORS", "add_arguments", "corpus_dag", "parse", "run"]


def corpus_dag(root: beam.Pipeline, config: CorpusConfig, options: RunOptions) -> beam.PCollection:
    """The whole way: submissions -> links -> pages -> documents -> verdicts -> shards -> manifest."""
    where: dict[str, Any] = {"root": options.output, "journal": options.workers_journal}
    spread: dict[str, Any] = {"across": options.workers, **where}
    links_config = link_config(config, options)
    text = ExtractConfig(config.extractor, config.language, config.rules)
    sizes: dict[str, Any] = {"validation": config.validation, "shard_bytes": config.shard_bytes}
    cut: dict[str, Any] = {"partitions": links_config.partitions}
    private: dict[str, Any] = {"allow_private": config.allow_private, "excluded": links_config.exclude | links_config.removed}

    made: list[beam.PCollection] = []

    def after(shards: Any, stage: beam.PTransform) -> beam.PCollection:
        made.append(shards | stage)  # the manifest counts what every stage has made
        return made[-1]

    dumps = root | ReadSubmissions(options.dumps)
    links = after(dumps, SelectLinks(config=links_config, min_score_age_h=options.min_score_age_h, **spread))
    pages = after(links, FetchPages(archives=options.archives, fetch=fetch_config(config, options), **cut, **private, **spread))
    documents = after(pages, ExtractText(config=text, workers=options.workers, **where))
    verdicts = after(documents, DropDuplicates(rule_named(config.dedup), against=options.against, **spread))
    after((documents, verdicts), WriteCorpus(clusters_path=clusters_path, **sizes, **spread))

    inputs = [*options.dumps, *(options.archives or [])]
    manifest = made | beam.Flatten() | WriteManifest(root=options.output, inputs=inputs, config=config.as_json())
    return manifest | "Done" >> beam.Reshuffle()  # an engine waits for what comes out, and so notices a worker that died


def run(options: argparse.Namespace) -> int:
    root = options.output.rstrip("/") or options.output
    inputs = [*options.submissions, *(options.archive or []), *options.against]
    engine = engine_for(pipeline_options(options.beam), output=root, inputs=inputs, workers=options.workers)
    config, run_options = settled(options, root, engine=engine)
    if options.dry_run:
        print("\n".join(plan_lines(config, run_options)))
        return 0
    started = time.monotonic()
    with output_directory(root), stopping_cleanly("corpus"):
        hand_over(root)
        config = replace(config, removed=digest_of_file(removals) if storage.exists(removals := removals_path(root)) else None)
        recorded = recorded_configuration(root)
        differences = config.differences(recorded) if recorded else []
        settle_configuration(root, config.as_json(), differences, rebuild=options.rebuild)
        if options.subreddits:
            _listings().read_listings(options, root)
        storage.remove([run_options.journal])
        progress = Progress(run_options.journal, quiet=options.quiet)
        pipeline = new_pipeline(engine.options)
        corpus_dag(pipeline, config, run_options)
        with progress.shown():
            has_run = run_pipeline(pipeline)
        if not has_run:
            return 0
        from dags.report.writing import write_report  # charts and tokenizer: a second that a run which fails need not wait for

        manifest = manifest_of(root)
        record_run(root, manifest, progress, seconds=time.monotonic() - started, workers=run_options.workers)
        print("\n".join(funnel_lines(manifest)))
        print(f"\nreport: {write_report(root)}")
        print(f"corpus: {storage.join(root, 'corpus')}    next: webtext inspect {root}")
    return 0


# ---- from the command line to the DAG ----


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Our options; `beam` holds the rest, which Beam must know: an option of neither is wrong use, like a value none can have."""
    options = parse_with_beam(parser, arguments)
    if not options.submissions and not options.subreddits:
        parser.error("give --submissions GLOB or --subreddits A,B: there is nothing to read")
    if options.archive is None and not options.contact:
        parser.error("a live crawl needs --contact ADDRESS, so that servers know whom to write to; else give --archive GLOB")
    try:
        config = chosen(options)
        rule_named(config.dedup)
        ExtractConfig(config.extractor, config.language, config.rules)
        if options.archive is None:
            FetchConfig(options.contact, allow_private=config.allow_private)
        if options.subreddits:
            _listings().reddit_config(options)
    except PipelineError as error:
        parser.error(str(error))
    return options


def chosen(options: argparse.Namespace) -> CorpusConfig:
    """The configuration that the flags say, before any file is looked at."""
    return CorpusConfig(
        **{name: getattr(options, name) for name in CONFIGURED},
        allow_private=tuple(sorted(options.allow_private)),
        source="crawl" if options.archive is None else "archive",
        contact=options.contact or None,
    )


def settled(options: argparse.Namespace, root: str, *, engine: Engine) -> tuple[CorpusConfig, RunOptions]:
    """The choices of a command line, checked; files that are named are there.  Raises PipelineError."""
    config = replace(
        chosen(options),
        exclude=digest_of_file(options.exclude),
        against=tuple(storage.sha256_of(storage.join(root_of(older), "corpus", "manifest.json")) for older in options.against),
    )
    dumps = storage.expand(options.submissions, what="dump of submissions")
    if options.subreddits:
        dumps.append(_listings().reddit_dump(options, root))
    run_options = RunOptions(
        output=root,
        dumps=dumps,
        archives=None if options.archive is None else storage.expand(options.archive, what="archive"),
        contact=options.contact or "",
        retry_failed=options.retry_failed,
        workers=engine.across,
        here=engine.here,
        exclude=options.exclude,
        against=tuple(map(root_of, options.against)),
        allow_truncated=options.allow_truncated,
        min_score_age_h=options.min_score_age,
    )
    link_config(config, run_options)  # reads the removal list: what is wrong with it is said before anything is written
    return config, run_options


CONFIGURED = (
    "min_karma", "karma", "since", "until", "include_subreddits", "exclude_subreddits", "language", "rules", "extractor", "dedup",
    "validation", "shard_bytes", "robots_tokens",
)  # fmt: skip


def link_config(config: CorpusConfig, options: RunOptions) -> LinkConfig:
    return LinkConfig(
        wanted=Wanted(config.since, config.until, config.include_subreddits, config.exclude_subreddits),
        min_karma=config.min_karma,
        karma=config.karma,
        exclude=read_exclusions(options.exclude) if options.exclude else NO_EXCLUSIONS,
        removed=read_removals(options.output),
        allow_private=config.allow_private,
        allow_truncated=options.allow_truncated,
        partitions=partitions_for(options.dumps),
    )


def fetch_config(config: CorpusConfig, options: RunOptions) -> FetchConfig | None:
    """How to crawl; None if pages are replayed."""
    if options.archives is not None:
        return None
    return FetchConfig(
        options.contact,
        allow_private=config.allow_private,
        retry_failed=options.retry_failed,
        robots_tokens=config.robots_tokens,
    )


def _listings() -> ModuleType:
    """Only for those who read from Reddit: praw takes a tenth of a second to import."""
    from dags import listings

    return listings


def partitions_for(dumps: Sequence[str]) -> int:
    """Into how many parts links, pages and documents are cut."""
    return partitions_of_bytes(sum(storage.size(path) for path in dumps if storage.exists(path)))


def partitions_of_bytes(total: int) -> int:
    """A power of two, by the size of the dumps.

    18 MB of packed dump hold some fifty thousand links, so a part has at most as many: a few hundred MB of text.
    """
    return next((parts for limit, parts in ((32 << 20, 16), (1 << 30, 64), (8 << 30, 512)) if total <= limit), 4096)


def plan_lines(config: CorpusConfig, options: RunOptions) -> list[str]:
    """What a run would read and build."""
    lines = [f"dump      {path}  {told_size(path)}" for path in options.dumps]
    lines += [f"archive   {path}  {told_size(path)}" for path in options.archives or []]
    lines += [f"{name:<20}{value}" for name, value in config.as_json().items()]
    lines += [f"{'partitions':<20}{partitions_for(options.dumps)}", f"{'workers':<20}{options.workers}"]
    return [*lines, "nothing was built"]


def told_size(path: str) -> str:
    return f"{storage.size(path):,} bytes" if storage.exists(path) else "to be read from Reddit"


def record_run(root: str, manifest: dict[str, Any], progress: Progress, *, seconds: float, workers: int) -> None:
    """run.json: times and rates of this run, apart from the manifest, which holds no clock."""
    rows = sum(shard["rows"] for shard in manifest["shards"])
    record = {
        "seconds": round(seconds, 2),
        "workers": workers,
        "documents": rows,
        "documents_per_second": round(rows / seconds, 2),
        "stages": progress.times(),
    }
    storage.write_text(storage.join(root, "run.json"), json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":  # python -m dags.corpus
    from dags.__main__ import main

    sys.exit(main(["corpus", *sys.argv[1:]]))
