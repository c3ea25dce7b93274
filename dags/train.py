"""Trains GPT-2 on token shards, from the newest checkpoint in --output if there is one.

A run that was stopped or killed is taken up by the same command and ends with the same bits.  Several processes:
`torchrun --nproc-per-node N -m dags train ...`, with --parallel ddp or fsdp.
"""

import argparse
import os
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from model.config import SIZES, ModelError
from model.recipe import CHOICES, RECIPES, Recipe
from pipeline.schema import PipelineError
from tokenizer import TokenizerError

ERRORS = (PipelineError, OSError, TokenizerError)
THREADS_PER_PROCESSOR = 4  # at most; thousands do nothing but wait for one another

HELP = {
    "n_ctx": "tokens of a sequence",
    "batch": "sequences of a step, over all ranks",
    "micro_batch": "sequences at a time; less takes less memory",
    "steps": "updates of the weights",
    "lr": "highest learning rate",
    "final_lr": "learning rate at the end, as a share of --lr",
    "warmup": "steps over which the learning rate rises",
    "schedule": "shape of the learning rate",
    "decay": "share of the steps in which wsd decays",
    "optimizer": "muon: for the matrices inside blocks, AdamW for the rest",
    "weight_decay": "of embeddings and matrices; biases and layer norms have none",
    "beta1": "AdamW's memory of the gradient",
    "beta2": "AdamW's memory of its square",
    "clip": "largest norm of the gradient",
    "dropout": "share of activations dropped",
    "precision": "arithmetic; auto is bf16 where the hardware has it, else fp32",
    "mask_documents": "no token looks beyond its own document",
    "recompute": "keep only the blocks' inputs for the backward pass: less memory, a third more work",
    "spike": "what to do when the loss jumps by six standard deviations",
    "seed": "of weights, shuffle and dropout",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokens", type=Path, required=True, metavar="DIR", help="token shards, made by `webtext tokens`")
    parser.add_argument("--model", required=True, choices=SIZES, help="size")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where checkpoints go (default: model beside --tokens)")
    parser.add_argument("--vocab", type=Path, metavar="DIR", help="vocabulary, for samples (default: vocab beside --tokens)")
    parser.add_argument(
        "--weights", type=Path, metavar="DIR", help="begin with the weights of this checkpoint or Hugging Face folder"
    )
    parser.add_argument(
        "--parallel", choices=("ddp", "fsdp"), default="ddp", help="how torchrun's processes share the work (default: ddp)"
    )
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="compile the blocks (default: on CUDA)")
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads (default: the checkpoint's, else all)")
    parser.add_argument(
        "--eval-every", type=int, metavar="N", help="steps between two evaluations (default: an eighth of --steps, at most 250)"
    )
    parser.add_argument(
        "--eval-tokens", type=int, metavar="N", default=2**20, help="validation tokens used, at most (default: 1,048,576)"
    )
    parser.add_argument(
        "--save-every", type=int, metavar="N", help="steps between two checkpoints (default: a quarter of --steps, at most 1,000)"
    )
    parser.add_argument(
        "--keep", type=int, metavar="N", default=3, help="newest checkpoints kept; the best is kept besides (default: 3)"
    )
    recipe = parser.add_argument_group("recipe", "A checkpoint of another recipe is refused.  Defaults for tiny / gpt2.")
    for field in fields(Recipe):
        flag, defaults = "--" + field.name.replace("_", "-"), [getattr(RECIPES[size], field.name) for size in ("tiny", "gpt2")]
        shown = (
            f"{defaults[0]:,} / {defaults[1]:,}"
            if isinstance(defaults[0], (int, float)) and defaults[0] != defaults[1]
            else defaults[0]
        )
        more: dict[str, Any] = {"help": f"{HELP[field.name]} (default: {shown})"}
        if field.type is bool:
            more["action"] = argparse.BooleanOptionalAction
        elif field.name in CHOICES:
            more["choices"] = CHOICES[field.name]
        else:
            more |= {"type": field.type, "metavar": "N" if field.type is int else "X"}
        recipe.add_argument(flag, default=None, **more)


def run(options: argparse.Namespace) -> int:
    given = {field.name: value for field in fields(Recipe) if (value := getattr(options, field.name)) is not None}
    recipe = replace(RECIPES[options.model], **_fitting(given, size=options.model))
    for name in ("eval_every", "eval_tokens", "save_every", "keep", "threads"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise ModelError(f"--{name.replace('_', '-')} is {getattr(options, name)}, expected at least 1")
    processors = os.cpu_count() or 1
    if options.threads and options.threads > THREADS_PER_PROCESSOR * processors:
        raise ModelError(
            f"--threads is {options.threads:,}, expected at most {THREADS_PER_PROCESSOR * processors:,}: this machine has "
            f"{processors:,} processors"
        )

    # Threads that wait by spinning take the processor from one another where it is shared: 4 times the work for `tiny`.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from model.run import Run  # torch takes seconds to import, --help should not
    from model.train import train

    root = options.tokens.parent
    where = Run(
        tokens=options.tokens,
        output=options.output or root / "model",
        vocab=options.vocab,
        weights=options.weights,
        parallel=options.parallel,
        compile=options.compile,
        threads=options.threads,
        eval_every=options.eval_every or min(250, max(1, recipe.steps // 8)),
        eval_tokens=options.eval_tokens,
        save_every=options.save_every or min(1000, max(1, recipe.steps // 4)),
        keep=options.keep,
    )
    outcome = train(where, recipe=recipe, size=options.model, stream=sys.stderr)
    status = 0 if outcome.signal is None else 128 + outcome.signal
    if os.environ.get("RANK", "0") != "0":  # torchrun's first process speaks for all
        return status
    if status:
        print(f"webtext train: stopped at step {outcome.step:,}; run the same command again to go on", file=sys.stderr)
        return status
    print(
        f"validation loss {outcome.first_validation_loss:.4f} before, {outcome.validation_loss:.4f} after {outcome.step:,} steps"
        + (f", best {outcome.best['validation_loss']:.4f} at step {outcome.best['step']:,}" if outcome.best else "")
    )
    print(f"loss curve: {outcome.curve}")
    if outcome.sample:
        print(f"sample:\n{indented(outcome.sample)}")
    print(f"model: {where.output}\nnext: webtext sample --model {where.output} --prompt 'The'")
    return status


def _fitting(given: dict[str, Any], *, size: str) -> dict[str, Any]:
    """A batch smaller than the recipe's micro-batch is one micro-batch, without having to say so."""
    if "batch" in given and "micro_batch" not in given and given["batch"] < RECIPES[size].micro_batch:
        return given | {"micro_batch": given["batch"]}
    return given


def indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines())
