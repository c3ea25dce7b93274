import pickle
import threading

import awkward_text
import numpy as np
import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer import Tokenizer, TokenizerError, documents, train
from tokenizer.pattern import PATTERN

TEXTS = [*awkward_text.texts(200, seed=1, most=100), awkward_text.prose(5000, seed=2)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train(TEXTS, vocab_size=1200)


def in_tiktoken(tokenizer: Tokenizer) -> tiktoken.Encoding:
    ranks = {token: number for number, token in enumerate(tokenizer.tokens[:-1])}
    return tiktoken.Encoding("ours", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": tokenizer.eot})


@given(text=st.text())
@settings(max_examples=300, deadline=None)
def test_text_decodes_to_itself(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(data=st.binary())
@settings(max_examples=300, deadline=None)
def test_bytes_decode_to_themselves(tokenizer, data):
    assert tokenizer.decode_bytes(tokenizer.encode(data)) == data


def test_ids_are_those_of_tiktoken(tokenizer):
    encoding = in_tiktoken(tokenizer)
    texts = awkward_text.texts(5000, seed=3)
    assert [ids.tolist() for ids in tokenizer.encode_batch(texts)] == [encoding.encode_ordinary(text) for text in texts]


def test_a_literal_end_of_text_is_ordinary_unless_it_is_asked_for(tokenizer):
    text = "a<|endoftext|>b<|endoftext|>"
    ordinary = tokenizer.encode(text)
    assert tokenizer.eot not in ordinary
    assert tokenizer.decode(ordinary) == text
    special = tokenizer.encode(text, allow_special=True)
    assert special == [*tokenizer.encode("a"), tokenizer.eot, *tokenizer.encode("b"), tokenizer.eot]
    assert tokenizer.encode(text.encode(), allow_special=True) == special
    assert tokenizer.decode(special) == text
    assert special == in_tiktoken(tokenizer).encode(text, allowed_special="all")
    assert all(tokenizer.eot not in ids for ids in tokenizer.encode_batch([text] * 3))


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud83d\ude00"])
def test_surrogates_are_as_in_tiktoken(tokenizer, text):
    assert tokenizer.encode(text) == in_tiktoken(tokenizer).encode_ordinary(text)


def test_nul_is_a_byte_like_others(tokenizer):
    assert tokenizer.decode(tokenizer.encode("a\0\0b")) == "a\0\0b"


def test_half_a_character_decodes_to_a_replacement(tokenizer):
    assert tokenizer.decode(tokenizer.encode("é".encode()[:1])) == "\ufffd"


@pytest.mark.parametrize("number", [-1, 1200, 10**9])
def test_an_id_outside_the_vocabulary_is_refused(tokenizer, number):
    with pytest.raises(ValueError, match=f"id {number} is not in this vocabulary of 1,200 tokens"):
        tokenizer.decode([5, number])


def test_ids_may_come_as_an_array(tokenizer):
    ids = tokenizer.encode_batch(["some text"])[0]
    assert ids.dtype == np.uint16
    assert tokenizer.decode(ids) == "some text"
    assert tokenizer.decode([]) == ""


def test_vocabulary_and_end_of_text(tokenizer):
    assert tokenizer.n_vocab == 1200
    assert tokenizer.eot == 1199
    assert tokenizer.encode("!") == [0]
    assert tokenizer.tokens[220] == b" "


@pytest.mark.parametrize("workers", [1, 2, 5, None])
def test_batches_are_encoded_as_one_by_one(tokenizer, workers):
    texts = TEXTS * 50 + [awkward_text.prose(400_000, seed=4), "", "last"]
    batch = tokenizer.encode_batch(texts, workers=workers)
    assert len(batch) == len(texts)
    single = {text: tokenizer.encode(text) for text in set(texts)}
    assert all(ids.tolist() == single[text] for ids, text in zip(batch, texts, strict=True))


@pytest.mark.parametrize("workers", [2, 5])
def test_many_batches_come_back_in_their_order(tokenizer, workers, monkeypatch):
    monkeypatch.setattr(documents, "BATCH_BYTES", 100)
    texts = [text for number in range(40) for text in (f"{number} " * (number * 37 % 41), "", TEXTS[number % len(TEXTS)])]
    batch = tokenizer.encode_batch((text for text in texts), workers=workers)
    assert [ids.tolist() for ids in batch] == [tokenizer.encode(text) for text in texts]


def test_one_text_is_no_batch(tokenizer):
    with pytest.raises(TypeError, match="give a list of texts"):
        tokenizer.encode_batch("hello")
    for call in (tokenizer.encode_batch, train):
        with pytest.raises(ValueError, match="workers is 0; it takes at least one thread"):
            call(["hello"], workers=0)


def test_threads_share_a_tokenizer(tokenizer):
    expected = [tokenizer.encode(text) for text in TEXTS]
    wrong: list[str] = []

    def encode() -> None:
        for _ in range(5):
            for text, ids in zip(TEXTS, expected, strict=True):
                if tokenizer.encode(text) != ids:
                    wrong.append(text)

    threads = [threading.Thread(target=encode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_part_of_a_vocabulary_is_what_training_would_have_given(tokenizer):
    smaller = train(TEXTS, vocab_size=700)
    part = tokenizer.truncated(700)
    assert (part.merges == smaller.merges).all()
    assert part.fingerprint == smaller.fingerprint != tokenizer.fingerprint
    assert part.encode(TEXTS[0]) == smaller.encode(TEXTS[0])
    for size in (256, 1201):
        with pytest.raises(ValueError, match="a part of this vocabulary has 257 to 1,200 tokens"):
            tokenizer.truncated(size)


def test_bytes_alone_are_a_vocabulary():
    bare = Tokenizer(np.zeros((0, 2), dtype=np.int64))
    assert bare.n_vocab == 257
    assert bare.encode("! é") == [0, 220, 127, 102]
    assert bare.decode(bare.encode("中\0")) == "中\0"


def test_a_vocabulary_beyond_16_bits_is_refused():
    with pytest.raises(TokenizerError, match="the largest is 65,536"):
        Tokenizer(np.zeros((65_536 - 256, 2), dtype=np.int64))


@pytest.mark.parametrize("merges", [[[300, 301]], [[70_000, 1]], [[-1, 0]], [[0, 0], [0, 0]], [[0, 256]]])
def test_merges_of_tokens_that_are_not_made_are_refused(merges):
    with pytest.raises(TokenizerError, match="pairs of ids that were made before, each pair once"):
        Tokenizer(np.array(merges))


def test_it_can_be_sent_to_another_process(tokenizer):
    twin = pickle.loads(pickle.dumps(tokenizer))  # noqa: S301 - our own
    assert twin.fingerprint == tokenizer.fingerprint
    assert twin.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])


def test_ids_are_tiktokens_with_gpt2s_own_files(shared):
    gpt2 = Tokenizer.load(shared / "gpt2")
    encoding = in_tiktoken(gpt2)
    texts = awkward_text.texts(20_000, seed=5)
    assert [ids.tolist() for ids in gpt2.encode_batch(texts)] == encoding.encode_ordinary_batch(texts, num_threads=1)
    assert gpt2.encode("Hello world") == [15496, 995]
    assert gpt2.encode("a<|endoftext|>b") == [64, 27, 91, 437, 1659, 5239, 91, 29, 65]
