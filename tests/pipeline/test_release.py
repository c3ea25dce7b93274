"""Which webtext this is, and the refusal of another one."""

import shutil
from pathlib import Path

import apache_beam as beam
import pytest

from pipeline import shards
from pipeline.release import DECISIVE, WorkerError, check_release, code_digest, release
from pipeline.shards import MapShards

HERE = Path(__file__).parents[2]


def test_the_same_webtext_is_no_error() -> None:
    check_release(dict(release()))
    assert set(release()) == {"python", "code", *DECISIVE}


@pytest.mark.parametrize("name", ["python", "code", "trafilatura", "webtext"])
def test_what_differs_is_named(name: str) -> None:
    with pytest.raises(WorkerError, match=rf": {name} {release()[name]} instead of other\. Build"):
        check_release({**release(), name: "other"})


def test_the_digest_is_of_names_and_code(tmp_path: Path) -> None:
    for room in ("pipeline", "tokenizer", "dags"):
        shutil.copytree(HERE / room, tmp_path / room)
    whole = code_digest(tmp_path)
    release.cache_clear()
    assert release()["code"] == whole == code_digest(HERE)
    (tmp_path / "dags" / "corpus.py").write_text("")  # runs where the job is submitted
    (tmp_path / "pipeline" / "notes.txt").write_text("")
    assert code_digest(tmp_path) == whole
    (tmp_path / "pipeline" / "schema.py").rename(tmp_path / "pipeline" / "schemes.py")
    renamed = code_digest(tmp_path)
    (tmp_path / "pipeline" / "schemes.py").write_text("x = 1\n")
    assert len({whole, renamed, code_digest(tmp_path)}) == 3


def test_a_worker_of_another_webtext_sees_no_element(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "release", lambda: {**release(), "code": "of the job"})
    seen: list[int] = []
    with pytest.raises(WorkerError, match="instead of of the job"), beam.Pipeline(runner="FnApiRunner") as pipeline:
        pipeline | beam.Create([1]) | MapShards(seen.append)
    assert seen == []
