"""Dumps of every year and packing; bad lines are kept by their hash, never lost."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import decompress
from pipeline.decompress import decompressed
from pipeline.dump import (
    MAX_LINE_BYTES,
    BadLine,
    DumpError,
    FieldError,
    SubmissionDrop,
    TruncatedDump,
    parsed,
    read_dump,
    submission_of,
    unescaped,
)
from pipeline.schema import Submission

RECORD: dict[str, Any] = {
    "id": "4au2",
    "url": "http://ex.com/a",
    "score": 17,
    "created_utc": 1144858894,
    "subreddit": "science",
    "is_self": False,
    "over_18": False,
}


def record(**fields: Any) -> dict[str, Any]:
    return {**RECORD, **fields}


def lines_of(*records: Any) -> bytes:
    return b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in records)


def read(data: bytes, *, allow_truncated: bool = False) -> list[Submission | BadLine]:
    return list(read_dump(io.BytesIO(data), name="dump", allow_truncated=allow_truncated))


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def zst_long(data: bytes) -> bytes:
    """As Reddit dumps are: a window of 2 GiB."""
    parameters = zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=False, strategy=1, hash_log=6, chain_log=6)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()  # of unknown size: the window is written
    return packer.compress(data) + packer.flush()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "zst": zst,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "gz": gzip.compress,
    "plain": bytes,
}


# ---- packing ----


@pytest.mark.parametrize("packing", PACKED)
def test_every_packing_reads_alike(packing: str) -> None:
    data = lines_of(*(record(id=f"a{number}", url=f"http://ex.com/{number}") for number in range(500)))
    found = read(PACKED[packing](data))
    assert [submission.id for submission in found if isinstance(submission, Submission)] == [f"a{n}" for n in range(500)]


@pytest.mark.parametrize("packing", PACKED)
def test_frames_are_read_as_one_even_when_a_line_spans_them(packing: str) -> None:
    data = lines_of(*(record(id=f"a{number}") for number in range(50)))
    cut = len(data) // 2 + 3
    assert read(PACKED[packing](data[:cut]) + PACKED[packing](data[cut:])) == read(data)


@pytest.mark.parametrize("packing", PACKED)
def test_an_empty_dump_holds_nothing(packing: str) -> None:
    assert read(PACKED[packing](b"")) == []
    assert read(b"") == []


@pytest.mark.parametrize("packing", ["zst", "xz", "bz2", "gz"])
def test_a_truncated_dump_is_an_error_unless_allowed(packing: str) -> None:
    text = lines_of(*(record(id=f"a{number}", url=f"http://ex.com/{number * 7919}") for number in range(8000)))
    whole = PACKED[packing](text)
    cut = whole[: len(whole) * 2 // 3]
    with pytest.raises(TruncatedDump, match="--allow-truncated"):
        read(cut)
    found = read(cut, allow_truncated=True)
    good = [one for one in found if isinstance(one, Submission)]
    bad = [one for one in found if isinstance(one, BadLine)]
    assert good == read(text)[: len(good)]
    assert packing == "bz2" or len(good) > 2_000  # bz2 gives nothing of a block that is not whole
    assert [one.reason for one in bad] in ([], [SubmissionDrop.CUT_SHORT])


def test_frames_after_a_skippable_frame_and_padding_are_read() -> None:
    data = lines_of(RECORD)
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    assert read(skippable + zst(data)) == read(data)
    assert read(lzma.compress(data) + b"\0" * 8 + lzma.compress(data)) == read(data + data)


@pytest.mark.parametrize("packing", ["zst", "xz", "bz2", "gz"])
def test_a_damaged_dump_is_an_error_of_one_sentence(packing: str) -> None:
    whole = bytearray(PACKED[packing](lines_of(*(record(id=f"a{number}") for number in range(3000)))))
    whole[len(whole) // 2 : len(whole) // 2 + 40] = b"\xff" * 40
    with pytest.raises(DumpError, match=r"^dump: "):
        read(bytes(whole))


def test_the_window_of_real_dumps_is_accepted() -> None:
    data = lines_of(RECORD, RECORD)
    packed = zst_long(data)
    assert zstandard.get_frame_parameters(packed).window_size == 1 << 31
    with pytest.raises(zstandard.ZstdError):  # what a reader that does not ask for it meets
        zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    assert len(read(packed)) == 2


def test_a_bomb_fills_no_memory_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompress, "MAX_RATIO_FROM", 200 << 20)
    bomb = zstandard.ZstdCompressor(level=3).compress(b"\0" * (300 << 20))
    assert len(bomb) < 100_000
    tracemalloc.start()
    with pytest.raises(decompress.CorruptError, match="expands more than"):
        deque(decompressed(io.BytesIO(bomb)), maxlen=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


def test_a_bomb_of_line_ends_gives_nothing() -> None:
    assert read(zst(b"\n" * (20 << 20))) == []


# ---- lines ----


def test_a_line_without_end_counts_and_empty_lines_do_not() -> None:
    data = b"\xef\xbb\xbf" + lines_of(RECORD, b"\n", b"  \r\n", RECORD).rstrip()
    assert len(read(data)) == 2
    assert read(lines_of(RECORD).replace(b"\n", b"\r\n")) == read(lines_of(RECORD))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", SubmissionDrop.BAD_JSON),
        (b'{"id": "a", "url": NaN}', SubmissionDrop.BAD_JSON),
        (b'{"id": "\\ud800"}', SubmissionDrop.BAD_JSON),
        (b"[" * 100_000, SubmissionDrop.BAD_JSON),
        (b'{"id": "\xff"}', SubmissionDrop.BAD_UTF8),
        (b"\0\0\0\0", SubmissionDrop.NUL_BYTE),
        (b'{"id": "a\0b"}', SubmissionDrop.NUL_BYTE),
        (b"[1, 2]", SubmissionDrop.BAD_JSON),
        (b"null", SubmissionDrop.BAD_JSON),
        (b'{"a": "' + b"x" * MAX_LINE_BYTES + b'"}', SubmissionDrop.LINE_TOO_LONG),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_a_bad_line_is_known_by_its_hash(line: bytes, reason: SubmissionDrop, last: bool) -> None:
    before, bad, *after = read(lines_of(RECORD, line) if last else lines_of(RECORD, line + b"\n", RECORD))
    assert isinstance(bad, BadLine)
    assert bad[:2] == (reason, hashlib.sha256(line).hexdigest())
    assert [before] * (not last) == after


def test_a_line_that_is_too_long_is_not_held() -> None:
    def endless() -> Iterator[bytes]:
        yield from (b"x" * (1 << 20) for _ in range(200))
        yield b"\n" + json.dumps(RECORD).encode()

    class Stream(io.RawIOBase):
        pieces = endless()

        def read(self, size: int = -1) -> bytes:
            return next(self.pieces, b"")

    tracemalloc.start()
    bad, good = read_dump(Stream(), name="dump")  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(bad, BadLine)
    assert (bad.reason, type(good)) == (SubmissionDrop.LINE_TOO_LONG, Submission)
    assert peak < 80 << 20


@settings(deadline=None)
@given(st.integers(1, 40), st.lists(st.text("aé漢😀", max_size=12), min_size=1, max_size=8))
def test_a_character_across_a_boundary_of_pieces_is_whole(size: int, names: list[str]) -> None:
    """OpenWebText2 decodes piece by piece, and loses half of a dump that is not ASCII."""
    records = [record(url=f"http://ex.com/{name}") for name in names]
    data = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records).encode()

    class Trickle(io.BytesIO):
        def read(self, _: int | None = -1) -> bytes:
            return super().read(size)

    found = list(read_dump(Trickle(data), name="dump"))
    assert [one.url for one in found if isinstance(one, Submission)] == [one["url"] for one in records]


# ---- fields ----


def test_a_record_of_2005_and_one_of_2024_read_alike() -> None:
    old = {"id": "a", "url": "http://ex.com/?a=1&amp;b=2", "score": 3, "created_utc": 1119552233, "subreddit": "reddit.com",
           "is_self": False, "over_18": False, "ups": 5, "retrieved_on": 1440000000}  # fmt: skip
    new = {**old, "name": "t3_a", "retrieved_utc": 1440000000, "edited": 1.5, "removed_by_category": None,
           "_meta": {"retrieved_2nd_on": 1440000000, "is_edited": True}}  # fmt: skip
    assert submission_of(old) == submission_of(new)
    assert submission_of(old) == Submission(
        "a", "http://ex.com/?a=1&b=2", 3, 1119552233, "reddit.com", False, False, False, 1440000000
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"created_utc": "1388534400"}, {"created_utc": 1388534400}),  # 2014-01 to 2015-11
        ({"created_utc": 1388534400.0}, {"created_utc": 1388534400}),  # the API
        ({"score": None}, {"score": None}),  # 2017-10 and -11
        ({"score": -4}, {"score": -4}),
        ({"url": None}, {"url": None}),  # 23 % of 2022-08 and -09
        ({"url": ""}, {"url": None}),
        ({"url": None, "url_overridden_by_dest": "http://ex.com/b"}, {"url": "http://ex.com/b"}),
        ({"id": "t3_abc"}, {"id": "abc"}),
        ({"subreddit": None}, {"subreddit": ""}),
        ({"is_self": None, "over_18": None}, {"is_self": False, "over_18": False}),
        ({"is_self": True, "over_18": True}, {"is_self": True, "over_18": True}),
        ({"removed_by_category": "moderator"}, {"removed": True}),
        ({"_meta": {"removal_type": "removed"}}, {"removed": True}),
        ({"_meta": None}, {"removed": False}),
        ({"retrieved_on": 5, "retrieved_utc": 7, "_meta": {"retrieved_2nd_on": 6}}, {"retrieved_utc": 7}),
        ({"retrieved_on": "soon"}, {"retrieved_utc": None}),
        ({"url": "/r/a/comments/1/", "crosspost_parent_list": [{"url": "http://ex.com/p?a=1&amp;b"}]}, {"url": "http://ex.com/p?a=1&b"}),
        ({"url": "/r/a/comments/1/", "crosspost_parent_list": []}, {"url": "/r/a/comments/1/"}),
        ({"url": "/r/a/comments/1/", "crosspost_parent_list": [7]}, {"url": "/r/a/comments/1/"}),
        ({"url": "http://ex.com/c", "crosspost_parent_list": [{"url": "http://ex.com/p"}]}, {"url": "http://ex.com/c"}),
    ],
)
def test_every_shape_a_field_has_had(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    found = submission_of(record(**fields))._asdict()
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"id": None}, {"id": ""}, {"id": 7}, {"id": "x" * 65}, {"url": 7}, {"url": ["http://ex.com"]}, {"score": "high"},
        {"score": True}, {"score": 1 << 31}, {"score": 1e300}, {"created_utc": None}, {"created_utc": "today"},
        {"created_utc": -1}, {"created_utc": 1 << 60}, {"created_utc": "9" * 5000}, {"subreddit": 7},
        {"is_self": "false"}, {"over_18": 1}, {"_meta": [1]},
    ],
)  # fmt: skip
def test_a_field_of_no_known_shape_is_a_bad_line(fields: dict[str, Any]) -> None:
    with pytest.raises(FieldError):
        submission_of(record(**fields))
    bad = parsed(json.dumps(record(**fields)).encode())
    assert isinstance(bad, BadLine)
    assert bad.reason is SubmissionDrop.BAD_FIELD


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["url", "removal_type", "x"]), inner, max_size=2),
    max_leaves=4,
)
FIELDS = [*RECORD, "url_overridden_by_dest", "crosspost_parent_list", "removed_by_category", "_meta", "_source", "retrieved_on"]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), anything, max_size=4))
def test_no_value_of_a_field_is_more_than_a_bad_line(fields: dict[str, Any]) -> None:
    try:
        found = submission_of(record(**fields))
    except FieldError:
        return
    assert found.url is None or found.url
    assert type(found.created_utc) is int
    assert found.retrieved_utc is None or type(found.retrieved_utc) is int


def test_three_escapes_are_undone_once_and_never_those_of_praw() -> None:
    assert unescaped("?a=1&amp;b=2&amp;amp;&lt;&gt;") == "?a=1&b=2&amp;<>"
    for text in ("?a=1&copy=2", "?a&lt=4", "?x=1&quot;"):
        assert unescaped(text) == text  # html.unescape changes all three
    written = record(url="http://ex.com/?a&amp;b", _source="praw")
    assert submission_of(written).url == "http://ex.com/?a&amp;b"


def test_real_dumps_of_2005(shared: Path) -> None:
    for month, total, at_least_3 in (("06", 103, 83), ("07", 1079, 757)):
        with open(shared / f"RS_v2_2005-{month}.xz", "rb") as file:
            found = [one for one in read_dump(file, name="dump") if isinstance(one, Submission)]
        assert len(found) == total
        assert sum(one.score is not None and one.score >= 3 for one in found) == at_least_3
        assert not any("&amp;" in (one.url or "") for one in found)
