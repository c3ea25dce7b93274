"""The command line of the DAG: what it refuses, what it says, and what it leaves untouched."""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from runs import WEBTEXT, arguments, built, clear_error, differences, ledger, webtext
from small_web import POSTED, Files, Web

from dags import corpus as corpus_command
from dags.__main__ import main
from dags.running import mendable, recorded_configuration, sentence, settle_configuration
from dags.settings import CorpusConfig, RunOptions
from pipeline.dump import TruncatedDump
from pipeline.schema import PipelineError


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "dump.ndjson"
    path.write_text(json.dumps({"id": "a", "url": "http://a.example/", "score": 5, "created_utc": POSTED}) + "\n")
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "empty.warc.gz"
    path.write_bytes(b"")
    return path


def words(dump: object, archive: object, root: object, *more: str) -> list[str]:
    return ["corpus", "--submissions", str(dump), "--archive", str(archive), "--output", str(root), *more]


def wrong_use(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err


def failed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("webtext corpus: ")
    assert said.count("\n") == 1
    return said


# ---- wrong use: exit 2 ----


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        (["--direct_running_modus=x"], "unrecognized arguments: --direct_running_modus=x"),
        (["--work", "2"], "unrecognized arguments: --work 2"),  # no abbreviations
        (["--workers", "0"], "not a whole number above 0"),
        (["--workers", "many"], "not a whole number above 0"),
        (["--since", "yesterday"], "'yesterday' is no date"),
        (["--until", "2017-13-01"], "is no date"),
        (["--karma", "mean"], "invalid choice: 'mean'"),
        (["--extractor", "boilerpipe"], "invalid choice"),
        (["--min-karma", "three"], "invalid int value"),
        (["--validation", "some"], "invalid float value"),
        (["stray"], "unrecognized arguments: stray"),
    ],
)
def test_wrong_use_is_exit_2(
    tmp_path: Path, dump: Path, archive: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert said in wrong_use(words(dump, archive, tmp_path / "root", *more), capsys)
    assert not (tmp_path / "root").exists()


def test_nothing_to_read_or_nowhere_to_write_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is nothing to read" in wrong_use(["corpus", "--archive", "x", "--output", str(tmp_path / "root")], capsys)
    assert "--output" in wrong_use(["corpus", "--submissions", "x", "--archive", "y"], capsys)
    assert "COMMAND" in wrong_use([], capsys)
    assert "invalid choice: 'corpse'" in wrong_use(["corpse"], capsys)


def test_an_option_of_beam_passes(tmp_path: Path, dump: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--direct_running_mode=multi_processing", "--direct_num_workers=2", "--dry-run")
    assert main(words(dump, archive, tmp_path / "root", *more)) == 0
    assert "nothing was built" in capsys.readouterr().out


# ---- what a person can mend: exit 1 ----


def test_a_glob_that_matches_nothing(tmp_path: Path, dump: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "root"
    assert "no dump of submissions matches" in failed(words(tmp_path / "none-*.zst", archive, root), capsys)
    assert "no archive matches" in failed(words(dump, tmp_path / "none-*.warc.gz", root), capsys)
    assert not root.exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--exclude", "/nowhere/list.txt"], "/nowhere/list.txt"),
        (["--against", "/nowhere/corpus"], "/nowhere/corpus"),
        (["--dedup", "36x0@0.7"], "36x0"),
        (["--dedup", "sometimes"], "sometimes"),
        (["--language", "english"], "--language english"),
        (["--exclude", __file__], "test_corpus_command.py"),
        (["--since", "2015-01-02", "--until", "2015-01-01"], "is after --until"),
        (["--allow-private", "localhost"], "localhost"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_before_anything_is_written(
    tmp_path: Path, dump: Path, archive: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    try:
        status = main(words(dump, archive, tmp_path / "root", *more))
    except SystemExit as stopped:  # a value that no run could use may be wrong use
        status = int(str(stopped.code))
    assert status in (1, 2)
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert not (tmp_path / "root").exists()


def test_a_live_crawl_asks_for_a_contact(tmp_path: Path, dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--contact" in wrong_use(["corpus", "--submissions", str(dump), "--output", str(tmp_path / "root")], capsys)


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/webtext"])
def test_an_output_that_cannot_be_written(
    tmp_path: Path, dump: Path, archive: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    said = failed(words(dump, archive, tmp_path / place), capsys)
    assert "Choose an --output that can be written" in said


def test_an_output_that_another_run_holds(
    tmp_path: Path, dump: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root").mkdir()
    with open(tmp_path / "root" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "is in use by another process" in failed(words(dump, archive, tmp_path / "root"), capsys)
    assert os.listdir(tmp_path / "root") == [".lock"]


def test_another_configuration_is_refused_and_nothing_is_touched(
    whole: tuple[Files, Path], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in root.rglob("*.*") if path.name != ".lock"}

    before = times()
    said = failed(arguments(whole[0], root, "--min-karma", "20", "--language", "any"), capsys)
    assert "was made with another configuration: min_karma 3, now 20; language 'en', now 'any'" in said
    assert "--rebuild" in said
    assert times() == before


def test_the_manifest_of_another_configuration_goes_before_it(root: Path) -> None:
    config = recorded_configuration(str(root))
    assert config is not None
    settle_configuration(str(root), config, [], rebuild=False)
    assert (root / "corpus" / "manifest.json").exists()
    settle_configuration(str(root), {**config, "min_karma": 4}, ["min_karma"], rebuild=True)
    assert not (root / "corpus" / "manifest.json").exists()


def test_a_configuration_that_cannot_be_read(
    whole: tuple[Files, Path], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "config.json").write_text("{")
    assert "config.json: is not the JSON it was written as" in failed(arguments(whole[0], root), capsys)


def test_a_dry_run_writes_nothing(tmp_path: Path, dump: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(dump, archive, tmp_path / "root", "--dry-run", "--min-karma", "7")) == 0
    out = capsys.readouterr().out
    assert f"dump      {dump}  {dump.stat().st_size} bytes" in out
    assert "min_karma           7" in out
    assert out.endswith("nothing was built\n")
    assert not (tmp_path / "root").exists()


# ---- runs with little to do: exit 0 ----


def test_an_empty_dump_and_an_archive_without_records_make_an_empty_corpus(tmp_path: Path, archive: Path) -> None:
    (tmp_path / "empty.zst").write_bytes(b"")
    root = tmp_path / "root"
    done = built(*words(tmp_path / "empty.zst", archive, root, "--quiet"))
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].split() == ["read", "0"]
    assert f"next: webtext inspect {root}" in done.stdout.splitlines()[-1]
    assert main(["verify", str(root)]) == 0
    assert main(["inspect", str(root)]) == 0
    assert main(["why", "http://a.example/", "--corpus", str(root)]) == 1


@pytest.mark.slow
def test_dates_and_subreddits_and_another_karma_are_heard(
    whole: tuple[Files, Path], web: Web, root: Path, tmp_path: Path
) -> None:
    """Over the finished run of another configuration, with --rebuild: as if made on an empty disk."""
    more = ("--until", "2013-09-24", "--min-karma", "10", "--exclude-subreddits", "r1,r2")
    built(*arguments(whole[0], root, *more, "--rebuild"))
    built(*arguments(whole[0], tmp_path / "fresh", *more))
    assert differences(root, tmp_path / "fresh") == []
    reasons = {row["reason"] for row in ledger(root)}
    assert {"AFTER_UNTIL", "SUBREDDIT_EXCLUDED", "LOW_KARMA"} <= reasons
    assert webtext("verify", str(root)).returncode == 0


@pytest.mark.slow
def test_a_damaged_shard_of_a_finished_corpus_is_made_again(whole: tuple[Files, Path], root: Path) -> None:
    for place in (400, -2_000):
        shard = next((root / "corpus" / "data").glob("train-00003-*"))
        data = bytearray(shard.read_bytes())
        data[place] ^= 0xFF
        shard.write_bytes(data)
        built(*arguments(whole[0], root))
        assert differences(whole[1], root) == []


@pytest.mark.slow
def test_an_error_from_a_process_of_the_runner_is_one_sentence_too(tmp_path: Path, archive: Path) -> None:
    (tmp_path / "cut.zst").write_bytes(b"\x28\xb5\x2f\xfd\x00")
    more = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
    done = webtext(*words(tmp_path / "cut.zst", archive, tmp_path / "root", *more))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"webtext corpus: {tmp_path}/cut.zst: ends in the middle")


# ---- the parts ----


def test_a_clear_error_tells_wrong_use_from_a_bug() -> None:
    text = "RuntimeError: bundle failed\npipeline.dump.TruncatedDump: d.zst: ends in the middle. [while running 'Spill']\n"
    assert sentence(mendable(text) or "") == "d.zst: ends in the middle."
    assert issubclass(TruncatedDump, PipelineError)
    assert mendable("pipeline.url.UrlError: no host") is None
    assert mendable("KeyError: 'pipeline'") is None


@pytest.mark.parametrize("value", [{"min_karma": -1}, {"validation": 1.5}, {"shard_bytes": 0}])
def test_a_configuration_checks_itself(value: dict[str, float]) -> None:
    with pytest.raises((PipelineError, ValueError), match=next(iter(value)).replace("_", "-")):
        CorpusConfig(**value)  # type: ignore[arg-type]


def test_the_journal_is_a_local_file_wherever_the_corpus_lies() -> None:
    assert RunOptions("/data/x", []).journal == "/data/x/.journal"
    remote = RunOptions("gs://bucket/x", []).journal
    assert os.path.isdir(os.path.dirname(remote))
    assert hashlib.sha256(b"gs://bucket/x").hexdigest()[:16] in remote


def test_partitions_grow_with_the_dumps(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    counts = []
    for size in (0, (32 << 20) + 1, (1 << 30) + 1, (8 << 30) + 1):
        with open(path, "wb") as file:
            file.truncate(size)
        counts.append(corpus_command.partitions_for([str(path)]))
    assert counts == [16, 64, 512, 4096]


def test_a_broken_pipe_is_no_traceback(whole: tuple[Files, Path]) -> None:
    script = f"set -o pipefail; {WEBTEXT} inspect {whole[1]} | head -0"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1, 128 + signal.SIGPIPE)
    assert "Traceback" not in done.stderr


def test_clear_error_itself_refuses_a_traceback() -> None:
    bad = subprocess.CompletedProcess([], 1, "", "Traceback (most recent call last):\nwebtext corpus: x\n")
    with pytest.raises(AssertionError):
        clear_error(bad)
