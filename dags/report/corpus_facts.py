"""What the corpus holds: distributions, domains, clusters and a sample, from its shards.  Texts are read for the sample alone."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dags.report.outside_text import cut
from dags.report.tallies import Lowest, Tally
from pipeline import storage
from pipeline.schema import ShardError
from pipeline.shards import open_arrow, read_batches

COLUMNS = ["id", "url", "title", "domain", "language", "karma", "created_utc", "words", "cluster_size"]
KEPT_SAMPLE = 500
LARGEST_CLUSTERS = 12
EXCERPT = 280  # characters
TITLE = 160


class Kept(NamedTuple):
    """A document of the corpus, as the report shows it."""

    id: str
    url: str
    title: str
    domain: str
    language: str
    karma: int
    words: int
    month: str  # of the submission, YYYY-MM
    cluster_size: int
    excerpt: str = ""


class Place(NamedTuple):
    """Where a row lies."""

    path: str
    batch: int
    row: int


class CorpusFacts(NamedTuple):
    documents: int
    words: int
    folded: int  # duplicates that kept documents stand for
    karma: Counter[int]
    lengths: Counter[int]  # in words
    languages: Counter[str]
    months: Counter[str]  # of submission, YYYY-MM
    cluster_sizes: Counter[int]
    domains: Tally[str]
    clusters: list[Kept]  # the largest first
    sample: list[Kept]


def corpus_facts(root: str, manifest: dict[str, Any]) -> CorpusFacts:
    """Raises ShardError for a shard that is missing or damaged."""
    columns: dict[str, Counter[Any]] = {name: Counter() for name in ("karma", "words", "language", "cluster_size")}
    months: Counter[str] = Counter()
    domains: Tally[str] = Tally()
    sample: Lowest[tuple[Place, Kept]] = Lowest(KEPT_SAMPLE)
    clusters: list[Kept] = []
    for shard in manifest["shards"]:
        path = storage.join(root, "corpus", *shard["path"].split("/"))
        for number, batch in enumerate(read_batches(path, columns=COLUMNS)):
            for name, counts in columns.items():
                counts.update(counted(batch.column(name)))
            domains.add(counted(batch.column("domain")))
            batch_months = months_of(batch.column("created_utc"))
            months.update(batch_months.tolist())
            for row, id_ in enumerate(batch.column("id").to_pylist()):
                if (rank := sample.rank(id_)) is not None:
                    sample.put(rank, id_, (Place(path, number, row), kept_row(batch, row, batch_months)))
            large = np.flatnonzero(batch.column("cluster_size").to_numpy() > (clusters[-1].cluster_size - 1 if clusters else 1))
            clusters = largest([*clusters, *(kept_row(batch, row, batch_months) for row in large.tolist())])
    return CorpusFacts(
        documents=sum(columns["words"].values()),
        words=sum(length * count for length, count in columns["words"].items()),
        folded=sum((size - 1) * count for size, count in columns["cluster_size"].items()),
        karma=columns["karma"],
        lengths=columns["words"],
        languages=columns["language"],
        months=months,
        cluster_sizes=columns["cluster_size"],
        domains=domains,
        clusters=clusters,
        sample=with_excerpts(sample.items()),
    )


def counted(column: pa.Array) -> dict[Any, int]:
    """How often each value stands in a column."""
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}


def months_of(created_utc: pa.Array) -> np.ndarray:
    """YYYY-MM of times in seconds."""
    return created_utc.to_numpy().astype("datetime64[s]").astype("datetime64[M]").astype(str)


def kept_row(batch: pa.RecordBatch, row: int, months: np.ndarray) -> Kept:
    def value(name: str) -> Any:
        return batch.column(name)[row].as_py()

    return Kept(
        id=value("id"),
        url=value("url"),
        title=cut(value("title"), characters=TITLE),
        domain=value("domain"),
        language=value("language"),
        karma=value("karma"),
        words=value("words"),
        month=str(months[row]),
        cluster_size=value("cluster_size"),
    )


def largest(rows: Iterable[Kept]) -> list[Kept]:
    """The largest clusters of two and more, ties by id."""
    several = (row for row in rows if row.cluster_size > 1)
    return heapq.nsmallest(LARGEST_CLUSTERS, several, key=lambda row: (-row.cluster_size, row.id))


def with_excerpts(chosen: list[tuple[Place, Kept]]) -> list[Kept]:
    """The sampled documents with the beginning of their texts: only the batches they lie in are unpacked, one at a time."""
    wanted: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for number, (place, _) in enumerate(chosen):
        wanted[place.path, place.batch].append(number)
    excerpts: dict[int, str] = {}
    for path in sorted({path for path, _ in wanted}):
        reader = open_arrow(path, columns=["text"])
        for batch, numbers in sorted((batch, numbers) for (of, batch), numbers in wanted.items() if of == path):
            try:
                texts = reader.get_batch(batch).column(0)
            except (pa.ArrowException, OSError) as error:
                raise ShardError(f"{path}: is not a whole Arrow IPC file ({error}). Run `webtext corpus` again.") from error
            for number in numbers:
                excerpts[number] = cut(texts[chosen[number][0].row].as_py(), characters=EXCERPT)
    return [row._replace(excerpt=excerpts[number]) for number, (_, row) in enumerate(chosen)]
