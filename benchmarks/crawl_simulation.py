"""What a crawl of WebText's 45 million links needs: hosts, days, bandwidth, disk.

    python benchmarks/crawl_simulation.py DUMP [--archive WARC] [--links 45000000]

The real links of DUMP, chosen by the rules of `SelectLinks`, give the number of links a registrable domain has.  They are grown
to the wanted number as a Pitman-Yor process: the next link opens a new domain with probability (theta + sigma * domains) /
(theta + links), or goes to a known one in proportion to its links less sigma.  sigma and theta are chosen so that the process,
grown from the first half of the sample, opens as many domains in the second half as there really are.  Then the crawl is run
on paper: every domain is one queue, largest first, as many at once as there are visits, each request after the delay.
"""

import argparse
import heapq
import os
import sys

import numba
import numpy as np

from pipeline.archive import records
from pipeline.dump import BadLine, read_dump
from pipeline.links import select_link
from pipeline.schema import Link

DELAY_S = 1.0  # between requests to a host
LATENCY_S = 0.5  # assumed of an average answer; the delay begins when it ends
EXTRA_REQUESTS = 2  # robots.txt and tdmrep.json, once a host (here: once a domain and day of crawl)
HOPS = 1.25  # requests a link, redirects and retries included: assumed
PAGES_S = 400  # a process, benchmarks/fetch_pages.py
VISITS = 512  # domains at once in a process
CAP = 10_000  # links a host and run: pipeline.fetch.config
YIELD = 0.45  # links that bring a page: OpenWebText kept 43 % of 23 million


@numba.njit(cache=True)
def grown(urn: np.ndarray, start: int, counts: np.ndarray, domains: int, sigma: float, theta: float, seed: int) -> int:
    """Fills `urn[start:]` with the domain of each further link; `counts` goes along.  Returns the number of domains."""
    np.random.seed(seed)
    for place in range(start, len(urn)):
        if np.random.random() * (theta + place) < theta + sigma * domains:
            urn[place] = domains
            counts[domains] = 1
            domains += 1
        else:
            while True:  # a domain in proportion to its links less sigma
                domain = urn[np.random.randint(place)]
                if np.random.random() * counts[domain] >= sigma:
                    break
            urn[place] = domain
            counts[domain] += 1
    return domains


def domains_of(dump: str) -> np.ndarray:
    """The domain of every distinct real link, as numbers in order of appearance."""
    keys: set[str] = set()
    numbers: dict[str, int] = {}
    found: list[int] = []
    with open(dump, "rb") as file:
        for submission in read_dump(file, name=dump):
            link = None if isinstance(submission, BadLine) else select_link(submission)
            if isinstance(link, Link) and link.key not in keys:
                keys.add(link.key)
                found.append(numbers.setdefault(link.domain, len(numbers)))
    return np.array(found, dtype=np.int32)


def grow(sample: np.ndarray, total: int, sigma: float, theta: float) -> np.ndarray:
    """Links of each domain after growing the sample to `total` links."""
    urn = np.empty(total, np.int32)
    urn[: len(sample)] = sample
    counts = np.zeros(total, np.int32)
    counts[: sample.max() + 1] = np.bincount(sample)
    domains = grown(urn, len(sample), counts, int(sample.max()) + 1, sigma, theta, 1)
    return counts[:domains]


def fitted_sigma(sample: np.ndarray, theta: float) -> float:
    """The discount under which the first half of the sample grows as many domains as the whole has."""
    sample = np.random.default_rng(0).permutation(sample)
    renamed = np.unique(sample[: len(sample) // 2], return_inverse=True)[1].astype(np.int32)
    want = len(np.unique(sample))
    low, high = 0.0, 0.99
    for _ in range(12):
        sigma = (low + high) / 2
        if len(grow(renamed, len(sample), sigma, theta)) < want:
            low = sigma
        else:
            high = sigma
    return (low + high) / 2


def days(counts: np.ndarray, *, processes: int, delay_s: float) -> tuple[float, float, float]:
    """Days until 90 %, 99 % and all links are fetched."""
    visits = processes * VISITS
    pace = max(delay_s + LATENCY_S, visits / (processes * PAGES_S))  # seconds a request in each of the visits
    ordered = np.sort(counts)[::-1]
    free = [0.0] * visits
    ends = np.empty(len(ordered))
    for place, links in enumerate(ordered):
        end = heapq.heappop(free) + (links * HOPS + EXTRA_REQUESTS) * pace
        ends[place] = end
        heapq.heappush(free, end)
    begins = ends - (ordered * HOPS + EXTRA_REQUESTS) * pace
    # Share done at time t: each domain is fetched evenly between its begin and its end.
    finish = float(ends.max())
    times = np.linspace(0, finish, 2001)
    rates = ordered / (ends - begins)
    steps = np.searchsorted(times, begins), np.searchsorted(times, ends)
    slope = np.zeros(len(times) + 1)
    np.add.at(slope, np.minimum(steps[0], len(times)), rates)
    np.add.at(slope, np.minimum(steps[1], len(times)), -rates)
    done = np.cumsum(np.cumsum(slope[:-1])) * (times[1] - times[0])
    done /= done[-1]
    at = [float(times[min(np.searchsorted(done, share), len(times) - 1)]) for share in (0.9, 0.99)]
    return at[0] / 86_400, at[1] / 86_400, finish / 86_400


def stored_bytes(archive: str) -> float:
    """Mean bytes of a response record as stored, gzipped, of an archive of real pages."""
    sizes = [record.length for record in records(archive) if record.headers.get("warc-type") == "response"]
    return float(np.mean(sizes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump")
    parser.add_argument("--archive", help="WARC of real pages, for their size")
    parser.add_argument("--links", type=int, default=45_000_000)
    options = parser.parse_args()
    sample = domains_of(options.dump)
    counts = np.bincount(sample)
    theta = 10.0
    sigma = fitted_sigma(sample, theta)
    print(f"sample: {len(sample):,} links, {len(counts):,} domains, {np.mean(counts == 1):.1%} of them with one link; "
          f"largest {counts.max() / len(sample):.2%}; sigma {sigma:.3f}")  # fmt: skip
    grown_counts = grow(sample, options.links, sigma, theta)
    top = np.sort(grown_counts)[::-1]
    print(f"grown: {options.links:,} links, {len(top):,} domains; largest {top[0]:,} links, 10th {top[9]:,}, 100th {top[99]:,}; "
          f"{np.mean(top == 1):.1%} with one link")  # fmt: skip
    over = top > CAP
    print(f"domains above {CAP:,} links: {int(over.sum()):,}, with {top[over].sum() / options.links:.1%} of all links; "
          f"runs until the largest is done: {-(-int(top[0]) // CAP):,}")  # fmt: skip
    requests = options.links * HOPS + EXTRA_REQUESTS * len(top)
    print(f"requests: {requests:,.0f} (robots.txt and tdmrep.json {EXTRA_REQUESTS * len(top) / requests:.0%})")
    print(f"\n{'processes':>9} {'90 %':>8} {'99 %':>8} {'all':>8}   days at {DELAY_S:g} s a request and host")
    for processes in (1, 2, 4, 8):
        print(f"{processes:>9} " + " ".join(f"{value:>8.1f}" for value in days(top, processes=processes, delay_s=DELAY_S)))
    capped = np.minimum(top, 20 * CAP)
    ninety, most, everything = days(capped, processes=4, delay_s=DELAY_S)
    print(f"{'4, cut':>9} {ninety:>8.1f} {most:>8.1f} {everything:>8.1f}   at most {20 * CAP:,} links a domain: "
          f"{capped.sum() / options.links:.1%} of the links")  # fmt: skip
    if options.archive:
        size = stored_bytes(options.archive)
        pages = options.links * YIELD
        disk = pages * size + requests * 1_500  # request, metadata and the answers that bring no page
        print(f"\ndisk: {disk / 1e12:.2f} TB of WARC ({pages:,.0f} pages of {size:,.0f} B, 1,500 B of other records a request)")
        seconds = days(top, processes=1, delay_s=DELAY_S)[0] * 86_400
        print(f"bandwidth: {8 * 0.9 * disk / seconds / 1e6:,.0f} Mbit/s on average over the first 90 %")
    print(f"\nCPU s of this simulation: {sum(os.times()[:2]):.0f}", file=sys.stderr)


if __name__ == "__main__":
    main()
