"""Texts in, a trained tokenizer out."""

import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from tokenizer.bpe import LARGEST_VOCAB, SMALLEST_VOCAB, Tokenizer
from tokenizer.documents import batches, check_texts, joined
from tokenizer.merges import merges_of
from tokenizer.words import WordCounter, WordCounts

GPT2_VOCAB = 50257  # Radford et al. 2019, section 2.3: 256 bytes, 50,000 merges, end-of-text
MIN_COUNT = 2  # a pair seen once teaches nothing


class SmallTextWarning(UserWarning):
    """The text has fewer pairs than were asked for, so the vocabulary is smaller."""


def check_vocab_size(vocab_size: int) -> None:
    """Raises ValueError unless a vocabulary can have that size."""
    if not SMALLEST_VOCAB <= vocab_size <= LARGEST_VOCAB:
        raise ValueError(
            f"a vocabulary of {vocab_size:,} tokens: it holds the 256 bytes and the end-of-text token, and ids are 16 bits, "
            f"so its size is {SMALLEST_VOCAB} to {LARGEST_VOCAB:,}"
        )


def count_words(texts: Iterable[str | bytes], *, workers: int = 1) -> WordCounts:
    """The distinct pre-tokens of the texts and their counts.  Each of `workers` threads has a table of its own."""
    check_texts(texts, workers=workers)
    counters = [WordCounter() for _ in range(workers)]
    if workers == 1:
        for batch in batches(texts):
            counters[0].count(*joined(batch))
        return counters[0].total()
    idle = list(counters)

    def counted(batch: list[str | bytes]) -> None:
        counter = idle.pop()
        try:
            counter.count(*joined(batch))
        finally:
            idle.append(counter)

    waiting: set[Future] = set()
    with ThreadPoolExecutor(workers) as threads:
        for batch in batches(texts):
            if len(waiting) == 2 * workers:  # no more text in memory than that
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
            waiting.add(threads.submit(counted, batch))
        for future in waiting:
            future.result()
    total = counters.pop(0)
    while counters:
        total.add(counters.pop().total())
    return total.total()


def train_from_counts(
    words: WordCounts,
    *,
    vocab_size: int = GPT2_VOCAB,
    min_count: int = MIN_COUNT,
    progress: Callable[[int, int], None] | None = None,
) -> Tokenizer:
    """As `train`, from words that are counted already."""
    check_vocab_size(vocab_size)
    if min_count < 1:
        raise ValueError(f"min_count is {min_count}; a merge must be seen at least once")
    if not len(words.counts):
        raise ValueError("there is no text to train on")
    wanted = vocab_size - SMALLEST_VOCAB
    tokenizer = Tokenizer(merges_of(words, wanted=wanted, min_count=min_count, progress=progress))
    if tokenizer.n_vocab < vocab_size:
        warnings.warn(
            f"the text gives {tokenizer.n_vocab - SMALLEST_VOCAB:,} merges of pairs seen {min_count} times or more, not the "
            f"{wanted:,} of a vocabulary of {vocab_size:,}: this one has {tokenizer.n_vocab:,} tokens",
            SmallTextWarning,
            stacklevel=2,
        )
    return tokenizer


def train(
    texts: Iterable[str | bytes], *, vocab_size: int = GPT2_VOCAB, min_count: int = MIN_COUNT, workers: int = 1
) -> Tokenizer:
    """The tokenizer of these texts.  Their order and `workers` change nothing.

    The merges are those of Hugging Face's `tokenizers`: the most frequent pair first, of equals the one with the smaller
    ids.  A text too small for `vocab_size` gives a smaller vocabulary and a SmallTextWarning.
    """
    check_vocab_size(vocab_size)
    return train_from_counts(count_words(texts, workers=workers), vocab_size=vocab_size, min_count=min_count)
