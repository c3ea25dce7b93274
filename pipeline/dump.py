"""Dump lines in, Submission records out.

A dump holds one JSON object a line, as Pushshift, Arctic Shift and our own praw source write them.  Fields have changed their
type over the years (docs/links.md has the table); a line that fits none of the shapes is yielded as a BadLine, never lost.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import IO, Any, NamedTuple

import orjson

from pipeline.decompress import CorruptError, CutShortError, decompressed
from pipeline.schema import PipelineError, Submission

MAX_LINE_BYTES = 16 << 20  # 2024 records have 5 to 10 kB; the longest URL of a real dump has 511,885 characters
MAX_ID_CHARS = 64  # base 36 of the longest today has 7
MAX_UTC = 253_402_300_799  # the last second of the year 9999
MIN_KARMA, MAX_KARMA = -(1 << 31), (1 << 31) - 1  # the corpus stores int32

log = logging.getLogger(__name__)


class SubmissionDrop(StrEnum):
    """Why a line of a dump is no submission that we look at."""

    BAD_JSON = "the line is not a JSON object"
    BAD_UTF8 = "the line is not UTF-8"
    NUL_BYTE = "the line holds a NUL byte, as damaged disks leave them"
    LINE_TOO_LONG = f"the line has more than {MAX_LINE_BYTES:,} bytes"
    CUT_SHORT = "the dump ends inside this line"
    BAD_FIELD = "a field has a type or value that no dump has had"
    BEFORE_SINCE = "posted before --since"
    AFTER_UNTIL = "posted after --until"
    SUBREDDIT_NOT_LISTED = "the subreddit is not among --include-subreddits"
    SUBREDDIT_EXCLUDED = "the subreddit is among --exclude-subreddits"


class BadLine(NamedTuple):
    """A line that is no submission.  Known by the hash of its bytes, not by its number: files may be cut and joined."""

    reason: SubmissionDrop
    sha256: str
    detail: str = ""


class DumpError(PipelineError):
    """A dump that is damaged."""


class TruncatedDump(DumpError):  # noqa: N818  the name says what it is
    """A dump that ends in the middle, as an unfinished download does."""


class FieldError(ValueError):
    """A field of a record that has a type or value no dump has had."""


def read_dump(file: IO[bytes], *, name: str, allow_truncated: bool = False) -> Iterator[Submission | BadLine]:
    """Every record of a dump, in its order; empty lines are no records.  `name` is for messages.

    Raises TruncatedDump or DumpError after the last whole line; with `allow_truncated` the rest becomes a CUT_SHORT line.
    """
    lines = _Lines(decompressed(file))
    try:
        for line in lines:
            record = line if isinstance(line, BadLine) else parsed(line)
            if record is not None:
                yield record
        return
    except CutShortError:
        error: DumpError = TruncatedDump(
            f"{name}: ends in the middle, so records are missing. Download it again, or pass --allow-truncated to use what"
            " is there."
        )
    except CorruptError as defect:
        error = DumpError(
            f"{name}: is damaged ({defect}). Download it again, or pass --allow-truncated to use what comes before the"
            " damage."
        )
    if not allow_truncated:
        raise error
    log.warning("%s", error)
    if lines.rest:
        yield BadLine(SubmissionDrop.CUT_SHORT, hashlib.sha256(lines.rest).hexdigest())


class _Lines:
    """Lines of a stream of pieces, without their ends.  A line past the cap is hashed while it passes and never held."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = pieces
        self._rest: list[bytes] = []

    def __iter__(self) -> Iterator[bytes | BadLine]:
        skipped: Any = None  # hash of a line that is too long
        for piece in self.pieces:
            if skipped is not None:
                head, end, piece = piece.partition(b"\n")
                skipped.update(head)
                if not end:
                    continue
                yield BadLine(SubmissionDrop.LINE_TOO_LONG, skipped.hexdigest())
                skipped = None
            if b"\n" in piece:
                lines = (self.rest + piece).split(b"\n")
                self._rest = [lines.pop()]
                for line in lines:
                    if not line:
                        continue
                    if len(line) > MAX_LINE_BYTES:
                        yield BadLine(SubmissionDrop.LINE_TOO_LONG, hashlib.sha256(line).hexdigest())
                    else:
                        yield line
            else:
                self._rest.append(piece)  # not joined yet: that would cost the square of a long line
            if sum(map(len, self._rest)) > MAX_LINE_BYTES:
                skipped = hashlib.sha256(self.rest)
                self._rest = []
        if skipped is not None:
            yield BadLine(SubmissionDrop.LINE_TOO_LONG, skipped.hexdigest())
        elif line := self.rest:
            self._rest = []
            yield line

    @property
    def rest(self) -> bytes:
        """What came after the last line end."""
        return b"".join(self._rest)


def parsed(line: bytes) -> Submission | BadLine | None:
    """The submission in a line; None for an empty line."""
    try:
        record = orjson.loads(line)
        if type(record) is not dict:
            return BadLine(SubmissionDrop.BAD_JSON, hashlib.sha256(line).hexdigest(), "not an object")
        return submission_of(record)
    except FieldError as error:
        return BadLine(SubmissionDrop.BAD_FIELD, hashlib.sha256(line).hexdigest(), str(error))
    except orjson.JSONDecodeError as error:
        if not line.strip():
            return None
        reason = SubmissionDrop.BAD_JSON
        if b"\0" in line:
            reason = SubmissionDrop.NUL_BYTE
        elif not _is_utf8(line):
            reason = SubmissionDrop.BAD_UTF8
        return BadLine(reason, hashlib.sha256(line).hexdigest(), error.msg if reason is SubmissionDrop.BAD_JSON else "")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def submission_of(record: dict[str, Any]) -> Submission:
    """The submission that a JSON object describes, in any shape since 2005.  Raises FieldError.

    URLs of dumps are HTML-escaped once, those that praw wrote (`"_source": "praw"`) are not.
    """
    get = record.get
    name, url, subreddit, score, created = get("id"), get("url"), get("subreddit"), get("score"), get("created_utc")
    if type(name) is not str or not 0 < len(name) <= MAX_ID_CHARS:
        raise FieldError("id")
    if not url or (type(url) is str and url[0] == "/"):
        url = _other_url(record) or url or None
    if type(url) is not str and url is not None:
        raise FieldError("url")
    if url and "&" in url and get("_source") != "praw":
        url = unescaped(url)
    if subreddit is None:
        subreddit = ""
    elif type(subreddit) is not str or len(subreddit) > MAX_ID_CHARS:
        raise FieldError("subreddit")
    if type(score) is not int and score is not None:
        score = _whole(score, "score")
    if score is not None and not MIN_KARMA <= score <= MAX_KARMA:
        raise FieldError("score")
    if type(created) is not int:
        created = _whole(created, "created_utc")
    if not 0 <= created <= MAX_UTC:
        raise FieldError("created_utc")
    is_self, over_18, meta = get("is_self"), get("over_18"), get("_meta")
    if is_self is None:
        is_self = False
    if over_18 is None:
        over_18 = False
    if type(is_self) is not bool or type(over_18) is not bool:
        raise FieldError("is_self or over_18")
    if meta is None:
        meta = _NO_META
    elif type(meta) is not dict:
        raise FieldError("_meta")
    return Submission(
        name.removeprefix("t3_"),
        url,
        score,
        created,
        subreddit,
        is_self,
        over_18,
        bool(get("removed_by_category") or meta.get("removal_type")),
        _latest(get("retrieved_on"), get("retrieved_utc"), meta.get("retrieved_2nd_on")),
    )


_NO_META: dict[str, Any] = {}


def unescaped(url: str) -> str:
    """Undoes the three escapes that Reddit's dumps carry, once.

    Not `html.unescape`: it knows 2,231 more names, and turns `?a=1&copy=2` into a copyright sign.
    """
    return url.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _other_url(record: dict[str, Any]) -> Any:
    """Where the URL stands if it is missing or relative: beside it, or, of a crosspost, in the post it was made from."""
    parents = record.get("crosspost_parent_list")
    parent = parents[0] if type(parents) is list and parents else None
    return record.get("url_overridden_by_dest") or (parent.get("url") if type(parent) is dict else None)


def _whole(value: Any, field: str) -> int:
    """A number that was written as a string (created_utc of 2014 and 2015) or as a float (the API)."""
    try:
        if type(value) is float or (type(value) is str and len(value) <= MAX_ID_CHARS):
            return int(float(value))
    except (ValueError, OverflowError):
        pass
    raise FieldError(field)


def _latest(*times: Any) -> int | None:
    latest = None
    for time in times:
        if time is not None and type(time) in (int, float) and 0 <= time <= MAX_UTC and (latest is None or time > latest):
            latest = int(time)
    return latest
