"""Tasks that read every shard carry the place of a list of them, whatever their number."""

import pickle
from pathlib import Path

import pytest

from pipeline.archive_index import Partition
from pipeline.corpus import Range, Writing
from pipeline.dedup.edges import band_tasks
from pipeline.dedup.rule import PRESETS
from pipeline.pages import Lookup
from pipeline.schema import Shard, ShardError
from pipeline.shard_list import list_path, shards_in, written_list

ROOT = "gs://a-bucket-of-a-company/corpora/webtext-of-all-years"  # longer than most
PARTITIONS = 4096  # the most a run has


def shards(stage: str, count: int, *, root: str = ROOT) -> list[Shard]:
    return [
        Shard(stage, n, count, f"{root}/{stage}/{stage}-{n:05d}-of-{count:05d}.arrow", 11_000, 4_000, f"{n:064x}")
        for n in range(count)
    ]


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    listed = written_list(shards("links", 7), path=list_path(str(tmp_path), "links", "all"))
    assert list(shards_in(listed)) == shards("links", 7)
    assert written_list([], path=str(tmp_path / "none.arrow")) == written_list([], path=str(tmp_path / "none.arrow"))


def test_a_list_is_the_same_wherever_its_root_lies(tmp_path: Path) -> None:
    bytes_of = []
    for root in (tmp_path / "one", tmp_path / "deep" / "two"):
        made = shards("links", 3, root=str(root))
        listed = written_list(made, path=list_path(str(root), "links", "all"))
        assert list(shards_in(listed)) == made
        bytes_of.append(Path(listed.path).read_bytes())
    assert bytes_of[0] == bytes_of[1]


def test_the_same_list_is_not_written_twice_and_another_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "list.arrow"
    written_list(shards("links", 3), path=str(path))
    before = path.stat().st_ino
    written_list(shards("links", 3), path=str(path))
    assert path.stat().st_ino == before
    other = written_list(shards("links", 4), path=str(path))
    first = written_list(shards("links", 3), path=str(path))
    assert shards_in(first) == tuple(shards("links", 3))
    with pytest.raises(ShardError, match="holds another list than this run wrote"):
        shards_in(other)


def test_a_task_is_below_a_kilobyte_at_4096_partitions(tmp_path: Path) -> None:
    every = shards("documents", PARTITIONS)
    listed = written_list(every, path=str(tmp_path / "list.arrow"))._replace(path=f"{ROOT}/documents/list-documents.arrow")
    verdicts = shards("duplicates", 1)[0]
    tasks = [
        Lookup(every[0], listed), Partition(4095, PARTITIONS, listed), (4095, listed),
        Writing(Range("train", 4095, PARTITIONS, 0, 1 << 20), listed, verdicts, "f" * 64),
        *band_tasks(every, [verdicts._replace(stage="copies")], root=str(tmp_path), rule=PRESETS["webtext"]),
    ]  # fmt: skip
    assert len(tasks) == 4 + 36
    assert max(len(pickle.dumps(task)) for task in tasks) < 1_000
    assert len(pickle.dumps(every)) > 700_000  # what each of them would carry: 3 GB between two steps
