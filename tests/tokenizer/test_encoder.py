import random

import awkward_text
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer import Tokenizer, encoder, pieces, train
from tokenizer.alphabet import ID_OF_BYTE
from tokenizer.documents import joined
from tokenizer.encoder import Encoder, Merges
from tokenizer.pieces import long_piece, short_piece
from tokenizer.slow import encoded

TEXTS = [*awkward_text.texts(300, seed=1, most=100), awkward_text.prose(5000, seed=2)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train([*TEXTS, "=" * 300, "ab" * 100, "中文" * 50], vocab_size=1500)


@pytest.fixture(scope="module")
def slow_merges(tokenizer):
    return [tuple(pair) for pair in tokenizer.merges.tolist()]


def test_ids_are_those_of_the_slow_twin(tokenizer, slow_merges):
    for text in awkward_text.texts(300, seed=3, most=60):
        assert tokenizer.encode(text) == encoded(text.encode(), slow_merges)


def test_broken_utf8_is_encoded_as_by_the_slow_twin(tokenizer, slow_merges):
    for data in awkward_text.broken(TEXTS[:100], seed=4):
        assert tokenizer.encode(data) == encoded(data, slow_merges)


@given(word=st.text("ab=中 ", max_size=120))
@settings(max_examples=200, deadline=None)
def test_words_of_any_length_are_encoded_as_by_the_slow_twin(tokenizer, slow_merges, word):
    assert tokenizer.encode(word) == encoded(word.encode(), slow_merges)


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 15, 16, 63, 64, 65, 255, 256, 257, 1000])
def test_the_edges_between_kinds_of_words(tokenizer, slow_merges, size):
    for letters in ("a", "ab", "abz"):
        word = (letters * size)[:size]
        text = f"{word} {word}!{word}"
        assert tokenizer.encode(text) == tokenizer.encode(text) == encoded(text.encode(), slow_merges)


def test_long_and_short_words_are_merged_alike(tokenizer):
    lookup = Merges(tokenizer.merges)
    ids_of_byte = np.array(ID_OF_BYTE, dtype=np.int64)
    draw = random.Random(5)
    work = np.empty((2, pieces.SHORT_PIECE), dtype=np.int64)
    heads, waiting = np.full(1 << 16, -1, dtype=np.int32), np.empty(1 << 16, dtype=np.uint64)
    for _ in range(500):
        word = bytes(draw.choices(b"aabbe =\xe4\xb8\xad", k=draw.randrange(1, pieces.SHORT_PIECE)))
        text = np.frombuffer(word, dtype=np.uint8)
        first, second = np.empty(100, dtype=np.uint16), np.empty(100, dtype=np.uint16)
        end = short_piece(text, 0, len(word), ids_of_byte, lookup.table, lookup.shift, work[0], work[1], first, 0)
        assert end == long_piece(text, 0, len(word), ids_of_byte, lookup.table, lookup.shift, heads, waiting, second, 0)
        assert first[:end].tolist() == second[:end].tolist()
        assert (heads == -1).all()


def test_full_caches_forget_and_stay_right(tokenizer, slow_merges, monkeypatch):
    monkeypatch.setattr(encoder, "ROWS", 4)
    monkeypatch.setattr(encoder, "LONG_SLOTS", 2)
    small = Encoder(Merges(tokenizer.merges))
    small._used[:] = encoder.LONG_BYTES - 40, encoder.LONG_BYTES // 2 - 40  # nearly full
    draw = random.Random(6)
    words = ["".join(draw.choices("abct", k=draw.randrange(1, 90))) for _ in range(60)]
    for _ in range(20):
        text = " ".join(draw.choices(words, k=50))
        ids, _ = small.encode(*joined([text]))
        assert ids.tolist() == encoded(text.encode(), slow_merges)


def test_documents_end_where_they_should(tokenizer):
    texts = ["", "one document", "", "", "another", "  ", ""]
    ids, ends = tokenizer.encode_documents(joined(texts))
    starts = [0, *ends.tolist()]
    assert [ids[a:b].tolist() for a, b in zip(starts, ends, strict=False)] == [tokenizer.encode(text) for text in texts]
    with_eot, ends = tokenizer.encode_documents(joined(texts), append_eot=True)
    starts = [0, *ends.tolist()]
    expected = [[*tokenizer.encode(text), tokenizer.eot] for text in texts]
    assert [with_eot[a:b].tolist() for a, b in zip(starts, ends, strict=False)] == expected


def test_a_document_of_many_chunks_is_one_document(tokenizer, slow_merges):
    text = awkward_text.prose(60_000, seed=7) + "a" * 700_000 + " b" * 200_000
    ids, ends = tokenizer.encode_documents(joined(["x", text, "y"]), append_eot=True)
    assert int(np.count_nonzero(ids == tokenizer.eot)) == 3
    assert tokenizer.decode_bytes(ids[ends[0] : ends[1] - 1]) == text.encode()
    cut = text.index(" ", 2000)
    assert tokenizer.encode(text)[:200] == encoded(text[:cut].encode(), slow_merges)[:200]


def test_nothing_is_encoded_to_nothing(tokenizer):
    ids, ends = tokenizer.encode_documents(joined([]))
    assert len(ids) == len(ends) == 0
