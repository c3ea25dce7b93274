"""The records that flow through the DAG, and the columns in which they rest.

    Submission -> Link -> Page -> Document -> corpus row

Imports neither Beam nor any stage, so that readers of a corpus pay for neither.
"""

from enum import StrEnum
from typing import NamedTuple

import pyarrow as pa


class PipelineError(Exception):
    """Something a person must mend: what was found, what was expected, what to do.  The command prints it and exits 1."""


class ShardError(PipelineError):
    """A file of ours that is missing, cut short, or not of the schema this version writes."""


class Submission(NamedTuple):
    """A Reddit post, whatever it was read from.  Text is as its author meant it: HTML escapes of dumps are undone."""

    id: str  # without the t3_
    url: str | None
    score: int | None
    created_utc: int  # seconds
    subreddit: str
    is_self: bool
    over_18: bool
    removed: bool
    retrieved_utc: int | None  # when the score was read, in seconds


class Link(NamedTuple):
    """An outbound link that readers found worth a vote: one a canonical key."""

    id: str  # first 32 hex digits of SHA-256 of the key
    key: str  # canonical URL; compares, is never fetched
    url: str  # as near to the submitted one as can be fetched
    domain: str  # registrable domain, public suffix list with its private section
    karma: int  # highest score of any submission
    submission_id: str  # the submission that earned it
    subreddit: str
    created_utc: int


class Drop(NamedTuple):
    """A record that goes no further, and why.  Becomes one ledger row."""

    reason: StrEnum
    detail: str = ""
    kept: str | None = None  # id of the record this one was folded into


class Shard(NamedTuple):
    """A file of records: all that crosses a shuffle."""

    stage: str
    number: int
    of: int  # shards of this stage
    path: str
    rows: int
    dropped: int  # records this shard's work sent to the ledger
    digest: str  # SHA-256 of the rows, whatever the path


class LedgerRow(NamedTuple):
    """What became of a record that went no further."""

    stage: str
    reason: str  # name of the enum member
    url: str | None
    key: str | None = None  # null before it exists
    detail: str = ""
    kept: str | None = None


LINK = pa.schema([
    ("id", pa.string()),
    ("key", pa.string()),
    ("url", pa.string()),
    ("domain", pa.string()),
    ("karma", pa.int32()),
    ("submission_id", pa.string()),
    ("subreddit", pa.string()),
    ("created_utc", pa.int64()),
])

PAGE = pa.schema([
    *LINK,
    ("final_url", pa.string()),  # after redirects
    ("fetched_utc", pa.int64()),  # WARC-Date of the response that is read
    ("archive", pa.string()),  # path of the WARC file
    ("offset", pa.int64()),  # bytes, of the record that holds the body
    ("length", pa.int64()),  # bytes as stored
    ("digest", pa.string()),  # SHA-256 of the record as stored: equal digest, equal document
])

DOCUMENT = pa.schema([
    ("id", pa.string()),
    ("key", pa.string()),
    ("url", pa.string()),
    ("text", pa.string()),
    ("title", pa.string()),
    ("domain", pa.string()),
    ("language", pa.string()),  # ISO 639-1
    ("language_score", pa.float32()),  # rounded to 2 places before use
    ("karma", pa.int32()),
    ("submission_id", pa.string()),
    ("subreddit", pa.string()),
    ("created_utc", pa.int64()),
    ("fetched_utc", pa.int64()),
    ("extractor", pa.string()),
    ("words", pa.int32()),  # separated by white space
    ("text_hash", pa.string()),  # SHA-256 of text
    ("page_digest", pa.string()),  # what the document was read from
])

CORPUS = pa.schema([
    *(field for field in DOCUMENT if field.name not in ("key", "page_digest")),
    ("cluster_size", pa.int32()),  # this document and those folded into it
])

LEDGER = pa.schema([
    ("stage", pa.string()),
    ("reason", pa.string()),
    ("url", pa.string()),
    ("key", pa.string()),
    ("detail", pa.string()),
    ("kept", pa.string()),
])

TOKENS = pa.schema([("ids", pa.list_(pa.uint16())), ("document", pa.string())])
