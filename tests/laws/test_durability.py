"""Law 3: a shard appears whole or not at all, and a run that is killed and taken up again ends like one that never was."""

import os
import random
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runs import (
    arguments,
    built,
    clear_error,
    copied,
    differences,
    half_written,
    kill_tree,
    started,
    temporaries,
    wait_until,
    webtext,
)
from small_web import Files, Web

# Shards that are recognised by their names and never made twice: the ledger and `dropped` are written before them.
FINISHED = ("links/spill-*", "links/links-*", "pages/archive-*", "pages/index-*", "pages/pages-*", "documents/documents-*",
            "duplicates/signatures-*", "duplicates/edges-*", "documents/sizes-*", "corpus/data/*")  # fmt: skip


def count(root: Path, pattern: str) -> int:
    return sum(".tmp-" not in path.name for path in root.glob(pattern))


def finished_shards(root: Path) -> dict[Path, tuple[int, int]]:
    """Inode and time of each."""
    found = [path for pattern in FINISHED for path in root.glob(pattern) if ".tmp-" not in path.name]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


class Killing:
    """A root on which runs are killed, and what must be true after each."""

    def __init__(self, files: Files, root: Path, chance: random.Random) -> None:
        self.files, self.root, self.chance = files, root, chance
        self.finished: dict[Path, tuple[int, int]] = {}
        self.told: list[str] = []

    def kill_at(self, pattern: str, shards: int) -> None:
        """SIGKILL to the whole process tree when so many shards are there, and up to half a second later."""
        with started(*arguments(self.files, self.root, "--workers", "2")) as process:
            wait_until(lambda: count(self.root, pattern) >= shards, process=process)
            late = self.chance.random() / 2
            end = time.monotonic() + late
            wait_until(lambda: time.monotonic() >= end, process=process)
            alive = process.poll() is None
            kill_tree(process)
        there = count(self.root, pattern)
        self.note(f"{pattern} {there} >= {shards}, {late:.2f} s later" + ("" if alive else ": was done before"))

    def die(self, shim: str) -> None:
        """The run kills itself in the middle of writing a file."""
        done = webtext(*arguments(self.files, self.root, "--workers", "2"), shim=shim)
        self.note(shim if done.returncode == -signal.SIGKILL else f"{shim}: was done before")

    def note(self, moment: str) -> None:
        stages = Counter(path.parent.name for path in self.root.rglob("*.arrow") if ".tmp-" not in path.name)
        self.told.append(f"{moment:<60} {dict(sorted(stages.items()))} {len(temporaries(self.root))} half written")
        assert half_written(self.root) == []
        now = finished_shards(self.root)
        redone = [path.name for path, known in self.finished.items() if now.get(path) != known]
        assert redone == [], "these were finished before the last run, and made again"
        self.finished = now
        if (self.root / "corpus" / "manifest.json").exists():
            assert webtext("verify", str(self.root)).returncode == 0

    def complete(self, undisturbed: Path) -> None:
        built(*arguments(self.files, self.root))
        assert differences(undisturbed, self.root) == []
        assert temporaries(self.root) == []
        now = finished_shards(self.root)
        assert [path.name for path, known in self.finished.items() if now.get(path) != known] == []


def test_three_kills(whole: tuple[Files, Path], tmp_path: Path) -> None:
    killing = Killing(whole[0], tmp_path / "root", random.Random(3))
    killing.kill_at("links/links-*", 5)
    killing.kill_at("documents/documents-*", 4)
    killing.die("die-in-a-shard")
    killing.complete(whole[1])
    assert "was done before" not in "".join(killing.told), killing.told


@pytest.mark.slow
def test_twenty_kills(whole: tuple[Files, Path], tmp_path: Path) -> None:
    chance = random.Random(20)
    killing = Killing(whole[0], tmp_path / "root", chance)
    moments = [("links/spill-*", 1)]
    for pattern, shards, times in (
        ("links/links-*", 15, 2), ("pages/index-*", 15, 1), ("pages/pages-*", 15, 2), ("documents/documents-*", 15, 6),
        ("duplicates/signatures-*", 15, 2), ("duplicates/edges-*", 34, 1),
    ):  # fmt: skip
        moments += [(pattern, number) for number in sorted(chance.sample(range(1, shards), times))]
    for pattern, shards in moments:
        killing.kill_at(pattern, shards)
    for shim in ("die-in-a-shard", "die-in-a-late-shard", "die-in-the-card", "die-in-the-manifest", "die-in-the-manifest"):
        killing.die(shim)
    print("\n".join(killing.told))
    assert len(killing.told) == 20
    assert sum("was done before" in line for line in killing.told) <= 1, killing.told
    killing.complete(whole[1])


@pytest.mark.slow
def test_a_second_larger_run_that_is_killed_leaves_no_manifest_that_lies(
    whole: tuple[Files, Path], web: Web, tmp_path: Path
) -> None:
    half = Web(web.lines[::2], web.fates[::2], web.records).write(tmp_path / "half")
    files = Files(half.dumps, whole[0].archives)
    root = tmp_path / "root"
    built(*arguments(files, root))
    killing = Killing(whole[0], root, random.Random(4))
    killing.die("die-in-a-ledger")
    assert not (root / "corpus" / "manifest.json").exists()
    for pattern in ("links/links-*", "documents/documents-*"):
        killing.finished = {}  # the second run has other inputs: it makes shards anew
        killing.kill_at(pattern, 16)
    built(*arguments(whole[0], root))
    assert differences(whole[1], root) == []


# ---- asked to stop ----


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_asked_to_stop_stops_within_ten_seconds(
    whole: tuple[Files, Path], tmp_path: Path, number: signal.Signals, status: int
) -> None:
    root = tmp_path / "root"
    with started(*arguments(whole[0], root)) as process:
        assert wait_until(lambda: count(root, "links/links-*") > 0, process=process)
        children = process.children(recursive=True)
        process.send_signal(number)
        assert process.wait(timeout=10) == status
    assert [child for child in children if child.is_running() and child.status() != "zombie"] == []
    assert half_written(root) == []


# ---- no room ----


def at_most(limit: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


@pytest.mark.slow
def test_a_file_that_cannot_be_written_ends_the_run_in_one_sentence(whole: tuple[Files, Path], tmp_path: Path) -> None:
    """Of a finished run the corpus shards are missing; none of them fits below the limit."""
    root = copied(whole[1], tmp_path / "root")
    for path in (root / "corpus").rglob("*.*"):
        path.unlink()
    said = clear_error(webtext(*arguments(whole[0], root), setup=at_most(9_000)))
    assert "cannot write" in said
    assert "File too large" in said
    assert temporaries(root) == []
    built(*arguments(whole[0], root))
    assert differences(whole[1], root) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 kB; a run on the small web takes twice that."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a disk; the limit of file size above has the same effect")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_in_one_sentence(whole: tuple[Files, Path], small_disk: Path) -> None:
    root = small_disk / "root"
    said = clear_error(webtext(*arguments(whole[0], root)))
    assert "No space left on device" in said
    assert half_written(root) == []
    for size in ("700k", "1m", "1300k"):  # room for a little more each time
        subprocess.run(["mount", "-o", f"remount,size={size}", str(small_disk)], check=True)
        done = webtext(*arguments(whole[0], root))
        assert done.returncode == 0 or "No space left on device" in clear_error(done)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    built(*arguments(whole[0], root))
    assert differences(whole[1], root) == []


# ---- breaches ----


def test_a_file_that_is_written_in_place_is_seen(whole: tuple[Files, Path], tmp_path: Path) -> None:
    killing = Killing(whole[0], tmp_path / "root", random.Random(5))
    with pytest.raises(AssertionError, match=r"\.arrow: "):
        killing.die("write-in-place")


@pytest.mark.slow
def test_shards_that_are_made_twice_are_seen(whole: tuple[Files, Path], tmp_path: Path) -> None:
    root = copied(whole[1], tmp_path / "root")
    os.remove(root / "corpus" / "manifest.json")
    killing = Killing(whole[0], root, random.Random(6))
    killing.finished = finished_shards(root)
    with pytest.raises(AssertionError, match="made again"):
        killing.die("redo-everything")
