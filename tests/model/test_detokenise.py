"""De-tokenising loses nothing, and undoes what it should."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.evaluation.detokenise import Line, treebank, wikitext

WIKITEXT = [
    (" = Robert <unk> = ", "= Robert <unk> ="),
    (" = = Career = = ", "== Career =="),
    (' He said , " It is 1 @,@ 000 well @-@ known ( and 3 @.@ 5 % ) . " ', 'He said, "It is 1,000 well-known (and 3.5%)."'),
    (" Mr. Smith 's U.S. tour didn 't end ; players ' ... ", "Mr. Smith's U.S. tour didn't end; players' ..."),
    (" 2000 – 2005 ", "2000–2005"),
    (" <unk> @-@ <unk> ", "<unk>-<unk>"),
    (" $ 5 and [ 3 ] ", "$5 and [3]"),
]
TREEBANK = [
    ("`` i do n't know , '' he said .", '"i don\'t know," he said.'),
    ("the company 's -LRB- new -RRB- plan costs $ N a share", "the company's (new) plan costs $N a share"),
    ("mr. <unk> fell N % .", "mr. <unk> fell N%."),
]


@pytest.mark.parametrize(("tokenised", "natural"), WIKITEXT)
def test_wikitext_reads_naturally_and_comes_back(tokenised, natural):
    line = wikitext().detokenised(tokenised)
    assert line == Line(natural)
    assert wikitext().retokenised(line) == tokenised


@pytest.mark.parametrize(("tokenised", "natural"), TREEBANK)
def test_treebank_reads_naturally_and_comes_back(tokenised, natural):
    line = treebank().detokenised(tokenised)
    assert line == Line(natural)
    assert treebank().retokenised(line) == tokenised


def test_a_line_that_cannot_be_undone_stays_as_it_is():
    line = wikitext().detokenised(" he said 1,000th words . ")
    assert line == Line(" he said 1,000th words . ", raw=True)


def test_a_join_that_would_not_come_apart_is_left_out():
    assert wikitext().detokenised(" Dr . Who ") == Line("Dr . Who")


WORDS = "a B word 12 3 U.S. Mr. 's n't 're <unk> x-y 1,5 é 中"
MARKS = ", . ; : ! ? \" ' ( ) [ ] @-@ @,@ @.@ - – — / $ % ... .. = & ’ “ ” `` '' -LRB- -RRB- #"
TOKENS = st.sampled_from(f"{WORDS} {MARKS}".split())


@settings(max_examples=200, deadline=None)
@given(st.lists(TOKENS, min_size=1, max_size=25))
def test_any_line_of_tokens_comes_back(tokens):
    inside = " ".join(tokens)
    for detokeniser, line in ((wikitext(), f" {inside} "), (treebank(), inside)):
        assert detokeniser.retokenised(detokeniser.detokenised(line)) == line


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_text_comes_back(text):
    for detokeniser in (wikitext(), treebank()):
        assert detokeniser.retokenised(detokeniser.detokenised(text)) == text


@pytest.mark.parametrize("name", ["test", "valid"])
def test_wikitext_2_is_inverted(shared, name):
    lines = [line for line in (shared / "eval/wikitext-2" / f"{name}.txt").read_text().split("\n") if line.strip()]
    read = [wikitext().detokenised(line) for line in lines]
    assert [wikitext().retokenised(line) for line in read] == lines
    changed = sum(not after.raw and after.text != before.strip(" ") for after, before in zip(read, lines, strict=True))
    untouched = sum(not after.raw for after in read)
    assert untouched / len(lines) > 0.99
    assert changed / len(lines) > 0.9  # the rest, headings of one level, has nothing to undo but its margins


def test_lambada_as_first_published_is_inverted(shared):
    lines = (shared / "eval/lambada/test.txt").read_text().splitlines()
    read = [treebank().detokenised(line) for line in lines]
    assert [treebank().retokenised(line) for line in read] == lines
    assert sum(not line.raw for line in read) / len(lines) > 0.99
