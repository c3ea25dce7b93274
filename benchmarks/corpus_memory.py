"""Peak memory of every stage, on the shared pages and on eight times as many: does it grow?

    python benchmarks/corpus_copies.py SHARED FOLDER --copies 8
    python benchmarks/corpus_memory.py FOLDER

Both runs have 16 partitions and two workers, so the larger one has the same number of shards, each eight times as long, and
eight archives.  Memory is sampled twenty times a second: of the main process, and of the largest child.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from measured import Usage, measured, stage_of

STAGES = ("links", "pages", "documents", "signatures", "edges", "duplicates", "corpus")


def build(folder: Path, root: str, *, copies: int) -> Usage:
    command = [sys.executable, "-m", "dags", "corpus", "--output", root, "--workers", "2", "--quiet"]
    command += ["--submissions", *(str(folder / f"submissions-{copy}.ndjson") for copy in range(copies))]
    command += ["--archive", *(str(folder / f"pages-{copy}.warc.gz") for copy in range(copies))]
    return measured(command, stage=stage_of(root, STAGES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=8)
    options = parser.parse_args()
    runs = {}
    for copies in (1, options.copies):
        with tempfile.TemporaryDirectory() as root:
            runs[copies] = build(options.folder, root, copies=copies)
        print(f"{copies} x: {runs[copies].cpu_s:.1f} CPU s\n{runs[copies].output}", flush=True)
    small, large = runs[1], runs[options.copies]
    heads = [f"{kind} {copies}x" for kind in ("main", "child") for copies in (1, options.copies)]
    print("MB of their own, and resident with mapped files\n" + f"{'stage':<12}" + "".join(f"{head:>15}" for head in heads))
    for stage in STAGES:
        sides = [(run, kind) for kind in ("main", "child") for run in (small, large)]
        cells = [(run.peak_mb[kind].get(stage, 0), run.resident_mb[kind].get(stage, 0)) for run, kind in sides]
        print(f"{stage:<12}" + "".join(f"{f'{own:.0f} ({whole:.0f})':>15}" for own, whole in cells))


if __name__ == "__main__":
    main()
