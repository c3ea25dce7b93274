"""Encodes a corpus: one token shard for each of its shards, of the same name.

Each document becomes its ids and the end-of-text id.  Text is ordinary: `<|endoftext|>` inside a document is encoded letter by
letter.  Nothing is dropped.  Shards that are there already, made from the same text with the same vocabulary, are left alone.
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import apache_beam as beam
import pyarrow as pa

from dags.progress import Progress
from dags.running import engine_for, new_pipeline, output_directory, pipeline_options, run_pipeline, stopping_cleanly
from dags.settings import add_workers, parse_with_beam
from dags.splits import SHARD_NAME, CorpusShard, corpus_shards, documents_of, root_and_data, text_batches
from pipeline import storage
from pipeline.schema import TOKENS, PipelineError, Shard, ShardError
from pipeline.shards import Gather, MapShards, fingerprint, open_arrow, write_arrow
from tokenizer import Tokenizer, TokenizerError

VERSION = 1
ERRORS = (PipelineError, TokenizerError)
__all__ = ["ERRORS", "add_arguments", "parse", "run"]

parse = parse_with_beam


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--corpus", required=True, metavar="ROOT", help="the output of `webtext corpus`, or its corpus folder")
    parser.add_argument("--vocab", metavar="DIR", help="vocabulary of `webtext vocab`, or GPT-2's own; default ROOT/vocab")
    parser.add_argument("--output", metavar="DIR", help="token shards; resumable; default ROOT/tokens")
    add_workers(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(options: argparse.Namespace) -> int:
    beam_options = pipeline_options(options.beam)
    root, data = root_and_data(options.corpus)
    vocab = options.vocab or storage.join(root, "vocab")
    output = options.output or storage.join(root, "tokens")
    with storage.folder_to_read(vocab) as folder:
        tokenizer = Tokenizer.load(folder)
    shards = corpus_shards(data)
    engine = engine_for(beam_options, output=output, inputs=[data], workers=options.workers)
    with output_directory(output), stopping_cleanly("tokens"):
        journal = storage.journal_of(output)
        storage.remove([journal])
        progress = Progress(journal, quiet=options.quiet)
        pipeline = new_pipeline(engine.options)
        work = partial(encoded_shard, tokenizer=tokenizer, output=output)
        encoded = MapShards(work, across=engine.across, journal=engine.journal(output))
        # An engine waits for what comes out, and so notices a worker that died.
        pipeline | beam.Create(shards) | beam.Reshuffle() | encoded | Gather()
        with progress.shown():
            has_run = run_pipeline(pipeline)
        if not has_run:
            return 0
        storage.remove([journal])
        storage.remove(stale(output, shards))
    totals = [contents(storage.join(output, shard.name)) for shard in shards]
    documents, tokens = (sum(column) for column in zip(*totals, strict=True))
    print(f"documents {documents:>16,}\ntokens    {tokens:>16,}")
    print(f"vocab     {tokenizer.n_vocab:>16,}  {tokenizer.fingerprint[:12]}")
    print(f"\ntokens: {output}    next: webtext train --tokens {output} --model tiny")
    return 0


class Contents(NamedTuple):
    documents: int
    tokens: int


def contents(path: str) -> Contents:
    """How much a token shard holds.  Raises ShardError if it is not whole."""
    reader = open_arrow(path)
    batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    return Contents(sum(batch.num_rows for batch in batches), sum(len(batch.column(0).flatten()) for batch in batches))


def stale(output: str, shards: Sequence[CorpusShard]) -> list[str]:
    """Token shards of a corpus that was cut otherwise."""
    wanted = {shard.name for shard in shards}
    names = {path: path.replace("\\", "/").rsplit("/", 1)[-1] for path in storage.files_in(output, "*.arrow")}
    return [path for path, name in names.items() if SHARD_NAME.fullmatch(name) and name not in wanted]


# ---- one shard ----


def encoded_shard(shard: CorpusShard, *, tokenizer: Tokenizer, output: str) -> Shard:
    """Writes the token shard of a corpus shard, unless it is there."""
    path = storage.join(output, shard.name)
    made_from = fingerprint("tokens", VERSION, tokenizer.fingerprint, storage.input_digest(shard.path))
    rows = finished_rows(path, made_from)
    if rows is None:
        metadata = {
            "tokenizer": tokenizer.fingerprint,
            "n_vocab": str(tokenizer.n_vocab),
            "eot": str(tokenizer.eot),
            "made_from": made_from,
        }
        write_arrow(path, TOKENS.with_metadata(metadata), token_batches(shard.path, tokenizer), compression=None)
        rows = contents(path).documents
    return Shard("tokens", shard.number, shard.of, path, rows, 0, made_from)


def finished_rows(path: str, made_from: str) -> int | None:
    """Rows of the token shard at `path`, if it is whole and was made from just this."""
    if not storage.exists(path):
        return None
    try:
        metadata = open_arrow(path).schema.metadata or {}
        return contents(path).documents if metadata.get(b"made_from") == made_from.encode() else None
    except (ShardError, pa.ArrowInvalid):
        return None  # cut short by a crash of the machine: made again


def token_batches(path: str, tokenizer: Tokenizer) -> Iterator[pa.RecordBatch]:
    """Token rows of the rows of a corpus shard, in their order."""
    for batch in text_batches(path, columns=["id"]):
        ids, ends = tokenizer.encode_documents(documents_of(batch.column("text")), append_eot=True)
        offsets = pa.array([0, *ends.tolist()], type=pa.int32())
        rows = pa.ListArray.from_arrays(offsets, pa.array(ids, type=pa.uint16()))
        document = batch.column("id").cast(pa.string())
        yield pa.record_batch([rows.cast(TOKENS.field("ids").type), document], schema=TOKENS)
