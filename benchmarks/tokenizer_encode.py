"""Encoding with GPT-2's vocabulary: MB per CPU second of a first and a second pass, and the ids, beside the other encoders.

    python benchmarks/tokenizer_encode.py TEXT --vocab DIR --peer-python /path/to/python [--only ours,tiktoken] [--limit BYTES]

TEXT: a file of documents separated by <|endoftext|>; DIR: GPT-2's encoder.json and vocab.bpe.  One thread, each encoder in a
process of its own, documents in memory as str before the clock starts.  Every encoder has been imported and has encoded a few
documents; then a fresh one is made, so that the first pass meets every word for the first time.
`--threads`: our wall time on 1 and 2 threads instead, in turns.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from measured import own_peak_mb

SEPARATOR = "<|endoftext|>"
PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

Encode = Callable[[list[str]], Any]


def ours(folder: str) -> Encode:
    from tokenizer import Tokenizer

    tokenizer = Tokenizer.load(folder)
    return lambda texts: tokenizer.encode_batch(texts, workers=1)


def tiktoken(folder: str) -> Encode:
    from tiktoken import Encoding
    from tiktoken.load import load_tiktoken_bpe

    ranks = load_tiktoken_bpe(f"{folder}/gpt2.tiktoken")
    encoding = Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={SEPARATOR: len(ranks)})
    return lambda texts: [encoding.encode_ordinary(text) for text in texts]


def fastokens(folder: str) -> Encode:
    from fastokens import Tokenizer

    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    return lambda texts: tokenizer.encode_batch_flat(texts, split_special_tokens=True)


def gigatoken(folder: str) -> Encode:
    from gigatoken import Tokenizer

    tokenizer = Tokenizer(f"{folder}/tokenizer.json")
    return lambda texts: tokenizer.encode_batch(texts, parallel=False)


def tokenizers(folder: str) -> Encode:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    return lambda texts: tokenizer.encode_batch_fast(texts, add_special_tokens=False)


ENCODERS = {function.__name__: function for function in (ours, tiktoken, fastokens, gigatoken, tokenizers)}


def rows(name: str, encoded: Any) -> Iterable[Any]:
    """The ids of each document as an array."""
    import numpy as np

    if name == "fastokens":
        ids, offsets = np.frombuffer(encoded[0], np.uint32), np.frombuffer(encoded[1], np.uint64).astype(np.int64)
        return (ids[start:end] for start, end in pairwise(offsets))
    if name == "tokenizers":
        return (np.array(one.ids) for one in encoded)
    return (np.asarray(one) for one in encoded)


def documents(path: str, limit: int) -> list[str]:
    with open(path, "rb") as file:
        return file.read(limit).decode(errors="replace").split(SEPARATOR)


def child(name: str, path: str, folder: str, limit: int) -> None:
    texts = documents(path, limit)
    size = sum(len(text.encode()) for text in texts)
    make = ENCODERS[name]
    make(folder)(texts[:3])
    before = own_peak_mb()
    encode = make(folder)
    cpu = []
    encoded: Any = None
    for _ in range(2):
        encoded = None
        started = time.process_time()
        encoded = encode(texts)
        cpu.append(time.process_time() - started)
    peak = own_peak_mb()
    digest, tokens = hashlib.sha256(), 0
    for row in rows(name, encoded):
        digest.update(row.astype("<u4").tobytes() + b"|")
        tokens += len(row)
    print(json.dumps({
        "cpu": cpu, "bytes": size, "tokens": tokens, "ids": digest.hexdigest(), "extra": peak - before,
        "version": version("numba" if name == "ours" else name),
    }))  # fmt: skip


def threads(path: str, folder: str, limit: int, turns: int) -> None:
    from tokenizer import Tokenizer

    texts = documents(path, limit)
    wall: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(turns):
        for workers, times in wall.items():
            tokenizer = Tokenizer.load(folder)
            tokenizer.encode_batch(texts[:3], workers=1)
            started = time.perf_counter()
            encoded = tokenizer.encode_batch(texts, workers=workers)
            times.append(time.perf_counter() - started)
            del encoded  # after the clock: giving memory back is no part of it
    for workers, times in wall.items():
        print(f"{workers} thread(s): wall s {'  '.join(f'{seconds:.2f}' for seconds in times)}")
    ratio = [one / two for one, two in zip(wall[1], wall[2], strict=True)]
    print(f"1 thread / 2 threads: median {statistics.median(ratio):.2f}, least over least {min(wall[1]) / min(wall[2]):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--vocab", required=True)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--only", default=",".join(ENCODERS))
    parser.add_argument("--limit", type=int, default=-1, help="bytes of the text")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds for each encoder")
    parser.add_argument("--threads", type=int, metavar="TURNS")
    parser.add_argument("--child", choices=ENCODERS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.text, options.vocab, options.limit)
        return
    if options.threads:
        threads(options.text, options.vocab, options.limit, options.threads)
        return
    from tokenizer import Tokenizer

    first: dict = {}
    with tempfile.TemporaryDirectory() as folder:
        Tokenizer.load(options.vocab).save(folder)
        for name in options.only.split(","):
            python = sys.executable if name == "ours" else options.peer_python
            environment = {**os.environ, "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
            command = [python, __file__, options.text, "--vocab", folder, "--limit", str(options.limit), "--child", name]
            try:
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, timeout=options.timeout, check=True
                )
            except subprocess.TimeoutExpired:
                print(f"{name:<12} stopped after {options.timeout} s")
                continue
            except subprocess.CalledProcessError as error:
                print(f"{name:<12} failed: {error.stderr.strip().splitlines()[-1]}")
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            if not first:
                first = found
                print(f"{found['bytes']:,} bytes, {found['tokens']:,} tokens, one thread")
                print("encoder       version   MB/s first  second   ours/it first  second   added MB  ids")
            rates = [found["bytes"] / seconds / 1e6 for seconds in found["cpu"]]
            ratios = [theirs / mine for theirs, mine in zip(found["cpu"], first["cpu"], strict=True)]
            print(
                f"{name:<12} {found['version']:>8} {rates[0]:>12.1f} {rates[1]:>7.1f} {ratios[0]:>15.2f} {ratios[1]:>7.2f} "
                f"{found['extra']:>10.0f}  {'same' if found['ids'] == first['ids'] else 'other'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
