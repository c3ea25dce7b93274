import numpy as np
import pytest
import regex
import tiktoken

from tokenizer.make_unicode_classes import scalar_class
from tokenizer.pattern import PATTERN
from tokenizer.unicode_classes import LETTER, NUMBER, OTHER, SPACE, class_of_scalar


@pytest.mark.parametrize(
    ("scalar", "kind"),
    [
        (ord("a"), LETTER), (ord("ß"), LETTER), (ord("中"), LETTER), (0x1D4B3, LETTER), (0xAA, LETTER),
        (ord("7"), NUMBER), (ord("²"), NUMBER), (0x0663, NUMBER), (0x2167, NUMBER),
        (0x20, SPACE), (0x0A, SPACE), (0x85, SPACE), (0xA0, SPACE), (0x2028, SPACE), (0x3000, SPACE),
        (0x1C, OTHER), (0x1F, OTHER), (0x180E, OTHER), (0x200B, OTHER), (0x0301, OTHER), (0x1F600, OTHER),
        (0xD800, OTHER), (0, OTHER), (0x1E6CD, OTHER), (0x323B0, OTHER),  # letters since Unicode 17
    ],
)  # fmt: skip
def test_class_of_a_character(scalar, kind):
    assert class_of_scalar()[scalar] == kind


def test_white_space_is_unicodes_and_not_pythons():
    assert int(np.count_nonzero(class_of_scalar() == SPACE)) == 25
    assert chr(0x1C).isspace()
    assert class_of_scalar()[0x1C] == OTHER


def test_every_scalar_is_as_the_pattern_library_has_it_or_unknown_to_unicode_16():
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
    found = np.zeros(len(every), dtype=np.uint8)
    for kind, pattern in ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (SPACE, r"\s+")):
        for run in regex.finditer(pattern, every):
            found[run.start() : run.end()] = kind
    table = np.delete(class_of_scalar(), np.arange(0xD800, 0xE000))
    # A later Unicode has more letters and numbers; what was one stays one.
    assert (table[found != table] == OTHER).all()
    assert np.count_nonzero(found != table) < 50_000


@pytest.mark.slow
def test_every_scalar_is_as_tiktoken_has_it():
    scalars = [*range(0xD800), *range(0xE000, 0x110000)]
    for kind, before in ((LETTER, "a"), (NUMBER, "1"), (OTHER, "!")):
        pairs = {(before + chr(scalar)).encode(): 256 + scalar for scalar in scalars}
        ranks = {bytes([byte]): byte for byte in range(256)} | pairs
        encoding = tiktoken.Encoding(f"whole-{kind}", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
        # A pair is one token if and only if the pattern leaves it whole.
        whole = [len(encoding.encode_ordinary(before + chr(scalar))) == 1 for scalar in scalars]
        assert (np.array(whole) == (class_of_scalar()[scalars] == kind)).all()


def test_the_script_classes_as_the_table_does():
    for scalar in (*range(0x250), 0xD800, 0x2003, 0x4E00, 0x1F600):
        assert scalar_class(scalar) == class_of_scalar()[scalar]
