"""Anybody's files, whole or broken, read into pieces of one schema."""

import functools
import gzip
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.dedup.columns import Columns
from pipeline.dedup.tables import PLACE, TableFile, fitted, lines, one_schema, pieces, split
from pipeline.schema import PipelineError
from pipeline.shards import read_metadata, read_table

gzipped = functools.partial(gzip.compress, mtime=0)  # the time in it would stand in the names of tests

COLUMNS = Columns(order=(), key="id")
ROWS = [{"id": f"r{n:03d}", "text": f"text {n} ", "score": n / 2, "tags": ["a", None], "extra": {"n": [n]}} for n in range(50)]


def json_lines(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_parquet(path: Path, rows: list[dict]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)


def write_arrow_file(path: Path, rows: list[dict]) -> None:
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def write_arrow_stream(path: Path, rows: list[dict]) -> None:
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


def write_views(path: Path, rows: list[dict]) -> None:
    """Texts as dictionary and ids as views, as other programs write them."""
    table = pa.Table.from_pylist(rows)
    table = table.set_column(0, "id", table.column("id").cast(pa.string_view()))
    table = table.set_column(1, "text", table.column("text").dictionary_encode())
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


FORMATS: dict[str, Callable[[Path, list[dict]], object]] = {
    "rows.jsonl": lambda path, rows: path.write_bytes(json_lines(rows)),
    "rows.jsonl.gz": lambda path, rows: path.write_bytes(gzipped(json_lines(rows))),
    "rows.jsonl.zst": lambda path, rows: path.write_bytes(zstandard.compress(json_lines(rows))),
    "rows.parquet": write_parquet,
    "rows.arrow": write_arrow_file,
    "stream.arrow": write_arrow_stream,
    "views.arrow": write_views,
}


def splitted(path: Path, root: Path) -> list[Path]:
    return [Path(shard.path) for shard in split(TableFile(str(path), 0, 1), root=str(root), columns=COLUMNS)]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    FORMATS[name](tmp_path / name, ROWS)
    [table] = pieces(str(tmp_path / name))
    assert table.to_pylist() == ROWS
    expected = pa.Table.from_pylist(ROWS).schema
    assert table.schema.equals(expected, check_metadata=True)
    assert table.schema.field("tags").type.field(0).name == "item"


def test_a_file_is_split_into_pieces_sorted_by_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.dedup.tables.PIECE_ROWS", 20)
    write_parquet(tmp_path / "rows.parquet", ROWS)
    paths = splitted(tmp_path / "rows.parquet", tmp_path / "out")
    tables = [read_table(str(path)) for path in paths]
    assert [len(table) for table in tables] == [50] or len(tables) > 1
    for table in tables:
        places = table.column(PLACE).to_pylist()
        assert places == sorted(places)
    rows = [row for table in tables for row in table.drop_columns(PLACE).to_pylist()]
    assert sorted(rows, key=lambda row: row["id"]) == ROWS
    text_bytes = sum(read_metadata(str(path)).counts["text_bytes"] for path in paths)
    assert text_bytes == sum(len(row["text"]) for row in ROWS)


def test_a_file_that_did_not_change_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.jsonl").write_bytes(json_lines(ROWS))
    before = splitted(tmp_path / "rows.jsonl", tmp_path / "out")
    monkeypatch.setattr("pipeline.dedup.tables.pieces", lambda path: pytest.fail("read again"))
    assert splitted(tmp_path / "rows.jsonl", tmp_path / "out") == before


def test_a_line_longer_than_a_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.dedup.tables.READ_BYTES", 100)
    content = [random.Random(n).randbytes(n * 30).replace(b"\n", b" ") for n in range(20)]
    (tmp_path / "rows.jsonl.zst").write_bytes(zstandard.compress(b"\n".join(content)))
    assert list(lines(str(tmp_path / "rows.jsonl.zst"))) == content


def test_gzip_members_one_after_another_are_one_file(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl.gz").write_bytes(gzipped(b"a\nb\n") + gzipped(b"c\n"))
    assert list(lines(str(tmp_path / "rows.jsonl.gz"))) == [b"a", b"b", b"c"]


GOOD = json_lines(ROWS)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("rows.jsonl", b'{"id": "a"}\n', "has no column 'text'; it has id"),
        ("rows.jsonl", b'{"text": "a"}\n', "has no column 'id'; it has text"),
        ("rows.jsonl", b'{"id": "a", "text": 7}\n', "column 'text' holds int64, not text"),
        ("rows.jsonl", b'{"id": ["a"], "text": "t"}\n', "an id or an order is a plain value"),
        ("rows.jsonl", b'{"id": "a", "text": "x"}\n{"id": "b", "te', "line 2 is not JSON"),
        ("rows.jsonl", b'["a", "b"]\n', "line 1 holds list, expected an object"),
        ("rows.jsonl", b'{"id": "a", "text": "x"}\n{"id": null, "text": "y"}\n', "1 rows have no 'id'"),
        ("rows.jsonl", b'{"id": "a", "text": "x"}\n{"id": "b", "text": 5}\n', "column 'text' holds values of several types"),
        ("rows.jsonl.gz", gzipped(GOOD)[:-400], "cannot be read to its end"),
        ("rows.jsonl.zst", zstandard.compress(GOOD)[:-200], "cannot be read to its end"),
        ("rows.jsonl.zst", GOOD, "cannot be read to its end"),
        ("rows.parquet", b"PAR1 and then nothing of use", "cannot be read to its end"),
        ("rows.arrow", b"ARROW1\0\0 cut", "cannot be read to its end"),
        ("rows.csv", b"id,text\n", "expected a name that ends in .arrow"),
    ],
)
def test_bad_input_is_one_clear_sentence(name: str, content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PipelineError, match=re.escape(sentence)):
        splitted(tmp_path / name, tmp_path / "out")


def test_a_parquet_file_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    write_parquet(tmp_path / "rows.parquet", ROWS)
    whole = (tmp_path / "rows.parquet").read_bytes()
    for length in (len(whole) // 2, len(whole) - 3, 0):
        (tmp_path / "rows.parquet").write_bytes(whole[:length])
        with pytest.raises(PipelineError, match="cannot be read to its end"):
            splitted(tmp_path / "rows.parquet", tmp_path / "out")


def test_an_arrow_file_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    write_arrow_file(tmp_path / "rows.arrow", ROWS)
    whole = (tmp_path / "rows.arrow").read_bytes()
    (tmp_path / "rows.arrow").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PipelineError, match="cannot be read to its end"):
        splitted(tmp_path / "rows.arrow", tmp_path / "out")


def test_columns_keep_their_order_if_all_agree_and_go_by_name_otherwise() -> None:
    one, other = pa.schema([("b", pa.int64()), ("a", pa.string())]), pa.schema([("b", pa.float64()), ("a", pa.string())])
    assert one_schema([one, other], what="x").names == ["b", "a"]
    more = pa.schema([("c", pa.null()), ("b", pa.int64())])
    united = one_schema([one, more], what="x")
    assert united.names == ["a", "b", "c"]
    assert fitted(pa.table({"b": [1]}), united).to_pylist() == [{"a": None, "b": 1, "c": None}]


def test_types_that_nothing_holds_together_are_an_error() -> None:
    with pytest.raises(PipelineError, match="here: the schemas do not fit together"):
        one_schema([pa.schema([("a", pa.int64())]), pa.schema([("a", pa.string())])], what="here")
