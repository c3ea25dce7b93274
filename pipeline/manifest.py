"""What a corpus is made of, hash by hash: written last, so that a corpus with a manifest is whole."""

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from platform import python_version
from typing import Any, NamedTuple

import apache_beam as beam

from pipeline import stage_names, storage
from pipeline.card import dataset_card
from pipeline.release import DECISIVE
from pipeline.schema import Shard, ShardError
from pipeline.shards import Gather, LedgerFile, MapShards, read_metadata

SCHEMA = "webtext-corpus/1"


class Input(NamedTuple):
    """A dump or an archive that was read."""

    number: int  # as they were named
    path: str
    size: int
    sha256: str


def input_of(named: tuple[int, str]) -> Input:
    number, path = named
    return Input(number, path, storage.size(path), storage.input_digest(path))


def stage_counts(shards: Sequence[Shard]) -> tuple[list[dict[str, Any]], list[LedgerFile]]:
    """Records in, kept and dropped by reason, a row a stage, and the ledger files that prove it.

    Raises ShardError unless in = kept + dropped in every stage: the law of conservation.
    """
    counts: Counter[str] = Counter()
    dropped: defaultdict[str, Counter[str]] = defaultdict(Counter)
    ledger: dict[str, LedgerFile] = {}
    for metadata in storage.each(read_metadata, [shard.path for shard in shards], at=shards[0].path if shards else ""):
        counts.update(metadata.counts)
        for file in metadata.ledger:
            ledger[file.name] = file
    for file in ledger.values():
        dropped[file.name.rpartition("-")[0]].update(file.dropped)
    stages = []
    for stage in stage_names():
        entered, kept, lost = counts[f"{stage}_in"], counts[f"{stage}_kept"], sum(dropped[stage].values())
        if entered != kept + lost:
            raise ShardError(
                f"stage {stage}: {entered:,} records in, but {kept:,} kept and {lost:,} in the ledger. "
                "Records were lost: please report this with your command."
            )
        stages.append({"name": stage, "in": entered, "kept": kept, "dropped": dict(sorted(dropped[stage].items()))})
    return stages, sorted(ledger.values())


def manifest(shards: Sequence[Shard], *, root: str, inputs: Sequence[Input], config: dict[str, Any]) -> dict[str, Any]:
    """Everything one needs to trust a corpus or to make it again.  Holds no clock and no host."""
    stages, ledger = stage_counts(shards)
    corpus = sorted(shard.path for shard in shards if shard.stage == "corpus")
    sizes = storage.each(storage.size, [storage.join(root, "ledger", file.name) for file in ledger], at=root)
    return {
        "schema": SCHEMA,
        "config": config,
        "inputs": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in sorted(inputs)],
        "stages": stages,
        "shards": [
            {
                "path": f"data/{os.path.basename(path)}",
                "split": os.path.basename(path).partition("-")[0],
                "rows": read_metadata(path).rows,
                "bytes": storage.size(path),
                "sha256": digest,
            }
            for path, digest in zip(corpus, storage.each(storage.sha256_of, corpus, at=root), strict=True)
        ],
        "ledger": [
            {
                "path": f"ledger/{file.name}",
                "rows": file.rows,
                "bytes": size,
                "sha256": file.sha256,
            }
            for file, size in zip(ledger, sizes, strict=True)
        ],
        "versions": {"python": python_version(), **{name: version(name) for name in DECISIVE}},
    }


def collect_stale(shards: Sequence[Shard], *, root: str, ledger: Sequence[dict[str, Any]]) -> None:
    """Deletes what an earlier run left: corpus shards and ledger files not of this one, work of another number of partitions."""
    current = {shard.path for shard in shards} | {storage.join(root, file["path"]) for file in ledger}
    products = [*_arrow_files(root, "corpus", "data"), *_arrow_files(root, "ledger")]
    stale = [path for path in products if path not in current]
    partitions = {_partitions(shard.path) for shard in shards if shard.stage in ("links", "documents")}
    for stage in ("links", "pages", "documents", "duplicates"):
        stale += [path for path in _arrow_files(root, stage) if _partitions(path) not in (None, *partitions)]
    storage.remove(stale)


def _arrow_files(root: str, *folder: str) -> list[str]:
    return storage.files_in(storage.join(root, *folder), "*.arrow")


def _partitions(path: str) -> str | None:
    """NNNNN of a name that ends in -of-NNNNN.arrow."""
    _, of, count = os.path.basename(path).removesuffix(".arrow").rpartition("-of-")
    return count if of else None


def publish_manifest(shards: Sequence[Shard], inputs: Sequence[Input], *, root: str, config: dict[str, Any]) -> Shard:
    """Deletes what is stale, then writes the dataset card and, last, manifest.json of a finished corpus."""
    made = manifest(shards, root=root, inputs=inputs, config=config)
    path = storage.join(root, "corpus", "manifest.json")
    card_path, card = storage.join(root, "corpus", "README.md"), dataset_card(made)
    if not storage.exists(card_path) or storage.sha256_of(card_path) != hashlib.sha256(card.encode()).hexdigest():
        storage.remove([path])  # the card that it belongs to goes
        storage.write_text(card_path, card)
    collect_stale(shards, root=root, ledger=made["ledger"])
    storage.write_text(path, json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    rows = sum(shard["rows"] for shard in made["shards"])
    return Shard("manifest", 0, 1, path, rows, 0, storage.sha256_of(path))


@dataclass
class WriteManifest(beam.PTransform):
    """Counts, hashes, config and versions of a run, written when all else is.

    In: Shards of every stage, flattened.  Out: one Shard, the manifest.
    `inputs`: paths of dumps and archives.  `config`: every choice that changes the corpus.
    """

    root: str
    inputs: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "<WriteManifest>"  # Beam writes it into the graph, with our `inputs` for its own: 13 MB of 100,000 paths

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        inputs = (
            shards.pipeline
            | "Inputs" >> beam.Create(list(enumerate(self.inputs)), reshuffle=False)
            | "SpreadInputs" >> beam.Reshuffle()
            | "HashInputs" >> MapShards(input_of)
        )
        publish = partial(publish_manifest, root=self.root, config=self.config)
        return shards | "EveryShard" >> Gather() | "Publish" >> beam.Map(publish, beam.pvalue.AsList(inputs))
