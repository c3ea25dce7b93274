"""A network and its vocabulary from wherever they lie: a run, a checkpoint, a Hugging Face folder, OpenAI's own files."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file
from torch import Tensor

from model import checkpoint as files
from model.config import GPT2Config, ModelError
from model.device import pick_device
from model.network import GPT2
from model.openai import read_bundle
from tokenizer import Tokenizer

NAMES = ("n_vocab", "n_ctx", "n_embd", "n_layer", "n_head")  # of openai/gpt-2's hparams.json
VOCABULARIES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))


class Loaded(NamedTuple):
    """A network ready to read, in float32 on the device there is, and where it came from."""

    network: GPT2
    path: Path
    tokenizer: str | None  # fingerprint of the tokenizer it was trained with, if known


class Weights(NamedTuple):
    """What lies at a path: shape, weights, the folder they were read from, the tokenizer's fingerprint if it is known."""

    config: GPT2Config
    weights: dict[str, Tensor]
    path: Path
    tokenizer: str | None


def weights_of(path: Path) -> Weights:
    """The weights of a run's best checkpoint, a checkpoint, a Hugging Face folder or one of OpenAI's."""
    if (path / "hparams.json").exists():
        shape = json.loads((path / "hparams.json").read_text())
        return Weights(GPT2Config(**{name: shape[name] for name in NAMES}), read_bundle(path), path, None)
    if (path / "config.json").exists() and (path / files.WEIGHTS).exists():
        return Weights(_published_config(path / "config.json"), load_file(path / files.WEIGHTS), path, None)
    chosen = files.chosen(path)
    kept = files.load(chosen)
    return Weights(kept.config, kept.weights, chosen, kept.state["tokenizer"])


def weights_digest(weights: dict[str, Tensor]) -> str:
    """SHA-256 of names and values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def loaded(path: Path) -> Loaded:
    """The network at `path`, for reading only: a run's best checkpoint, or exactly what is named."""
    config, weights, chosen, tokenizer = weights_of(path)
    network = GPT2(config)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"{chosen}: its weights are not those of the GPT-2 its configuration describes. {error}") from error
    return Loaded(network.to(pick_device()).eval().requires_grad_(False), chosen, tokenizer)


def vocabulary_of(model: Loaded, *, given: Path | None) -> Tokenizer:
    """The vocabulary a model was trained with: given, inside its folder, or beside its run."""
    places = [given] if given else [model.path, *(parent / "vocab" for parent in list(model.path.absolute().parents)[:3])]
    for place in places:
        if any(all((place / name).exists() for name in pair) for pair in VOCABULARIES):
            found = Tokenizer.load(place)
            if found.n_vocab != model.network.config.n_vocab or model.tokenizer not in (None, found.fingerprint):
                raise ModelError(
                    f"{place}: has {found.n_vocab:,} tokens, fingerprint {found.fingerprint[:12]}…; "
                    f"{model.path} was trained with {model.network.config.n_vocab:,}, {(model.tokenizer or 'unknown')[:12]}…. "
                    "Give the right --vocab."
                )
            return found
    raise ModelError(
        f"{places[0]}: holds no vocabulary (vocab.json and merges.txt). Give the one the model was trained with: --vocab."
    )


def _published_config(path: Path) -> GPT2Config:
    """Shape from a Hugging Face config.json."""
    shape = json.loads(path.read_text())
    if shape.get("model_type") != "gpt2" or shape.get("activation_function", "gelu_new") != "gelu_new":
        raise ModelError(
            f"{path}: model_type is {shape.get('model_type')}, activation {shape.get('activation_function')}; "
            "expected gpt2, gelu_new"
        )
    n_ctx = shape.get("n_positions", shape.get("n_ctx", 1024))
    return GPT2Config(
        n_vocab=shape["vocab_size"], n_ctx=n_ctx, n_embd=shape["n_embd"], n_layer=shape["n_layer"], n_head=shape["n_head"]
    )
