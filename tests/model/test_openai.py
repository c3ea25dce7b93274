"""OpenAI's own files: a TensorFlow bundle is read to the last bit."""

import json
import struct

import numpy as np
import pytest
import torch

from model import GPT2, GPT2Config
from model.config import ModelError
from model.load import loaded
from model.openai import MAGIC, published_name, read_bundle

CONFIG = GPT2Config(n_vocab=61, n_ctx=16, n_embd=16, n_layer=12, n_head=2)


def varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: list[tuple[bytes, bytes]], *, restart_every: int = 16) -> bytes:
    """A LevelDB block: keys share what they can with the one before, but at restart points."""
    out, restarts, before = bytearray(), [], b""
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % restart_every == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return bytes(out) + b"".join(struct.pack("<I", at) for at in restarts or [0]) + struct.pack("<I", len(restarts or [0]))


def table(entries: list[tuple[bytes, bytes]], *, per_block: int = 20) -> bytes:
    out, handles = bytearray(), []
    for first in range(0, len(entries), per_block):
        part = entries[first : first + per_block]
        data = block(part)
        handles.append((part[-1][0], varint(len(out)) + varint(len(data))))
        out += data + b"\0" + b"crc!"
    places = []
    for data in (block([]), block(handles, restart_every=1)):
        places.append(varint(len(out)) + varint(len(data)))
        out += data + b"\0" + b"crc!"
    return bytes(out) + b"".join(places).ljust(40, b"\0") + MAGIC.to_bytes(8, "little")


def openai_name(name: str) -> str:
    """The inverse of what is tested, spelled out."""
    name = name.removeprefix("transformer.")
    if name in ("wte.weight", "wpe.weight"):
        return "model/" + name[:3]
    parts = name.split(".")
    last = {"weight": "g" if "ln_" in name else "w", "bias": "b"}[parts[-1]]
    return "/".join(["model", *(["h" + parts[1], *parts[2:-1]] if parts[0] == "h" else parts[:-1]), last])


def write_bundle(folder, network):
    folder.mkdir()
    names = {"n_vocab": 61, "n_ctx": 16, "n_embd": 16, "n_layer": 12, "n_head": 2}
    (folder / "hparams.json").write_text(json.dumps(names))
    data, entries = bytearray(), [(b"", field(1, 1))]
    tensors = {openai_name(name): value for name, value in network.state_dict().items() if name != "lm_head.weight"}
    for name, value in sorted(tensors.items()):
        value = value[None] if name.endswith("/w") else value  # a convolution of width 1
        dims = b"".join(field(2, field(1, size)) for size in value.shape)
        raw = value.contiguous().numpy().astype("<f4").tobytes()
        value = field(1, 1) + field(2, dims) + field(4, len(data)) + field(5, len(raw)) + b"\x35" + bytes(4)
        entries.append((name.encode(), value))
        data += raw
    (folder / "model.ckpt.index").write_bytes(table(entries))
    (folder / "model.ckpt.data-00000-of-00001").write_bytes(data)


@pytest.fixture
def published(tmp_path):
    network = GPT2(CONFIG)
    network.initialise(seed=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
    write_bundle(tmp_path / "117M", network)
    return tmp_path / "117M", network


def test_openai_files_give_the_same_network(published):
    folder, network = published
    found = loaded(folder)
    assert found.network.config == CONFIG
    for name, value in network.state_dict().items():
        assert torch.equal(found.network.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("model/wte", "wte.weight"), ("model/h11/attn/c_attn/w", "h.11.attn.c_attn.weight"), ("model/ln_f/g", "ln_f.weight"),
        ("model/h0/mlp/c_fc/b", "h.0.mlp.c_fc.bias"),
    ],
)  # fmt: skip
def test_names_are_translated(name, ours):
    assert published_name(name) == ours


def test_a_cut_data_file_is_an_error(published):
    folder, _ = published
    path = folder / "model.ckpt.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelError, match="is no whole TensorFlow checkpoint"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ('{"n_vocab": 61, "n_embd": 16, "n_layer": 12, "n_head": 2}', "n_ctx is null, expected a whole number"),
        ('{"n_vocab": 61, "n_ctx": "16", "n_embd": 16, "n_layer": 12, "n_head": 2}', 'n_ctx is "16", expected a whole number'),
        ('{"n_vocab": 61,', "is no JSON"),
        ("[]", "is no JSON object"),
    ],
)
def test_hparams_that_are_none_are_an_error(published, content, match):
    folder, _ = published
    (folder / "hparams.json").write_text(content)
    with pytest.raises(ModelError, match=rf"hparams\.json: {match}"):
        loaded(folder)


def test_a_variable_that_is_no_weight_of_gpt2_is_an_error(published):
    folder, _ = published
    entry = field(1, 1) + field(2, b"") + field(4, 0) + field(5, 4)
    (folder / "model.ckpt.index").write_bytes(table([(b"model/wte/Adam", entry)]))
    with pytest.raises(ModelError, match=r"is no whole TensorFlow checkpoint \('Adam'\)"):
        read_bundle(folder)


def test_what_is_no_index_is_an_error(published):
    folder, _ = published
    (folder / "model.ckpt.index").write_bytes(np.arange(100, dtype=np.uint8).tobytes())
    with pytest.raises(ModelError, match="its footer is not that of a LevelDB table"):
        read_bundle(folder)
