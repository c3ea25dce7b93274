import gzip
import random
import struct
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from warc_bytes import http, packed, record

from pipeline.archive import Record, http_head, microseconds, records, stored_record
from pipeline.schema import PipelineError

URLS = [f"http://h{n}.example/" for n in range(5)]
RECORDS = [record(url, http(f"<p>page {n}</p>".encode() * (n + 1))) for n, url in enumerate(URLS)]


def written(folder: Path, data: bytes, name: str = "a.warc.gz") -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def targets(path: str) -> list[tuple[str, str]]:
    return [(found.target, found.damage) for found in records(path)]


def zstd(*parts: bytes, dictionary: zstandard.ZstdCompressionDict | None = None) -> bytes:
    compressor = zstandard.ZstdCompressor(dict_data=dictionary)
    return b"".join(compressor.compress(part) for part in parts)


def dictionary() -> zstandard.ZstdCompressionDict:
    randomness = random.Random(1)
    samples = [record(f"http://{randomness.random()}.example/", http(randomness.randbytes(300))) for _ in range(200)]
    return zstandard.train_dictionary(4096, samples)


@pytest.mark.parametrize("container", ["gzip", "plain", "zstd", "zstd with a dictionary", "zstd with a packed dictionary"])
def test_every_record_is_found_and_can_be_read_again(tmp_path: Path, container: str) -> None:
    shared = dictionary()
    skippable = shared.as_bytes() if container != "zstd with a packed dictionary" else zstd(shared.as_bytes())
    data = {
        "gzip": packed(*RECORDS),
        "plain": b"".join(RECORDS),
        "zstd": zstd(*RECORDS),
    }.get(container, b"\x5d\x2a\x4d\x18" + struct.pack("<I", len(skippable)) + skippable + zstd(*RECORDS, dictionary=shared))
    path = written(tmp_path, data)
    assert targets(path) == [(url, "") for url in URLS]
    for found, expected in zip(records(path), RECORDS, strict=True):
        stored = stored_record(path, offset=found.offset, length=found.length)
        assert (gzip.decompress(stored) if container == "gzip" else stored) == expected
        body_length = str(len(expected.split(b"\r\n\r\n")[2]))
        assert http_head(found.head) == (200, {"content-type": "text/html", "content-length": body_length})


@pytest.mark.parametrize("name", ["a.warc.gz", "a.warc"])
@pytest.mark.parametrize("broken", [0, 2, 4])
def test_a_broken_record_is_named_and_the_others_are_found(tmp_path: Path, name: str, broken: int) -> None:
    parts = [packed(part) if name.endswith("gz") else part for part in RECORDS]
    damaged = bytearray(parts[broken])
    if name.endswith("gz"):
        damaged[-12:-6] = b"\xff" * 6  # the packed data; the header before it still reads
    else:
        damaged[-20:-10] = b""  # the record is shorter than it says
    parts[broken] = bytes(damaged)
    found = targets(written(tmp_path, b"".join(parts), name))
    assert [url for url, damage in found if not damage] == [url for n, url in enumerate(URLS) if n != broken]
    assert [bool(damage) for url, damage in found if url == URLS[broken]] == [True]


@pytest.mark.parametrize("name", ["a.warc.gz", "a.warc"])
@pytest.mark.parametrize("wrong", [-5, 7])
def test_a_wrong_content_length_is_damage(tmp_path: Path, name: str, wrong: int) -> None:
    block = http(b"<p>some text of a page</p>")
    odd = record("http://odd.example/", block, length=len(block) + wrong)
    data = packed(RECORDS[0], odd, RECORDS[1]) if name.endswith("gz") else RECORDS[0] + odd + RECORDS[1]
    assert targets(written(tmp_path, data, name)) == [(URLS[0], ""), ("http://odd.example/", "wrong length"), (URLS[1], "")]


def test_an_archive_cut_anywhere_gives_the_whole_records_before_the_cut(tmp_path: Path) -> None:
    data = packed(*RECORDS)
    ends = [sum(len(packed(part)) for part in RECORDS[: n + 1]) for n in range(len(RECORDS))]
    for cut in range(1, len(data), 7):
        if data[:cut][:3] != b"\x1f\x8b\x08":
            continue
        whole = [found for found in records(written(tmp_path, data[:cut])) if not found.damage]
        assert len(whole) == sum(end <= cut for end in ends)


def test_a_bomb_is_not_unpacked_to_its_end(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=31)
    head = record("http://bomb.example/", http(b""), length=1 << 40)[:-4]
    bomb = packer.compress(head) + b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(300)) + packer.flush()
    found = targets(written(tmp_path, packed(RECORDS[0]) + bomb + packed(RECORDS[1])))
    assert found[0] == (URLS[0], "")
    assert found[1][0] == "http://bomb.example/"
    assert found[1][1].startswith("longer than")
    assert found[2] == (URLS[1], "")


def test_an_archive_packed_as_a_whole_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="warcio recompress"):
        list(records(written(tmp_path, gzip.compress(b"".join(RECORDS)))))


NO_ARCHIVES = {"text": b"no archive at all", "gzip": gzip.compress(b"no archive at all", mtime=0), "zip": b"PK\x03\x04"}


@pytest.mark.parametrize("data", NO_ARCHIVES.values(), ids=NO_ARCHIVES)
def test_what_is_no_warc_is_a_clear_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(PipelineError, match="no WARC file"):
        list(records(written(tmp_path, data)))


def test_an_empty_file_holds_no_records(tmp_path: Path) -> None:
    assert list(records(written(tmp_path, b""))) == []


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300), at=st.integers(0, 400), whole=st.sampled_from([packed(*RECORDS), b"".join(RECORDS)]))
def test_no_bytes_make_reading_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int, whole: bytes
) -> None:
    path = written(tmp_path_factory.mktemp("w"), whole[:at] + data + whole[at:])
    try:
        found: list[Record] = list(records(path))
    except PipelineError:
        return
    assert sum(item.length for item in found) == len(whole) + len(data)  # nothing is passed over in silence


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("2013-06-01T10:00:00Z", 1_370_080_800_000_000),
        ("2013-06-01T10:00:00.25Z", 1_370_080_800_250_000),
        ("2013-06-01", 1_370_044_800_000_000),
        ("", 0),
        ("yesterday", 0),
    ],
)
def test_warc_dates(date: str, expected: int) -> None:
    assert microseconds(date) == expected
