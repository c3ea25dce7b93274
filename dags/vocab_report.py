"""What a vocabulary makes of the validation split: bytes per token, beside another vocabulary; its longest and its most used."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from dags.splits import documents_of, text_batches
from tokenizer import Tokenizer

SHOWN = 10


class Tally:
    """Bytes and tokens of one kind of document, a number of tokens for each vocabulary."""

    def __init__(self, vocabularies: int) -> None:
        self.documents = 0
        self.bytes = 0
        self.tokens = np.zeros(vocabularies, dtype=np.int64)


def report_lines(paths: Sequence[str], tokenizer: Tokenizer, beside: Tokenizer | None = None) -> list[str]:
    """Lines to print."""
    vocabularies = [tokenizer] if beside is None else [tokenizer, beside]
    used = np.zeros(tokenizer.n_vocab, dtype=np.int64)
    tallies: dict[str, dict[str, Tally]] = {
        kind: defaultdict(lambda: Tally(len(vocabularies))) for kind in ("all", "language", "domain")
    }
    for path in paths:
        for batch in text_batches(path, columns=["language", "domain"]):
            texts = documents_of(batch.column("text"))
            encoded = [vocabulary.encode_documents(texts) for vocabulary in vocabularies]
            used += np.bincount(encoded[0][0], minlength=len(used))
            sizes = np.diff(texts.offsets).tolist()
            counts = np.stack([np.diff(ends, prepend=0) for _, ends in encoded], axis=1)
            languages, domains = batch.column("language").to_pylist(), batch.column("domain").to_pylist()
            for size, count, language, domain in zip(sizes, counts, languages, domains, strict=True):
                for kind, name in (("all", "documents"), ("language", language), ("domain", domain)):
                    tally = tallies[kind][str(name)]
                    tally.documents += 1
                    tally.bytes += size
                    tally.tokens += count
    return [*_tally_lines(tallies, beside is not None), *_token_lines(tokenizer, used)]


def _tally_lines(tallies: dict[str, dict[str, Tally]], beside: bool) -> Iterator[str]:
    head = f"{'validation split':<28}{'documents':>10}{'bytes':>14}{'bytes/token':>13}"
    yield head + f"{'beside':>8}" if beside else head
    for kind, found in tallies.items():
        for name, tally in sorted(found.items(), key=lambda item: (-item[1].bytes, item[0]))[:SHOWN]:
            first, *others = (tally.bytes / np.maximum(tally.tokens, 1)).tolist()
            label = name if kind == "all" else f"{kind} {name}"
            line = f"{label:<28}{tally.documents:>10,}{tally.bytes:>14,}{first:>13.3f}"
            yield line + "".join(f"{rate:>8.3f}" for rate in others)


def _token_lines(tokenizer: Tokenizer, used: np.ndarray) -> Iterator[str]:
    tokens = tokenizer.tokens[:-1]
    count = int(np.count_nonzero(used))
    yield f"used      {count:>16,} of {tokenizer.n_vocab:,} tokens ({count / tokenizer.n_vocab:.1%})"
    longest = sorted(range(len(tokens)), key=lambda number: (-len(tokens[number]), number))[:SHOWN]
    yield "longest   " + "  ".join(_shown(tokens[number]) for number in longest)
    most = np.argsort(-used, kind="stable")[:SHOWN].tolist()
    yield "most used " + "  ".join(f"{_shown(tokenizer.tokens[number])} {used[number]:,}" for number in most)


def _shown(token: bytes) -> str:
    text = repr(token.decode(errors="backslashreplace"))
    return text if len(text) <= 32 else f"{text[:28]}…' ({len(token)} bytes)"
