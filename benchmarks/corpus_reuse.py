"""Next month's build: CPU of a second, larger run that takes over unchanged rows, beside a fresh build of everything.

    python benchmarks/corpus_reuse.py SHARED [--every 1]

Every seventh submission is held back in a second dump.  One folder is built from the first dump and then, by the same command
with both, once more; another is built from both at once.  Their corpus shards and ledgers must be equal byte for byte.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import zstandard
from corpus_beam import same_corpus
from measured import Usage, measured

NEW = 7  # one submission of so many is in the second dump: 14 %


def split_dump(dump: Path, folder: Path, *, every: int) -> list[Path]:
    """Two dumps of one; `every`: only each n-th line is taken at all."""
    with dump.open("rb") as file, zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(file) as stream:
        lines = stream.read().splitlines(keepends=True)[::every]
    old = [line for number, line in enumerate(lines) if number % NEW]
    paths = [folder / "old.ndjson", folder / "new.ndjson"]
    for path, chosen in zip(paths, (old, lines[::NEW]), strict=True):
        path.write_bytes(b"".join(chosen))
    return paths


def build(root: str, archive: Path, dumps: list[Path]) -> Usage:
    command = [sys.executable, "-m", "dags", "corpus", "--output", root, "--workers", "2", "--quiet", "--archive", str(archive)]
    return measured([*command, "--submissions", *map(str, dumps)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take one submission of so many")
    options = parser.parse_args()
    archive = options.shared / "data" / "pages-dev.warc.gz"
    with tempfile.TemporaryDirectory() as scratch:
        old, new = split_dump(options.shared / "data" / "submissions-pages.zst", Path(scratch), every=options.every)
        grown, fresh = f"{scratch}/grown", f"{scratch}/fresh"
        runs = {
            "first dump": build(grown, archive, [old]),
            "both, second run": build(grown, archive, [old, new]),
            "both, fresh": build(fresh, archive, [old, new]),
            "both, unchanged": build(grown, archive, [old, new]),
        }
        equal = same_corpus(grown, fresh)
    for name, run in runs.items():
        print(f"{name:<18}{run.cpu_s:>8.1f} CPU s   {run.output.split('kept')[-1].strip().splitlines()[0]} documents")
    again, whole = runs["both, second run"].cpu_s, runs["both, fresh"].cpu_s
    print(f"the second run takes {again / whole:.2f} of a fresh build; bytes {'equal' if equal else 'DIFFER'}")


if __name__ == "__main__":
    main()
