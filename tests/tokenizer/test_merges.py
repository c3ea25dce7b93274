import random
from collections import Counter

import awkward_text
import numpy as np
import pytest
from hugging_face import trained_by_hugging_face
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer import merges as module
from tokenizer.files import merges_text
from tokenizer.merges import merges_of
from tokenizer.pairs import NONE, count_pairs
from tokenizer.slow import counted, trained
from tokenizer.training import count_words
from tokenizer.words import WordCounts


def made(words: dict[bytes, int]) -> WordCounts:
    ends = np.cumsum([len(word) for word in words])
    return WordCounts(np.frombuffer(b"".join(words), dtype=np.uint8), ends, np.array(list(words.values()), dtype=np.int64))


def quick(words: dict[bytes, int], *, wanted: int, min_count: int = 2) -> list[tuple[int, int]]:
    return [(left, right) for left, right in merges_of(made(words), wanted=wanted, min_count=min_count).tolist()]


RUNS = {b"a" * 501: 3, b"ab" * 77: 5, b"aab" * 33: 2, b" " + b"=" * 64: 9, b"abcabcabcab": 4, b"aa": 7, b"aaa": 8, b"x": 1000}


def test_the_most_frequent_pair_is_merged_first():
    assert quick({b"ab": 5, b"cd": 9}, wanted=2) == [(66, 67), (64, 65)]  # c d, a b: id 64 is `a`


def test_of_equal_counts_the_smaller_ids_win():
    assert quick({b"cd": 5, b"ab": 5, b"ac": 5}, wanted=3) == [(64, 65), (64, 66), (66, 67)]


def test_runs_are_merged_as_by_the_slow_twin():
    assert quick(RUNS, wanted=300) == trained(RUNS, wanted=300)


@given(st.dictionaries(st.text("ab", min_size=1, max_size=40).map(str.encode), st.integers(1, 30), min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_words_are_merged_as_by_the_slow_twin(words):
    assert quick(words, wanted=40, min_count=1) == trained(words, wanted=40, min_count=1)


def test_text_is_merged_as_by_the_slow_twin():
    texts = awkward_text.texts(200, seed=5, most=60)
    words = counted(text.encode() for text in texts)
    assert quick(words, wanted=200) == trained(words, wanted=200)


@pytest.mark.parametrize(("first_floor", "pool"), [(1, 2.5), (2, 1.0), (10**9, 1.0), (3, 1.01)])
def test_recounts_change_no_merge(monkeypatch, first_floor, pool):
    words = counted([awkward_text.prose(20_000, seed=6).encode()]) + Counter(RUNS)
    expected = quick(words, wanted=2000)
    monkeypatch.setattr(module, "FIRST_FLOOR", first_floor)
    monkeypatch.setattr(module, "NEXT_FLOOR", 2)
    monkeypatch.setattr(module, "POOL", pool)
    monkeypatch.setattr(module, "PAIRS_PER_TOKEN", 1)
    recounts = []
    recount = module._Merger.recount
    monkeypatch.setattr(module._Merger, "recount", lambda *given, **named: recounts.append(1) or recount(*given, **named))
    assert quick(words, wanted=2000) == expected
    assert len(recounts) > (1 if first_floor == 10**9 else 3)


def test_the_table_holds_what_a_recount_finds():
    words = {**RUNS, **counted([awkward_text.prose(300, seed=8).encode()])}
    merger = module._Merger(made(words), wanted=60)
    floor = merger.recount(1, min_count=1)
    for wanted in range(1, 61):
        merger.merge(wanted, floor)
        every = np.zeros((1 << 14, 4), dtype=np.uint64)
        count_pairs(merger.symbols, merger.lengths, merger.run_ends, merger.run_counts, every)
        assert as_dict(merger.table) == as_dict(every)
        for row in merger.table[merger.table[:, 1] > 0]:
            places = merger.pool[int(row[2]) : int(row[2] + row[3])]
            assert (np.diff(places.astype(np.int64)) > 0).all()


def as_dict(table: np.ndarray) -> dict[int, int]:
    live = table[(table[:, 0] > 0) & (table[:, 1] > 0)]
    return {pair - 1: count for pair, count in live[:, :2].tolist()}


def test_a_place_inside_a_token_is_never_taken_for_its_start():
    merger = module._Merger(made(RUNS), wanted=60)
    merger.merge(60, merger.recount(1, min_count=1))
    at, symbols = 1, merger.symbols
    while at < len(symbols):
        if symbols[at] == NONE:
            at += 1
            continue
        end = at + int(merger.lengths[symbols[at]]) - 1
        assert symbols[end] == symbols[at]
        at = end + 1


def test_counts_above_32_bits_are_counted_right():
    words = {b"ab": 3_000_000_000, b"cd": 5, b" x": 7, b"abcd": 4_000_000_000}
    assert quick(words, wanted=5) == trained(words, wanted=5)


def test_no_merge_is_made_of_what_is_seen_once():
    assert quick({b"abc": 1, b"de": 2, b"x": 9}, wanted=10) == [(67, 68)]
    assert quick({b"x": 9}, wanted=10) == []


def test_every_token_is_of_other_bytes():
    merges = merges_of(count_words([awkward_text.prose(30_000, seed=9), "a" * 5000]), wanted=3000)
    assert len(set(merges_text(merges).splitlines())) == len(merges) + 1


@pytest.mark.parametrize("min_count", [1, 2, 5])
def test_merges_are_those_of_hugging_face(min_count):
    draw = random.Random(10)
    texts = [awkward_text.prose(4000, seed=draw.randrange(10**9)) for _ in range(5)] + awkward_text.texts(2000, seed=11)
    merges = merges_of(count_words(texts), wanted=4000, min_count=min_count)
    assert merges_text(merges) == trained_by_hugging_face(texts, vocab_size=4257, min_count=min_count)


@pytest.mark.slow
def test_merges_are_those_of_hugging_face_on_real_text(shared):
    import zstandard

    with open(shared / "text50.txt.zst", "rb") as file:
        text = zstandard.ZstdDecompressor().stream_reader(file).read(5_000_000).decode(errors="replace")
    texts = text.split("<|endoftext|>")
    merges = merges_of(count_words(texts), wanted=20_000)
    assert merges_text(merges) == trained_by_hugging_face(texts, vocab_size=20_257)
