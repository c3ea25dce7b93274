"""Undoes a test set's tokenisation, and can prove that nothing was lost: `retokenised(detokenised(line)) == line`.

A tokenised line is words separated by single spaces.  De-tokenising decides, at every space, whether to close it up.
Re-tokenising works chunk by chunk (between the spaces left), so the rules are put to the test where they are used: a chunk is
closed up only as far as it comes apart again into the same tokens.  A line with a token
that does not survive even alone stays as it is.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

OPENING = '([{"“‘$£€¥#'
CLOSING = ')]}"”’.,;:!?%…°'
CLITIC = re.compile(r"(.+)('(?:s|re|ve|ll|d|m|t))", re.IGNORECASE)
TREEBANK_CLITIC = re.compile(r"(.+?)(n't|'(?:s|re|ve|ll|d|m))", re.IGNORECASE)
# What the Moses tokeniser glues and marks: a hyphen between word characters or <unk>, a comma or point between digits.
MARKS = (
    (re.compile(r"(?<=[\w>])-(?=[\w<])"), "@-@"),
    (re.compile(r"(?<=\d),(?=\d)"), "@,@"),
    (re.compile(r"(?<=\d)\.(?=\d)"), "@.@"),
)
MARKED = {"@-@": "-", "@,@": ",", "@.@": "."}
# Abbreviations that keep their point, as in the English list of the Moses tokeniser.
# Single letters and words with a point inside do too.
ABBREVIATIONS = frozenset(
    """
    adj adm adv al asst bart bldg brig bros capt cmdr co col comdr con corp cpl det dr drs ens esq etc ft gen gov hon
    hosp inc insp jr lt ltd maj messrs mlle mme mr mrs ms msgr mt no nos op ord pfc ph pp prof pvt rep reps res rev rt
    sen sens sfc sgt sr st supt surg v vs jan feb mar apr jun jul aug sep sept oct nov dec
    """.split()  # noqa: SIM905 - 60 words are read as words
)


class Line(NamedTuple):
    """A line as a reader would write it; `raw` if it could only be left as it was."""

    text: str
    raw: bool = False


def keeps_point(word: str) -> bool:
    """Whether the point after this word is part of it."""
    if "." in word:  # U.S and the dots of an ellipsis, but no number
        return any(map(str.isalpha, word)) or not any(map(str.isdigit, word))
    return word.lower() in ABBREVIATIONS or (len(word) == 1 and word.isalpha())


def wikitext_tokens(chunk: str) -> list[str]:
    """The tokens WikiText's tokeniser (Moses, aggressive hyphens) makes of a piece without spaces."""
    if re.fullmatch(r"=+", chunk):  # = = Heading = =
        return list(chunk)
    before, core, after = ends_off(chunk)
    while core.startswith("'") and len(core) > 1:  # an opening quote; a clitic alone is a token
        if core.lower() in ("'s", "'re", "'ve", "'ll", "'d", "'m", "'t") or core[1].islower():
            break
        before, core = [*before, "'"], core[1:]
    clitics: list[str] = []
    if core.endswith("'") and len(core) > 1:
        core, clitics = core[:-1], ["'"]
    elif match := CLITIC.fullmatch(core):
        core, clitics = match[1], [match[2]]
    for pattern, mark in MARKS:
        core = pattern.sub(f" {mark} ", core)
    core = re.sub(r"(?<=\w)([/–—])(?=\w)", r" \1 ", core)
    return [*before, *core.split(), *clitics, *after]


def treebank_tokens(chunk: str) -> list[str]:
    """The tokens of a piece without spaces in the Penn Treebank's way: `` quotes '', do n't, -LRB-, $ and % apart."""
    before, core, after = ends_off(chunk)
    clitics: list[str] = []
    if core.endswith("'") and len(core) > 1:
        core, clitics = core[:-1], ["'"]
    elif match := TREEBANK_CLITIC.fullmatch(core):
        core, clitics = match[1], [match[2]]
    before = [{'"': "``", "(": "-LRB-", "[": "-LSB-", "{": "-LCB-", "‘": "`"}.get(token, token) for token in before]
    after = [{'"': "''", ")": "-RRB-", "]": "-RSB-", "}": "-RCB-"}.get(token, token) for token in after]
    return [*before, core, *clitics, *after]


def ends_off(chunk: str) -> tuple[list[str], str, list[str]]:
    """Opening marks, what they enclose, closing marks.  A chunk of marks alone is all core."""
    if re.fullmatch(r"\.{2,}|'{1,2}|-{2,}", chunk):
        return [], chunk, []
    before: list[str] = []
    while len(chunk) > 1 and chunk[0] in OPENING:
        before.append(chunk[0])
        chunk = chunk[1:]
    after: list[str] = []
    while len(chunk) > 1 and chunk[-1] in CLOSING and not (chunk[-1] == "." and keeps_point(chunk[:-1])):
        after.insert(0, chunk[-1])
        chunk = chunk[:-1]
    return before, chunk, after


class Joins(NamedTuple):
    """Which tokens cling to the one before or after them, and how they are written then."""

    before: Callable[[str, bool], bool]  # (token, a quote is open) -> closes up to the token before it
    after: Callable[[str, bool], bool]  # (token, a quote is open) -> the next one closes up to it
    written: dict[str, str]


WIKITEXT = Joins(
    before=lambda token, quoted: (
        token in MARKED
        or token in set("),.;:!?%]}”’…°/–—'")
        or (token == '"' and quoted)
        or re.fullmatch(r"'(s|re|ve|ll|d|m|t)", token, re.IGNORECASE) is not None
    ),
    after=lambda token, quoted: token in MARKED or token in set("([{“‘$£€¥#/–—'") or (token == '"' and not quoted),
    written=MARKED,
)
TREEBANK = Joins(
    before=lambda token, _: (
        token in {"''", "'", "-RRB-", "-RSB-", "-RCB-", "%"}
        or token in set(",.;:!?…")
        or re.fullmatch(r"n't|'(s|re|ve|ll|d|m)", token, re.IGNORECASE) is not None
    ),
    after=lambda token, _: token in {"``", "`", "-LRB-", "-LSB-", "-LCB-", "$", "#", "£"},
    written={"``": '"', "''": '"', "`": "‘", "-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"},
)


class Detokeniser:
    """One way of tokenising, undone and done again."""

    def __init__(self, joins: Joins, tokens_of: Callable[[str], list[str]], *, margin: str = "") -> None:
        """`margin`: what stands before and after the tokens of a line."""
        self.joins, self.tokens_of, self.margin = joins, tokens_of, margin

    def detokenised(self, line: str) -> Line:
        """The line as a reader would write it, closed up wherever it comes apart again alike."""
        inside = line.removeprefix(self.margin).removesuffix(self.margin)
        if f"{self.margin}{inside}{self.margin}" != line:
            return Line(line, raw=True)
        chunks: list[str] = []
        for run in self._runs(inside.split(" ")):
            while run:
                size = next((size for size in range(len(run), 0, -1) if self._survives(run[:size])), 0)
                if not size:
                    return Line(line, raw=True)
                chunks.append(self._written(run[:size]))
                run = run[size:]
        return Line(" ".join(chunks))

    def retokenised(self, line: Line) -> str:
        """The tokenised line again."""
        if line.raw:
            return line.text
        tokens = " ".join(token for chunk in line.text.split(" ") for token in self.tokens_of(chunk))
        return f"{self.margin}{tokens}{self.margin}"

    def _runs(self, tokens: list[str]) -> list[list[str]]:
        """Tokens that would all be closed up to one another, if every rule held."""
        runs: list[list[str]] = []
        quoted, clings, last = False, False, ""
        for token in tokens:
            heading = token == last == "="
            if clings or heading or self.joins.before(token, quoted):
                if not runs:
                    runs.append([])
                runs[-1].append(token)
            else:
                runs.append([token])
            clings, last = self.joins.after(token, quoted), token
            if token == '"':
                quoted = not quoted
        return runs

    def _written(self, tokens: list[str]) -> str:
        return "".join(self.joins.written.get(token, token) for token in tokens) if len(tokens) > 1 else tokens[0]

    def _survives(self, tokens: list[str]) -> bool:
        return self.tokens_of(self._written(tokens)) == tokens


def wikitext() -> Detokeniser:
    """For WikiText-2 and WikiText-103, whose lines begin and end with a space."""
    return Detokeniser(WIKITEXT, wikitext_tokens, margin=" ")


def treebank() -> Detokeniser:
    """For the Penn Treebank, the Children's Book Test and LAMBADA as first published."""
    return Detokeniser(TREEBANK, treebank_tokens)
