"""What a record costs in every stage: CPU seconds, bytes written, and rows; the input of benchmarks/scale.py.

    python benchmarks/stage_costs.py SHARED > benchmarks/results/stage_costs.json

The stage functions run one after the other in a plain loop, so that each is measured alone, on the real pages and submissions in
SHARED.  Beam's fixed cost is in corpus_beam.py.  Extraction counts the CPU of its children.
"""

import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from measured import own_cpu_s, tree
from partition_memory import bytes_a_row, entry, link

from pipeline.archive_index import ENTRY, Partition, index_archive, rows_of
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
from pipeline.pages import Lookup, archive_shard, find_pages
from pipeline.schema import Shard
from pipeline.shard_list import list_path, written_list
from pipeline.shards import read_table, table_of, write_shard
from pipeline.submissions import dump_shard


def cpu_s() -> float:
    """Of this process and its children, living or waited for."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + sum(own_cpu_s(pid) for pid in tree(os.getpid()))


def folder_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


class Costs:
    """What each stage took, in the order in which they ran."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stages: dict[str, dict[str, Any]] = {}

    def of(self, stage: str, work: Callable[[], list[Shard]], *, records: int) -> list[Shard]:
        began, stored = cpu_s(), folder_bytes(self.root)
        made = work()
        self.stages[stage] = {
            "cpu_s": round(cpu_s() - began, 3), "records": records, "bytes_written": folder_bytes(self.root) - stored,
            "rows": sum(shard.rows for shard in made),
        }  # fmt: skip
        print(f"{stage:<12}{self.stages[stage]}", file=sys.stderr)
        return made


def main() -> None:
    data = Path(sys.argv[1]) / "data"
    archive = str(data / "pages-dev.warc.gz")
    with tempfile.TemporaryDirectory(prefix="webtext-costs-") as scratch:
        found: dict[str, Any] = {"versions": {name: version(name) for name in ("apache-beam", "pyarrow", "trafilatura", "lxml")}}
        found["stages"] = {
            **links_costs(str(data / "submissions_real.zst"), Path(scratch, "links")),
            **pages_costs(str(data / "submissions-pages.zst"), archive, Path(scratch, "pages")),
        }
        found["archive"] = {"bytes": os.path.getsize(archive)}
    found["cut_s"] = round(cut_s(), 6)
    found["bytes_a_row"] = {stage: bytes_a_row(stage) for stage in ("links", "pages", "documents")}
    print(json.dumps(found, indent=2))


def text_bytes(shard: Shard) -> int:
    return pc.sum(pc.binary_length(read_table(shard.path).column("text"))).as_py() or 0


def cut_s(rows: int = 32_000, of: int = 4096, some: int = 200) -> float:
    """CPU seconds to cut one partition of many out of the index of one archive of 1 GB, which holds some 32,000 pages."""
    with tempfile.TemporaryDirectory(prefix="webtext-costs-") as root:
        table = table_of(sorted(entry(link(n), n) for n in range(rows)), ENTRY)
        path = str(Path(root, "pages", "archive.arrow"))
        write_shard(path, table, stage="pages", number=0, of=1, recipe="", made_from="")
        began = cpu_s()
        for number in range(0, of, of // some):
            list(rows_of(path, number=number, of=of))
        return (cpu_s() - began) / len(range(0, of, of // some))


def links_costs(dump: str, folder: Path) -> dict[str, Any]:
    """Of a dump of all kinds of submissions, not only of those whose pages we have."""
    folder.mkdir()
    root, costs, config = str(folder), Costs(folder), LinkConfig()
    spills = costs.of("spill", lambda: [spill_dump(dump_shard(dump), root=root, config=config)], records=0)
    costs.stages["spill"]["records"] = spills[0].rows + spills[0].dropped
    costs.stages["spill"]["dump_bytes"] = os.path.getsize(dump)
    listed = written_list(spills, path=list_path(root, "links", "spills"))
    merge = partial(merge_partition, root=root, config=config)
    records = costs.stages["spill"]["records"]
    costs.of("links", lambda: [merge((number, listed)) for number in range(config.partitions)], records=records)
    return costs.stages


def pages_costs(dump: str, archive: str, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    root, config, rule, columns = str(folder), LinkConfig(), rule_named("webtext"), Columns()
    numbers = range(config.partitions)
    listed = written_list([spill_dump(dump_shard(dump), root=root, config=config)], path=list_path(root, "links", "spills"))
    links = [merge_partition((number, listed), root=root, config=config) for number in numbers]
    costs = Costs(folder)
    named = archive_shard((0, archive), of=1)
    archives = costs.of("index", lambda: [index_archive(named, root=root, allow_private=())], records=0)
    costs.stages["index"]["records"] = archives[0].rows
    all_archives = written_list(archives, path=list_path(root, "pages", "archives"))

    def merged() -> list[Shard]:
        return [merge_index(Partition(number, config.partitions, all_archives), root=root) for number in numbers]

    index = written_list(
        costs.of("index merge", merged, records=archives[0].rows), path=list_path(root, "pages", "index")
    )

    def found() -> list[Shard]:
        return [find_pages(Lookup(shard, index), root=root, allow_private=(), excluded=NO_EXCLUSIONS) for shard in links]

    pages = costs.of("pages", found, records=sum(shard.rows for shard in links))
    extract = partial(extract_shard, root=root, config=ExtractConfig(), workers=1)
    documents = costs.of("documents", lambda: list(map(extract, pages)), records=sum(shard.rows for shard in pages))
    rows = sum(shard.rows for shard in documents)
    costs.stages["documents"]["text_bytes"] = sum(text_bytes(shard) for shard in documents)
    settings: dict[str, Any] = {"root": root, "rule": rule, "columns": columns}
    signed = costs.of("signatures", lambda: [sign(shard, **settings) for shard in documents], records=rows)
    copies = find_copies(signed, **settings)
    bands = band_tasks(signed, [copies], root=root, rule=rule)
    edges = costs.of("edges", lambda: [find_edges(task, root=root, rule=rule) for task in bands], records=rows)
    everything = [*documents, *signed, copies, *edges]
    (verdicts,) = costs.of("decide", lambda: [decide(everything, **settings)], records=rows)

    def written() -> list[Shard]:
        sizes = [measure(Measuring(shard, verdicts), root=root) for shard in documents]
        wanted = tasks(sizes, documents, verdicts, root=root, validation=0.005, shard_bytes=SHARD_BYTES)
        return [write_corpus_shard(task, root=root, clusters_path=clusters_path) for task in wanted]

    costs.of("corpus", written, records=rows)
    return costs.stages


if __name__ == "__main__":
    main()
