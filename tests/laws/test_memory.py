"""Law 4: only Shard records cross a shuffle, and the memory of a run is bounded by the shard, not by the corpus."""

import json
from pathlib import Path

import pytest
from runs import arguments, built, copied
from small_web import Files, small_web

# A Shard is some 400 bytes when pickled, a task a Shard or two and the place of a list.  Only the two steps behind a barrier
# take all shards at once: one element, in one worker, 5 MB at 4,096 partitions.
SHARD_BYTES = 1_000
BARRIERS = {"find_copies", "decide"}
SHARDS_AT_A_BARRIER = 16 + 16 + 1 + 36  # documents, signatures, copies, edges


def weighed(files: Files, root: Path, *, shim: str = "weigh-elements") -> dict[str, int]:
    """Bytes of the largest element by the function that took it in or gave it out."""
    gauge = root.with_suffix(".gauge")
    built(*arguments(files, root), shim=shim, env={"LAWS_GAUGE": str(gauge)})
    return json.loads(gauge.read_text())


def without(root: Path, *folders: str) -> Path:
    for folder in folders:
        for path in (root / folder).rglob("*.arrow"):
            path.unlink()
    return root


def test_no_element_between_two_steps_carries_rows(whole: tuple[Files, Path], tmp_path: Path) -> None:
    largest = weighed(whole[0], copied(whole[1], tmp_path / "root"))
    steps = {"spill_dump", "merge_partition", "find_pages", "extract_shard", "sign", "decide", "write_corpus_shard"}
    assert steps <= set(largest)
    assert {name for name, size in largest.items() if size >= SHARD_BYTES} <= BARRIERS, largest
    assert max(largest.values()) < SHARDS_AT_A_BARRIER * SHARD_BYTES / 2, largest


@pytest.mark.slow
def test_elements_do_not_grow_with_the_pages(whole: tuple[Files, Path], tmp_path: Path) -> None:
    more = small_web(900, seed=3).write(tmp_path / "web")
    one = weighed(whole[0], copied(whole[1], tmp_path / "one"))
    four = weighed(more, tmp_path / "four")
    # Numbers have more digits: a few in one Shard, one or two for each in a list of them.
    grown = {name: (one[name], four[name]) for name in one if four[name] > one[name] + max(64, one[name] // 50)}
    assert grown == {}


@pytest.mark.slow
def test_rows_that_cross_a_shuffle_are_seen(whole: tuple[Files, Path], tmp_path: Path) -> None:
    root = without(copied(whole[1], tmp_path / "root"), "documents", "duplicates")
    assert weighed(whole[0], root, shim="pass-text")["extract_shard"] > 20 * SHARD_BYTES


# ---- peak memory ----

PARAGRAPHS = 300  # 150 kB a page: 220 pages hold 33 MB of text, 880 hold 132 MB


def peak_mb(folder: Path, articles: int, *, shim: str) -> float:
    """Peak memory of the main process, extraction aside: that happens in children of bounded memory."""
    files = small_web(articles, seed=8, hosts=97, paragraphs=PARAGRAPHS).write(folder / "web")
    gauge = folder / "gauge"
    built(
        *arguments(files, folder / "root", "--dedup", "none", "--rebuild", "--shard-bytes", "4000000"),
        shim=shim, env={"LAWS_GAUGE": str(gauge)},
    )  # fmt: skip
    return json.loads(gauge.read_text())["peak_kb"] / 1024


@pytest.mark.slow
def test_four_times_the_pages_take_no_four_times_the_memory(tmp_path: Path) -> None:
    """A worker holds a partition and a corpus shard: their growth is 1/16 of the corpus, and a few copies of it."""
    one, four = (peak_mb(tmp_path / str(n), n, shim="quick-text") for n in (220, 880))
    hoarded = peak_mb(tmp_path / "hoard", 880, shim="hoard")
    print(f"peak MB of the main process: 220 pages {one:.0f}, 880 pages {four:.0f}, 880 pages hoarded {hoarded:.0f}")
    assert four - one < 99, "880 pages hold 99 MB more text than 220"
    assert hoarded - one > 99, "the breach is not seen"
