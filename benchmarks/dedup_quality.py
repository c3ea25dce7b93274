"""Claim: at T = 0.7 the default removes near-duplicates with precision >= 0.98 and recall >= 0.96, and nothing below J 0.6.

    python benchmarks/dedup_quality.py [--folder FOLDER]

FOLDER holds dev.jsonl.zst and dev_truth.npz: texts, and the exact Jaccard of every pair above 0.1.  Documents are kept in
the order of the file.  A removal is false if no kept document has J >= T, far if none has J >= T - 0.1; missed is a kept
document with an earlier kept one at J >= T.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from dedup_signatures import dev_documents, documents

from pipeline.dedup.rule import folded, rule_named
from pipeline.minhash import signatures

# Rule, T by which it is judged.  14x8 is datatrove's rule and ours is 36x7@0.7.
RULES = [
    ("fineweb", 0.7), ("14x8@0.7", 0.7), ("18x7@0.7", 0.7), ("webtext", 0.7), ("42x6@0.7", 0.7), ("openwebtext2", 0.7),
    ("strict", 0.8), ("36x7@0.8", 0.8), ("loose", 0.5),
]  # fmt: skip


class Score(NamedTuple):
    removed: int
    false: int
    far: int
    missed: int
    lowest: float  # Jaccard of the removed document that is least like any kept one

    @property
    def precision(self) -> float:
        return 1 - self.false / self.removed

    @property
    def recall(self) -> float:
        return (self.removed - self.false) / (self.removed - self.false + self.missed)


def score(kept: np.ndarray, pairs: dict[int, list[tuple[int, float]]], *, threshold: float) -> Score:
    best = np.array([max((j for other, j in pairs[row] if kept[other]), default=0.0) for row in range(len(kept))])
    earlier = [any(j >= threshold and kept[other] and other < row for other, j in pairs[row]) for row in range(len(kept))]
    gone = ~kept
    return Score(
        int(gone.sum()), int((gone & (best < threshold)).sum()), int((gone & (best < threshold - 0.1)).sum()),
        int((kept & np.array(earlier)).sum()), float(best[gone].min()),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default=str(Path(dev_documents()).parent))
    folder = Path(parser.parse_args().folder)
    rows = documents(str(folder / "dev.jsonl.zst"), count=1_000_000)
    truth = np.load(folder / "dev_truth.npz")
    pairs: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for one, other, jaccard in zip(truth["i"].tolist(), truth["j"].tolist(), truth["v"].tolist(), strict=True):
        pairs[one].append((other, jaccard))
        pairs[other].append((one, jaccard))
    chained = np.array(["chain" in row["kind"] for row in rows])
    texts = [row["text"] for row in rows]
    print("| rule | T | removed | false | far | missed | precision | recall | lowest J | false in chains |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, threshold in RULES:
        rule = rule_named(name)
        keepers, _ = folded(signatures(texts, num_perm=rule.num_perm), rule=rule)
        kept = keepers < 0
        found = score(kept, pairs, threshold=threshold)
        best = np.array([max((j for other, j in pairs[row] if kept[other]), default=0.0) for row in range(len(kept))])
        far_in_chains = int((~kept & chained & (best < threshold - 0.1)).sum())
        print(
            f"| {name} | {threshold} | {found.removed:,} | {found.false} | {found.far} | {found.missed} | {found.precision:.3f} "
            f"| {found.recall:.3f} | {found.lowest:.2f} | {far_in_chains} |"
        )


if __name__ == "__main__":
    main()
