"""Writes a checkpoint as a Hugging Face folder, which transformers and the lm-evaluation-harness load."""

import argparse
from pathlib import Path

from pipeline.schema import PipelineError

ERRORS = (PipelineError, OSError, ValueError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="DIR",
        help="a run (its best checkpoint), a checkpoint, or OpenAI's published files",
    )
    parser.add_argument(
        "--vocab", type=Path, metavar="DIR", help="its vocabulary (default: in the model's folder, or beside the run)"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new or empty folder")


def run(options: argparse.Namespace) -> int:
    from model.export import export
    from model.load import loaded, vocabulary_of

    model = loaded(options.model)
    folder = export(model, vocabulary=vocabulary_of(model, given=options.vocab), output=options.output)
    print(f"{model.network.config.parameters:,} parameters from {model.path}")
    print(f"folder: {folder}")
    print(f"next: python -c \"from transformers import pipeline as p; print(p('text-generation', '{folder}')('The'))\"")
    return 0
