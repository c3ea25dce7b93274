"""Objects of gs:// and s3://: what the stages need of a store, through the clients that Beam's own filesystems make.

Beam makes a client for every call and reads 16 MB for every seek, and its files are published half written when the block that
writes them fails.  So only the clients are Beam's, with its options, credentials and retries.  Writing is one upload of a
whole local file: an object store shows nothing of an object before all of it has arrived, and nothing at all of one that a
crash cut off, so no temporary name and no rename are needed.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from pipeline.schema import PipelineError

EXTRAS = {"s3": "s3", "gs": "dataflow"}  # scheme -> extra of the package that brings its library


class Stored(NamedTuple):
    """A small object and which version of it that is."""

    data: bytes
    version: str


class Store(Protocol):
    """A bucket's worth of calls.  Names are without the scheme and the bucket.

    A missing object raises FileNotFoundError; a missing bucket, missing credentials and the like PipelineError.
    """

    def size(self, name: str) -> int: ...

    def read(self, name: str, *, start: int, length: int) -> bytes:
        """Bytes from `start`, fewer than `length` at the end."""

    def put(self, path: str, name: str) -> None:
        """Uploads a local file; the object appears whole or not at all."""

    def delete(self, names: Sequence[str]) -> None: ...

    def names(self, prefix: str) -> Iterator[str]: ...

    def forget_uploads(self, prefix: str) -> None:
        """Drops what killed processes had begun to upload: parts that nobody sees, but that are paid for."""

    def stored(self, name: str) -> Stored: ...

    def swap(self, name: str, data: bytes, *, version: str | None) -> str | None:
        """Writes if the object is still of this version (None: is not there); its new version, or None if it is not."""


def split(path: str) -> tuple[str, str, str]:
    """Scheme, bucket and name.  Raises PipelineError for a path without a bucket."""
    scheme, _, rest = path.partition("://")
    bucket, _, name = rest.partition("/")
    if not bucket:
        raise PipelineError(f"{path}: names no bucket. Expected {scheme}://BUCKET/PATH.")
    return scheme, bucket, name


_stores = threading.local()  # Google's client is not made for several threads


def store_of(path: str) -> tuple[Store, str]:
    """The store that holds a path, and the path's name in it."""
    scheme, bucket, name = split(path)
    options = _options()
    known = _stores.__dict__.setdefault("known", {})
    store, made_with = known.get((scheme, bucket), (None, None))
    if store is None or made_with is not options:
        store = _opened(scheme, bucket, options)
        known[scheme, bucket] = store, options
    return store, name


def is_known(path: str) -> bool:
    return path.partition("://")[0] in EXTRAS


def _options() -> Any:
    """Of the pipeline that this process belongs to, such as --s3_endpoint_url; None before there is one."""
    from apache_beam.io.filesystems import FileSystems

    return FileSystems._pipeline_options


def _opened(scheme: str, bucket: str, options: Any) -> Store:
    from apache_beam.options.pipeline_options import PipelineOptions

    options = options or PipelineOptions([])
    try:
        if scheme == "s3":
            from pipeline.objects.s3 import S3Bucket

            return S3Bucket(bucket, options)
        from pipeline.objects.gcs import GcsBucket

        return GcsBucket(bucket, options)
    except ImportError as error:
        extra = EXTRAS[scheme]
        raise PipelineError(f"{scheme}:// needs libraries that are not installed: pip install 'webtext[{extra}]'.") from error
