"""Wall speed of two workers over one, on an idle machine.

    python benchmarks/corpus_workers.py SHARED [--rounds 2]

Wall time means nothing where others compute too, so the load average before each run is printed, and what the CPU seconds
alone allow: the part that is extraction in children can be halved, the main process's part is counted as it is.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

from measured import Usage, measured


def build(shared: Path, *, workers: int) -> Usage:
    data = shared / "data"
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, "-m", "dags", "corpus", "--output", root, "--workers", str(workers), "--quiet"]
        command += ["--submissions", str(data / "submissions-pages.zst"), "--archive", str(data / "pages-dev.warc.gz")]
        return measured(command)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    runs: dict[int, list[Usage]] = {1: [], 2: []}
    for _ in range(options.rounds):
        for workers, used in runs.items():
            load = os.getloadavg()[0]
            used.append(build(options.shared, workers=workers))
            last = used[-1]
            print(f"{workers} workers: {last.wall_s:.1f} s, {last.cpu_s:.1f} CPU s, load average before {load:.2f}", flush=True)
    walls = {workers: statistics.median(run.wall_s for run in used) for workers, used in runs.items()}
    one = runs[1][0]
    alone = one.cpu_s / (one.parent_cpu_s + (one.cpu_s - one.parent_cpu_s) / 2)
    print(f"two workers: {walls[1] / walls[2]:.2f} times the wall speed of one; CPU seconds alone allow {alone:.2f}")


if __name__ == "__main__":
    main()
