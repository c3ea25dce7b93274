"""Reads the checkpoints OpenAI published, without TensorFlow.

A TensorFlow bundle is an index, `model.ckpt.index`, and data files.  The index is a LevelDB table: blocks of keys with shared
prefixes, a footer that says where they lie.  A value is a protocol buffer: type, shape, data file, offset, size.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.config import ModelError

MAGIC = 0xDB4775248B80FB57  # LevelDB, table/format.h
FOOTER_BYTES = 48
FLOAT = 1  # tensorflow/core/framework/types.proto, DT_FLOAT


def read_bundle(directory: Path) -> dict[str, Tensor]:
    """The weights under Hugging Face's names: `h.0.attn.c_attn.weight` for OpenAI's `model/h0/attn/c_attn/w`."""
    indexes = sorted(directory.glob("*.index"))
    if len(indexes) != 1:
        raise ModelError(f"{directory}: holds {len(indexes)} TensorFlow indexes, expected one: model.ckpt.index")
    try:
        return dict(_tensors(indexes[0]))
    except (IndexError, KeyError, ValueError) as error:
        raise ModelError(f"{indexes[0]}: is no whole TensorFlow checkpoint ({error})") from error


def _tensors(index: Path) -> Iterator[tuple[str, Tensor]]:
    for key, value in table(index.read_bytes()):
        if not key:  # the bundle's own header
            continue
        fields = dict(_message(value))
        numbers = {number: field for number, field in fields.items() if isinstance(field, int)}
        kind, shape = numbers.get(1, 0), _shape(fields.get(2, b""))
        if kind != FLOAT:
            raise ValueError(f"{key.decode()} is of type {kind}, expected float32")
        shards = sorted(index.parent.glob(f"{index.stem}.data-{numbers.get(3, 0):05d}-of-*"))
        if not shards:
            raise ValueError(f"the data file of {key.decode()} is missing")
        size = numbers.get(5, 0)
        with shards[0].open("rb") as file:
            file.seek(numbers.get(4, 0))
            data = file.read(size)
        if len(data) != size or size != 4 * int(np.prod(shape)):
            raise ValueError(f"{key.decode()} has {len(data)} of {size} bytes for shape {shape}")
        values = torch.from_numpy(np.frombuffer(data, dtype="<f4").reshape(shape).copy())
        name = published_name(key.decode())
        yield (
            name,
            values[0] if name.endswith(".weight") and values.dim() == 3 else values,
        )  # (1, n_in, n_out): once a convolution


def published_name(name: str) -> str:
    """Hugging Face's name of one of OpenAI's variables."""
    parts = name.removeprefix("model/").split("/")
    if parts[0].startswith("h") and parts[0][1:].isdigit():
        parts = ["h", parts[0][1:], *parts[1:]]
    if parts in (["wte"], ["wpe"]):
        return f"{parts[0]}.weight"
    return ".".join([*parts[:-1], {"w": "weight", "g": "weight", "b": "bias"}[parts[-1]]])


def table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values of a LevelDB table, in order."""
    if len(data) < FOOTER_BYTES or int.from_bytes(data[-8:], "little") != MAGIC:
        raise ValueError("its footer is not that of a LevelDB table")
    footer = data[-FOOTER_BYTES:]
    _, at = _varint(footer, 0)  # of the meta index, offset and size
    _, at = _varint(footer, at)
    offset, at = _varint(footer, at)
    size, _ = _varint(footer, at)
    for _, handle in _block(data, offset, size):
        block_offset, at = _varint(handle, 0)
        block_size, _ = _varint(handle, at)
        yield from _block(data, block_offset, block_size)


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if data[offset + size] != 0:
        raise ValueError("a block is compressed; OpenAI's are not")
    block = data[offset : offset + size]
    end = len(block) - 4 * (int.from_bytes(block[-4:], "little") + 1)  # restart points stand behind the entries
    key, at = b"", 0
    while at < end:
        shared, at = _varint(block, at)
        rest, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + rest]
        yield key, block[at + rest : at + rest + length]
        at += rest + length


def _message(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields of a protocol buffer: number and value."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
        elif kind == 2:
            size, at = _varint(data, at)
            yield number, data[at : at + size]
            at += size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            yield number, int.from_bytes(data[at : at + size], "little")
            at += size
        else:
            raise ValueError(f"wire type {kind}")


def _shape(data: int | bytes) -> tuple[int, ...]:
    """tensorflow/core/framework/tensor_shape.proto: repeated `dim { size }`."""
    if isinstance(data, int):
        raise ValueError("a shape that is a number")
    return tuple(int(dict(_message(dim)).get(1, 0)) for number, dim in _message(data) if number == 2 and isinstance(dim, bytes))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
