"""A list asked behind the spills gives the ledger that a list asked while a dump is read would have given, purged or not."""

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pipeline.exclude import Exclusions, exclusions
from pipeline.link_rules import link_id
from pipeline.links import LinkConfig, merge_partition, spill_dump
from pipeline.purge import purged, without_signatures
from pipeline.schema import Shard
from pipeline.shard_list import written_list
from pipeline.shards import finished, read_metadata, read_table
from pipeline.spill import partition_of_domain, read_partition

PARTS = 2
LIST = exclusions(["gone.example", link_id("kept.example/2"), "t3_s9"], name="list")
URLS = [
    "http://www.gone.example/a", "http://deep.gone.example/b?utm_source=x", "http://kept.example/1", "http://kept.example/2",
    "http://www.kept.example/2?utm_source=again", "http://kept.example/3", "http://other.example/", "http://gone.example/a",
]  # fmt: skip


def dump(folder: Path) -> Shard:
    lines = [
        {"id": f"s{n}", "url": url, "score": 3 + n, "created_utc": 1_400_000_000 + n, "subreddit": "r", "is_self": False}
        for n, url in enumerate([*URLS, "http://low.example/", "http://by-submission.example/"])
    ]
    lines[-2]["score"] = 1
    path = folder / "dump.zst"
    path.write_bytes(zstandard.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines)))
    return Shard("dumps", 0, 1, str(path), 0, 0, "d" * 64)


def merged(root: Path, config: LinkConfig, spill: Shard) -> tuple[list[Any], list[Any], Any]:
    """Links, ledger rows and the counts of all partitions."""
    listed = written_list([spill], path=str(root / "links" / "list.arrow"))
    shards = [merge_partition((number, listed), root=str(root), config=config) for number in range(PARTS)]
    links = [row for shard in shards for row in read_table(shard.path).to_pylist()]
    rows = [row for path in sorted((root / "ledger").iterdir()) for row in read_table(str(path)).to_pylist()]
    return sorted(links, key=lambda row: row["key"]), sorted(rows, key=str), [path.name for path in (root / "ledger").iterdir()]


def config(*, exclude: Exclusions = Exclusions(), removed: Exclusions = Exclusions()) -> LinkConfig:  # noqa: B008 - frozen
    return LinkConfig(exclude=exclude, removed=removed, partitions=PARTS)


def test_a_removal_is_as_if_the_list_had_been_asked_from_the_first(tmp_path: Path) -> None:
    outcomes = []
    for name, chosen in (("first", config(exclude=LIST)), ("since", config(removed=LIST))):
        root = tmp_path / name
        outcomes.append(merged(root, chosen, spill_dump(dump(tmp_path), root=str(root), config=chosen)))
    assert outcomes[0] == outcomes[1]
    links, rows, _ = outcomes[0]
    assert [row["key"] for row in links] == ["kept.example/1", "kept.example/3", "other.example/"]
    excluded = {row["detail"].split(" entry=")[1] for row in rows if row["reason"] == "EXCLUDED"}
    assert excluded == {"gone.example", link_id("kept.example/2"), "t3_s9"}


def test_a_removal_reads_no_dump_again(tmp_path: Path) -> None:
    spill = spill_dump(dump(tmp_path), root=str(tmp_path), config=config())
    before = Path(spill.path).stat().st_mtime_ns
    (tmp_path / "dump.zst").unlink()
    assert spill_dump(Shard("dumps", 0, 1, "gone", 0, 0, "d" * 64), root=str(tmp_path), config=config(removed=LIST)) == spill
    assert Path(spill.path).stat().st_mtime_ns == before


@pytest.mark.parametrize("entries", [["gone.example"], [link_id("kept.example/2")], ["never.example"]])
def test_a_purged_spill_gives_the_same_rows_and_holds_the_links_no_more(tmp_path: Path, entries: list[str]) -> None:
    removed = exclusions(entries, name="list")
    chosen = config(removed=removed)
    spill = spill_dump(dump(tmp_path), root=str(tmp_path), config=chosen)
    expected = merged(tmp_path, chosen, spill)
    bytes_before = Path(spill.path).read_bytes()
    gone = purged(str(tmp_path), removed)
    parts = [read_partition([spill.path], number=number, partitions=PARTS)[0] for number in range(PARTS)]
    kept = [key for links in parts for key in links["key"].to_pylist()]
    if entries == ["never.example"]:
        assert Path(spill.path).read_bytes() == bytes_before
        return
    assert gone.links == {"gone.example": 3, link_id("kept.example/2"): 2}[entries[0]]
    assert len(kept) == 9 - gone.links
    again = spill_dump(dump(tmp_path), root=str(tmp_path), config=chosen)
    assert (again.path, again.digest) == (spill.path, spill.digest)  # it is the spill of that dump still
    assert (again.rows, again.dropped) == (spill.rows - gone.links, spill.dropped + gone.links)
    for path in (tmp_path / "links").glob("links-*"):
        path.unlink()
    assert merged(tmp_path, chosen, again) == expected


def test_a_work_shard_that_lost_rows_is_made_again_by_the_next_run(tmp_path: Path) -> None:
    chosen = config()
    spill = spill_dump(dump(tmp_path), root=str(tmp_path), config=chosen)
    merged(tmp_path, chosen, spill)
    number = partition_of_domain("gone.example", PARTS)
    path = tmp_path / "links" / f"links-{number:05d}-of-{PARTS:05d}.arrow"
    before = read_metadata(str(path))
    purged(str(tmp_path), exclusions(["gone.example"], name="list"))
    after = read_metadata(str(path))
    assert not [row for row in read_table(str(path)).to_pylist() if "gone" in row["key"]]
    assert after.recipe == before.recipe  # other rows may be taken over
    assert finished(str(path), before.made_from) is None
    other = tmp_path / "links" / f"links-{1 - number:05d}-of-{PARTS:05d}.arrow"
    assert finished(str(other), read_metadata(str(other)).made_from) is not None


def test_nothing_to_clean_is_no_error(tmp_path: Path) -> None:
    assert not any(purged(str(tmp_path / "empty"), LIST))
    assert without_signatures(str(tmp_path / "empty"), {"x"}) == 0
