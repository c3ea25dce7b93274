"""CPU from WARC to deduplicated shards: ours beside datatrove, and beside nothing but trafilatura, on the same pages.

    python benchmarks/corpus_cost.py SHARED --peers PYTHON [--rounds 2]

PYTHON is the interpreter of an environment with datatrove (benchmarks/README.md).  The archive holds the pages that our run
extracts and no others, so that all three read the same ones:

  ours       `webtext corpus`, one worker: dump, links, index, extraction, language, rules, MinHash, shards, ledger, manifest
  datatrove  WARC reader, Trafilatura, Gopher repetition and quality filters, MinHash in four steps, JSONL writer; one task.
             Extraction as ours: default mode, no deduplication inside a page, no page lost to its clock.  No language
             filter: its model would have to be downloaded
  bare       `trafilatura.extract` over the bodies, which lie unpacked in one file, in one process

The three of a round run side by side, so that each meets the same neighbours on a busy machine; figures are CPU seconds of the
process tree, start-up included.  Code that numba compiles once per installation is compiled before.
"""

import argparse
import statistics
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from measured import Usage, measured

COUNTED = ("documents", "extracted", "timeout", "clean_error", "broken_process", "total", "forwarded", "dropped")
EXTRACT_S = 600  # of wall time, which a busy machine makes long; no page may be lost by it
LENGTH = struct.Struct("<I")


# ---- the input, made once ----


def choose_pages(shared: Path, folder: Path) -> None:
    """Writes the stored records of the pages that links lead to, and their bodies."""
    import apache_beam as beam

    from pipeline.archive import stored_record
    from pipeline.links import LinkConfig, SelectLinks
    from pipeline.pages import FetchPages
    from pipeline.response import MAX_BODY_BYTES
    from pipeline.shards import read_table
    from pipeline.submissions import ReadSubmissions
    from pipeline.warc import read_response

    root, data = str(folder / "choose"), shared / "data"
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        dumps = pipeline | ReadSubmissions([str(data / "submissions-pages.zst")])
        links = dumps | SelectLinks(root=root, config=LinkConfig())
        links | FetchPages(root, archives=[str(data / "pages-dev.warc.gz")])
    places = set()
    for path in sorted(Path(root, "pages").glob("pages-*.arrow")):
        places.update((row["offset"], row["length"], row["archive"]) for row in read_table(str(path)).to_pylist())
    with (folder / "pages.warc.gz").open("wb") as archive, (folder / "bodies").open("wb") as bodies:
        for offset, length, path in sorted(places):
            record = stored_record(path, offset=offset, length=length)
            archive.write(record)
            body = read_response(record, max_bytes=MAX_BODY_BYTES).body
            bodies.write(LENGTH.pack(len(body)) + body)
    print(f"{len(places):,} pages, {(folder / 'bodies').stat().st_size / 1e6:.0f} MB unpacked")


# ---- the three ----


def ours(shared: Path, folder: Path, root: str) -> Usage:
    command = [sys.executable, "-m", "dags", "corpus", "--output", root, "--workers", "1", "--quiet"]
    command += ["--submissions", str(shared / "data" / "submissions-pages.zst"), "--archive", str(folder / "pages.warc.gz")]
    return measured(command)


def run_bare(folder: Path) -> None:
    import trafilatura

    found = 0
    with (folder / "bodies").open("rb") as file:
        while head := file.read(LENGTH.size):
            body = file.read(LENGTH.unpack(head)[0])
            found += bool(trafilatura.extract(body, include_comments=False, with_metadata=False))
    print(f"{found:,} texts by trafilatura {version('trafilatura')}")


def run_datatrove(folder: Path, root: str) -> None:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.readers import JsonlReader, WarcReader
    from datatrove.pipeline.writers import JsonlWriter

    steps = [
        [
            WarcReader(str(folder), glob_pattern="pages.warc.gz"),
            Trafilatura(favour_precision=False, deduplicate=False, timeout=EXTRACT_S),
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            JsonlWriter(f"{root}/filtered"),
        ],
        [JsonlReader(f"{root}/filtered"), MinhashDedupSignature(f"{root}/signatures")],
        [MinhashDedupBuckets(f"{root}/signatures", f"{root}/buckets")],
        [MinhashDedupCluster(f"{root}/buckets", f"{root}/removed")],
        [JsonlReader(f"{root}/filtered"), MinhashDedupFilter(f"{root}/removed"), JsonlWriter(f"{root}/kept")],
    ]
    for number, step in enumerate(steps):
        # Buckets are a task each; one process does all of them.
        tasks = step[0].config.num_buckets if number == 2 else 1
        stats = LocalPipelineExecutor(step, tasks=tasks, workers=1, logging_dir=f"{root}/log-{number}").run()
        for block in stats.stats:
            counted = [f"{name} {block.stats[name].total:,.0f}" for name in COUNTED if name in block.stats]
            print(f"step {number + 1} {block.name.strip()}: {', '.join(counted)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--peers", help="python with datatrove")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--child", choices=("choose", "bare", "datatrove"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--root", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child == "choose":
        choose_pages(options.shared, options.folder)
    elif options.child == "bare":
        run_bare(options.folder)
    elif options.child == "datatrove":
        run_datatrove(options.folder, options.root)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            compare(options.shared, Path(scratch), peers=options.peers, rounds=options.rounds)


def compare(shared: Path, folder: Path, *, peers: str | None, rounds: int) -> None:
    def child(python: str, what: str, root: str = "") -> list[str]:
        return [python, __file__, str(shared), "--child", what, "--folder", str(folder), "--root", root]

    print(subprocess.run(child(sys.executable, "choose"), check=True, capture_output=True, text=True).stdout, end="", flush=True)
    from pipeline.minhash import signatures_of

    signatures_of([b"compiled before the clock starts"], num_perm=252, ngram=5)
    figures: dict[str, list[Usage]] = {}
    for number in range(rounds):
        with ThreadPoolExecutor(3) as beside:
            runs = {"bare": beside.submit(measured, child(sys.executable, "bare"))}
            runs["ours"] = beside.submit(ours, shared, folder, str(folder / f"ours-{number}"))
            if peers:
                runs["datatrove"] = beside.submit(measured, child(peers, "datatrove", str(folder / f"datatrove-{number}")))
            for name, run in runs.items():
                figures.setdefault(name, []).append(run.result())
                print(f"{name} {run.result().cpu_s:.1f} CPU s", flush=True)  # lest a failing peer take the others' figures along
        print(f"round {number + 1}: " + ", ".join(f"{name} {runs[-1].cpu_s:.1f} s" for name, runs in figures.items()), flush=True)
    for name, runs in figures.items():
        print(f"\n--- {name}\n" + "\n".join(line for line in runs[0].output.splitlines() if not line.startswith("2026")))
    medians = {name: statistics.median(run.cpu_s for run in runs) for name, runs in figures.items()}
    print()
    for name, cpu_s in medians.items():
        print(f"{name:<10} {cpu_s:8.1f} CPU s   {cpu_s / medians['bare']:.2f} of bare trafilatura")
    parent_s = statistics.median(run.parent_cpu_s for run in figures["ours"])
    print(f"ours: {parent_s:.1f} CPU s of it in the main process, the rest in children")
    if peers:
        print(f"datatrove takes {medians['datatrove'] / medians['ours']:.2f} times our CPU")


if __name__ == "__main__":
    main()
