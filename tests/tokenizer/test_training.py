import contextlib
import random
import time

import awkward_text
import pytest
from hugging_face import trained_by_hugging_face

from tokenizer import SmallTextWarning, train
from tokenizer.files import merges_text
from tokenizer.training import count_words, train_from_counts

TEXTS = [*awkward_text.texts(500, seed=1), *(awkward_text.prose(3000, seed=seed) for seed in range(2, 8))]


def test_the_files_are_those_of_hugging_face():
    assert merges_text(train(TEXTS, vocab_size=2000).merges) == trained_by_hugging_face(TEXTS, vocab_size=2000)


def test_order_workers_and_split_change_nothing():
    expected = train(TEXTS, vocab_size=1000).fingerprint
    shuffled = TEXTS[:]
    random.Random(3).shuffle(shuffled)
    assert train(shuffled, vocab_size=1000).fingerprint == expected
    assert train(iter(TEXTS), vocab_size=1000, workers=3).fingerprint == expected
    assert train([text.encode() for text in TEXTS], vocab_size=1000).fingerprint == expected


def test_an_empty_corpus_is_refused():
    for texts in ([], [""], ["", ""]):
        with pytest.raises(ValueError, match="no text to train on"):
            train(texts)


@pytest.mark.parametrize("size", [-1, 0, 256, 65_537, 100_000])
def test_sizes_that_cannot_be_are_refused_at_once(size):
    with pytest.raises(ValueError, match="its size is 257 to 65,536"):
        train((pytest.fail("read the text") for _ in range(1)), vocab_size=size)


def test_the_smallest_vocabulary_is_the_bytes():
    assert train(["abc"], vocab_size=257).n_vocab == 257


def test_a_small_text_gives_a_smaller_vocabulary_and_says_so():
    with pytest.warns(SmallTextWarning, match="2 merges of pairs seen 2 times or more, not the 50,000 of a vocabulary of 50,257"):
        tokenizer = train(["abc abc"])
    assert (tokenizer.n_vocab, tokenizer.eot) == (259, 258)


def test_one_text_is_not_a_list_of_texts():
    with pytest.raises(TypeError, match="give a list"):
        train("some text")


def test_one_document_and_awkward_ones():
    for text in ("one document " * 50, "\0" * 100, "<|endoftext|>" * 50, "\ud800 \ud800" * 9):
        with pytest.warns(SmallTextWarning):
            tokenizer = train([text], vocab_size=60_000)
        assert tokenizer.decode(tokenizer.encode(text)).replace("\ufffd", "") == text.replace("\ud800", "")


def test_progress_is_told():
    told: list[tuple[int, int]] = []
    train_from_counts(count_words(TEXTS), vocab_size=2257, progress=lambda made, wanted: told.append((made, wanted)))
    assert told[-1] == (2000, 2000)
    assert told == sorted(told)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["word", "run", "runs", "chinese", "digits"])
def test_the_worst_texts_take_seconds(name):
    draw = random.Random(4)
    text = {
        "word": lambda: "".join(draw.choices("etaoinshrdlu", k=10_000_000)),
        "run": lambda: "a" * 6_000_000,
        "runs": lambda: "\n".join(c * n for c, n in (("a", 10**6), ("=", 10**6), (" ", 10**6), ("\n", 200_000), ("ab", 500_000))),
        "chinese": lambda: "".join(chr(0x4E00 + int(draw.expovariate(0.01)) % 20_000) for _ in range(3_000_000)),
        "digits": lambda: "".join(draw.choices("0123456789", k=3_000_000)),
    }[name]()
    started = time.process_time()
    counts = count_words([text])
    with pytest.warns(SmallTextWarning) if name in ("run", "runs") else contextlib.nullcontext():
        tokenizer = train_from_counts(counts, vocab_size=4096)
    assert time.process_time() - started < 30
    started = time.process_time()
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert time.process_time() - started < 30
