"""Shards: when one is found finished, what a damaged one leads to, and the map over them."""

import contextlib
import random
import threading
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to

from pipeline.schema import LEDGER, LedgerRow, Shard, ShardError
from pipeline.shards import (
    BATCH_ROWS,
    Gather,
    MapShards,
    fingerprint,
    finished,
    read_batches,
    read_metadata,
    read_table,
    reusable_rows,
    rows_digest,
    shard_at,
    shard_path,
    write_ledger,
    write_shard,
)

ROWS = pa.table({"id": [f"{n:05d}" for n in range(3_000)], "text": [f"text number {n} " * 5 for n in range(3_000)]})


def made(root: Path, *, made_from: str = "inputs", table: pa.Table = ROWS) -> Shard:
    rows = [LedgerRow("documents", "TOO_SHORT", f"http://{n}.example/", f"{n}.example/") for n in range(3)]
    ledger = write_ledger(str(root), "documents", 2, rows)
    path = shard_path(str(root), "documents", 2, 16)
    return write_shard(
        path, table, stage="documents", number=2, of=16, recipe="recipe", made_from=made_from, ledger=[ledger], counts={"in": 9}
    )


def test_a_shard_that_was_made_from_just_this_is_found(tmp_path: Path) -> None:
    shard = made(tmp_path)
    assert shard == Shard("documents", 2, 16, shard.path, 3_000, 3, shard.digest)
    assert shard.path == str(tmp_path / "documents" / "documents-00002-of-00016.arrow")
    assert finished(shard.path, "inputs") == shard == shard_at(shard.path)
    assert finished(shard.path, "other inputs") is None
    assert finished(shard_path(str(tmp_path), "documents", 3, 16), "inputs") is None
    assert read_metadata(shard.path).counts == {"in": 9}
    assert read_table(shard.path, columns=["text"]).num_columns == 1


def test_a_shard_whose_ledger_is_gone_or_another_is_not_finished(tmp_path: Path) -> None:
    shard = made(tmp_path)
    ledger = tmp_path / "ledger" / "documents-00002.arrow"
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[:-1] + b"x")
    assert finished(shard.path, "inputs") is None
    ledger.unlink()
    assert finished(shard.path, "inputs") is None
    ledger.write_bytes(whole)
    assert finished(shard.path, "inputs") == shard


def test_the_manifest_goes_before_the_ledger_that_it_speaks_of(tmp_path: Path) -> None:
    manifest = tmp_path / "corpus" / "manifest.json"
    manifest.parent.mkdir()
    manifest.write_text("{}")
    made(tmp_path)
    assert not manifest.exists()


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_shard_is_whole_or_a_shard_error_never_anything_else(tmp_path: Path, seed: int) -> None:
    shard = made(tmp_path)
    path = Path(shard.path)
    whole = path.read_bytes()
    chance = random.Random(seed)
    for _ in range(20):
        data = bytearray(whole)
        for place in chance.sample(range(len(data)), chance.choice([1, 1, 50])):
            data[place] ^= chance.randrange(1, 256)
        path.write_bytes(data[: chance.choice([len(data), len(data), chance.randrange(len(data))])])
        finished(shard.path, "inputs")
        reusable_rows(shard.path, "recipe")
        for read in (read_table, read_metadata, lambda path: list(read_batches(path, columns=["text"]))):
            with contextlib.suppress(ShardError):  # no other
                read(shard.path)


def test_batches_are_small_and_the_digest_is_of_the_rows_alone(tmp_path: Path) -> None:
    shard = made(tmp_path / "one")
    again = made(tmp_path / "two", made_from="other", table=pa.concat_tables([ROWS.slice(0, 7), ROWS.slice(7)]))
    assert max(batch.num_rows for batch in read_batches(shard.path)) == BATCH_ROWS
    assert shard.digest == again.digest
    assert rows_digest(batch.replace_schema_metadata() for batch in read_batches(shard.path)) == shard.digest
    assert made(tmp_path / "three", table=ROWS.slice(1)).digest != shard.digest


def test_rows_are_reused_under_the_same_recipe_only(tmp_path: Path) -> None:
    shard = made(tmp_path)
    reused = reusable_rows(shard.path, "recipe", columns=["id"])
    assert reused is not None
    assert reused.num_rows == 3_000
    assert reusable_rows(shard.path, "another") is None
    assert reusable_rows(shard.path + "x", "recipe") is None


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    shard = made(tmp_path)
    with pytest.raises(ShardError, match="has no column 'words'; it has id, text"):
        read_table(shard.path, columns=["words"])
    with pytest.raises(ShardError, match="is not there"):
        read_table(shard.path + "x")
    with pytest.raises(ShardError, match="not a work shard"):
        read_metadata(str(tmp_path / "ledger" / "documents-00002.arrow"))


def test_ledger_rows_have_one_order_whatever_order_they_came_in(tmp_path: Path) -> None:
    rows = [
        LedgerRow("links", reason, url, key, detail, kept)
        for reason in ("REPOST", "LOW_KARMA") for url in (None, "http://a.example/") for key in (None, "a.example/")
        for detail in ("", "x") for kept in (None, "1")
    ]  # fmt: skip
    files = []
    for seed in range(5):
        random.Random(seed).shuffle(rows)
        files.append(write_ledger(str(tmp_path), "links", 0, rows))
    assert len(set(map(str, files))) == 1
    assert files[0].dropped == {"LOW_KARMA": 16, "REPOST": 16}
    table = read_table(str(tmp_path / "ledger" / "links-00000.arrow"))
    assert table.schema.equals(LEDGER)
    assert table.column("key").to_pylist()[:16] == [None] * 16




def test_a_fingerprint_tells_every_part_and_its_place() -> None:
    parts = [fingerprint(*words) for words in ((1, "a"), ("a", 1), (1, ["a"]), (1, "a", None), ({"b": 1, "a": 2},), ("1a",))]
    assert len(set(parts)) == len(parts)
    assert fingerprint({"a": 2, "b": 1}) == fingerprint({"b": 1, "a": 2})


# ---- the map over shards ----


class Counted:
    """How many are in work at a time."""

    lock = threading.Lock()
    now = most = 0

    @classmethod
    def work(cls, element: int) -> int:
        with cls.lock:
            cls.now += 1
            cls.most = max(cls.most, cls.now)
        barrier.wait()
        with cls.lock:
            cls.now -= 1
        return element * element


barrier = threading.Barrier(3, timeout=60)


def test_three_are_in_work_at_a_time_and_each_comes_out_once() -> None:
    with Pipeline("FnApiRunner") as pipeline:
        squares = pipeline | beam.Create(range(12)) | MapShards(Counted.work, across=3)
        assert_that(squares, equal_to([n * n for n in range(12)]))
    assert Counted.most == 3


def fail_on_seven(element: int) -> int:
    if element == 7:
        raise ShardError("seven is damaged")
    return element


def test_an_error_of_one_shard_is_the_runs_error() -> None:
    with pytest.raises(ShardError, match="seven is damaged"), Pipeline("FnApiRunner") as pipeline:
        pipeline | beam.Create(range(20)) | MapShards(fail_on_seven, across=4)


def test_a_barrier_hands_on_one_sorted_list() -> None:
    shards = [Shard("links", n, 3, f"/{n}", n, 0, "") for n in (2, 0, 1)]
    with Pipeline("FnApiRunner") as pipeline:
        assert_that(pipeline | beam.Create(shards) | Gather(), equal_to([sorted(shards)]))
