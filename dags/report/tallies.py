"""Counters and samples whose size does not grow with what they are shown."""

import heapq
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import xxhash

T = TypeVar("T")
N = TypeVar("N", bound=Hashable)
MOST_NAMES = 400_000  # distinct names a tally holds, about 100 MB; 213,000 real submissions name 27,000 hosts


class Tally(Generic[N]):
    """Counts of names.  Above `most` names the rarest are forgotten, and `forgotten` is the highest count that was."""

    def __init__(self, *, most: int = MOST_NAMES) -> None:
        self.counts: Counter[N] = Counter()
        self.forgotten = 0
        self._most = most

    def add(self, counted: Mapping[N, int]) -> None:
        for name, count in counted.items():
            self.counts[name] += count
        while len(self.counts) > self._most:
            self.forgotten += 1
            self.counts = Counter({name: count for name, count in self.counts.items() if count > self.forgotten})


def top(counts: Mapping[str, int], n: int | None = None) -> list[tuple[str, int]]:
    """The most frequent first; ties by name."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:n]


class Lowest(Generic[T]):
    """The `size` items whose keys have the lowest hashes: a random sample that no order of rows or shards changes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[int, str, T]] = []

    def rank(self, key: str) -> int | None:
        """The rank of a key that belongs to the sample so far, else None."""
        rank = -hashed(key)
        return rank if len(self._heap) < self._size or rank > self._heap[0][0] else None

    def put(self, rank: int, key: str, item: T) -> None:
        (heapq.heappush if len(self._heap) < self._size else heapq.heappushpop)(self._heap, (rank, key, item))

    def items(self) -> list[T]:
        return [item for _, _, item in sorted(self._heap, key=lambda entry: (-entry[0], entry[1]))]


def hashed(key: str) -> int:
    """A place in an order that has nothing to do with what the key says."""
    return xxhash.xxh64_intdigest(key.encode())


class Bin(NamedTuple):
    """Values from `low` to `high`, both included; no `high`: and all above."""

    low: int
    high: int | None
    records: int

    @property
    def label(self) -> str:
        if self.high is None:
            return f"{self.low:,}+"
        return f"{self.low:,}" if self.low == self.high else f"{self.low:,}\N{EN DASH}{self.high:,}"


def binned(values: Mapping[int, int], edges: Sequence[int]) -> list[Bin]:
    """Counts of values between edges, without the empty bins at either end.  The first bin takes in what is below."""
    ends: list[int | None] = [edge - 1 for edge in edges[1:]]
    bins = [Bin(low, high, 0) for low, high in zip(edges, [*ends, None], strict=True)]
    counts = [0] * len(bins)
    for value, count in values.items():
        place = next((place for place in range(len(edges) - 1, 0, -1) if value >= edges[place]), 0)
        counts[place] += count
    filled = [place for place, count in enumerate(counts) if count]
    if not filled:
        return []
    return [bins[place]._replace(records=counts[place]) for place in range(filled[0], filled[-1] + 1)]


def quantile(values: Mapping[int, int], share: float) -> int:
    """The least value that `share` of all values do not exceed."""
    left = share * sum(values.values())
    for value in sorted(values):
        left -= values[value]
        if left <= 0:
            return value
    return 0
