"""Claim: the memory of `webtext dedup` is bounded by pieces and columns, not by the text; and what larger corpora will cost.

    python benchmarks/dedup_scale.py [--documents 10000 100000 1000000] [--keep FOLDER]

Synthetic documents of 50 to 300 words, a fifth of them near-duplicates in clusters of 2 to 1,000 (sizes fall as 1/n), in ten
files of JSON lines.  CPU seconds and peak memory are those of the installed command, start-up included, two workers.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

FILES = 10
VOCABULARY = 50_000
PROJECTIONS = {"8 million": 8e6, "45 million": 45e6, "1 billion": 1e9}


def cluster_sizes(copies: int, random: np.random.Generator) -> Iterator[int]:
    """Sizes of clusters, each of 2 to 1,000, that hold `copies` documents beside their originals."""
    left = copies
    while left > 0:
        size = min(int(2 * 500 ** random.random()), left + 1)
        yield size
        left -= size - 1


def made_documents(count: int) -> Iterator[dict]:
    random = np.random.default_rng(count)
    words = np.array([f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{n:x}" for n in range(VOCABULARY)])
    originals = count - count // 5
    sizes = list(cluster_sizes(count // 5, random))
    number = 0
    for place in range(originals):
        text = words[(VOCABULARY * random.random(random.integers(50, 301)) ** 2).astype(int)]
        yield {"id": f"d{number:08d}", "text": " ".join(text), "n": number}
        number += 1
        for _ in range(sizes[place] - 1 if place < len(sizes) else 0):
            copy = text.copy()
            at = random.integers(0, len(copy) - 2)
            copy[at : at + 2] = words[random.integers(0, VOCABULARY, 2)]
            yield {"id": f"d{number:08d}", "text": " ".join(copy), "n": number}
            number += 1


def write_documents(folder: Path, count: int) -> int:
    """Ten files; returns their bytes."""
    files = [open(folder / f"part-{number}.jsonl", "w") for number in range(FILES)]  # noqa: SIM115 - closed below
    for number, row in enumerate(made_documents(count)):
        files[number % FILES].write(json.dumps(row) + "\n")
    for file in files:
        file.close()
    return sum(path.stat().st_size for path in folder.glob("part-*.jsonl"))


def measured(folder: Path) -> tuple[float, float, float, dict]:
    """CPU seconds, wall seconds, peak GB of one process, summary."""
    command = [sys.executable, "-m", "dags", "dedup", "--input", f"{folder}/part-*.jsonl", "--output", f"{folder}/out"]
    command += ["--order", "n", "--workers", "2", "--quiet"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - started
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall, after.ru_maxrss / 1e6, json.loads((folder / "out" / "dedup.json").read_text())


def folder_bytes(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    results = []
    print("| documents | text MB | CPU s | peak GB | kept | signature bytes a document | edge bytes a document |")
    print("|---|---|---|---|---|---|---|")
    for count in options.documents:  # ascending: the peak is that of the largest child so far
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            size = write_documents(folder, count)
            cpu, _, peak, summary = measured(folder)
            signed = folder_bytes(folder, "out/duplicates/signatures-*") / count
            edges = folder_bytes(folder, "out/duplicates/edges-*") / count
        results.append((count, cpu, signed, edges))
        print(
            f"| {count:,} | {size / 1e6:,.0f} | {cpu:.1f} | {peak:.2f} | {summary['kept']:,} | {signed:,.0f} | {edges:,.0f} |",
            flush=True,
        )
    (small, small_cpu, _, _), (count, cpu, signed, edges) = results[0], results[-1]
    per_document = (cpu - small_cpu) / (count - small) if count > small else cpu / count
    print(f"\n{per_document * 1e6:.0f} microseconds of CPU a document beyond start-up\n")
    print("| documents | core hours | signatures, bands | edges | read a band task |")
    print("|---|---|---|---|---|")
    for name, larger in PROJECTIONS.items():
        print(
            f"| {name} | {per_document * larger / 3600:.1f} | {signed * larger / 1e9:,.0f} GB | {edges * larger / 1e9:,.1f} GB "
            f"| {8 * min(larger, 1e8) / 1e9:.2f} GB |"
        )


if __name__ == "__main__":
    main()
