"""Claim: 1,000,000 ready signatures are clustered outside Beam in at most 3 CPU seconds and 1.5 GB.

    python benchmarks/dedup_clustering.py [--documents 1000000] [--peer]

One core, default rule; a fifth of the signatures are near copies of others, 10 % of their places changed.  `--peer` also puts
a tenth of them through datasketch's MinHashLSH: insert all, query all, which yields candidates and no clusters.
"""

import argparse
import time

import numpy as np
from measured import own_peak_mb

from pipeline.dedup.rule import PRESETS, folded
from pipeline.minhash import lean_minhash, query_index

BLOCK = 10_000  # signatures made at a time, so that making them does not decide the peak


def made_signatures(count: int, *, num_perm: int) -> np.ndarray:
    random = np.random.default_rng(1)
    rows = np.empty((count, num_perm), np.uint32)
    originals = count - count // 5
    for first in range(0, count, BLOCK):
        block = rows[first : first + BLOCK]
        if first < originals:
            block[:] = random.integers(0, 1 << 32, block.shape, dtype=np.uint32)
        else:
            block[:] = rows[random.integers(0, originals, len(block))]
            changed = random.random(block.shape, dtype=np.float32) < 0.1
            block[changed] = random.integers(0, 1 << 32, int(changed.sum()), dtype=np.uint32)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()
    rule = PRESETS["webtext"]
    folded(made_signatures(BLOCK, num_perm=rule.num_perm), rule=rule)  # compiles
    rows = made_signatures(options.documents, num_perm=rule.num_perm)
    before = own_peak_mb() / 1000
    started = time.process_time()
    keepers, _ = folded(rows, rule=rule)
    ours = time.process_time() - started
    print(f"{len(rows):,} signatures of {rule.num_perm} places: {rows.nbytes / 1e9:.2f} GB; {(keepers >= 0).sum():,} folded")
    print(f"webtext     {ours:7.2f} CPU s  peak RSS {own_peak_mb() / 1000:.2f} GB ({before:.2f} GB before)")
    if options.peer:
        part = rows[:: max(1, len(rows) // 100_000)]
        sketches = [lean_minhash(row) for row in part]
        started = time.process_time()
        index = query_index([str(place) for place in range(len(part))], part, bands=rule.bands, band_rows=rule.rows)
        for sketch in sketches:
            index.query(sketch)
        peer = time.process_time() - started
        print(f"datasketch  {peer:7.2f} CPU s for {len(part):,}: {peer / len(part) * len(rows) / ours:.0f}x ours a document")


if __name__ == "__main__":
    main()
