"""From dump files to link shards and ledger: every line is accounted for, and nothing shows how the lines were spread."""

import gzip
import hashlib
import json
import logging
import random
from collections import Counter
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
import zstandard

from pipeline import spill
from pipeline.dump import SubmissionDrop, TruncatedDump
from pipeline.exclude import exclusions
from pipeline.links import LinkConfig, SelectLinks, merge_partition, spill_dump
from pipeline.schema import LINK, Drop, LedgerRow, PipelineError, Shard, Submission
from pipeline.score_age import ScoreAgeError, median_h, score_age_h, score_age_warning
from pipeline.shard_list import list_path, written_list
from pipeline.shards import read_metadata, read_table
from pipeline.spill import partition_of_domain, spill_summary
from pipeline.submissions import ReadSubmissions, dump_shard
from pipeline.wanted import Wanted, subreddit_name

SUBREDDITS = ["science", "history", "news"]


def lines(count: int, *, seed: int = 1) -> list[bytes]:
    """Lines of every kind: kept, reposted, read twice, dropped by each stage, and broken."""
    chance = random.Random(seed)
    made = [b"{broken", b"\0\0", b'{"id": "\xff"}', b'{"id": 7}']
    for number in range(count):
        host = f"site{chance.randrange(40)}.example"
        page = chance.randrange(30)
        url = chance.choice([
            f"http://{host}/{page}",
            f"https://www.{host}/{page}#x",
            f"http://{host}/a.pdf",
            f"http://imgur.com/{number}",
            "http://en.wikipedia.org/wiki/A",
        ])
        row = {"id": f"s{number}", "url": url, "score": chance.randrange(-2, 30), "created_utc": 1_400_000_000 + number * 50_000,
               "subreddit": chance.choice(SUBREDDITS), "is_self": chance.random() < 0.1, "over_18": False,
               "retrieved_on": 1_500_000_000}  # fmt: skip
        made.append(json.dumps(row).encode())
        if chance.random() < 0.05:
            made.append(json.dumps({**row, "score": row["score"] + 1}).encode())
    return made


def dump_files(folder: Path, rows: list[bytes], *, files: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(files):
        data = b"".join(row + b"\n" for row in rows[number::files])
        packed = zstandard.ZstdCompressor().compress(data) if number % 2 else gzip.compress(data, mtime=0)
        paths.append(folder / f"RS_{number}.bin")
        paths[-1].write_bytes(packed)
    return paths


def build(root: Path, dumps: list[Path], **config: Any) -> list[Shard]:
    """The stage as its functions, without a runner."""
    settings = LinkConfig(partitions=4, **config)
    spills = [spill_dump(dump_shard(str(path)), root=str(root), config=settings) for path in dumps]
    listed = written_list(spills, path=list_path(str(root), "links", "spills"))
    return [merge_partition((number, listed), root=str(root), config=settings) for number in range(settings.partitions)]


def product(root: Path) -> dict[str, str]:
    """Hash of every file that the next stages and readers see."""
    found = sorted([*root.glob("links/links-*.arrow"), *root.glob("ledger/*.arrow")])
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def rows_of(root: Path) -> tuple[list[dict], list[dict]]:
    links = [row for path in sorted(root.glob("links/links-*.arrow")) for row in read_table(str(path)).to_pylist()]
    ledger = [row for path in sorted(root.glob("ledger/*.arrow")) for row in read_table(str(path)).to_pylist()]
    return links, ledger


def test_every_line_is_kept_or_in_the_ledger(tmp_path: Path) -> None:
    rows = lines(800)
    dumps = dump_files(tmp_path / "in", rows, files=3)
    shards = build(tmp_path, dumps)
    links, ledger = rows_of(tmp_path)
    spills = [spill_dump(dump_shard(str(path)), root=str(tmp_path), config=LinkConfig(partitions=4)) for path in dumps]
    assert sum(one.rows for one in spills) > len(links)  # reposts are not folded yet
    assert sum(one.rows + one.dropped for one in spills) == len(rows)
    assert len(links) + len(ledger) == len(rows)
    assert sum(shard.rows for shard in shards) == len(links)
    assert sum(shard.dropped for shard in shards) == len(ledger)
    counts: Counter[str] = Counter()
    for shard in shards:
        counts.update(read_metadata(shard.path).counts)
    stages = Counter(row["stage"] for row in ledger)
    assert counts == {
        "submissions_in": len(rows),
        "submissions_kept": len(rows) - stages["submissions"],
        "links_in": len(rows) - stages["submissions"],
        "links_kept": len(links),
    }
    reasons = Counter(row["reason"] for row in ledger)
    assert {reasons[name] for name in ("BAD_JSON", "BAD_UTF8", "NUL_BYTE", "BAD_FIELD")} == {1}
    assert min(reasons[name] for name in ("LOW_KARMA", "REPOST", "SAME_SUBMISSION", "SELF_POST", "EXTENSION", "WIKIPEDIA")) > 0


def test_a_shard_is_sorted_and_owns_its_domains(tmp_path: Path) -> None:
    shards = build(tmp_path, dump_files(tmp_path / "in", lines(500), files=2))
    seen: dict[str, int] = {}
    for shard in shards:
        table = read_table(shard.path)
        assert table.schema.remove_metadata() == LINK
        keys = table["key"].to_pylist()
        assert keys == sorted(set(keys))
        for domain in set(table["domain"].to_pylist()):
            assert seen.setdefault(domain, shard.number) == shard.number
            assert partition_of_domain(domain, 4) == shard.number
    assert len(set(seen.values())) == 4


def test_ledger_rows_are_in_order_and_name_what_they_can(tmp_path: Path) -> None:
    build(tmp_path, dump_files(tmp_path / "in", lines(300), files=1))
    names = {link["id"] for link in rows_of(tmp_path)[0]}
    for path in sorted(tmp_path.glob("ledger/*.arrow")):
        rows = read_table(str(path)).to_pylist()
        assert rows == sorted(rows, key=lambda row: [row[name] or "" for name in ("key", "url", "stage", "reason", "detail")])
        for row in rows:
            if row["reason"] in ("REPOST", "SAME_SUBMISSION"):
                assert row["kept"] in names
            if row["reason"] in ("REPOST", "IMAGE_HOST", "EXTENSION", "WIKIPEDIA"):
                assert row["key"]
            if row["reason"].startswith("BAD_"):
                assert row["detail"].startswith("sha256=")


@pytest.mark.parametrize("karma", ["max", "sum"])
def test_order_and_spread_of_the_lines_do_not_show(tmp_path: Path, karma: str) -> None:
    rows = lines(600)
    one = build(tmp_path / "a", dump_files(tmp_path / "in-a", rows, files=1), karma=karma)
    shuffled = random.Random(7).sample(rows, len(rows))
    five = build(tmp_path / "b", dump_files(tmp_path / "in-b", shuffled, files=5), karma=karma)
    assert [shard.digest for shard in one] == [shard.digest for shard in five]
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")
    ledgers = [{name: digest for name, digest in product(tmp_path / side).items() if "-of-" not in name} for side in "ab"]
    assert len(ledgers[0]) == 8
    assert ledgers[0] == ledgers[1]


def test_order_of_the_files_does_not_show(tmp_path: Path) -> None:
    dumps = dump_files(tmp_path / "in", lines(300), files=3)
    build(tmp_path / "a", dumps)
    build(tmp_path / "b", dumps[::-1])
    assert product(tmp_path / "a") == product(tmp_path / "b")


def test_a_renamed_dump_is_the_same_dump(tmp_path: Path) -> None:
    (path,) = dump_files(tmp_path / "in", lines(200), files=1)
    build(tmp_path / "a", [path])
    renamed = path.rename(tmp_path / "other.name")
    build(tmp_path / "b", [renamed])
    assert product(tmp_path / "a") == product(tmp_path / "b")


def test_a_dump_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dumps = dump_files(tmp_path / "in", lines(200), files=2)
    build(tmp_path, dumps)
    before = product(tmp_path)
    monkeypatch.setattr("pipeline.links.read_dump", lambda *_, **__: pytest.fail("parsed again"))
    build(tmp_path, dumps)
    assert product(tmp_path) == before
    (tmp_path / "ledger" / "links-00002.arrow").unlink()
    (tmp_path / "links" / "links-00003-of-00004.arrow").unlink()
    build(tmp_path, dumps)
    assert product(tmp_path) == before


def test_another_config_parses_again(tmp_path: Path) -> None:
    dumps = dump_files(tmp_path / "in", lines(200), files=1)
    build(tmp_path / "a", dumps)
    build(tmp_path / "a", dumps, min_karma=10)
    build(tmp_path / "b", dumps, min_karma=10)
    assert product(tmp_path / "a") == product(tmp_path / "b")


def test_a_spill_cut_short_is_written_again(tmp_path: Path) -> None:
    dumps = dump_files(tmp_path / "in", lines(100), files=1)
    build(tmp_path, dumps)
    before = product(tmp_path)
    (path,) = tmp_path.glob("links/spill-*.arrow")
    path.write_bytes(path.read_bytes()[:1000])
    (tmp_path / "links" / "links-00000-of-00004.arrow").unlink()
    build(tmp_path, dumps)
    assert product(tmp_path) == before


def test_chunks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dumps = dump_files(tmp_path / "in", lines(300), files=1)
    build(tmp_path / "a", dumps)
    monkeypatch.setattr(spill, "CHUNK_ROWS", 7)
    monkeypatch.setattr(spill, "BATCH_ROWS", 1)
    build(tmp_path / "b", dumps)
    monkeypatch.setattr(spill, "CHUNK_ROWS", 1000)
    monkeypatch.setattr(spill, "CHUNK_CHARACTERS", 100)
    build(tmp_path / "c", dumps)
    assert product(tmp_path / "a") == product(tmp_path / "b") == product(tmp_path / "c")
    (path,) = (tmp_path / "b").glob("links/spill-*.arrow")
    with pa.memory_map(str(path)) as source:
        assert pa.ipc.open_file(source).num_record_batches > 300  # the chunks were small


def test_a_long_url_is_shortened_in_the_ledger(tmp_path: Path) -> None:
    row = {"id": "a", "url": "http://ex.com/" + "x" * 511_871, "score": 5, "created_utc": 1, "subreddit": "s"}
    build(tmp_path, dump_files(tmp_path / "in", [json.dumps(row).encode()], files=1))
    ((), (dropped,)) = rows_of(tmp_path)
    assert len(dropped["url"]) == 2048
    assert (dropped["reason"], dropped["detail"]) == ("TOO_LONG", "submission=a karma=5 characters=511885")


def test_two_votes_and_two_votes_are_enough_only_in_sum(tmp_path: Path) -> None:
    row = {"url": "http://ex.com/a", "score": 2, "created_utc": 1, "subreddit": "s"}
    dumps = dump_files(tmp_path / "in", [json.dumps({**row, "id": name}).encode() for name in "ab"], files=2)
    for karma, kept, reasons in (("max", 0, ["LOW_KARMA"] * 2), ("sum", 1, ["REPOST"])):
        build(tmp_path / karma, dumps, karma=karma)
        links, ledger = rows_of(tmp_path / karma)
        assert len(links) == kept
        assert [one["reason"] for one in ledger] == reasons


def test_an_empty_dump_gives_empty_shards(tmp_path: Path) -> None:
    (tmp_path / "empty.zst").write_bytes(b"")
    shards = build(tmp_path, [tmp_path / "empty.zst"])
    assert [shard.rows for shard in shards] == [0] * 4
    assert rows_of(tmp_path) == ([], [])


def test_a_truncated_dump_leaves_nothing_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (path,) = dump_files(tmp_path / "in", lines(2000), files=1)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(TruncatedDump):
        build(tmp_path, [path])
    assert not list(tmp_path.rglob("*.arrow*"))
    with caplog.at_level(logging.WARNING):
        build(tmp_path, [path], allow_truncated=True)
    links, ledger = rows_of(tmp_path)
    assert len(links) + len(ledger) > 500
    assert "ends in the middle" in caplog.text


def test_removal_list_holds_in_the_stage(tmp_path: Path) -> None:
    excluded = exclusions(["site3.example"], name="list")
    build(tmp_path, dump_files(tmp_path / "in", lines(300), files=1), exclude=excluded)
    links, ledger = rows_of(tmp_path)
    assert "site3.example" not in {link["domain"] for link in links}
    assert "entry=site3.example" in {row["detail"].split()[-1] for row in ledger if row["reason"] == "EXCLUDED"}


# ---- which submissions ----


def submission(**fields: Any) -> Submission:
    return Submission("s1", "http://ex.com/", 3, 1_400_000_000, "AskScience", False, False, False, None)._replace(**fields)


def test_both_ends_of_the_dates_are_inclusive() -> None:
    wanted = Wanted(since="2017-12-31", until="2017-12-31")
    first, last = 1514678400, 1514764799
    for second, reason in ((first - 1, SubmissionDrop.BEFORE_SINCE), (last + 1, SubmissionDrop.AFTER_UNTIL)):
        assert wanted.drop(submission(created_utc=second)) == Drop(reason, "submission=s1")
    assert wanted.drop(submission(created_utc=first)) is None
    assert wanted.drop(submission(created_utc=last)) is None


def test_subreddit_lists_ignore_case() -> None:
    assert Wanted(include_subreddits=("r/askscience",)).drop(submission()) is None
    unlisted, excluded = Wanted(include_subreddits=("news",)), Wanted(exclude_subreddits=("ASKSCIENCE",))
    assert unlisted.drop(submission()) == Drop(SubmissionDrop.SUBREDDIT_NOT_LISTED, "submission=s1")
    assert excluded.drop(submission()) == Drop(SubmissionDrop.SUBREDDIT_EXCLUDED, "submission=s1")
    assert subreddit_name(" /r/AskScience/ ") == "askscience"


@pytest.mark.parametrize("dates", [{"since": "soon"}, {"until": "2017-13-01"}, {"since": "2018-01-01", "until": "2017-12-31"}])
def test_dates_that_mean_nothing_are_an_error(dates: dict[str, str]) -> None:
    with pytest.raises(PipelineError, match=r"--since|--until"):
        Wanted(**dates)


# ---- score age ----


def test_median_of_hours_is_exact() -> None:
    assert median_h(Counter()) is None
    assert median_h(Counter([5])) == 5
    assert median_h(Counter([1, 2, 3, 100])) == 2.5
    assert median_h(Counter([1] * 3 + [50] * 2)) == 1
    assert score_age_h(submission(retrieved_utc=1_400_000_000 + 7199)) == 1
    assert score_age_h(submission()) is None


def test_fresh_scores_warn_or_stop() -> None:
    assert score_age_warning(None, name="d", min_score_age_h=24) is None
    assert score_age_warning(24, name="d") is None
    assert "2 hours after posting" in (score_age_warning(2, name="d") or "")
    with pytest.raises(ScoreAgeError, match=r"^d: .*--min-score-age asks for 36"):
        score_age_warning(24, name="d", min_score_age_h=36)


def test_the_stage_warns_of_fresh_scores_on_every_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = {"id": "a", "url": "http://ex.com/", "score": 1, "created_utc": 1000, "subreddit": "s", "retrieved_on": 4700}
    (path,) = dump_files(tmp_path / "in", [json.dumps(row).encode()], files=1)
    for _ in range(2):
        caplog.clear()
        build(tmp_path, [path])
        assert "read 1 hours after posting" in caplog.text
    with pytest.raises(ScoreAgeError):
        spill_dump(dump_shard(str(path)), root=str(tmp_path), config=LinkConfig(partitions=4), min_score_age_h=24)
    (stored,) = tmp_path.glob("links/spill-*.arrow")
    made_from = pa.ipc.open_file(str(stored)).schema.metadata[b"made_from"].decode()
    assert spill_summary(str(stored), made_from=made_from) == {"dropped": 1, "links": 0, "score_age_h": 1.0}


# ---- the transforms ----


def test_the_transforms_give_what_the_functions_give(tmp_path: Path) -> None:
    dumps = dump_files(tmp_path / "in", lines(300), files=3)
    build(tmp_path / "plain", dumps)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        found = pipeline | ReadSubmissions([str(tmp_path / "in" / "*.bin")])
        links = found | SelectLinks(root=str(tmp_path / "beam"), config=LinkConfig(partitions=4), across=2)
        links | beam.Map(lambda shard: shard.number) | beam.combiners.ToList() | beam.Map(_are_all_partitions)
    assert product(tmp_path / "beam") == product(tmp_path / "plain")


def _are_all_partitions(numbers: list[int]) -> None:
    assert sorted(numbers) == [0, 1, 2, 3]


def test_a_glob_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no submissions dump matches"), beam.Pipeline(runner="FnApiRunner") as pipeline:
        pipeline | ReadSubmissions([str(tmp_path / "*.zst")])


def test_pictures_of_one_host_are_spread() -> None:
    rows = (LedgerRow("links", "IMAGE_HOST", f"http://imgur.com/{n}", f"imgur.com/{n}") for n in range(1600))
    spread = Counter(spill.partition_of_row(row, 16) for row in rows)
    assert len(spread) == 16
    assert max(spread.values()) < 200
