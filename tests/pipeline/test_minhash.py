"""Every signature equals datasketch's, whatever the text."""

import io
import json
import re

import numpy as np
import pytest
import xxhash
import zstandard
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.minhash import (
    EMPTY,
    NUM_PERM,
    band_keys,
    lean_minhash,
    lowered,
    permutations,
    query_index,
    signature,
    signatures,
    signatures_of,
)

SEPARATORS = re.compile(rb"(?:[^a-z0-9_\x80-\xff]|\xe2[\x80\x81].|\xc2.)+", re.DOTALL)
UNSPACED = re.compile(r"[\u0e00-\u0fff\u1000-\u10bf\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U00033fff]")


def shingles(text: str, *, by_character: bool = False) -> list[bytes]:
    """The slow, readable twin of the kernel's shingles."""
    text = text.lower()
    if by_character:
        text = re.sub(r"[\u3000-\u303f]", " ", UNSPACED.sub(r" \g<0> ", text))
    tokens = [token for token in SEPARATORS.split(text.encode("utf-8", "surrogatepass")) if token]
    return [b" ".join(tokens[first : first + 5]) for first in range(max(1, len(tokens) - 4))] if tokens else []


def by_datasketch(parts: list[bytes], *, num_perm: int = NUM_PERM) -> np.ndarray:
    oracle = MinHash(num_perm=num_perm, seed=1, hashfunc=xxhash.xxh32_intdigest, scheme="affine32")
    if parts:
        oracle.update_batch(parts)
    return oracle.hashvalues


TEXTS = [
    "One two three four five six seven.",
    "one two three",
    "ONE,two;THREE...four--five 'six' \"seven\"",
    "snake_case_word 42 3.14 x",
    "Straße ÄÖÜ İstanbul ΑΣ Σίσυφος ẞ naïve café cafe\u0301",
    "curly \u201cquotes\u201d and \u2014 dashes \u2026 non\u00a0breaking \u00abguillemets\u00bb \u200bzero width",
    "euro \u20ac sign, arrow \u2192 and maths \u2264 stay in words\u2264here too",
    "emoji \U0001f600\U0001f601 inside a line of six words",
    "binary \x00\x01\x02 looking \x7f\x1b text \ufffd\ufffd with controls",
    "Привет мир это проверка слов на кириллице",
    "한국어 문장은 띄어쓰기가 있어서 단어로 나뉜다 그렇다",
    "x" * 100 + " " + "y" * 15 + " " + "z" * 16 + " " + "w" * 17 + " q",
    "lone \ud800 surrogate from a broken page with words",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_signature_is_what_datasketch_computes_of_the_same_shingles(text: str) -> None:
    assert np.array_equal(signature(text), by_datasketch(shingles(text)))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=80), max_size=6))
def test_any_batch_of_texts_is_signed_as_datasketch_signs_them(texts: list[str]) -> None:
    rows = signatures(texts, num_perm=20)
    for text, row in zip(texts, rows, strict=True):
        unspaced = "".join(UNSPACED.findall(text.lower()))
        words = b"".join(SEPARATORS.split(lowered(text).lower()))
        by_character = 2 * len(unspaced.encode()) > len(words)
        assert np.array_equal(row, by_datasketch(shingles(text, by_character=by_character), num_perm=20))


@pytest.mark.parametrize(
    "text",
    [
        "我们今天去图书馆看书，然后回家吃饭。",
        "日本語の文章は単語の間に空白がありません。カタカナも、ひらがなも。",
        "ภาษาไทยไม่มีช่องว่างระหว่างคำ",
        "𠀀𠀁𠀂𠀃𠀄𠀅 WebText 2019 我们今天去图书馆看书",
    ],
)
def test_scripts_without_spaces_are_shingled_by_character(text: str) -> None:
    parts = shingles(text, by_character=True)
    assert len(parts) > 5
    assert np.array_equal(signature(text), by_datasketch(parts))


def test_a_few_foreign_characters_do_not_change_how_a_text_is_cut() -> None:
    text = "an English sentence that quotes 我们今天 once and goes on in English"
    assert np.array_equal(signature(text), by_datasketch(shingles(text)))


@pytest.mark.parametrize("text", ["", " \n\t", "!!! ... ???", "\u2026\u2014\u00bb"])
def test_a_text_without_a_word_has_an_empty_signature_and_no_band(text: str) -> None:
    row = signatures([text])
    assert (row == EMPTY).all()
    assert (band_keys(row, bands=range(36), band_rows=7) == 0).all()


def test_letter_case_and_punctuation_do_not_count() -> None:
    assert np.array_equal(signature("The cat, sat: ON the Mat!"), signature("the cat sat on the mat"))


def test_a_batch_is_cut_into_calls_without_a_seam() -> None:
    import pipeline.minhash as module

    texts = [f"document number {number} with a few words of its own {number * 7}" for number in range(100)]
    whole = signatures(texts)
    before, module.BATCH_BYTES = module.BATCH_BYTES, 1000
    try:
        assert np.array_equal(signatures_of([lowered(text) for text in texts]), whole)
    finally:
        module.BATCH_BYTES = before


def test_a_text_of_many_megabytes_is_signed() -> None:
    words = [f"w{number % 5003}" for number in range(700_000)]
    row = signature(" ".join(words))
    assert np.array_equal(row, by_datasketch(shingles(" ".join(words[: 5003 + 4]))))


def test_permutations_follow_the_seed() -> None:
    assert not np.array_equal(permutations(16)[0], permutations(16, seed=2)[0])
    assert (permutations(16)[0] % 2 == 1).all()


def test_the_share_of_equal_places_estimates_jaccard() -> None:
    words = [f"word{number}" for number in range(404)]
    one, other = " ".join(words), " ".join([*words[:204], "changed", *words[204:]])
    first, second = set(shingles(one)), set(shingles(other))
    exact = len(first & second) / len(first | second)
    agree = (signature(one, num_perm=2048) == signature(other, num_perm=2048)).mean()
    assert abs(agree - exact) < 0.03


def test_band_keys_meet_where_bands_are_equal_and_nowhere_else() -> None:
    rows = np.random.default_rng(0).integers(0, 1 << 32, (50, 24), dtype=np.uint32)
    rows[25:, 8:16] = rows[:25, 8:16]
    keys = band_keys(rows, bands=range(3), band_rows=8)
    assert np.array_equal(keys[1, :25], keys[1, 25:])
    assert len(np.unique(keys)) == 3 * 50 - 25
    assert np.array_equal(band_keys(rows, bands=range(1, 2), band_rows=8)[0], keys[1])


def test_equal_values_in_two_bands_get_two_keys() -> None:
    row = np.tile(np.arange(7, dtype=np.uint32), (1, 2))
    keys = band_keys(row, bands=range(2), band_rows=7)
    assert keys[0, 0] != keys[1, 0]


def test_signatures_go_out_to_datasketch() -> None:
    texts = ["a b c d e f g h i j k l m n", "a b c d e f g h i j k l m n o", "quite another text that shares no phrase at all"]
    rows = signatures(texts)
    lean = [lean_minhash(row) for row in rows]
    assert lean[0].jaccard(lean[1]) == pytest.approx((rows[0] == rows[1]).mean())
    index = query_index(["one", "two", "three"], rows, bands=36, band_rows=7)
    assert set(index.query(lean[0])) == {"one", "two"}


def test_a_thousand_real_documents_are_signed_as_datasketch_signs_them(shared) -> None:  # type: ignore[no-untyped-def]
    with open(shared / "dedup" / "dev.jsonl.zst", "rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8")
        texts = [json.loads(line)["text"] for number, line in enumerate(lines) if number % 10 == 0][:1000]
    rows = signatures(texts, num_perm=64)
    oracle = [by_datasketch(shingles(text), num_perm=64) for text in texts]
    assert sum(not np.array_equal(row, other) for row, other in zip(rows, oracle, strict=True)) == 0
