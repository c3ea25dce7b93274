"""A sample of documents by their ids: the same whatever the order of shards and the number of workers."""

import hashlib

import numpy as np
import pyarrow as pa

from dags.splits import CorpusShard, documents_of, text_batches
from pipeline.schema import PipelineError

BUCKETS = 1 << 16
EVERY_BUCKET = BUCKETS  # a cut that leaves all documents in


def buckets(ids: pa.Array) -> np.ndarray:
    """The bucket of each document: the first 16 bits of SHA-256 of its id."""
    digests = b"".join(hashlib.sha256(name.encode()).digest()[:2] for name in ids.to_pylist())
    return np.frombuffer(digests, dtype=">u2").astype(np.int64)


def sampled(ids: pa.Array, cut: int) -> pa.Array:
    """Which documents lie below the cut."""
    return pa.array(buckets(ids) < cut)


def measured_shard(shard: CorpusShard) -> bytes:
    """Bytes of text in each bucket, as int64."""
    sizes = np.zeros(BUCKETS, dtype=np.int64)
    for batch in text_batches(shard.path, columns=["id"]):
        np.add.at(sizes, buckets(batch.column("id")), np.diff(documents_of(batch.column("text")).offsets))
    return sizes.tobytes()


def cut_for(measured: list[bytes], *, max_bytes: int) -> int:
    """The most buckets that together hold at most `max_bytes` of text."""
    total = np.sum([np.frombuffer(sizes, dtype=np.int64) for sizes in measured], axis=0)
    cut = int(np.searchsorted(np.cumsum(total), max_bytes, side="right"))
    if not total[:cut].any():
        smallest = int(total[np.flatnonzero(total)[0]]) if total.any() else 0
        raise PipelineError(f"--max-bytes {max_bytes:,} holds no document; the first that would be taken has {smallest:,} bytes.")
    return cut
