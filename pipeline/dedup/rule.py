"""Which documents count as duplicates: bands, rows, threshold, and the rule inside a cluster."""

import re
from dataclasses import dataclass

import numpy as np

from pipeline.components import Components, star_edges
from pipeline.leaders import firsts, leaders
from pipeline.minhash import NGRAM, band_keys
from pipeline.schema import PipelineError

MAX_PLACES = 4096  # of a signature, 16 kB a document: more is a slip of the keyboard
BANDS_AT_ONCE = 6  # 48 bytes a document; one alone would read every line of the signatures as often as there are bands


@dataclass(frozen=True)
class Rule:
    """Pairs share a whole band of `rows` places out of `bands`; Broder 1997, Leskovec et al. section 3.4.

    With a threshold: the leader rule (pipeline/components.py).  Without one: every cluster keeps its first document
    alone, as datatrove does.  `bands` 0 drops nothing at all.
    """

    bands: int = 36
    rows: int = 7
    threshold: float | None = 0.7
    ngram: int = NGRAM

    def __post_init__(self) -> None:
        if self.bands < 0 or self.rows < 1 or self.num_perm > MAX_PLACES:
            raise PipelineError(f"--dedup {self.bands}x{self.rows}: bands times rows must lie in 1..{MAX_PLACES}.")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise PipelineError(f"--dedup: the threshold is {self.threshold}, it must lie above 0 and not above 1.")

    @property
    def num_perm(self) -> int:
        return self.bands * self.rows

    @property
    def active(self) -> bool:
        return self.bands > 0


# docs/dedup.md has precision and recall of each.
PRESETS = {
    "webtext": Rule(),
    "strict": Rule(18, 7, 0.8),
    "loose": Rule(50, 5, 0.5),
    "fineweb": Rule(14, 8, None),  # Penedo et al. 2024, section 3.4
    "openwebtext2": Rule(3, 3, None),  # Brown et al. 2020, appendix A: 10 hashes, of which 3 x 3 are used
    "none": Rule(0, 1, None),
}


def rule_named(text: str) -> Rule:
    """The rule that `--dedup` names: a preset, or `36x7@0.7`, or `14x8` for plain clusters."""
    if text in PRESETS:
        return PRESETS[text]
    if match := re.fullmatch(r"(\d{1,4})x(\d{1,4})(?:@(\d*\.?\d+))?", text, re.ASCII):
        bands, rows, threshold = match.groups()
        if int(bands):
            return Rule(int(bands), int(rows), float(threshold) if threshold else None)
    raise PipelineError(f"--dedup {text!r}: expected one of {', '.join(PRESETS)}, or BANDSxROWS@THRESHOLD such as 36x7@0.7.")


def folded(signatures: np.ndarray, *, rule: Rule, fixed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """For rows in keep order: the row each is folded into (-1: kept) and the places in which the two agree.

    All in memory, a few bands at a time: for corpora that fit, for tests and for benchmarks.
    """
    rows = np.arange(len(signatures))
    graph = Components(len(signatures))
    for first in range(0, rule.bands, BANDS_AT_ONCE):
        bands = range(first, min(first + BANDS_AT_ONCE, rule.bands))
        for keys in band_keys(signatures, bands=bands, band_rows=rule.rows):
            graph.join(star_edges(keys, rows))
    members, starts = graph.members()
    keepers = np.full(len(signatures), -1, np.int64)
    agreeing = np.zeros(len(signatures), np.int64)
    chosen = np.zeros(len(members), bool) if fixed is None else fixed[members]
    inside, agreeing[members] = kept_inside(signatures, members, starts, chosen, rule=rule)
    keepers[members] = np.where(inside < 0, -1, members[inside])
    return keepers, agreeing


def kept_inside(
    signatures: np.ndarray, order: np.ndarray, starts: np.ndarray, fixed: np.ndarray, *, rule: Rule
) -> tuple[np.ndarray, np.ndarray]:
    """`leaders` or `firsts`, as the rule asks."""
    if rule.threshold is None:
        return firsts(signatures, order, starts, fixed)
    return leaders(
        signatures, order, starts, fixed, bands=rule.bands, band_rows=rule.rows, threshold=rule.threshold
    )
