from collections.abc import Iterable
from itertools import pairwise

import awkward_text
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer import scanner
from tokenizer.documents import joined
from tokenizer.pattern import pretokens
from tokenizer.scanner import Scanner
from tokenizer.unicode_classes import class_of_scalar


def scanned(texts: list[bytes]) -> list[list[bytes]]:
    """The pre-tokens of each text."""
    data, offsets = joined(texts)
    cutter = Scanner()
    bounds, last = cutter.bounds(data, offsets)
    assert [int(bounds[bound]) for bound in last] == offsets[1:].tolist()
    segments: list[list[bytes]] = []
    for chunk in cutter.chunks(data, bounds):
        text = chunk.text.tobytes()
        pieces = [text[start:end] for start, end in pairwise([0, *chunk.ends.tolist()])]
        segments += [pieces[first:end] for first, end in pairwise(chunk.counts)]
    return [[piece for segment in segments[a:b] for piece in segment] for a, b in pairwise([0, *last.tolist()])]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("Hello world", ["Hello", " world"]),
        ("a  b", ["a", " ", " b"]),
        ("a \n b", ["a", " \n", " b"]),
        ("a\n\nb", ["a", "\n", "\n", "b"]),
        ("end  ", ["end", "  "]),
        ("\u00a0\u00a0x", ["\u00a0", "\u00a0", "x"]),
        (" \u3000x", [" ", "\u3000", "x"]),
        ("it's", ["it", "'s"]),
        ("it'S", ["it", "'", "S"]),
        ("we'll've", ["we", "'ll", "'ve"]),
        ("'' 's", ["''", " '", "s"]),
        ("'sand", ["'s", "and"]),
        ("x'", ["x", "'"]),
        ("x'r", ["x", "'", "r"]),
        ("abc123!?", ["abc", "123", "!?"]),
        (" 1 ! a", [" 1", " !", " a"]),
        ("中文 字", ["中文", " 字"]),
        ("e\u0301", ["e", "\u0301"]),
    ],
)
def test_pieces_of_a_text(text, pieces):
    assert [piece.decode() for piece in scanned([text.encode()])[0]] == pieces
    assert [piece.decode() for piece in pretokens(text.encode())] == pieces


def test_awkward_texts_are_cut_as_by_the_pattern():
    texts = [text.encode() for most in (29, 200) for text in awkward_text.texts(3000, seed=most, most=most)]
    assert scanned(texts) == [pretokens(text) for text in texts]


def test_broken_utf8_is_cut_as_by_the_pattern():
    texts = awkward_text.broken(awkward_text.texts(4000, seed=3), seed=4)
    assert scanned(texts) == [pretokens(text) for text in texts]


@given(st.lists(st.binary(max_size=200), max_size=5))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_cut_as_by_the_pattern(texts):
    assert scanned(texts) == [pretokens(text) for text in texts]


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_is_cut_as_by_the_pattern(text):
    assert scanned([text.encode()]) == [pretokens(text.encode())]


def assert_cut_in_every_company(scalars: Iterable[int]) -> None:
    characters = [chr(scalar) for scalar in scalars if not 0xD800 <= scalar < 0xE000]
    for first in range(0, len(characters), 4096):
        text = "".join(f"{c}a {c}{c} 1{c}\n" for c in characters[first : first + 4096]).encode()
        assert scanned([text])[0] == pretokens(text)


def test_scalars_where_the_class_changes_are_cut_as_by_the_pattern():
    changes = np.flatnonzero(np.diff(class_of_scalar().astype(np.int8), prepend=0))
    assert_cut_in_every_company({0, 0x10FFFF, *changes.tolist(), *(changes - 1).tolist(), *range(0, 0x110000, 251)})


@pytest.mark.slow
def test_every_scalar_is_cut_as_by_the_pattern():
    assert_cut_in_every_company(range(0x110000))


@pytest.mark.parametrize("shift", range(66))
def test_a_block_of_64_bytes_hides_nothing(shift):
    texts = [("x" * shift + tail).encode() for tail in (" 's", "  y", "\u3000\u3000y", "'re'll", "é中😀 😀", "   ")]
    assert scanned(texts) == [pretokens(text) for text in texts]


def test_a_document_knows_nothing_of_its_neighbours():
    texts = [b"a ", b"b", b"", b"", b" ", b"'", b"s", "中".encode()[:2], "中".encode()[2:], b"1", b"2"]
    assert scanned(texts) == [pretokens(text) for text in texts]


def test_long_documents_are_cut_where_it_changes_nothing(monkeypatch):
    monkeypatch.setattr(scanner, "CHUNK_BYTES", 64)
    texts = [text.encode() for text in awkward_text.texts(300, seed=7, most=400)]
    texts += [b"x" * 1000, "中".encode() * 1000, b"a b " * 500, b"  \n " * 300]
    assert scanned(texts) == [pretokens(text) for text in texts]
