"""Log-likelihood of long texts, and the units it is divided by.  Scaled before the exponential, always."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from model.evaluation.detokenise import Detokeniser
from model.network import GPT2
from tokenizer import Tokenizer


def perplexity(nats: float) -> float:
    """exp(nats per unit); infinite where no float holds it."""
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf


class Likelihood(NamedTuple):
    """How unlikely a text was, and how many ids it took."""

    nats: float
    tokens: int

    def perplexity(self, *, units: int | None = None) -> float:
        """exp(nats per unit); a unit is an id unless said otherwise."""
        return perplexity(self.nats / (self.tokens if units is None else units))

    def bits(self, *, units: int) -> float:
        """Bits per byte, character or whatever the units are."""
        return self.nats / math.log(2) / units


class WordPerplexity(NamedTuple):
    """A tokenised test set under both readings, and what de-tokenising did for it."""

    per_token_raw: float  # perplexity per id of the file as it is
    per_word: float  # per word of the file, the text de-tokenised
    per_word_raw: float  # the same without de-tokenising
    words: int
    lines: int  # not empty
    raw_lines: int  # of them, left as they were


def likelihood(
    model: GPT2, ids: Sequence[int] | np.ndarray, *, eot: int, stride: int | None = None, batch: int = 4
) -> Likelihood:
    """Of every id once, given those before it in its window and, before the first, the end-of-text id.

    Windows of n_ctx ids begin `stride` after one another, each scoring only what the one before has not: the default of n_ctx is
    the disjoint windows of the lm-evaluation-harness and of most published figures; less gives every id more to go by.
    """
    length = model.config.n_ctx
    stride = length if stride is None else stride
    if not 1 <= stride <= length:
        raise ValueError(f"stride is {stride}, expected 1 to {length}")
    stream = torch.from_numpy(np.concatenate([[eot], np.asarray(ids, dtype=np.int64)]))
    count = len(stream) - 1
    ends = [*range(min(length, count), count, stride), count] if count else []
    device = model.lm_head.weight.device
    nats, scored = 0.0, 0
    for first in range(0, len(ends), batch):
        part = ends[first : first + batch]
        rows = torch.stack([stream[max(0, end - length) : end + 1] for end in part]).to(device)
        log_p = model.log_likelihoods(rows[:, :-1], rows[:, 1:]).double().cpu()
        for row, end in zip(log_p, part, strict=True):
            nats -= float(row[len(row) - (end - scored) :].sum())
            scored = end
    return Likelihood(nats, count)


def word_perplexity(
    model: GPT2, text: str, *, vocabulary: Tokenizer, detokeniser: Detokeniser, stride: int | None = None
) -> WordPerplexity:
    """Both readings of a tokenised file: `per_token_raw` is what most people quote, `per_word` is the paper's definition."""
    lines = text.split("\n")
    read = [detokeniser.detokenised(line) if line.strip() else None for line in lines]
    natural = "\n".join("" if line is None else line.text for line in read)
    raw = likelihood(model, vocabulary.encode(text), eot=vocabulary.eot, stride=stride)
    clean = likelihood(model, vocabulary.encode(natural), eot=vocabulary.eot, stride=stride)
    words = len(text.split())
    return WordPerplexity(
        raw.perplexity(),
        clean.perplexity(units=words),
        raw.perplexity(units=words),
        words,
        sum(line is not None for line in read),
        sum(line is not None and line.raw for line in read),
    )
