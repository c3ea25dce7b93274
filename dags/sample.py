"""Lets a checkpoint write.  Text goes to stdout as it comes.

--model is a run's folder (its best checkpoint writes), one checkpoint, a Hugging Face folder, or OpenAI's published files.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from model.config import ModelError
from pipeline.schema import PipelineError

ERRORS = (PipelineError, OSError, ValueError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="what writes")
    parser.add_argument(
        "--vocab", type=Path, metavar="DIR", help="its vocabulary (default: in the model's folder, or beside the run)"
    )
    parser.add_argument(
        "--prompt", action="append", metavar="TEXT", help="how the text begins; again for another text (default: a new document)"
    )
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="texts for each prompt (default: 1)")
    parser.add_argument("--tokens", type=int, metavar="N", help="new tokens, at most (default: 128)")
    parser.add_argument(
        "--temperature", type=float, metavar="X", help="0 takes the likeliest token, 1 draws as learned (default: 1)"
    )
    parser.add_argument("--top-k", type=int, metavar="N", help="draw among the N likeliest tokens, 0: all (default: 40)")
    parser.add_argument(
        "--top-p", type=float, metavar="X", help="draw among the likeliest that together hold this probability (default: 1)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="the same seed writes the same text (default: 0)")


def run(options: argparse.Namespace) -> int:
    if options.samples < 1:
        raise ModelError(f"--samples is {options.samples}, expected at least 1")

    from model.load import loaded, vocabulary_of
    from model.sample import Sampling, generated

    given = {field.name: value for field in fields(Sampling) if (value := getattr(options, field.name, None)) is not None}
    sampling = Sampling(**given)
    model = loaded(options.model)
    vocabulary = vocabulary_of(model, given=options.vocab)
    prompts = [prompt for prompt in options.prompt or [""] for _ in range(options.samples)]
    begun = [[vocabulary.eot, *vocabulary.encode(prompt)] for prompt in prompts]
    steps = generated(model.network, begun, sampling=sampling, eot=vocabulary.eot)
    if len(prompts) == 1:
        _stream(prompts[0], (row[0] for row in steps), vocabulary=vocabulary)
        return 0
    for number, ids in enumerate(zip(*steps, strict=True), start=1):
        print(f"---- {number} ----\n{prompts[number - 1]}{_text(ids, vocabulary=vocabulary)}")
    return 0


def _stream(prompt, ids, *, vocabulary) -> None:  # type: ignore[no-untyped-def]
    from model.sample import TextStream

    stream = TextStream(decode_bytes=vocabulary.decode_bytes)
    sys.stdout.write(prompt)
    for number in ids:
        if number != vocabulary.eot:
            sys.stdout.write(stream.feed(number))
            sys.stdout.flush()
    print(stream.end())


def _text(ids: Sequence[int], *, vocabulary) -> str:  # type: ignore[no-untyped-def]
    from model.sample import text_of

    return text_of([number for number in ids if number != vocabulary.eot], decode_bytes=vocabulary.decode_bytes)
