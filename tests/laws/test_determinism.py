"""Law 2: the same inputs give the same bytes, whatever the workers, the runner, the order and the names of what is read.

Workers beyond a wire are in tests/engines/test_portable.py.
Of the manifest, `inputs` may differ: it holds the paths and the packing of the files that were read.  Nothing else may.
"""

from pathlib import Path

import pytest
from runs import arguments, built, copied, differences
from small_web import Files, Web

MULTI_PROCESSING = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


def test_order_names_and_packing_of_the_files_change_no_byte(whole: tuple[Files, Path], web: Web, tmp_path: Path) -> None:
    files = web.write(tmp_path / "web", seed=5, dumps=3, archives=3)
    root = tmp_path / "root"
    built(*arguments(files, root, "--workers", "4"), env={"PYTHONHASHSEED": "77"})
    assert differences(whole[1], root) == []


def test_a_run_over_a_finished_one_changes_no_byte_and_makes_no_shard_anew(whole: tuple[Files, Path], tmp_path: Path) -> None:
    files, finished = whole
    root = copied(finished, tmp_path / "root")
    before = {path: path.stat().st_ino for path in root.rglob("*.arrow")}
    built(*arguments(files, root, "--workers", "1"))
    assert differences(finished, root) == []
    assert {path: path.stat().st_ino for path in root.rglob("*.arrow")} == before


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12])
@pytest.mark.parametrize("workers", ["1", "2", "4"])
def test_workers_and_shuffled_rows_change_no_byte(
    whole: tuple[Files, Path], web: Web, tmp_path: Path, workers: str, seed: int
) -> None:
    files = web.write(tmp_path / "web", seed=seed, dumps=seed % 4 + 1, archives=seed % 3 + 2)
    root = tmp_path / "root"
    built(*arguments(files, root, "--workers", workers), env={"PYTHONHASHSEED": str(seed)})
    assert differences(whole[1], root) == []


@pytest.mark.slow
def test_beam_in_processes_of_its_own_changes_no_byte(whole: tuple[Files, Path], tmp_path: Path) -> None:
    root = tmp_path / "root"
    built(*arguments(whole[0], root, *MULTI_PROCESSING))
    assert differences(whole[1], root) == []


# ---- breaches ----


def made_again(files: Files, root: Path, shim: str, **env: str) -> None:
    """Documents of four partitions made again by a breach."""
    for number in range(4):
        for path in (root / "documents").glob(f"*-{number:05d}-of-*"):
            path.unlink()
    built(*arguments(files, root), shim=shim, env=env)


@pytest.mark.slow
def test_a_clock_in_the_rows_is_seen(whole: tuple[Files, Path], tmp_path: Path) -> None:
    root = copied(whole[1], tmp_path / "root")
    made_again(whole[0], root, "clock-in-rows")
    assert any(name.startswith("corpus/data") for name in differences(whole[1], root))


@pytest.mark.slow
def test_a_number_that_depends_on_the_hash_seed_is_seen(whole: tuple[Files, Path], tmp_path: Path) -> None:
    outputs = []
    for seed in ("1", "2"):
        outputs.append(copied(whole[1], tmp_path / seed))
        made_again(whole[0], outputs[-1], "hash-in-rows", PYTHONHASHSEED=seed)
    assert any(name.startswith("corpus/data") for name in differences(*outputs))
