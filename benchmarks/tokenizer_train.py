"""Training to GPT-2's vocabulary: CPU seconds, peak memory and merges, beside the other trainers, each in a process of its own.

    python benchmarks/tokenizer_train.py TEXT --peer-python /path/to/python [--size 50257] [--threads 1] [--only ours,gigatoken]

TEXT: a file of documents separated by <|endoftext|>.  The peers (pip install tokenizers gigatoken ffbpe rustbpe) may live in
another environment.  Before the clock starts every trainer has been imported and has trained on the first 500 kB.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version

from measured import own_peak_mb

SEPARATOR = "<|endoftext|>"
PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
WARM_UP_BYTES = 500_000

Merge = tuple[bytes, bytes]


def documents(path: str, *, limit: int | None = None) -> Iterator[str]:
    """The documents of the file, read as they are asked for."""
    rest, seen = b"", 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20 if limit is None else min(1 << 20, limit - seen)):
            seen += len(block)
            *whole, rest = (rest + block).split(SEPARATOR.encode())
            for document in whole:
                yield document.decode(errors="replace")
    yield rest.decode(errors="replace")


def unspelled() -> Callable[[str], bytes]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(hidden)}
    return lambda text: bytes(byte_of[character] for character in text)


def ours(texts: Iterator[str], size: int, threads: int, path: str | None) -> list[Merge]:
    from tokenizer import train

    tokenizer = train(texts, vocab_size=size, workers=threads)
    return [(tokenizer.tokens[left], tokenizer.tokens[right]) for left, right in tokenizer.merges.tolist()]


def tokenizers(texts: Iterator[str], size: int, threads: int, path: str | None) -> list[Merge]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, special_tokens=[SEPARATOR], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    to_bytes = unspelled()
    return [(to_bytes(left), to_bytes(right)) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]


def gigatoken(texts: Iterator[str], size: int, threads: int, path: str | None) -> list[Merge]:
    import gigatoken as library

    source = "".join(texts).encode() if path is None else library.TextFileSource([path], separator=SEPARATOR)
    return library.train_bpe(source, vocab_size=size, special_tokens=[SEPARATOR])[1]


def ffbpe(texts: Iterator[str], size: int, threads: int, path: str | None) -> list[Merge]:
    import ffbpe as library

    counter = library.PreTokenizer([SEPARATOR]).word_counter()
    counter.add_source(texts, max_records=4096, max_bytes=64 << 20, prefetch=1)
    trainer = library.BpeTrainer([SEPARATOR], initial_alphabet="byte_level")
    trainer.add_word_counter(counter)
    trainer.train(size)
    tokens = sorted(trainer.vocab.items(), key=lambda item: item[1])
    return [(token, b"") for token, _ in tokens if len(token) > 1 and token != SEPARATOR.encode()]


def rustbpe(texts: Iterator[str], size: int, threads: int, path: str | None) -> list[Merge]:
    import rustbpe as library

    tokenizer = library.Tokenizer()
    tokenizer.train_from_iterator(texts, size - 1, pattern=PATTERN)
    return [(bytes(token), b"") for token, _ in tokenizer.get_mergeable_ranks()[256:]]


TRAINERS = {function.__name__: function for function in (ours, tokenizers, gigatoken, ffbpe, rustbpe)}
PEERS = {"ours": "numba"}


def child(name: str, path: str, size: int, threads: int) -> None:
    """Trains once and prints what it cost as JSON."""
    trainer = TRAINERS[name]
    __import__("tokenizer" if name == "ours" else name)
    base = own_peak_mb()
    trainer(documents(path, limit=WARM_UP_BYTES), 1000, threads, None)
    cpu, wall = time.process_time(), time.perf_counter()
    merges = trainer(documents(path), size, threads, path)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = own_peak_mb()
    tokens = hashlib.sha256(b"\n".join(left + right for left, right in merges)).hexdigest()
    pairs = hashlib.sha256(b"\n".join(left + b"\0" + right for left, right in merges)).hexdigest()
    print(json.dumps({
        "cpu": cpu, "wall": wall, "base": base, "peak": peak, "merges": len(merges), "tokens": tokens,
        "pairs": pairs if merges and merges[0][1] else None, "version": version(PEERS.get(name, name)),
    }))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--size", type=int, default=50257)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default=",".join(TRAINERS), help="trainers to run")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds for each trainer")
    parser.add_argument("--child", choices=TRAINERS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.text, options.size, options.threads)
        return
    print(f"{os.path.getsize(options.text):,} bytes, vocabulary {options.size:,}, {options.threads} thread(s)")
    print("trainer        version   CPU s   / ours   wall / ours  peak MB (import)  merges  tokens  pairs")
    first: dict = {}
    for name in options.only.split(","):
        python = sys.executable if name == "ours" else options.peer_python
        threads = str(options.threads)
        environment = {**os.environ, "RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": str(options.threads > 1).lower()}
        command = [python, __file__, options.text, "--child", name, "--size", str(options.size), "--threads", threads]
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
        first = first or found
        same = {key: "same" if found[key] == first[key] else "other" if found[key] else "-" for key in ("tokens", "pairs")}
        print(
            f"{name:<12} {found['version']:>9} {found['cpu']:>7.2f} {found['cpu'] / first['cpu']:>8.2f} "
            f"{found['wall'] / first['wall']:>13.2f} {found['peak']:>8.0f} ({found['base']:>4.0f}) "
            f"{found['merges']:>10,}  {same['tokens']:<6}  {same['pairs']}",
            flush=True,
        )


if __name__ == "__main__":
    main()
