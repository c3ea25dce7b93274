"""What 1, 8, 45 million and 1 billion links take: hours, memory, disk, money, and what gives way first.  On paper.

    python benchmarks/scale.py [DUMP] [--links N ...] [--workers N ...] [--memory-gb 15] [--price-vcpu-hour 0.056 ...]

Costs of a record come from what other benchmarks printed: results/stage_costs.json, dedup_scale.md, dedup_clustering.md and
fetch.md.  The real links of DUMP say how many links a domain has (without one, those of a real dump, as counted in
results/links_per_domain.json); they are grown as in crawl_simulation.py, and beyond what can
be grown the shares of the large domains stay and the number of domains follows a power law.  Partitions are those of
`webtext corpus`.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from crawl_simulation import YIELD, domains_of, fitted_sigma, grow
from scale_model import (
    GB,
    HOUR,
    RESULTS,
    Costs,
    Hosts,
    Machine,
    Stage,
    breaks,
    costs_of,
    crawl_cpu_hours,
    crawl_days,
    hosts_of,
    largest_partition,
    limit,
    partitions_at,
    stages_of,
)

LINKS = (1_000_000, 8_000_000, 45_000_000, 1_000_000_000)
WORKERS = (1, 4, 16, 256)  # for each of LINKS
GROWN = 45_000_000  # links that are grown one by one: half a minute; more are extrapolated
THETA = 10.0
PRICED = "2026-11-20"


# ---- money ----


@dataclass(frozen=True)
class Prices:
    """US dollars.  Dataflow batch, us-central1, as public cost estimators quote Google's list; Google's page was not readable
    when this was written, so check it.  Storage: cloud.google.com/storage/pricing-examples."""

    vcpu_hour: float = 0.056
    gb_hour: float = 0.003557
    disk_gb_hour: float = 0.000054
    shuffle_gb: float = 0.011
    stored_gb_month: float = 0.020
    thousand_writes: float = 0.005
    thousand_reads: float = 0.0004


def dollars(stages: Sequence[Stage], *, workers: int, machine: Machine, prices: Prices) -> dict[str, float]:
    """Of a run on Dataflow: workers are paid for until the last stage is done, objects by the request and by the month."""
    hours = sum(stage.hours(workers, machine) for stage in stages) * workers
    written = sum(stage.written_bytes for stage in stages)
    writes = sum(stage.tasks * 2 for stage in stages)  # a shard and its ledger
    rate = machine.vcpus * prices.vcpu_hour + machine.memory_gb * prices.gb_hour + machine.disk_gb * prices.disk_gb_hour
    return {
        "workers": hours * rate,
        "shuffle": sum(stage.shuffle_bytes for stage in stages) / GB * prices.shuffle_gb,
        "requests": writes / 1000 * prices.thousand_writes + sum(stage.reads for stage in stages) / 1000 * prices.thousand_reads,
        "stored a month": written / GB * prices.stored_gb_month,
    }


def counted_domains() -> np.ndarray:
    """The domain of every link of a real dump, as numbers: all that is kept of it is how many domains have how many links."""
    counted = json.loads((RESULTS / "links_per_domain.json").read_text())["domains"]
    sizes = np.repeat([int(links) for links in counted], list(counted.values()))
    return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)


# ---- the tables ----


def row(stage: Stage, *, hours: float, longest: float) -> str:
    cells = [stage.name, f"{stage.cpu_s / HOUR:,.2f}", f"{stage.wait_s / HOUR:,.2f}", f"{stage.tasks:,}", f"{hours:,.2f}"]
    cells += [f"{longest:,.2f}" if longest else "", f"{stage.peak_gb:,.1f}", f"{stage.written_bytes / GB:,.1f}"]
    return f"| {' | '.join(cells)} | {stage.shuffle_bytes / 1e6:,.2f} |"


def total(stages: Sequence[Stage]) -> Stage:
    sums = {name: sum(getattr(stage, name) for stage in stages) for name in ("cpu_s", "wait_s", "written_bytes", "shuffle_bytes")}
    peak_gb = max(stage.peak_gb for stage in stages)
    return Stage("all", tasks=sum(stage.tasks for stage in stages), longest_s=0, peak_gb=peak_gb, **sums)


def told(links: int, hosts: Hosts, costs: Costs, *, workers: int, machine: Machine, prices: Prices) -> str:
    stages = stages_of(links, hosts, costs, machine, workers=workers)
    partitions = partitions_at(links, costs)
    hours = sum(stage.hours(workers, machine) for stage in stages)
    lines = [
        f"## {links:,} links", "",
        f"{round(links * costs.submissions_a_link):,} submissions, {round(links * YIELD):,} pages, "
        f"{round(links * YIELD * costs.documents):,} documents; {partitions:,} partitions, the largest of "
        f"{largest_partition(hosts, partitions):,} links; {hosts.domains:,} domains.", "",
        f"| stage | CPU h | waiting h | tasks | hours, {workers} workers | largest task, h | peak GB | written GB | shuffle MB |",
        "|---|---|---|---|---|---|---|---|---|",
        *(row(stage, hours=stage.hours(workers, machine), longest=stage.longest_s / HOUR) for stage in stages),
        row(total(stages), hours=hours, longest=0), "",
    ]  # fmt: skip
    paid = dollars(stages, workers=workers, machine=machine, prices=prices)
    archive = links * YIELD * costs.archive_bytes / 1e12
    lines.append(
        f"Dataflow: ${paid['workers']:,.2f} for the workers, ${paid['shuffle']:,.2f} shuffle, ${paid['requests']:,.2f} requests; "
        f"the files ${paid['stored a month']:,.2f} a month, {archive:,.2f} TB of WARC "
        f"${archive * 1000 * prices.stored_gb_month:,.0f} more."
    )
    lines.append(
        f"Crawl before it: the longest host has {hosts.longest:,} links, {crawl_days(hosts):,.1f} days at one request at a time; "
        f"{crawl_cpu_hours(links, hosts, costs):,.0f} CPU h in all."
    )
    broken = breaks(stages, workers=workers, machine=machine)
    lines.append(f"Gives way: {'; '.join(broken)}." if broken else "Nothing gives way.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump", nargs="?", help="default: the domains of a real dump, counted before")
    parser.add_argument("--links", type=int, nargs="+", default=LINKS)
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, help="for each of --links")
    parser.add_argument("--grown", type=int, default=GROWN, help="links that are grown one by one; default %(default)s")
    for kind in (Machine(), Prices()):
        for name, value in vars(kind).items():
            flag = f"--{'price-' if isinstance(kind, Prices) else ''}{name.replace('_', '-')}"
            parser.add_argument(flag, type=type(value), default=value, help="default %(default)s")
    options = vars(parser.parse_args())
    machine = Machine(**{name: options[name] for name in vars(Machine())})
    prices = Prices(**{name: options[f"price_{name}"] for name in vars(Prices())})
    costs = costs_of(json.loads((RESULTS / "stage_costs.json").read_text()))
    sample = domains_of(options["dump"]) if options["dump"] else counted_domains()
    sigma = fitted_sigma(sample, THETA)
    grown = grow(sample, min(options["grown"], max(options["links"])), sigma, THETA)
    for links, workers in zip(options["links"], options["workers"], strict=True):
        part = grown if links >= int(grown.sum()) else grow(sample, links, sigma, THETA)
        hosts = hosts_of(part, links, sigma=sigma)
        print(told(links, hosts, costs, workers=workers, machine=machine, prices=prices), end="\n\n")
    links, first = limit(grown, costs, machine, sigma=sigma)
    told_prices = ", ".join(f"{name.replace('_', ' ')} ${value:g}" for name, value in vars(prices).items())
    print(f"Prices as quoted for us-central1 on {PRICED}, unless given: {told_prices}.")
    print(f"Such workers hold {links / 1e6:,.0f} million links at most; then the first not to fit is {first}.")


if __name__ == "__main__":
    main()
