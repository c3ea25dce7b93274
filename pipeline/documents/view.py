"""A document as the rules see it: words, lines and runs of words, counted once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

EXTRACTOR_MARKS = frozenset({"|", "-", "•"})  # of table cells and list items in trafilatura's text


@dataclass(frozen=True)
class View:
    """A document, counted once for all rules, and only as far as a rule asks.  `text` is not empty."""

    text: str
    language: str

    @cached_property
    def lowered(self) -> str:
        return self.text.lower()

    @cached_property
    def words(self) -> list[str]:
        """Separated by white space, in lower case, without the extractor's own marks."""
        return [word for word in self.lowered.split() if word not in EXTRACTOR_MARKS] or [self.lowered]

    @cached_property
    def lines(self) -> list[str]:
        """Without empty ones."""
        return [line for line in map(str.strip, self.text.split("\n")) if line]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Letters of each word."""
        return np.fromiter(map(len, self.words), np.int64, len(self.words))

    @cached_property
    def runs(self) -> "Runs":
        return Runs(self.words)


class Runs:
    """A number for each run of 2, 3, 4 or 10 words, equal for equal runs: `runs[3][i]` is that of words i, i + 1, i + 2."""

    def __init__(self, words: list[str]) -> None:
        numbers: dict[str, int] = {}
        self._of = {1: np.fromiter((numbers.setdefault(word, len(numbers)) for word in words), np.int64, len(words))}

    def __getitem__(self, length: int) -> np.ndarray:
        if length not in self._of:
            first = {2: 1, 3: 2, 4: 2, 8: 4, 10: 8}[length]
            left, right = self[first], self[length - first]
            count = max(0, len(self._of[1]) - length + 1)
            left, right = left[:count], right[first : first + count]
            pairs = left * (right.max(initial=0) + 1) + right
            self._of[length] = np.unique(pairs, return_inverse=True)[1]
        return self._of[length]
