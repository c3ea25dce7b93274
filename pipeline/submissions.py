"""Dump files in, one Shard each out: known by content, so that a renamed or copied dump is the same dump."""

from collections.abc import Sequence
from dataclasses import dataclass

import apache_beam as beam

from pipeline import storage
from pipeline.schema import Shard
from pipeline.shards import MapShards


def dump_shard(path: str) -> Shard:
    """A dump as a shard: its digest is the SHA-256 of its bytes; its records are not counted before they are read."""
    return Shard("submissions", 0, 1, path, 0, 0, storage.sha256_of(path))


@dataclass  # not frozen: Beam writes attributes on its transforms
class ReadSubmissions(beam.PTransform):
    """Finds dumps of Reddit submissions: .zst, .xz, .bz2, .gz or plain JSON lines, told apart by their first bytes.

    In: the root of a pipeline.  Out: Shard of a dump.  `globs`: local or anything Beam's filesystems read; one that matches
    nothing is an error.
    """

    globs: Sequence[str]
    across: int = 1

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        paths = storage.expand(self.globs, what="submissions dump")
        return root | beam.Create(paths) | beam.Reshuffle() | MapShards(dump_shard, across=self.across)
