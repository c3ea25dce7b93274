"""The arithmetic of the plan on paper, on numbers that can be done by hand."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # scripts, which import each other by name

from scale import Prices, dollars
from scale_model import (
    RESULTS,
    YIELD,
    Costs,
    Hosts,
    Machine,
    Stage,
    breaks,
    costs_of,
    crawl_days,
    figure,
    hosts_of,
    largest_partition,
    limit,
    misfits,
    stages_of,
)

MACHINE = Machine(vcpus=4, memory_gb=10, disk_gb=100)
HOSTS = Hosts(np.array([300_000, 200_000, 100_000]), 400_000, 50_000)
COSTS = Costs(
    submissions_a_link=4, dump_bytes=300, spill_s=1e-5, links_s=1e-6, index_s=1e-4, cut_s=0.002, find_s=1e-4, page_s=0.04,
    fetch_s=0.004, documents=0.5, text_bytes=10_000, sign_s=1e-3, cluster_s=2e-6, write_s=1e-4, signature_bytes=1_300,
    edge_bytes=80, archive_bytes=30_000, index_bytes=400, bytes_a_row={"links": 1_500, "pages": 1_500, "documents": 30_000},
    written={"spill": 400, "links": 200, "index": 500, "pages": 300, "documents": 4_000, "corpus": 4_000},
)  # fmt: skip


def stages(costs: Costs = COSTS, *, links: int = 1_000_000, hosts: Hosts = HOSTS) -> dict[str, Stage]:
    return {stage.name: stage for stage in stages_of(links, hosts, costs, MACHINE)}


# ---- what was measured ----


def test_costs_are_read_from_what_the_benchmarks_printed() -> None:
    measured = json.loads((RESULTS / "stage_costs.json").read_text())
    costs = costs_of(measured)
    numbers = {name: value for name, value in vars(costs).items() if isinstance(value, float)}
    assert len(numbers) > 15
    assert min(numbers.values()) > 0
    assert costs.page_s == pytest.approx(measured["stages"]["documents"]["cpu_s"] / measured["stages"]["documents"]["records"])
    measured["stages"]["documents"]["cpu_s"] *= 2
    assert costs_of(measured).page_s == pytest.approx(2 * costs.page_s)
    assert costs.signature_bytes > 1_008  # 252 places of 4 bytes
    assert 0.5e-3 < costs.fetch_s < 0.1


def test_a_result_that_says_it_otherwise_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"results/fetch\.md: nothing matches 'no such words'\. Mend the pattern"):
        figure("fetch.md", "no such words")


# ---- hosts ----


def test_hosts_keep_their_shares_when_there_are_more_links() -> None:
    grown = np.array([50, 30, 15, 3, 1, 1])
    same = hosts_of(grown, 100, sigma=0.75)
    assert (same.longest, same.domains, same.tail) == (50, 6, 0)
    more = hosts_of(grown, 1_600, sigma=0.75)
    assert more.large.tolist() == [800, 480, 240, 48, 16, 16]
    assert more.domains == 6 * 8  # 16 ** 0.75
    assert int(more.large.sum()) + more.tail == 1_600


def test_a_partition_holds_its_largest_host_and_no_more_than_all() -> None:
    assert largest_partition(HOSTS, 1) == 1_000_000
    assert 300_000 + 400_000 // 4096 <= largest_partition(HOSTS, 4096) <= 600_000 + 400_000 // 4096
    even = Hosts(np.ones(1 << 16, np.int64) * 10, 0, 1 << 16)
    assert 10 * (1 << 16) / 16 < largest_partition(even, 16) < 1.1 * 10 * (1 << 16) / 16


def test_the_longest_host_sets_the_days_of_a_crawl() -> None:
    assert crawl_days(HOSTS) == pytest.approx((300_000 * 1.25 + 2) * 1.5 / 86_400)


# ---- stages ----


def test_records_in_are_those_of_the_stage_before() -> None:
    found = stages()
    pages = 1_000_000 * YIELD
    assert found["spill"].cpu_s == pytest.approx(4_000_000 * 1e-5)
    assert found["pages"].cpu_s == pytest.approx(1_000_000 * 1e-4)
    assert found["documents"].cpu_s == pytest.approx(pages * 0.04)
    assert found["signatures"].cpu_s == pytest.approx(pages * 0.5 * 1e-3)
    assert found["corpus"].cpu_s == pytest.approx(pages * 0.5 * 0.9 * 1e-4)
    assert found["edges"].tasks == 36
    assert found["links"].tasks == 64  # 300 MB of dumps
    assert found["documents"].reads == pages  # one request a page


def test_a_dearer_page_makes_only_extraction_dearer() -> None:
    before, after = stages(), stages(replace(COSTS, page_s=0.08))
    assert after["documents"].cpu_s == pytest.approx(2 * before["documents"].cpu_s)
    assert {name for name in before if before[name] != after[name]} == {"documents"}


def test_waiting_for_the_store_is_time_of_a_process_but_where_records_are_read_ahead() -> None:
    found = stages()
    edges, documents = found["edges"], found["documents"]
    assert edges.wait_s == pytest.approx(36 * 64 * 5 * 0.03)
    assert documents.reads * 0.03 < documents.cpu_s
    assert documents.wait_s == 0
    quick = stages(replace(COSTS, page_s=0.01))["documents"]
    assert quick.wait_s + quick.cpu_s == pytest.approx(quick.reads * 0.03)
    archives = round(1_000_000 * YIELD * 30_000 / 1e9)
    assert found["index merge"].cpu_s == pytest.approx(archives * 64 * 0.002)
    assert found["index merge"].wait_s == pytest.approx(archives * 64 * 5 * 0.03 / 16)  # many at once


def test_a_stage_takes_as_long_as_its_cpu_or_its_largest_task() -> None:
    stage = Stage("documents", cpu_s=288_000, tasks=100, longest_s=7_200)
    assert stage.hours(1, MACHINE) == pytest.approx(20)  # 80 CPU hours on 4
    assert stage.hours(100, MACHINE) == pytest.approx(2)


def test_what_crosses_a_shuffle_grows_with_partitions_alone() -> None:
    few, many = stages(links=1_000_000), stages(links=3_000_000)  # 64 partitions both
    assert few["documents"].shuffle_bytes == many["documents"].shuffle_bytes < 64 * 1_000


def test_memory_follows_the_largest_partition() -> None:
    rows = largest_partition(HOSTS, 64) + 3 * 1_000_000 / 64  # one process has the largest, three have mean ones
    assert stages()["links"].peak_gb == pytest.approx(4 * 0.30 + rows * 1_500 / 1e9)
    assert stages()["documents"].peak_gb == pytest.approx(4 * (0.30 + 0.28) + rows * YIELD * 0.5 * 30_000 / 1e9)


def test_the_most_links_that_fit_are_found() -> None:
    grown = np.array([300_000, 200_000, 100_000, *[1] * 400_000])
    links, first = limit(grown, COSTS, MACHINE, sigma=0.75)
    assert first.startswith("documents: ")
    assert misfits(stages_of(links, hosts_of(grown, links, sigma=0.75), COSTS, MACHINE), MACHINE) == []
    more = round(1.03 * links)
    assert misfits(stages_of(more, hosts_of(grown, more, sigma=0.75), COSTS, MACHINE), MACHINE)


# ---- money, and what gives way ----


def test_dollars_by_hand() -> None:
    hour = Stage("documents", cpu_s=4 * 3600, tasks=500, longest_s=0, written_bytes=50e9, shuffle_bytes=2e9, reads=10_000)
    paid = dollars([hour], workers=1, machine=MACHINE, prices=Prices())
    assert paid["workers"] == pytest.approx(4 * 0.056 + 10 * 0.003557 + 100 * 0.000054)
    assert paid["shuffle"] == pytest.approx(0.022)
    assert paid["requests"] == pytest.approx(0.005 + 0.004)
    assert paid["stored a month"] == pytest.approx(1.0)
    assert dollars([hour], workers=2, machine=MACHINE, prices=Prices())["workers"] == pytest.approx(paid["workers"])


def test_what_gives_way_is_named_the_worst_first() -> None:
    fits = Stage("fits", cpu_s=3600, tasks=10, longest_s=360, peak_gb=9)
    large = replace(fits, name="large", peak_gb=20)
    larger = replace(fits, name="larger", peak_gb=200)
    full = replace(fits, name="full", disk_gb=300)
    slow = Stage("slow", cpu_s=80 * 3600, tasks=10, longest_s=10 * 3600)
    said = breaks([fits, large, larger, full, slow], workers=10, machine=MACHINE)
    assert said == [
        "larger: 200 GB in a worker of 10 GB", "large: 20 GB in a worker of 10 GB", "full: 300 GB on a worker's disk of 100 GB",
        "slow: its largest task takes 10.0 h, an even share 2.0 h",
    ]  # fmt: skip
    assert breaks([fits], workers=1, machine=MACHINE) == []


def test_prices_and_machine_are_options(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import scale

    monkeypatch.setattr(scale, "domains_of", lambda dump: np.repeat(np.arange(2_000), 5).astype(np.int32))
    monkeypatch.setattr(scale, "fitted_sigma", lambda sample, theta: 0.5)

    def printed(*more: str) -> str:
        monkeypatch.setattr(sys, "argv", ["scale.py", "x", "--links", "20000", "--workers", "1", "--grown", "20000", *more])
        scale.main()
        return capsys.readouterr().out

    plain = printed()
    assert plain.startswith("## 20,000 links\n")
    assert plain.count("\n| ") == 14  # a heading, twelve steps, all
    assert "Nothing gives way." in plain
    dear = printed("--price-vcpu-hour", "1000")
    assert next(line for line in dear.splitlines() if line not in plain).startswith("Dataflow: $")
    assert "spill: 2 GB in a worker of 1.7 GB" in printed("--memory-gb", "1.7")
