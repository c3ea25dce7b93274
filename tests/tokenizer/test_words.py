import itertools
from collections import Counter

import awkward_text
import numpy as np

from tokenizer.documents import joined
from tokenizer.slow import counted
from tokenizer.training import count_words
from tokenizer.words import WordCounter, WordCounts, slot_of


def as_counter(words: WordCounts) -> Counter[bytes]:
    found = dict(words.words())
    assert len(found) == len(words.counts)
    return Counter(found)


def made(words: dict[bytes, int]) -> WordCounts:
    ends = np.cumsum([len(word) for word in words])
    return WordCounts(np.frombuffer(b"".join(words), dtype=np.uint8), ends, np.array(list(words.values()), dtype=np.int64))


TEXTS = [*awkward_text.texts(400, seed=1, most=200), awkward_text.prose(40_000, seed=2, vocabulary=20_000)]


def test_counts_are_those_of_the_slow_twin():
    assert as_counter(count_words(TEXTS)) == counted(text.encode() for text in TEXTS)


def test_order_and_threads_change_nothing():
    many = TEXTS * 60  # more than one batch for each thread
    expected = as_counter(count_words(many))
    assert expected == Counter({word: 60 * count for word, count in as_counter(count_words(TEXTS)).items()})
    assert as_counter(count_words(many[::-1])) == expected
    assert as_counter(count_words(many, workers=3)) == expected


def test_counts_can_be_added():
    first, second = WordCounter(), WordCounter()
    first.count(*joined(TEXTS[:200]))
    second.count(*joined(TEXTS[200:]))
    first.add(second.total())
    assert as_counter(first.total()) == as_counter(count_words(TEXTS))


def test_words_of_every_length_are_told_apart():
    words = [bytes([65 + last]) * length for length in range(1, 80) for last in range(3)]
    words += [b"x" * length + bytes([65 + last]) for length in range(80) for last in range(3)]
    counter = WordCounter()
    counter.count(*joined(words * 2))
    assert as_counter(counter.total()) == Counter(words * 2)


def test_a_word_may_be_counted_more_often_than_32_bits_hold():
    counter = WordCounter()
    for _ in range(3):
        counter.add(made({b"ab": 3_000_000_000, b"a word of some length": 5_000_000_000}))
    assert as_counter(counter.total()) == {b"ab": 9_000_000_000, b"a word of some length": 15_000_000_000}


def test_the_table_grows_within_one_document():
    words = [f" {number}" for number in range(300_000)]
    counter = WordCounter()
    counter.count(*joined(["".join(words)]))
    assert as_counter(counter.total()) == Counter(word.encode() for word in words)


def test_the_table_grows_between_documents_of_one_word():
    words = ["".join(letters) for letters in itertools.product("abcdefghijklmnopqrst", repeat=4)][:40_000]
    counter = WordCounter()
    counter.count(*joined(["\n".join(words[:24_000])]))
    for word in words[24_000:]:
        counter.count(*joined([word]))
    assert dict(counter.total().words()) == {**{word.encode(): 1 for word in words}, b"\n": 23_999}


def test_long_words_that_begin_alike_have_places_of_their_own():
    """The last letters of a word must reach the bits that choose its place."""
    counter = WordCounter()
    endings = ["".join(letters) for letters in itertools.product("abcdefghijklmnopqrst", repeat=3)]
    counter.count(*joined([f"{'x' * 19}{ending}" for ending in endings]))
    used = counter._used[1]
    assert used == len(endings)
    places = {slot_of(code, counter._slots) for code in counter._hashes[:used]}
    assert len(places) > 0.6 * used  # of places drawn at random 0.79


def test_many_long_words_are_kept():
    letters = str.maketrans("0123456789", "abcdefghij")
    words = [" " + f"{number:020d}".translate(letters) for number in range(20_000)]
    counter = WordCounter()
    counter.count(*joined(["".join(words + words[:5])]))
    found = as_counter(counter.total())
    assert found == Counter(word.encode() for word in words + words[:5])


def test_nothing_is_counted_in_nothing():
    assert as_counter(count_words([])) == Counter()
    assert as_counter(count_words(["", ""])) == Counter()
