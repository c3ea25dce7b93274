"""Scores a model on its validation split and on the paper's test sets, each from a file you give.

Every line names the definition of its number and shows the paper's (Radford et al. 2019, table 3) beside it.  Numbers under
different definitions do not compare.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from model.config import ModelError
from pipeline.schema import PipelineError

if TYPE_CHECKING:
    from model.load import Loaded
    from tokenizer import Tokenizer

ERRORS = (PipelineError, OSError, ValueError)

FILES = {
    "lambada": "LAMBADA: OpenAI's jsonl (field `text`), or the original, tokenised, a passage a line",
    "wikitext_2": "WikiText-2 test, tokenised",
    "wikitext_103": "WikiText-103 test, tokenised",
    "ptb": "Penn Treebank test, words",
    "one_billion_word": "One Billion Word test, tokenised",
    "enwik8": "enwik8, or the part of it to score",
    "text8": "text8, or the part of it to score",
    "cbt_cn": "Children's Book Test, common nouns",
    "cbt_ne": "Children's Book Test, named entities",
}


class Result(NamedTuple):
    test: str
    definition: str
    value: str
    paper: str = ""
    note: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="DIR",
        help="a run (its best checkpoint), a checkpoint, a Hugging Face folder, or OpenAI's published files",
    )
    parser.add_argument(
        "--vocab", type=Path, metavar="DIR", help="its vocabulary (default: in the model's folder, or beside the run)"
    )
    parser.add_argument(
        "--tokens",
        type=Path,
        metavar="DIR",
        help="token shards, for the loss of their validation split (default: tokens beside the run)",
    )
    for name, what in FILES.items():
        parser.add_argument("--" + name.replace("_", "-"), type=Path, metavar="FILE", help=what)
    parser.add_argument("--stop-words", type=Path, metavar="FILE", help="words that answer no LAMBADA question, one a line")
    parser.add_argument(
        "--stride", type=int, metavar="N", help="tokens between two windows of a long text (default: the context, windows apart)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N questions, or lines of a text: for a quick look")


def run(options: argparse.Namespace) -> int:
    if options.limit is not None and options.limit < 1:
        raise ModelError(f"--limit is {options.limit}, expected at least 1")
    if options.stride is not None and options.stride < 1:
        raise ModelError(f"--stride is {options.stride}, expected at least 1")

    from model.evaluation.paper import LABELS, column
    from model.load import loaded, vocabulary_of

    model = loaded(options.model)
    vocabulary = vocabulary_of(model, given=options.vocab)
    label = LABELS[column(model.network.config)]
    print(f"{model.path}: {model.network.config.parameters:,} parameters; the paper's column is {label}")
    print(f"{'test':<15}{'ours':>12}{'paper ' + label:>14}  definition")
    notes: dict[str, None] = {}
    for result in results(model, options=options, vocabulary=vocabulary):
        print(f"{result.test:<15}{result.value:>12}{result.paper or '-':>14}  {result.definition}", flush=True)
        if result.note:
            notes[f"{result.test}: {result.note}"] = None
    for note in notes:
        print(note)
    return 0


def results(model: "Loaded", *, options: argparse.Namespace, vocabulary: "Tokenizer") -> Iterator[Result]:
    """One result after another, as they are ready."""
    tokens = options.tokens or _tokens_beside(model.path)
    if tokens is not None:
        yield from _validation(model, tokens, options=options, vocabulary=vocabulary)
    if options.lambada:
        yield from _lambada(model, options=options, vocabulary=vocabulary)
    for name in ("wikitext_2", "wikitext_103", "ptb", "one_billion_word"):
        if getattr(options, name):
            yield from _words(model, name, options=options, vocabulary=vocabulary)
    for name in ("enwik8", "text8"):
        if getattr(options, name):
            yield from _bits(model, name, options=options, vocabulary=vocabulary)
    for name in ("cbt_cn", "cbt_ne"):
        if getattr(options, name):
            yield from _cloze(model, name, options=options, vocabulary=vocabulary)


def _validation(model: "Loaded", tokens: Path, *, options: argparse.Namespace, vocabulary: "Tokenizer") -> Iterator[Result]:
    from model.evaluation.perplexity import likelihood
    from model.tokens import TokenShards

    shards = TokenShards(tokens, split="validation")
    if shards.tokenizer != vocabulary.fingerprint:
        raise ModelError(
            f"{tokens}: was made with another tokenizer than {model.path}. Run `webtext tokens` with its vocabulary."
        )
    ids = shards.read(_zero(), length=shards.tokens)[0]
    found = likelihood(model.network, ids, eot=vocabulary.eot, stride=options.stride)
    size = len(vocabulary.decode_bytes(ids[ids != vocabulary.eot].tolist()))
    note = "end-of-text ids are predicted, and count no byte"
    yield Result("validation", f"loss in nats a token, {found.tokens:,} tokens", f"{found.nats / found.tokens:.4f}")
    yield Result("validation", f"bits per byte of text, {size:,} bytes", f"{found.bits(units=size):.4f}", note=note)


def _lambada(model: "Loaded", *, options: argparse.Namespace, vocabulary: "Tokenizer") -> Iterator[Result]:
    from model.evaluation.detokenise import treebank
    from model.evaluation.lambada import lambada, passages, stop_words
    from model.evaluation.paper import TABLE_3, printed

    stops = stop_words(options.stop_words) if options.stop_words else None
    texts, words, reading = passages(options.lambada)[: options.limit], None, ""
    if options.lambada.suffix != ".jsonl":
        words = [text.rpartition(" ")[2] for text in texts]
        lines = [treebank().detokenised(text) for text in texts]
        texts = [line.text for line in lines]
        reading = f"; de-tokenised, but for {sum(line.raw for line in lines):,} of {len(lines):,} lines"
    found = lambada(model.network, texts, vocabulary=vocabulary, words=words, stops=stops)
    config = model.network.config
    perplexity, accuracy = (
        f"{printed('lambada-perplexity', config=config):.2f}",
        f"{printed('lambada-accuracy', config=config):.2f}",
    )
    note = TABLE_3["lambada-accuracy"].note
    token = f"last BPE token, the paper's reading{reading}"
    word = "whole last word" + (reading or ", lm-evaluation-harness's lambada_openai")
    yield Result("lambada ppl", token, f"{found.token_perplexity:.2f}", perplexity)
    yield Result("lambada ppl", word, f"{found.word_perplexity:.2f}")
    yield Result(
        "lambada acc %",
        f"{token}; {found.split_words:,} of {found.examples:,} words are longer",
        f"{100 * found.token_accuracy:.2f}",
        accuracy,
        note,
    )
    yield Result("lambada acc %", word, f"{100 * found.word_accuracy:.2f}")
    if found.filtered_token_accuracy is not None and found.filtered_word_accuracy is not None:
        barred = f"stop words barred{reading}"
        yield Result("lambada acc %", f"last BPE token, {barred}", f"{100 * found.filtered_token_accuracy:.2f}", accuracy)
        yield Result("lambada acc %", f"whole last word, {barred}", f"{100 * found.filtered_word_accuracy:.2f}")


def _words(model: "Loaded", name: str, *, options: argparse.Namespace, vocabulary: "Tokenizer") -> Iterator[Result]:
    from model.evaluation.detokenise import treebank, wikitext
    from model.evaluation.paper import TABLE_3, printed
    from model.evaluation.perplexity import word_perplexity

    test = {"one_billion_word": "1bw"}.get(name, name.replace("_", "-"))
    text = "\n".join(_text(getattr(options, name)).split("\n")[: options.limit])
    if not text.strip():
        raise ModelError(f"{getattr(options, name)}: holds no text")
    style = wikitext() if name.startswith("wikitext") else treebank()
    found = word_perplexity(model.network, text, vocabulary=vocabulary, detokeniser=style, stride=options.stride)
    paper, note = f"{printed(test, config=model.network.config):.2f}", TABLE_3[test].note
    undone = 1 - found.raw_lines / max(1, found.lines)
    gain = f": de-tokenising gains {found.per_word_raw - found.per_word:.2f}" if found.per_word_raw < math.inf else ""
    yield Result(
        test,
        f"perplexity a word, de-tokenised ({undone:.2%} of {found.lines:,} lines), {found.words:,} words",
        f"{found.per_word:.2f}",
        paper,
        note,
    )
    yield Result(
        test,
        f"perplexity a word, file as it is{gain}",
        f"{found.per_word_raw:.2f}",
    )
    yield Result(test, "perplexity a BPE token, file as it is", f"{found.per_token_raw:.2f}", paper)


def _bits(model: "Loaded", name: str, *, options: argparse.Namespace, vocabulary: "Tokenizer") -> Iterator[Result]:
    from model.evaluation.paper import TABLE_3, printed
    from model.evaluation.perplexity import likelihood

    text = _text(getattr(options, name))
    if options.limit:
        text = "".join(text.splitlines(keepends=True)[: options.limit])
    units = len(text.encode()) if name == "enwik8" else len(text)
    if not units:
        raise ModelError(f"{getattr(options, name)}: holds no text")
    found = likelihood(model.network, vocabulary.encode(text), eot=vocabulary.eot, stride=options.stride)
    unit = "byte" if name == "enwik8" else "character"
    yield Result(
        name,
        f"bits per {unit}, {units:,} {unit}s, no de-tokeniser",
        f"{found.bits(units=units):.4f}",
        f"{printed(name, config=model.network.config):.2f}",
        TABLE_3[name].note,
    )


def _cloze(model: "Loaded", name: str, *, options: argparse.Namespace, vocabulary: "Tokenizer") -> Iterator[Result]:
    from model.evaluation.cloze import accuracy, questions
    from model.evaluation.paper import printed

    asked = questions(getattr(options, name))[: options.limit]
    test = name.replace("_", "-")
    yield Result(
        f"{test} acc %",
        f"likeliest of ten choices with the rest of the sentence, {len(asked):,} questions",
        f"{100 * accuracy(model.network, asked, vocabulary=vocabulary):.2f}",
        f"{printed(test, config=model.network.config):.2f}",
    )


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: byte {error.start:,} is no UTF-8. Cut the file between two characters.") from error


def _tokens_beside(path: Path) -> Path | None:
    places = [parent / "tokens" for parent in list(path.absolute().parents)[:3]]
    return next((place for place in places if place.is_dir()), None)


def _zero():  # type: ignore[no-untyped-def]
    import numpy as np

    return np.zeros(1, dtype=np.int64)
