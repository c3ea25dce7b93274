"""Files that appear whole or not at all."""

import os
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.schema import PipelineError


def test_a_file_appears_when_its_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.bin"
    with storage.publish(str(path)) as file:
        file.write(b"one")
        assert not path.exists()
        assert len(list(path.parent.iterdir())) == 1
    assert path.read_bytes() == b"one"
    assert list(path.parent.iterdir()) == [path]


def test_what_stood_there_stays_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "b.bin"
    path.write_bytes(b"before")
    published = storage.publish(str(path))
    published.__enter__().write(b"after")
    assert published.__exit__(KeyError, KeyError(), None) is False
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_no_harm(tmp_path: Path) -> None:
    path = str(tmp_path / "b.bin")
    with storage.publish(path) as one, storage.publish(path) as other:
        one.write(b"same")
        other.write(b"same")
    assert os.listdir(tmp_path) == ["b.bin"]
    assert storage.read_text(path) == "same"


def test_a_disk_without_room_is_an_error_that_a_person_can_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "uuid", Named())
    os.symlink("/dev/full", tmp_path / f"x{storage.TEMPORARY}{Named.hex[:12]}")  # the device that is always full
    with pytest.raises(PipelineError, match=r"cannot write .*/x: No space left on device\. Mend that"):
        storage.write_text(str(tmp_path / "x"), "x" * 100_000)
    assert list(tmp_path.iterdir()) == []


class Named:
    """Stands for the module uuid: the next temporary name is known."""

    hex = "f" * 32

    def uuid4(self) -> "Named":
        return self


def test_a_file_in_the_way_of_a_folder_is_an_error_that_a_person_can_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match=r"cannot make the folder .*\. Choose an --output that can be written"):
        storage.write_text(str(tmp_path / "file" / "below"), "x")


def test_what_a_killed_run_left_is_collected(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in (f"deep/a.arrow{storage.TEMPORARY}0123", "deep/a.arrow", "b.json"):
        (tmp_path / name).write_text("")
    storage.collect_temporaries(str(tmp_path))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.arrow", "b.json", "deep"]


def test_files_are_found_once_and_in_order(tmp_path: Path) -> None:
    for name in ("b.zst", "a.zst", "c.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "d.zst").mkdir()
    globs = [str(tmp_path / "*.zst"), str(tmp_path / "a.zst"), str(tmp_path / "**" / "*.txt")]
    assert [os.path.basename(path) for path in storage.expand(globs, what="dump")] == ["a.zst", "b.zst", "c.txt"]
    with pytest.raises(PipelineError, match=r"no dump matches .*quote a glob"):
        storage.expand([*globs, str(tmp_path / "*.xz")], what="dump")


def test_a_name_with_brackets_is_a_file_before_it_is_a_glob(tmp_path: Path) -> None:
    (tmp_path / "dump[1].zst").write_text("")
    assert len(storage.matching(str(tmp_path / "dump[1].zst"))) == 1


def test_removing_what_is_gone_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    storage.remove([str(tmp_path / "a"), str(tmp_path / "a"), str(tmp_path / "none")])
    assert list(tmp_path.iterdir()) == []


def test_an_input_is_hashed_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = storage.input_digest(str(path))
    assert first == storage.sha256_of(str(path))
    path.write_bytes(b"two!")
    assert storage.input_digest(str(path)) == storage.sha256_of(str(path)) != first


def test_a_path_with_a_scheme_is_not_local() -> None:
    assert storage.join("gs://bucket/root", "corpus", "data") == "gs://bucket/root/corpus/data"
    assert not storage.is_local("s3://bucket/x")
    assert storage.is_local("/data/x")
