"""Documents in, verdicts out: exact copies by hash, near copies by MinHash, and which of them is kept.

    documents -> signatures -> exact copies -> an edge list a band -> clusters and leaders -> verdicts, ledger

No text, signature or band crosses a shuffle: tasks read columns of files.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial

import apache_beam as beam
from apache_beam.pvalue import AsList

from pipeline import storage
from pipeline.dedup.columns import Columns
from pipeline.dedup.edges import DuplicateDrop, band_tasks, find_copies, find_edges
from pipeline.dedup.rule import PRESETS, Rule, rule_named
from pipeline.dedup.signing import Older, sign, sign_older
from pipeline.dedup.verdicts import clusters_path, decide, read_verdicts
from pipeline.schema import PipelineError
from pipeline.shards import MapShards

__all__ = [
    "PRESETS", "Columns", "DropDuplicates", "DuplicateDrop", "Rule", "band_tasks",
    "clusters_path", "older_files", "read_verdicts", "rule_named",
]  # fmt: skip


@dataclass
class DropDuplicates(beam.PTransform):
    """Finds documents that repeat a better one; the best is of the highest karma, then the earliest, then of the least id.

    In: Shard of documents.  Out: one Shard, ROOT/duplicates/verdicts.arrow: id, kept (id of a kept document), jaccard (an
    estimate, 2 places) and reason of every dropped document, sorted by id, uncompressed.  `clusters_path` of it: id and
    cluster_size of keepers of two or more, sorted by id.  Both are there when nothing is dropped, or nothing came in.

    `against`: folders of older corpora, oldest first, whose documents are never dropped and come first in the keep order.
    """

    rule: Rule = PRESETS["webtext"]
    _: KW_ONLY
    root: str
    columns: Columns = field(default_factory=Columns)
    against: str | Sequence[str] | None = None
    across: int = 1
    journal: str | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, documents: beam.PCollection) -> beam.PCollection:
        root, rule, columns = self.root, self.rule, self.columns

        def mapped(name: str, work: partial) -> beam.PTransform:
            return name >> MapShards(work, across=self.across, journal=self.journal)

        pipeline = documents.pipeline
        once = pipeline | "Once" >> beam.Create([None])
        signed = pipeline | "NotSigned" >> beam.Create([])
        if rule.active:
            signed = (
                documents
                | "SpreadDocuments" >> beam.Reshuffle()
                | mapped("Sign", partial(sign, root=root, rule=rule, columns=columns)),
                pipeline
                | "Older" >> beam.Create(older_shards(self.against))
                | "SpreadOlder" >> beam.Reshuffle()
                | mapped("SignOlder", partial(sign_older, root=root, rule=rule, columns=columns)),
            ) | "Signed" >> beam.Flatten()
        copies = (
            once
            | "AllSigned" >> beam.Map(lambda _, shards: sorted(shards), AsList(signed))
            | "FindCopies" >> MapShards(partial(find_copies, root=root, rule=rule, columns=columns))
        )
        edges = (
            once
            | "Tasks" >> beam.FlatMap(lambda _, *found: band_tasks(*found, root=root, rule=rule), AsList(signed), AsList(copies))
            | "SpreadTasks" >> beam.Reshuffle()
            | mapped("FindEdges", partial(find_edges, root=root, rule=rule))
        )
        found = (documents, signed, copies, edges) | "Found" >> beam.Flatten()
        return (
            once
            | "AllFound" >> beam.Map(lambda _, shards: sorted(shards), AsList(found))
            | "Decide" >> MapShards(partial(decide, root=root, rule=rule, columns=columns, journal=self.journal))
        )


def older_shards(against: str | Sequence[str] | None) -> list[Older]:
    folders = [against] if isinstance(against, str) else list(against or ())
    files = [(path, age) for age, folder in enumerate(folders) for path in older_files(folder)]
    return [Older(path, number, age) for number, (path, age) in enumerate(files)]


def older_files(folder: str) -> list[str]:
    """The Arrow files of a finished corpus, given as ROOT, ROOT/corpus or the folder of the files.  Raises PipelineError."""
    for data in (("corpus", "data"), ("data",), ()):
        if found := storage.files_in(storage.join(folder, *data), "*.arrow"):
            return found
    raise PipelineError(f"--against {folder}: there is no corpus. Expected a folder with corpus/data/*.arrow.")
