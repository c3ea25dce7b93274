"""Beam's own share of the CPU: the DAG on the in-memory runner beside the same stage functions called by a plain loop.

    python benchmarks/corpus_beam.py SHARED --built ROOT [--rounds 3]

ROOT is a finished build of the same input, by which `webtext corpus` says how much a whole build takes (--cpu-s, or
benchmarks/corpus_cost.py).  Its documents are handed to both, since extraction is the same work in the same children either
way; everything else is computed again.  Importing Beam counts as Beam's, though the plain loop pays for it too.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from measured import measured

STARTS = {"beam": "import apache_beam, pyarrow, numpy", "without": "import pyarrow, numpy"}


def plain_loop(dump: str, archive: str, root: str) -> None:
    """What dags.corpus.corpus_dag does, stage after stage."""
    from pipeline.archive_index import Partition, index_archive
    from pipeline.archive_index import merge_partition as merge_index
    from pipeline.corpus import SHARD_BYTES, Measuring, measure, tasks, write_corpus_shard
    from pipeline.dedup import Columns, band_tasks, clusters_path, rule_named
    from pipeline.dedup.edges import find_copies, find_edges
    from pipeline.dedup.signing import sign
    from pipeline.dedup.verdicts import decide
    from pipeline.documents.document import ExtractConfig
    from pipeline.documents.stage import extract_shard
    from pipeline.exclude import NO_EXCLUSIONS
    from pipeline.links import LinkConfig, merge_partition, spill_dump
    from pipeline.manifest import input_of, publish_manifest
    from pipeline.pages import Lookup, archive_shard, find_pages
    from pipeline.shard_list import list_path, written_list
    from pipeline.submissions import dump_shard

    config = LinkConfig()
    numbers = range(config.partitions)
    spills = [spill_dump(dump_shard(dump), root=root, config=config)]
    listed = written_list(spills, path=list_path(root, "links", "spills"))
    links = [merge_partition((number, listed), root=root, config=config) for number in numbers]
    archives = [index_archive(archive_shard((0, archive), of=1), root=root, allow_private=())]
    listed = written_list(archives, path=list_path(root, "pages", "archives"))
    index = [merge_index(Partition(number, config.partitions, listed), root=root) for number in numbers]
    listed = written_list(index, path=list_path(root, "pages", "index"))
    pages = [find_pages(Lookup(shard, listed), root=root, allow_private=(), excluded=NO_EXCLUSIONS) for shard in links]
    documents = [extract_shard(shard, root=root, config=ExtractConfig(), workers=1) for shard in pages]
    rule, columns = rule_named("webtext"), Columns()
    signed = [sign(shard, root=root, rule=rule, columns=columns) for shard in documents]
    copies = find_copies(signed, root=root, rule=rule, columns=columns)
    edges = [find_edges(task, root=root, rule=rule) for task in band_tasks(signed, [copies], root=root, rule=rule)]
    verdicts = decide(sorted([*documents, *signed, copies, *edges]), root=root, rule=rule, columns=columns)
    sizes = [measure(Measuring(shard, verdicts), root=root) for shard in documents]
    wanted = tasks(sizes, documents, verdicts, root=root, validation=0.005, shard_bytes=SHARD_BYTES)
    shards = [write_corpus_shard(task, root=root, clusters_path=clusters_path) for task in wanted]
    every = sorted([*links, *pages, *documents, verdicts, *shards])
    inputs = [input_of(named) for named in enumerate((dump, archive))]
    publish_manifest(every, inputs, root=root, config={})


def fresh_root(built: Path, scratch: Path, name: str) -> str:
    """A root that holds documents and nothing else."""
    root = scratch / name
    shutil.copytree(built / "documents", root / "documents")
    (root / "ledger").mkdir()
    for path in (built / "ledger").glob("documents-*"):
        shutil.copy(path, root / "ledger")
    return str(root)


def same_corpus(one: str, other: str) -> bool:
    def bytes_of(root: str) -> list[tuple[str, bytes]]:
        folders = [Path(root, "corpus", "data"), Path(root, "ledger")]
        return [(path.name, path.read_bytes()) for folder in folders for path in sorted(folder.glob("*.arrow"))]

    return bytes_of(one) == bytes_of(other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--built", type=Path, help="a finished build of the shared pages")
    parser.add_argument("--cpu-s", type=float, required="--child" not in sys.argv, help="CPU seconds that a whole build takes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    dump, archive = (str(options.shared / "data" / name) for name in ("submissions-pages.zst", "pages-dev.warc.gz"))
    if options.child:
        plain_loop(dump, archive, options.child)
        return
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            roots = {name: fresh_root(options.built, Path(folder), f"{name}-{number}") for name in ("dag", "plain")}
            dag = [sys.executable, "-m", "dags", "corpus", "--output", roots["dag"], "--workers", "1", "--quiet"]
            commands = {
                "dag": [*dag, "--submissions", dump, "--archive", archive],
                "plain": [sys.executable, __file__, str(options.shared), "--child", roots["plain"]],
                **{f"import {name}": [sys.executable, "-c", line] for name, line in STARTS.items()},
            }
            for name, command in commands.items():
                figures.setdefault(name, []).append(measured(command).cpu_s)
            print(", ".join(f"{name} {values[-1]:.2f} s" for name, values in figures.items()), flush=True)
            print("equal bytes" if same_corpus(*roots.values()) else "BYTES DIFFER", flush=True)
    median = {name: statistics.median(values) for name, values in figures.items()}
    importing = median["import beam"] - median["import without"]
    own = median["dag"] - median["plain"] + importing
    print(f"Beam: {own:.2f} CPU s, of it {importing:.2f} to import it; {100 * own / options.cpu_s:.1f} % of {options.cpu_s:.1f}")


if __name__ == "__main__":
    main()
