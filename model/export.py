"""A checkpoint as a folder that transformers, and so the lm-evaluation-harness, loads.  Written without transformers."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from model.config import ModelError
from model.load import Loaded
from tokenizer import Tokenizer

END_OF_TEXT = "<|endoftext|>"


def export(model: Loaded, *, vocabulary: Tokenizer, output: Path) -> Path:
    """Writes config.json, generation_config.json, model.safetensors and the tokenizer's files into an empty or new folder.

    What cannot be written whole is removed again.
    """
    if output.exists() and any(output.iterdir()):
        raise ModelError(f"{output}: is not empty. Give another --output, or delete it.")
    output.mkdir(parents=True, exist_ok=True)
    try:
        _write_files(model, vocabulary=vocabulary, output=output)
    except (OSError, SafetensorError) as error:
        for path in output.iterdir():
            path.unlink()
        raise ModelError(f"{output}: cannot be written ({error}). Free some space and run the same command again.") from error
    return output


def _write_files(model: Loaded, *, vocabulary: Tokenizer, output: Path) -> None:
    config, eot = model.network.config, vocabulary.eot
    weights = {
        name.removeprefix("transformer."): tensor.detach().cpu().contiguous()
        for name, tensor in model.network.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(weights, output / "model.safetensors", metadata={"format": "pt"})
    ends = {"bos_token_id": eot, "eos_token_id": eot}
    _write(
        output / "config.json",
        {
            "activation_function": "gelu_new",
            "architectures": ["GPT2LMHeadModel"],
            "attn_pdrop": 0.0,
            **ends,
            "embd_pdrop": 0.0,
            "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-5,
            "model_type": "gpt2",
            "n_ctx": config.n_ctx,
            "n_embd": config.n_embd,
            "n_head": config.n_head,
            "n_inner": None,
            "n_layer": config.n_layer,
            "n_positions": config.n_ctx,
            "resid_pdrop": 0.0,
            "tie_word_embeddings": True,
            "dtype": "float32",
            "use_cache": True,
            "vocab_size": config.n_vocab,
        },
    )
    _write(output / "generation_config.json", ends)
    vocabulary.save(output)
    _write(
        output / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "unk_token": END_OF_TEXT,
            "model_max_length": config.n_ctx,
            "tokenizer_class": "GPT2Tokenizer",
        },
    )


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
