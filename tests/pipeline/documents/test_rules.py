"""Each rule on a text that breaks it and nothing before it, and on the edge of its limit."""

import random

import pytest
from pages_to_fear import GERMAN, sentences

from pipeline.documents.document import DocumentDrop
from pipeline.documents.rules import (
    PIECE,
    WEBTEXT_RULES,
    alphabetic_share,
    bullet_share,
    ellipsis_share,
    lines_per_word,
    lorem_share,
    lost_letters_share,
    mean_word_length,
    notice_lines,
    pieces,
    policy_share,
    repeated_10gram_share,
    repeated_lines_share,
    rule_drop,
    sentences_per_100_words,
    stop_words,
    symbols_per_word,
    top_2gram_share,
    top_3gram_share,
    verdicts,
)
from pipeline.documents.view import View
from tokenizer.pattern import PATTERN

GOOD = sentences(40)
PROSE = "\n".join(" ".join(GOOD[n : n + 4]) for n in range(0, 40, 4))


def words(count: int, *, letters: int = 5, seed: int = 1) -> list[str]:
    chance = random.Random(seed)
    return ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=letters)) for _ in range(count)]


def with_stop_words(text: str) -> str:
    return f"{text} the of and."


def lorem() -> str:
    filler = (
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna "
        "aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat. "
    )
    return PROSE[:600] + "\n" + filler + PROSE[600:900]


BROKEN = {
    DocumentDrop.TOO_SHORT: " ".join(GOOD[:3]),
    DocumentDrop.MOJIBAKE: PROSE.replace("that same", "that\ufffds"),
    DocumentDrop.LOREM_IPSUM: lorem(),
    DocumentDrop.NOTICE: "404 - Page not found\n" + PROSE[:1200],
    DocumentDrop.POLICY: PROSE[:600] + "\n" + "".join(f"This site uses cookies, says {line} " for line in GOOD[:12]),
    DocumentDrop.SHORT_WORDS: " ".join(words(200, letters=2)) + ". of to be.",
    DocumentDrop.LONG_WORDS: " ".join(words(200, letters=15)),
    DocumentDrop.NOT_ALPHABETIC: " ".join(f"{n}: 19.{n},00 {word}" for n, word in enumerate(words(200))),
    DocumentDrop.SYMBOL_HEAVY: PROSE.replace("that same", "#that #same #year #now"),
    DocumentDrop.NO_STOP_WORDS: ". ".join(words(300)),
    DocumentDrop.BULLETED: "\n".join(f"- {line}" for line in GOOD),
    DocumentDrop.CUT_LINES: "\n".join(line[:-1] + "..." for line in GOOD),
    DocumentDrop.FRAGMENTED: "\n".join(" ".join(pair) for pair in zip(words(99), words(99, seed=2), strict=True)) + " of the",
    DocumentDrop.NO_SENTENCES: with_stop_words(" ".join(words(300))),
    DocumentDrop.DUPLICATE_LINES: "\n".join([*GOOD[:12], *GOOD[:10]]),
    DocumentDrop.REPEATED_PHRASE: "\n".join(f"Extraordinary circumstances {word} of the day." for word in words(60)),
    DocumentDrop.REPETITIVE: "\n".join(f"{a} {b} {c}" for a, b, c in zip(GOOD, GOOD[1:], GOOD[2:], strict=False)),
}


def test_prose_is_kept() -> None:
    assert rule_drop(View(PROSE, language="en")) is None


@pytest.mark.parametrize("drop", BROKEN)
def test_a_broken_text_is_dropped_for_its_own_defect(drop: DocumentDrop) -> None:
    found = rule_drop(View(BROKEN[drop], language="en"))
    assert found is not None
    assert found.reason is drop, found
    assert "=" in found.detail


def test_every_rule_is_broken_by_a_test() -> None:
    assert {rule.drop for rule in WEBTEXT_RULES} == set(BROKEN)


def test_pieces_are_the_tokenizer_s() -> None:
    assert PIECE.pattern == PATTERN


def test_no_rules_keep_everything() -> None:
    for text in (*BROKEN.values(), "x", "-", "|"):
        assert rule_drop(View(text, language="en"), rules="none") is None


@pytest.mark.parametrize(("count", "kept"), [(127, False), (128, True)])
def test_128_pieces_are_enough(count: int, kept: bool) -> None:
    text = " ".join(["word"] * count)
    first = next(verdicts(View(text, language="en")))
    assert (first.value, first.kept, first.name, first.bound) == (count, kept, "pieces", ">= 128")


@pytest.mark.parametrize(
    ("measure", "text", "value"),
    [
        (pieces, "It's 25 °C, isn't it?", 10),
        (lost_letters_share, "Iâ€™ve seen it", 1 / 3),
        (lost_letters_share, "I\ufffdve \ufffd \ufffd", 1),
        (lost_letters_share, "donât goâs", 1),
        (lost_letters_share, "dégâts, château, naïve, MAÇÃ, mât", 0),
        (lorem_share, "Lorem, ipsum and more", 0.5),
        (notice_lines, "Access denied\nGo away", 1),
        (notice_lines, "403 Forbidden\nError 403", 2),
        (notice_lines, "Please enable JavaScript to go on", 1),
        (notice_lines, "The 404 bus was late", 0),
        (notice_lines, "404 reasons why error pages matter, and one why they do not, told at length", 0),
        (notice_lines, "404\nHTTP Error 503: Service unavailable\n500 - internal server error", 3),
        (policy_share, "abc\nour Privacy Policy", 18 / 22),
        (mean_word_length, "aa bbbb https://example.org/a/very/long/address", 3),
        (mean_word_length, "https://example.org/", 0),
        (alphabetic_share, "| a1 | 22 | 3,3 - b", 0.5),
        (symbols_per_word, "#a b... c… d", 0.75),
        (stop_words, "The the THE of banana", 2),
        (bullet_share, "- a\n• b\nc\n\nd", 0.5),
        (ellipsis_share, "a...\nb…\nc\nd", 0.5),
        (lines_per_word, "a b\n\nc d", 0.5),
        (sentences_per_100_words, 'He said: "Go." I went! Did 3.5 help? No', 100 * 3 / 9),
        (sentences_per_100_words, "今日は。明日も。", 200),
        (repeated_lines_share, "abc\nabc\nabcd", 0.3),
        (top_2gram_share, "a b a b c", 0.8),
        (top_2gram_share, "a b c d", 0),
        (top_3gram_share, "a b c a b c x y", 0.75),
        (repeated_10gram_share, " ".join([*"abcdefghij"] * 2), 0.5),
        (repeated_10gram_share, " ".join("abcdefghij"), 0),
        (repeated_10gram_share, " ".join([*"abcdefghijk", *"abcdefghijk"]), 0.5),
    ],
)
def test_a_measure(measure: object, text: str, value: float) -> None:
    assert callable(measure)
    assert measure(View(text, language="en")) == pytest.approx(value)


@pytest.mark.parametrize("language", ["ja", "zh", "th"])
def test_words_are_not_measured_where_none_are_written(language: str) -> None:
    names = {verdict.name for verdict in verdicts(View("今日は新しい図書館が町に開きました。" * 40, language=language))}
    assert {"mean_word_length", "sentences_per_100_words", "stop_words", "lines_per_word"}.isdisjoint(names)
    assert {"pieces", "repeated_lines_share", "lorem_share"} <= names


def test_english_stop_words_are_asked_of_english_only() -> None:
    assert rule_drop(View(GERMAN, language="de")) is None
    found = rule_drop(View(GERMAN, language="en"))
    assert found is not None
    assert found.reason is DocumentDrop.NO_STOP_WORDS


def test_code_and_lists_in_prose_are_kept() -> None:
    code = "\n".join(f"    if (value_{n} > {n}) {{ return list_{n}[{n}]; }}" for n in range(12))
    items = "\n".join(f"- {line}" for line in GOOD[20:30])
    assert rule_drop(View(f"{PROSE}\n{code}\n{items}", language="en")) is None


def test_marks_alone_are_a_text_that_can_be_measured() -> None:
    for text in ("|", "- - -", "•"):
        found = rule_drop(View(text, language="en"))
        assert found is not None
        assert found.reason is DocumentDrop.TOO_SHORT
        assert len(list(verdicts(View(text, language="en")))) == len(WEBTEXT_RULES)
