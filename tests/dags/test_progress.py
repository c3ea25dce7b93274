"""What is shown while a DAG runs: counted from a journal of finished shards."""

import io
import json
import time
from pathlib import Path

import pytest

from dags import progress as progress_module
from dags.progress import Progress, StageProgress
from pipeline.schema import Shard
from pipeline.shards import note


def shard(number: int, *, stage: str = "documents", of: int = 4, rows: int = 10, dropped: int = 3) -> Shard:
    return Shard(stage, number, of, f"/r/{stage}/{stage}-{number:05d}-of-{of:05d}.arrow", rows, dropped, "digest")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / ".journal"


def test_shards_are_counted_once_though_a_runner_repeats_them(journal: Path) -> None:
    progress = Progress(str(journal), quiet=True)
    progress.read()  # before there is a journal
    for number in (0, 1, 1, 0, 2):
        note(str(journal), shard(number))
        progress.read()
    stage = progress.stages["documents"]
    assert (len(stage.done), stage.of, stage.rows, stage.dropped, stage.finished) == (3, 4, 30, 9, False)
    note(str(journal), shard(3))
    progress.read()
    assert stage.finished


def test_half_a_line_is_read_when_it_is_whole(journal: Path) -> None:
    progress = Progress(str(journal), quiet=True)
    line = json.dumps(shard(0)._asdict()).encode() + b"\n"
    journal.write_bytes(line[:20])
    progress.read()
    assert progress.stages == {}
    journal.write_bytes(line + line[:5])
    progress.read()
    assert len(progress.stages["documents"].done) == 1


def test_two_series_of_one_stage_are_added() -> None:
    stage = StageProgress(0.0, 0.0)
    for path, of in (("data/train-00000-of-00007.arrow", 7), ("data/validation-00000-of-00001.arrow", 1)):
        stage.add(Shard("corpus", 0, of, path, 5, 0, ""), now=1.0)
    assert (stage.of, len(stage.done)) == (8, 2)


def test_a_line_tells_shards_records_rate_and_time_left() -> None:
    stage = StageProgress(started=100.0, last=100.0)
    stage.add(shard(0, of=4, rows=1_500, dropped=500), now=102.0)
    assert stage.line("documents") == "documents  1/4 shards  1,500 kept  500 dropped  1,000/s  0:06 left"
    for number in (1, 2, 3):
        stage.add(shard(number, of=4, rows=1_500, dropped=500), now=108.0)
    assert stage.line("documents") == "documents  4/4 shards  6,000 kept  2,000 dropped  1,000/s"


def test_plain_lines_where_there_is_no_terminal(journal: Path) -> None:
    out = io.StringIO()
    with Progress(str(journal), quiet=False, stream=out).shown():
        for number in range(4):
            note(str(journal), shard(number, rows=250))
    assert out.getvalue().splitlines()[-1].startswith("documents  4/4 shards  1,000 kept  12 dropped")


def test_quiet_says_nothing_and_counts(journal: Path) -> None:
    out = io.StringIO()
    progress = Progress(str(journal), quiet=True, stream=out)
    with progress.shown():
        note(str(journal), shard(0, of=1))
    assert out.getvalue() == ""
    times = progress.times()["documents"]
    assert (times["shards"], times["kept"], times["dropped"]) == (1, 10, 3)
    assert times["seconds"] >= 0


def test_quiet_times_each_stage(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """run.json, and with it the report, would else give the whole run to the first stage."""
    monkeypatch.setattr(progress_module, "INTERVAL_S", 0.001)
    progress = Progress(str(journal), quiet=True)
    deadline = time.monotonic() + 10
    with progress.shown():
        note(str(journal), shard(0, stage="links", of=1))
        while "links" not in progress.stages and time.monotonic() < deadline:
            pass
        note(str(journal), shard(0, of=1))
    first, second = progress.stages["links"], progress.stages["documents"]
    assert second.started == first.last
    assert second.last > second.started
