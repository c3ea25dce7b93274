"""Batches of token windows: nanoGPT's memmap reader against ours on Arrow token shards.  CPU seconds, warm page cache.

    python benchmarks/gpt2_reader.py [--tokens 20000000] [--batches 4000]

12 windows of 1,024 tokens and their targets, int64 tensors.  nanoGPT's reader is its published get_batch: the file is opened
again for every batch, each row is cast by itself; it draws with replacement, ours walks a permutation of every window.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from model.tokens import Batches, TokenShards
from pipeline.schema import TOKENS

LENGTH, BATCH = 1024, 12


def write(folder: Path, count: int) -> tuple[Path, Path]:
    """The same tokens as one .bin and as documents in Arrow shards."""
    draw = np.random.default_rng(0)
    ids = draw.integers(0, 50256, size=count, dtype=np.uint16)
    ends = np.unique(np.append(np.cumsum(draw.integers(100, 1900, size=count // 900)), count))
    ends = ends[ends <= count]
    ids[ends - 1] = 50256
    ids.tofile(folder / "train.bin")
    schema = TOKENS.with_metadata({"tokenizer": "f" * 64, "n_vocab": "50257", "eot": "50256"})
    offsets = np.append(0, ends)
    with pa.OSFile(str(folder / "train-00000-of-00001.arrow"), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for first in range(0, len(ends), 1024):
            part = offsets[first : first + 1025]
            lists = pa.ListArray.from_arrays(pa.array(part - part[0], pa.int32()), pa.array(ids[part[0] : part[-1]]))
            names = pa.array([f"{first + number:032x}" for number in range(len(part) - 1)])
            writer.write_batch(pa.record_batch([lists, names], schema=schema))
    return folder / "train.bin", folder


def nanogpt_batch(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    data = np.memmap(path, dtype=np.uint16, mode="r")
    starts = torch.randint(len(data) - LENGTH, (BATCH,))
    x = torch.stack([torch.from_numpy(data[start : start + LENGTH].astype(np.int64)) for start in starts])
    y = torch.stack([torch.from_numpy(data[start + 1 : start + 1 + LENGTH].astype(np.int64)) for start in starts])
    return x, y


def our_batch(batches: Batches, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.from_numpy(batches.rows(number)).long()
    return ids[:, :-1], ids[:, 1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=20_000_000)
    parser.add_argument("--batches", type=int, default=4000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path, shards = write(Path(folder), options.tokens)
        batches = Batches(TokenShards(shards, split="train"), length=LENGTH, batch=BATCH, seed=0)
        data = np.fromfile(path, dtype=np.uint16)
        for number in (0, 7):  # the same text: each row is a window of the .bin, and targets are one to the right
            x, y = our_batch(batches, number)
            for row, start in enumerate(batches.starts(number).tolist()):
                window = np.resize(np.roll(data, -start)[: LENGTH + 1], LENGTH + 1).astype(np.int64)
                assert np.array_equal(x[row], window[:-1])
                assert np.array_equal(y[row], window[1:])
        spent = {"nanoGPT": 0.0, "ours": 0.0}
        slices = 8  # taken in turn, so that a busy machine is busy for both
        for part in range(slices + 1):
            numbers = range(part * options.batches // slices, (part + 1) * options.batches // slices)
            started = time.process_time()
            for _ in numbers:
                nanogpt_batch(path)
            between = time.process_time()
            for number in numbers:
                our_batch(batches, number)
            if part:  # the first slice warms up
                spent["nanoGPT"] += between - started
                spent["ours"] += time.process_time() - between
    print(f"{options.tokens:,} tokens, {options.batches:,} batches of {BATCH} x {LENGTH:,}")
    print(f"numpy {np.__version__}, torch {torch.__version__}, pyarrow {pa.__version__}")
    for name, seconds in spent.items():
        rate = options.batches * BATCH * LENGTH / seconds / 1e6
        each = seconds / options.batches * 1e6
        print(f"{name:<10}{each:>8.1f} CPU us a batch{rate:>10.0f} M tokens/s{spent['nanoGPT'] / seconds:>8.2f}x")


if __name__ == "__main__":
    main()
