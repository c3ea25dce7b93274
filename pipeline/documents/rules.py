"""What a text must be to stay: a table of measures, limits and reasons.

Every rule is a pure measure of one shared view of the document, so that words, lines and pieces are counted once.  The
limits are their sources' unless they were seen to throw away good articles: of 1,499 pages with a human gold text, 658 are
English articles or documentation that trafilatura extracts with F1 >= .7; docs/extraction.md has what each rule drops of
them and of the rest.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import regex

from pipeline.documents.document import DocumentDrop
from pipeline.documents.view import View
from pipeline.schema import Drop


class Rule(NamedTuple):
    """Keeps a document whose measure lies between `least` and `most`."""

    drop: DocumentDrop
    measure: Callable[[View], float]
    source: str
    least: float = 0.0
    most: float = float("inf")
    spaced: bool = False  # only for languages that put spaces between words
    language: str | None = None  # only for this one


class Verdict(NamedTuple):
    """What a rule says of a document."""

    rule: Rule
    value: float
    kept: bool

    @property
    def name(self) -> str:
        return self.rule.measure.__name__

    @property
    def bound(self) -> str:
        """The side of the rule that counts: `>= 128`."""
        below = self.rule.most == float("inf") or (not self.kept and self.value < self.rule.least)
        return f">= {self.rule.least:g}" if below else f"<= {self.rule.most:g}"


# Words, numbers and punctuation as GPT-2 splits them before it merges.  A copy of tokenizer.pattern.PATTERN, held equal by a
# test: `import tokenizer` would bring numba into every child.
PIECE = regex.compile(r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""")

COUNTED_PIECES = 256  # enough to tell what is too short

UNSPACED = frozenset({"zh", "ja", "th", "lo", "km", "my", "bo", "dz"})  # words are not separated by spaces

# Gopher: Rae et al. 2021, arXiv 2112.11446, appendix A.1.
STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
BULLETS = ("•", "-", "*", "‣", "◦", "·", "●", "■")
ELLIPSES = ("...", "…")

SENTENCE_END = re.compile(r"""[.!?…]["'”’»)\]]*(?=\s|$)|[。！？．।۔؟։]""")

# The first two letters of a curly quotation mark or accented letter whose bytes were read one by one; U+FFFD is a letter
# that was lost already.  The last alternative is an apostrophe whose other two bytes were control characters.
LOST_LETTERS = re.compile("\ufffd|Ã[\xa0-\xbfŸ€‚ƒ„…†‡ˆ‰Š‹Œ]|â€|Â[\xa0£©®°»«]|(?<=[a-z])â(?:s|re|ll|ve)\\b|(?<=n)ât\\b")

LOREM_WORDS = frozenset({
    "lorem", "ipsum", "dolor", "amet", "consectetur", "adipiscing", "elit", "eiusmod", "tempor", "incididunt",
    "labore", "dolore", "magna", "aliqua", "enim", "veniam", "quis", "nostrud", "exercitation", "ullamco", "laboris",
    "nisi", "aliquip", "commodo", "consequat", "duis", "aute", "irure", "reprehenderit", "voluptate", "velit",
    "cillum", "fugiat", "nulla", "pariatur", "excepteur", "occaecat", "cupidatat", "proident", "sunt", "culpa",
    "officia", "deserunt", "mollit", "laborum",
})  # fmt: skip

# T5 and C4: Raffel et al. 2020, section 2.2; they drop the lines, we drop pages made of them.
POLICY_PHRASES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")

NOTICE_LINE = re.compile(
    r"""\W*(?:(?:http\ |error\ )*(?:403|404|500|502|503)\W*(?:$|error|page|file|not\ found|forbidden|access|bad|service|internal)
    |(?:page|file)\ not\ found|access\ denied
    |(?:please\ )?(?:enable|turn\ on)\ (?:javascript|cookies)|just\ a\ moment|checking\ your\ browser|attention\ required
    |verify(?:ing)?\ (?:that\ )?you\ are|are\ you\ a\ (?:robot|human)|unusual\ traffic|internal\ server\ error
    |service\ (?:temporarily\ )?unavailable|bad\ gateway|(?:this\ )?account\ (?:has\ been\ )?suspended|index\ of\ /
    |(?:this|the)\ domain\ (?:name\ )?(?:is|may\ be|has)|buy\ this\ domain|domain\ for\ sale|(?:site\ )?under\ construction
    |(?:the|this)\ (?:page|site|website)\ (?:you|is\ (?:no\ longer|not|currently)|can(?:no|')t|isn't|could\ not|does\ not)
    |sorry,?\ (?:but\ )?(?:the\ page|this\ page|we\ can|you\ have\ been\ blocked))""",
    re.IGNORECASE | re.VERBOSE,
)
NOTICE_LINES = 3  # a notice says so at once
NOTICE_LETTERS = 100  # and in a short line
NOTICE_WORDS = 400  # on a page with little else; a longer one is an article about such notices


# ---- measures ----


def pieces(view: View) -> float:
    """No more than COUNTED_PIECES are counted."""
    return sum(1 for _ in islice(PIECE.finditer(view.text), COUNTED_PIECES))


def lost_letters_share(view: View) -> float:
    signs = any(letter in view.text for letter in "\ufffdÃâÂ")
    return len(LOST_LETTERS.findall(view.text)) / len(view.words) if signs else 0


def lorem_share(view: View) -> float:
    return sum(word.strip(".,;:") in LOREM_WORDS for word in view.words) / len(view.words) if "ipsum" in view.lowered else 0


def notice_lines(view: View) -> float:
    if len(view.words) > NOTICE_WORDS:
        return 0
    return sum(len(line) <= NOTICE_LETTERS and NOTICE_LINE.match(line) is not None for line in view.lines[:NOTICE_LINES])


def policy_share(view: View) -> float:
    if not any(phrase in view.lowered for phrase in POLICY_PHRASES):
        return 0
    lines = view.lowered.split("\n")
    return sum(len(line) for line in lines if any(phrase in line for phrase in POLICY_PHRASES)) / len(view.lowered)


def mean_word_length(view: View) -> float:
    """Of words that are no addresses."""
    if "://" not in view.text:
        return float(view.lengths.mean())
    lengths = [len(word) for word in view.words if "://" not in word]
    return sum(lengths) / len(lengths) if lengths else 0


def alphabetic_share(view: View) -> float:
    return sum(word[0].isalpha() or any(map(str.isalpha, word)) for word in view.words) / len(view.words)


def symbols_per_word(view: View) -> float:
    return (view.text.count("#") + sum(view.text.count(mark) for mark in ELLIPSES)) / len(view.words)


def stop_words(view: View) -> float:
    """How many different ones."""
    return len(STOP_WORDS.intersection(view.words))


def bullet_share(view: View) -> float:
    return sum(line.startswith(BULLETS) for line in view.lines) / len(view.lines)


def ellipsis_share(view: View) -> float:
    return sum(line.endswith(ELLIPSES) for line in view.lines) / len(view.lines)


def lines_per_word(view: View) -> float:
    return len(view.lines) / len(view.words)


def sentences_per_100_words(view: View) -> float:
    return 100 * len(SENTENCE_END.findall(view.text)) / len(view.words)


def repeated_lines_share(view: View) -> float:
    """Of the letters, those in lines that stood before."""
    repeated = sum(len(line) * (count - 1) for line, count in Counter(view.lines).items() if count > 1)
    return repeated / sum(map(len, view.lines))


def top_2gram_share(view: View) -> float:
    return _top_share(view, 2)


def top_3gram_share(view: View) -> float:
    return _top_share(view, 3)


def top_4gram_share(view: View) -> float:
    return _top_share(view, 4)


def repeated_10gram_share(view: View) -> float:
    """Of the words, those inside a run of ten that stood before."""
    runs = view.runs[10]
    again = np.ones(len(runs), dtype=np.int64)
    again[np.unique(runs, return_index=True)[1]] = 0
    return np.count_nonzero(np.convolve(again, np.ones(10, dtype=np.int64))) / len(view.words) if again.any() else 0


def _top_share(view: View, length: int) -> float:
    """Of the letters, those of the commonest run of `length` words; 0 if none stands twice."""
    runs = view.runs[length]
    counts = np.bincount(runs)
    top = int(counts.max(initial=0))
    if top < 2:
        return 0
    upto = np.concatenate(([0], np.cumsum(view.lengths)))
    letters = (upto[length:] - upto[:-length])[counts[runs] == top].max()
    return float(top * letters / upto[-1])


# ---- the table ----

GOPHER = "Rae et al. 2021, table A1"
OURS = "measured, docs/extraction.md"

# In this order: the first that fails gives the reason.
WEBTEXT_RULES = (
    Rule(DocumentDrop.TOO_SHORT, pieces, "OpenWebText corpus: 128 tokens", least=128),
    Rule(DocumentDrop.MOJIBAKE, lost_letters_share, OURS, most=0.01),
    Rule(DocumentDrop.LOREM_IPSUM, lorem_share, "C4 drops any mention; an article may quote it", most=0.1),
    Rule(DocumentDrop.NOTICE, notice_lines, OURS, most=0),
    Rule(DocumentDrop.POLICY, policy_share, "C4's phrases", most=0.3),
    Rule(DocumentDrop.SHORT_WORDS, mean_word_length, GOPHER, least=3, spaced=True),
    Rule(DocumentDrop.LONG_WORDS, mean_word_length, GOPHER, most=10, spaced=True),
    Rule(DocumentDrop.NOT_ALPHABETIC, alphabetic_share, f"{GOPHER}: .8, which costs good tables", least=0.7),
    Rule(DocumentDrop.SYMBOL_HEAVY, symbols_per_word, GOPHER, most=0.1, spaced=True),
    Rule(DocumentDrop.NO_STOP_WORDS, stop_words, GOPHER, least=2, language="en"),
    Rule(DocumentDrop.BULLETED, bullet_share, GOPHER, most=0.9),
    Rule(DocumentDrop.CUT_LINES, ellipsis_share, GOPHER, most=0.3),
    Rule(DocumentDrop.FRAGMENTED, lines_per_word, "FineWeb, Penedo et al. 2024", most=0.3, spaced=True),
    Rule(DocumentDrop.NO_SENTENCES, sentences_per_100_words, OURS, least=1, spaced=True),
    Rule(DocumentDrop.DUPLICATE_LINES, repeated_lines_share, f"{GOPHER}: .2, which costs code", most=0.3),
    Rule(DocumentDrop.REPEATED_PHRASE, top_2gram_share, GOPHER, most=0.20, spaced=True),
    Rule(DocumentDrop.REPEATED_PHRASE, top_3gram_share, GOPHER, most=0.18, spaced=True),
    Rule(DocumentDrop.REPEATED_PHRASE, top_4gram_share, GOPHER, most=0.16, spaced=True),
    Rule(DocumentDrop.REPETITIVE, repeated_10gram_share, f"{GOPHER}: .1, which costs good articles", most=0.3, spaced=True),
)


# ---- applying it ----


def verdicts(document: View, *, rules: str = "webtext") -> Iterator[Verdict]:
    """What each rule that speaks of this language says, in the order of the table."""
    for rule in WEBTEXT_RULES if rules == "webtext" else ():
        if rule.language not in (None, document.language) or (rule.spaced and document.language in UNSPACED):
            continue
        value = rule.measure(document)
        yield Verdict(rule, value, rule.least <= value <= rule.most)


def rule_drop(document: View, *, rules: str = "webtext") -> Drop | None:
    """The first rule that drops a document; None keeps it."""
    for verdict in verdicts(document, rules=rules):
        if not verdict.kept:
            return Drop(verdict.rule.drop, f"{verdict.name}={verdict.value:.4g}")
    return None
