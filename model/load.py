"""A network and its vocabulary from wherever they lie: a run, a checkpoint, a Hugging Face folder, OpenAI's own files."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model import checkpoint as files
from model.config import GPT2Config, ModelError
from model.device import pick_device
from model.network import GPT2
from model.openai import read_bundle
from tokenizer import Tokenizer

NAMES = ("n_vocab", "n_ctx", "n_embd", "n_layer", "n_head")  # of openai/gpt-2's hparams.json
PUBLISHED_NAMES = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")  # the same of Hugging Face's config.json
# What a config.json may say of the arithmetic; a key it lacks has this value in transformers too.
ARITHMETIC = {
    "activation_function": "gelu_new",
    "add_cross_attention": False,
    "layer_norm_epsilon": 1e-5,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "tie_word_embeddings": True,
}
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
        config = _config(path / "hparams.json", _settings(path / "hparams.json"), names=NAMES)
        return Weights(config, read_bundle(path), path, None)
    if (path / "config.json").exists() and (path / files.WEIGHTS).exists():
        return Weights(_published_config(path / "config.json"), _published_weights(path / files.WEIGHTS), path, None)
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
    """Shape from a Hugging Face config.json, if it describes GPT-2's own arithmetic."""
    settings = _settings(path)
    if settings.get("model_type") != "gpt2":
        raise ModelError(f'{path}: model_type is {json.dumps(settings.get("model_type"))}, expected "gpt2"')
    for key, expected in ARITHMETIC.items():
        _expect(path, settings, key=key, expected=expected)
    config = _config(path, {"n_positions": settings.get("n_ctx"), **settings}, names=PUBLISHED_NAMES)
    if settings.get("n_inner") is not None:
        _expect(path, settings, key="n_inner", expected=4 * config.n_embd)
    return config


def _published_weights(path: Path) -> dict[str, Tensor]:
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path}: is no whole safetensors file ({error}). Copy it again.") from error
    embedding = weights.get("transformer.wte.weight", weights.get("wte.weight"))
    if embedding is not None and not torch.equal(weights.get("lm_head.weight", embedding), embedding):
        raise ModelError(f"{path}: lm_head.weight differs from wte.weight, expected the same: GPT-2 ties them")
    return weights


def _expect(path: Path, settings: dict[str, Any], *, key: str, expected: object) -> None:
    found = settings.get(key, expected)
    if found != expected:
        raise ModelError(
            f"{path}: {key} is {json.dumps(found)}, expected {json.dumps(expected)}: any other value is not GPT-2's arithmetic"
        )


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path}: is no JSON ({error})") from error
    if not isinstance(settings, dict):
        raise ModelError(f"{path}: is no JSON object")
    return settings


def _config(path: Path, settings: dict[str, Any], *, names: tuple[str, ...]) -> GPT2Config:
    """Shape from settings that go by `names`, in the order of NAMES."""
    for name in names:
        if type(settings.get(name)) is not int:
            raise ModelError(f"{path}: {name} is {json.dumps(settings.get(name))}, expected a whole number")
    try:
        return GPT2Config(**{ours: settings[name] for ours, name in zip(NAMES, names, strict=True)})
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
