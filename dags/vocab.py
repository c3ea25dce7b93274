"""Trains the byte-level BPE on the train split of a corpus, in the way of GPT-2 (Radford et al. 2019, section 2.2).

Words are counted shard by shard, and the counts kept beside the vocabulary: a run that was stopped goes on, another --size costs
only the merges.  The merges are those of Hugging Face's `tokenizers`, whatever the number of workers and the order of shards.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import apache_beam as beam
import numpy as np
import pyarrow as pa

from dags.progress import Progress
from dags.running import engine_for, new_pipeline, output_directory, pipeline_options, run_pipeline, stopping_cleanly
from dags.sampling import EVERY_BUCKET, cut_for, measured_shard, sampled
from dags.settings import add_workers, parse_with_beam, positive
from dags.splits import CorpusShard, corpus_shards, documents_of, root_and_data, text_batches
from dags.vocab_report import report_lines
from pipeline import storage
from pipeline.schema import PipelineError, Shard, ShardError
from pipeline.shards import (
    Gather,
    MapShards,
    fingerprint,
    finished,
    read_metadata,
    read_table,
    rows_digest,
    shard_path,
    write_shard,
)
from tokenizer import SmallTextWarning, Tokenizer, TokenizerError
from tokenizer.training import GPT2_VOCAB, check_vocab_size, train_from_counts
from tokenizer.words import WordCounter, WordCounts, scan_fingerprint

VERSION = 1
ERRORS = (PipelineError, TokenizerError)
WORDS = pa.schema([("word", pa.binary()), ("count", pa.int64())])
__all__ = ["ERRORS", "add_arguments", "parse", "run"]


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    options = parse_with_beam(parser, arguments)
    if options.beside and not options.report:
        parser.error("--beside DIR is for the report: add --report")
    return options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--corpus", required=True, metavar="ROOT", help="the output of `webtext corpus`, or its corpus folder")
    parser.add_argument("--size", type=vocab_size, default=GPT2_VOCAB, metavar="N", help="tokens in all; default %(default)s")
    parser.add_argument("--output", metavar="DIR", help="vocabulary and counts; resumable; default ROOT/vocab")
    parser.add_argument(
        "--max-bytes", type=positive, metavar="N", help="train on documents with at most this much text, a sample by id"
    )
    parser.add_argument("--report", action="store_true", help="bytes per token by language and domain on the validation split")
    parser.add_argument("--beside", metavar="DIR", help="in the report: another vocabulary, such as GPT-2's files")
    add_workers(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress")


def vocab_size(text: str) -> int:
    """An argparse type."""
    try:
        check_vocab_size(size := int(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return size


def run(options: argparse.Namespace) -> int:
    beam_options = pipeline_options(options.beam)
    root, data = root_and_data(options.corpus)
    output = options.output or storage.join(root, "vocab")
    beside = Tokenizer.load(options.beside) if options.beside else None
    shards = corpus_shards(data, ["train"])
    validation = corpus_shards(data, ["validation"]) if options.report else []
    engine = engine_for(beam_options, output=output, inputs=[data], workers=options.workers)
    with output_directory(output), stopping_cleanly("vocab"):
        journal = storage.journal_of(output)
        storage.remove([journal])
        pipeline = new_pipeline(engine.options)
        counting_dag(
            pipeline, shards, output=output, max_bytes=options.max_bytes, across=engine.across, journal=engine.journal(output)
        )
        with Progress(journal, quiet=options.quiet).shown():
            has_run = run_pipeline(pipeline)
        if not has_run:
            return 0
        storage.remove([journal])
        counted = [words_path(output, shard) for shard in shards]
        storage.remove([path for path in storage.files_in(storage.join(output, "words"), "*.arrow") if path not in counted])
        words, text_bytes = total_of(counted)
        if not len(words.counts):
            raise PipelineError(f"{data}: the train split holds no text. Look at `webtext inspect {root}`.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SmallTextWarning)  # said below
            progress = None if options.quiet else MergeProgress()
            tokenizer = train_from_counts(words, vocab_size=options.size, progress=progress)
        with storage.folder_to_write(output) as folder:
            tokenizer.save(folder)
    print(f"text      {text_bytes:>16,} bytes of the train split")
    print(f"words     {len(words.counts):>16,} distinct, {int(words.counts.sum()):,} in all")
    print(f"vocab     {tokenizer.n_vocab:>16,}  {tokenizer.fingerprint[:12]}")
    if tokenizer.n_vocab < options.size:
        print(f"no pair is left that was seen twice: the text gives no vocabulary of {options.size:,}")
    if validation:
        print("\n".join(["", *report_lines([shard.path for shard in validation], tokenizer, beside)]))
    print(f"\nvocab: {output}    next: webtext tokens --corpus {options.corpus}")
    return 0


class MergeProgress:
    """Says on stderr how many merges are made and how long the rest will take, about once a second."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._started = self._told = now()

    def __call__(self, made: int, wanted: int) -> None:
        now = self._now()
        if now - self._told < 1 and made < wanted:
            return
        self._told = now
        left = (now - self._started) / max(made, 1) * (wanted - made)
        print(f"merges     {made:,}/{wanted:,}  {int(left // 60)}:{int(left % 60):02d} left", file=sys.stderr)


# ---- counting ----


def counting_dag(
    root: beam.Pipeline, shards: list[CorpusShard], *, output: str, max_bytes: int | None, across: int, journal: str | None
) -> beam.PCollection:
    """Corpus shards in, Shards of words and their counts out."""
    corpus = root | beam.Create(shards)
    if max_bytes is None:
        cut: int | beam.pvalue.AsSingleton = EVERY_BUCKET
    else:
        measured = corpus | "Measure" >> MapShards(measured_shard, across=across) | Gather()
        cut = beam.pvalue.AsSingleton(measured | "Cut" >> beam.Map(partial(cut_for, max_bytes=max_bytes)))
    return (
        corpus
        | "WithCut" >> beam.Map(lambda shard, cut: (shard, cut), cut)
        | beam.Reshuffle()
        | "Count" >> MapShards(partial(counted_shard, output=output), across=across, journal=journal)
        | "Counted" >> Gather()  # an engine waits for what comes out, and so notices a worker that died
    )


def words_path(output: str, shard: CorpusShard) -> str:
    return shard_path(output, "words", shard.number, shard.of)


def counted_shard(task: tuple[CorpusShard, int], *, output: str) -> Shard:
    """Writes the distinct words of a corpus shard and their counts, unless they are there."""
    shard, cut = task
    path = words_path(output, shard)
    recipe = fingerprint("words", VERSION, scan_fingerprint(), cut)
    made_from = fingerprint(recipe, storage.input_digest(shard.path))
    if done := finished(path, made_from):
        return done
    counter = WordCounter()
    documents = text_bytes = 0
    for batch in text_batches(shard.path, columns=["id"]):
        chosen = batch if cut == EVERY_BUCKET else batch.filter(sampled(batch.column("id"), cut))
        texts = documents_of(chosen.column("text"))
        counter.count(*texts)
        documents += chosen.num_rows
        text_bytes += int(texts.offsets[-1] - texts.offsets[0])
    return write_shard(
        path, words_table(counter.total()), stage="words", number=shard.number, of=shard.of, recipe=recipe, made_from=made_from,
        counts={"documents": documents, "bytes": text_bytes},
    )  # fmt: skip


def words_table(words: WordCounts) -> pa.Table:
    """The words as columns, the most frequent first."""
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), words.ends])
    column = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(words.counts), [None, pa.py_buffer(offsets), pa.py_buffer(words.text)]
    )
    table = pa.table({"word": column, "count": words.counts})
    return table.sort_by([("count", "descending"), ("word", "ascending")]).cast(WORDS)


def total_of(paths: list[str]) -> tuple[WordCounts, int]:
    """The counts of all shards together, and the bytes of text they were counted in."""
    total = WordCounter()
    text_bytes = 0
    for path in paths:
        table = read_table(path)
        metadata = read_metadata(path)
        if rows_digest(table.to_batches()) != metadata.digest:
            raise ShardError(f"{path}: the counts are not those that were written. Delete the file and run this again.")
        text_bytes += metadata.counts["bytes"]
        for batch in table.to_batches():
            texts = documents_of(batch.column("word"))
            start, end = int(texts.offsets[0]), int(texts.offsets[-1])
            total.add(WordCounts(texts.data[start:end], texts.offsets[1:] - start, batch.column("count").to_numpy()))
    return total.total(), text_bytes
