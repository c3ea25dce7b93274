"""The model behind scale.py: what each stage of the DAG takes for a number of links, from what a record costs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from crawl_simulation import DELAY_S, EXTRA_REQUESTS, HOPS, LATENCY_S, YIELD

from dags.corpus import partitions_of_bytes
from pipeline.corpus import SHARD_BYTES
from pipeline.dedup.edges import parts_of
from pipeline.dedup.rule import PRESETS
from pipeline.dedup.verdicts import MAX_UNION_NODES
from pipeline.storage import AT_ONCE

RESULTS = Path(__file__).parent / "results"
GB, HOUR = 1e9, 3600

# Assumed, not measured.
DUPLICATES = 0.10  # of documents
ELEMENT_BYTES = 700  # at most, of what crosses a shuffle: tests/pipeline/test_shard_list.py
SHARD_BYTES_IN_A_LIST = 190  # the same file: 4,096 take 0.77 MB
BASE_GB = 0.30  # Beam and the libraries: results/corpus_memory.md, main at 1x
SPILL_GB = 0.45  # a dump of any length: results/links.md
SANDBOX_GB = 0.28  # each of the children that extract: the same
REQUEST_S = 0.03  # until an object store answers
PROCESS_BYTES_S = 100e6  # that a process reads from it
VERDICT_BYTES = 1_000  # of a dropped document while the verdicts are written


@dataclass(frozen=True)
class Machine:
    """One worker: n1-standard-4.  It runs a process a processor, each with one shard at a time and one child that extracts."""

    vcpus: int = 4
    memory_gb: float = 15.0
    disk_gb: float = 50.0


@dataclass(frozen=True)
class Costs:
    """What was measured: CPU seconds and bytes a record, and bytes of memory a row of a partition."""

    submissions_a_link: float
    dump_bytes: float  # a link
    spill_s: float  # a submission
    links_s: float  # a submission
    index_s: float  # a page
    cut_s: float  # an archive and partition of the index
    find_s: float  # a link
    page_s: float  # a page, extracted
    fetch_s: float  # a request, https
    documents: float  # a page
    text_bytes: float  # a document
    sign_s: float  # a document
    cluster_s: float  # a document
    write_s: float  # a document
    signature_bytes: float  # a document
    edge_bytes: float  # a document
    archive_bytes: float  # a page, as stored
    index_bytes: float  # a page, in the merged index
    bytes_a_row: Mapping[str, float]
    written: Mapping[str, float]  # stage -> bytes a record of it


def figure(name: str, pattern: str) -> float:
    """A figure that a benchmark printed.  Raises ValueError if its result does not say it in these words any more."""
    match = re.search(pattern, (RESULTS / name).read_text())
    if match is None:
        raise ValueError(f"results/{name}: nothing matches {pattern!r}. Mend the pattern in benchmarks/scale.py.")
    return float(match[1].replace(",", ""))


def costs_of(measured: Mapping[str, Any]) -> Costs:
    """From results/stage_costs.json, and what larger runs of other benchmarks say of duplicates and of the crawl."""
    stages = measured["stages"]

    def each(stage: str, what: str = "cpu_s") -> float:
        return stages[stage][what] / stages[stage]["records"]

    documents = stages["documents"]
    return Costs(
        submissions_a_link=stages["spill"]["records"] / stages["links"]["rows"],
        dump_bytes=stages["spill"]["dump_bytes"] / stages["links"]["rows"],
        spill_s=each("spill"), links_s=each("links"),
        index_s=each("index"), cut_s=measured["cut_s"], find_s=each("pages"), page_s=each("documents"),
        fetch_s=figure("fetch.md", r"https, [\s\S]*?our_crawl +\d+ +([\d.]+)") / 1000,
        documents=documents["rows"] / documents["records"],
        text_bytes=documents["text_bytes"] / documents["rows"],
        sign_s=each("signatures"),
        cluster_s=figure("dedup_clustering.md", r"components, leaders[^|]*\| 1,000,000 \| ([\d.]+)") / 1e6,
        write_s=each("corpus"),
        signature_bytes=figure("dedup_scale.md", r"\| 1,000,000 \|(?:[^|]*\|){4} ([\d,]+) \|"),
        edge_bytes=figure("dedup_scale.md", r"\| 1,000,000 \|(?:[^|]*\|){5} ([\d,]+) \|"),
        archive_bytes=measured["archive"]["bytes"] / stages["index"]["records"],
        index_bytes=each("index merge", "bytes_written"),
        bytes_a_row=measured["bytes_a_row"],
        written={
            "spill": stages["spill"]["bytes_written"] / stages["links"]["rows"],
            "links": stages["links"]["bytes_written"] / stages["links"]["rows"],
            "index": each("index", "bytes_written"),
            "pages": each("pages", "bytes_written"),
            "documents": documents["bytes_written"] / documents["rows"],
            "corpus": each("corpus", "bytes_written"),
        },
    )  # fmt: skip


# ---- hosts and partitions ----


@dataclass(frozen=True)
class Hosts:
    """Links of each domain, the largest first; `tail` more links lie in domains too small to matter alone."""

    large: np.ndarray
    tail: int
    domains: int

    @property
    def longest(self) -> int:
        return int(self.large[0])


def hosts_of(grown: np.ndarray, links: int, *, sigma: float) -> Hosts:
    """Of `links` links: as grown, or with the same shares and more domains, whose number grows with links ** sigma."""
    factor = links / int(grown.sum())
    large = np.sort(grown)[::-1].astype(np.float64) * factor
    large = np.round(large[large >= 1]).astype(np.int64)
    return Hosts(large, max(0, links - int(large.sum())), round(len(grown) * max(1.0, factor) ** sigma))


def largest_partition(hosts: Hosts, partitions: int, *, seed: int = 0) -> int:
    """Links of the largest partition, domains dealt out by a hash: the mean of three deals."""
    chance = np.random.default_rng(seed)
    deals = [
        np.bincount(chance.integers(partitions, size=len(hosts.large)), weights=hosts.large, minlength=partitions).max()
        for _ in range(3)
    ]
    return int(np.mean(deals) + hosts.tail / partitions)


def partitions_at(links: int, costs: Costs) -> int:
    return partitions_of_bytes(round(links * costs.dump_bytes))


# ---- stages ----


@dataclass(frozen=True)
class Stage:
    """One step: what it takes in all, and in its largest task."""

    name: str
    cpu_s: float
    tasks: int
    longest_s: float  # of the largest task, CPU and waiting
    peak_gb: float = 0.0  # of a worker, at the largest task, with others beside it
    disk_gb: float = 0.0  # of a worker
    written_bytes: float = 0.0
    shuffle_bytes: float = 0.0
    reads: float = 0.0  # requests to the object store
    wait_s: float = 0.0  # for the store, while a process does nothing else

    def hours(self, workers: int, machine: Machine) -> float:
        """Until it is done: as the processes allow, or as the largest task does."""
        return max((self.cpu_s + self.wait_s) / (workers * machine.vcpus), self.longest_s) / HOUR


def stages_of(links: int, hosts: Hosts, costs: Costs, machine: Machine, *, workers: int = 1) -> list[Stage]:
    """The DAG over an archive of its own pages.  A live crawl comes before it, and is bounded by politeness: `crawl_days`."""
    partitions = partitions_at(links, costs)
    largest = largest_partition(hosts, partitions)
    share = largest / links
    submissions, pages = links * costs.submissions_a_link, links * YIELD
    documents = pages * costs.documents
    kept, dropped = documents * (1 - DUPLICATES), documents * DUPLICATES
    dumps = max(1, round(links * costs.dump_bytes / 200e6))  # a month of a dump is some 200 MB
    archives = max(1, round(pages * costs.archive_bytes / 1e9))
    bands = PRESETS["webtext"].bands * parts_of(round(documents))
    shards = max(1, round(kept * costs.text_bytes / SHARD_BYTES))
    found: list[Stage] = []

    def stage(
        name: str, each_s: float, records: float, tasks: int, *, largest: float | None = None, reads: float = 0.0,
        at_once: int = 1, read_bytes: float = 0.0, ahead: bool = False, **more: Any,
    ) -> None:  # fmt: skip
        """`ahead`: the next records are read while one is worked on."""
        cpu_s, wait_s = each_s * records, reads * REQUEST_S / at_once + read_bytes / PROCESS_BYTES_S
        wait_s = max(0.0, wait_s - cpu_s) if ahead else wait_s
        longest_s = (cpu_s + wait_s) * (1 / tasks if largest is None else largest)
        elements = tasks * (ELEMENT_BYTES + SHARD_BYTES_IN_A_LIST)
        found.append(Stage(name, cpu_s, tasks, longest_s, shuffle_bytes=elements, reads=reads, wait_s=wait_s, **more))

    def held(each_bytes: float, *, child_gb: float = 0.0) -> float:
        """GB of a worker that has the largest partition in one of its processes and mean ones in the others."""
        beside = (machine.vcpus - 1) * links / partitions
        return machine.vcpus * (BASE_GB + child_gb) + (largest + beside) * each_bytes / GB

    stage("spill", costs.spill_s, submissions, dumps, peak_gb=machine.vcpus * SPILL_GB,
          written_bytes=links * costs.written["spill"], read_bytes=links * costs.dump_bytes)  # fmt: skip
    stage("links", costs.links_s, submissions, partitions, largest=share, peak_gb=held(costs.bytes_a_row["links"]),
          written_bytes=links * costs.written["links"], reads=partitions * dumps * 8)  # fmt: skip
    stage("index", costs.index_s, pages, archives, peak_gb=machine.vcpus * (BASE_GB + 2e3 * pages / archives / GB),
          written_bytes=pages * costs.written["index"], read_bytes=pages * costs.archive_bytes)  # fmt: skip
    stage("index merge", costs.cut_s, archives * partitions, partitions,
          peak_gb=machine.vcpus * (BASE_GB + 3 * pages / partitions * costs.index_bytes / GB),
          written_bytes=pages * costs.index_bytes, reads=archives * partitions * 5, at_once=AT_ONCE)  # fmt: skip
    stage("pages", costs.find_s, links, partitions, largest=share, peak_gb=held(costs.bytes_a_row["pages"]),
          disk_gb=machine.vcpus * pages * costs.index_bytes / GB,  # every process maps a copy of the index
          written_bytes=links * costs.written["pages"], reads=partitions * (10 + 3 * workers * machine.vcpus))  # fmt: skip
    stage("documents", costs.page_s, pages, partitions, largest=share,
          peak_gb=held(YIELD * costs.documents * costs.bytes_a_row["documents"], child_gb=SANDBOX_GB),
          written_bytes=documents * costs.written["documents"], reads=pages, ahead=True)  # fmt: skip
    stage("signatures", costs.sign_s, documents, partitions, largest=share,
          peak_gb=held(YIELD * costs.documents * 2 * costs.signature_bytes),
          written_bytes=documents * costs.signature_bytes, reads=partitions * 8)  # fmt: skip
    stage("edges", costs.cluster_s / 2, documents, bands, peak_gb=machine.vcpus * (BASE_GB + min(documents, 1e8) * 40 / GB),
          written_bytes=documents * costs.edge_bytes, reads=bands * partitions * 5)  # fmt: skip
    stage("verdicts", costs.cluster_s / 2, documents, 1,
          peak_gb=BASE_GB + (min(documents, MAX_UNION_NODES) * 16 + dropped * VERDICT_BYTES) / GB,
          written_bytes=dropped * 100, reads=partitions * 10)  # fmt: skip
    stage("corpus", costs.write_s, kept, shards, peak_gb=machine.vcpus * (BASE_GB + 3 * SHARD_BYTES / GB),
          written_bytes=kept * costs.written["corpus"], reads=shards * partitions * 6, at_once=AT_ONCE)  # fmt: skip
    files = 6 * partitions + shards
    corpus_s = kept * costs.written["corpus"] / (machine.vcpus * PROCESS_BYTES_S)
    stage("manifest", 0.0, 0, 1, peak_gb=BASE_GB, reads=files * 3, at_once=AT_ONCE, read_bytes=corpus_s * PROCESS_BYTES_S)
    stage("inputs", 0.0, 0, dumps + archives, read_bytes=links * costs.dump_bytes + pages * costs.archive_bytes)
    return found


def crawl_days(hosts: Hosts) -> float:
    """Days until the largest domain is fetched: one request at a time, the delay between two."""
    return (hosts.longest * HOPS + EXTRA_REQUESTS) * (DELAY_S + LATENCY_S) / 86_400


def crawl_cpu_hours(links: int, hosts: Hosts, costs: Costs) -> float:
    return (links * HOPS + hosts.domains * EXTRA_REQUESTS) * costs.fetch_s / HOUR


# ---- what gives way first ----


def limit(grown: np.ndarray, costs: Costs, machine: Machine, *, sigma: float) -> tuple[int, str]:
    """The most links, to two digits, for which every stage fits into its workers, and the stage that does not beyond them."""

    def found(links: int) -> list[str]:
        return misfits(stages_of(links, hosts_of(grown, links, sigma=sigma), costs, machine), machine)

    low, high = 0, int(grown.sum())
    if here := found(high // 100):
        return 0, here[0]
    while not found(high):
        low, high = high, 2 * high
    while high - low > high / 100:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return low, found(high)[0]


def misfits(stages: Sequence[Stage], machine: Machine) -> list[str]:
    """Every stage that does not fit into a worker's memory or on its disk, the worst first."""
    large = sorted((stage for stage in stages if stage.peak_gb > machine.memory_gb), key=lambda stage: -stage.peak_gb)
    said = [f"{stage.name}: {stage.peak_gb:,.0f} GB in a worker of {machine.memory_gb:g} GB" for stage in large]
    full = [stage for stage in stages if stage.disk_gb > machine.disk_gb]
    return said + [f"{stage.name}: {stage.disk_gb:,.0f} GB on a worker's disk of {machine.disk_gb:g} GB" for stage in full]


def breaks(stages: Sequence[Stage], *, workers: int, machine: Machine) -> list[str]:
    """Every stage that does not fit into a worker, then every stage in which one task holds up the rest."""
    said = misfits(stages, machine)
    for stage in stages:
        even = (stage.cpu_s + stage.wait_s) / (workers * machine.vcpus) / HOUR
        hours = stage.hours(workers, machine)
        if hours > 1 and hours > 2 * even:
            said.append(f"{stage.name}: its largest task takes {hours:,.1f} h, an even share {even:,.1f} h")
    return said
