"""`webtext dedup` as people run it."""

import contextlib
import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from dags.__main__ import main
from pipeline.shards import read_table

WORDS = [f"{first}{last}" for first in "bcdfgklmnprstvz" for last in ("an", "el", "ir", "ost", "um")]


def rows_of(count: int = 60) -> list[dict]:
    """Every third text comes twice more: once in capitals, once with a word changed."""
    rows = []
    for number in range(count):
        words = random.Random(number).choices(WORDS, k=90)
        changed = [*words[:40], "another", *words[41:]]
        for place, text in enumerate([words, [word.upper() for word in words], changed][: 3 if number % 3 == 0 else 1]):
            more = {"votes": place, "tags": ["a", str(place)], "extra": {"n": number}}
            rows.append({"id": f"r{number:03d}{place}", "text": " ".join(text), **more})
    return rows


def json_lines(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_parquet(path: Path, rows: list[dict]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def dedup(root: Path, *inputs: Path | str, more: tuple[str, ...] = ()) -> int:
    return main(["dedup", "--input", *map(str, inputs), "--output", str(root), "--quiet", *more])


def survivors(root: Path) -> list[dict]:
    return pyarrow.dataset.dataset(str(root / "corpus" / "data"), format="ipc").to_table().to_pylist()


def dropped(root: Path) -> list[dict]:
    return read_table(str(root / "ledger" / "duplicates-00000.arrow")).to_pylist()


def product(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for folder in ("corpus/data", "ledger") for path in (root / folder).iterdir()}


def test_survivors_have_all_columns_and_the_ledger_names_keepers(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = rows_of(12)
    (tmp_path / "rows.jsonl").write_bytes(json_lines(rows))
    assert dedup(tmp_path / "out", tmp_path / "rows.jsonl") == 0
    kept = survivors(tmp_path / "out")
    by_id = {row["id"]: row for row in rows}
    assert {row["id"] for row in kept} == {row["id"] for row in rows if row["id"].endswith("0")}
    for row in kept:
        assert {key: row[key] for key in by_id[row["id"]]} == by_id[row["id"]]
        assert row["cluster_size"] == (3 if int(row["id"][1:4]) % 3 == 0 else 1)
    gone = {row["key"]: (row["kept"], row["reason"]) for row in dropped(tmp_path / "out")}
    assert gone == {
        f"r{number:03d}{place}": (f"r{number:03d}0", reason)
        for number in range(0, 12, 3)
        for place, reason in ((1, "EXACT_DUPLICATE"), (2, "NEAR_DUPLICATE"))
    }
    said = capsys.readouterr().out
    assert "rows        20 in 1 file" in said
    assert "dropped     8 (4 EXACT_DUPLICATE, 4 NEAR_DUPLICATE)" in said
    assert "largest     3 rows like r0000: '" in said
    assert "most common 2 copies of r0000: '" in said


def test_how_rows_are_cut_into_files_and_in_which_order_changes_nothing(tmp_path: Path) -> None:
    rows = rows_of(30)
    made = []
    for cut in (1, 2, 7):
        folder = tmp_path / f"in{cut}"
        folder.mkdir()
        random.Random(cut).shuffle(rows)
        for number in range(cut):
            if cut == 2:
                write_parquet(folder / f"{number}.parquet", rows[number::cut])
            else:
                (folder / f"{number}.jsonl").write_bytes(json_lines(rows[number::cut]))
        assert dedup(tmp_path / f"out{cut}", f"{folder}/*", more=("--workers", str(cut))) == 0
        made.append(product(tmp_path / f"out{cut}"))
    assert made[0] == made[1] == made[2]


def test_order_and_columns_are_the_users_choice(tmp_path: Path) -> None:
    named = [{"n": 10 * number, "body": row["text"], "votes": row["votes"]} for number, row in enumerate(rows_of(9))]
    write_parquet(tmp_path / "rows.parquet", named)
    assert dedup(tmp_path / "out", tmp_path / "rows.parquet", more=("--text", "body", "--id", "n", "--order", "votes:desc")) == 0
    assert sorted(row["votes"] for row in survivors(tmp_path / "out")) == [0] * 6 + [2] * 3


@pytest.mark.slow
def test_none_keeps_everything(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(json_lines(rows_of(6)))
    assert dedup(tmp_path / "out", tmp_path / "rows.jsonl", more=("--dedup", "none")) == 0
    assert len(survivors(tmp_path / "out")) == len(rows_of(6))


def test_against_an_older_corpus_new_copies_go_and_old_rows_stay(tmp_path: Path) -> None:
    rows = rows_of(30)
    old, new = rows[:25], rows[20:]
    (tmp_path / "old.jsonl").write_bytes(json_lines(old))
    (tmp_path / "new.jsonl").write_bytes(json_lines(new))
    assert dedup(tmp_path / "one", tmp_path / "old.jsonl") == 0
    assert dedup(tmp_path / "two", tmp_path / "new.jsonl", more=("--against", str(tmp_path / "one"))) == 0
    (tmp_path / "rest.jsonl").write_bytes(json_lines(rows[25:]))
    assert dedup(tmp_path / "once", tmp_path / "old.jsonl", tmp_path / "rest.jsonl") == 0
    together = {row["id"] for root in ("one", "two") for row in survivors(tmp_path / root)}
    assert together == {row["id"] for row in survivors(tmp_path / "once")}
    assert {row["reason"] for row in dropped(tmp_path / "two")} == {"SAME_ID", "EXACT_DUPLICATE", "NEAR_DUPLICATE"}


def test_mixed_schemas_are_joined_where_one_type_holds_both(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"id": "a", "text": "one text", "score": 1}])
    write_parquet(tmp_path / "b.parquet", [{"text": "other text", "id": "b", "score": 2.5, "more": "x"}])
    (tmp_path / "c.jsonl").write_bytes(json_lines([{"id": "c", "text": "third text"}, {"id": "d", "text": None, "more": None}]))
    assert dedup(tmp_path / "out", tmp_path / "*.parquet", tmp_path / "c.jsonl") == 0
    kept = {row.pop("id"): row for row in survivors(tmp_path / "out")}
    one = {"cluster_size": 1}
    assert kept == {
        "a": one | {"text": "one text", "score": 1.0, "more": None},
        "b": one | {"text": "other text", "score": 2.5, "more": "x"},
        "c": one | {"text": "third text", "score": None, "more": None},
        "d": one | {"text": None, "score": None, "more": None},
    }


def test_texts_to_fear_are_kept_or_in_the_ledger(tmp_path: Path) -> None:
    texts = {
        "empty": "", "blank": " \n\t ", "none": None, "word": "word", "WORD": "WORD", "signs": "!?!", "other-signs": "...",
        "binary": "\x00\x01\ufffd\x7f" * 50, "long": " ".join(map(str, range(300_000))), "han": "我们今天去图书馆看书" * 20,
    }  # fmt: skip
    (tmp_path / "rows.jsonl").write_bytes(json_lines([{"id": name, "text": text} for name, text in texts.items()]))
    assert dedup(tmp_path / "out", tmp_path / "rows.jsonl") == 0
    gone = {row["key"]: row["kept"] for row in dropped(tmp_path / "out")}
    assert gone == {"empty": "blank", "none": "blank", "word": "WORD"}
    kept = {row["id"]: row["text"] for row in survivors(tmp_path / "out")}
    assert kept == {name: text for name, text in texts.items() if name not in gone}


def test_an_empty_corpus_gives_an_empty_corpus(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"")
    assert dedup(tmp_path / "out", tmp_path / "rows.jsonl") == 0
    assert survivors(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"id": "a"}\n', "has no column 'text'; it has id"),
        (b'{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}\n', "the id 'a' stands on two documents"),
    ],
)
def test_bad_input_is_one_sentence(content: bytes, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    assert dedup(tmp_path / "out", tmp_path / "rows.jsonl") == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("webtext dedup: ")
    assert sentence in said
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "dedup.json").exists()


def test_a_glob_that_matches_nothing_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert dedup(tmp_path / "out", tmp_path / "*.jsonl") == 1
    assert "no input matches" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--order", "votes:up"], ["--workers", "0"], ["--unheard-of"], ["--dedu", "none"]])
def test_wrong_use_exits_with_2(flags: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        dedup(tmp_path / "out", tmp_path / "rows.jsonl", more=tuple(flags))
    assert stopped.value.code == 2


@pytest.mark.slow
def test_a_changed_input_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(json_lines(rows_of(12)))
    assert dedup(tmp_path / "out", tmp_path / "rows.jsonl") == 0
    (tmp_path / "rows.jsonl").write_bytes(json_lines(rows_of(15)))
    assert dedup(tmp_path / "out", tmp_path / "rows.jsonl", more=("--dedup", "fineweb")) == 0
    assert dedup(tmp_path / "fresh", tmp_path / "rows.jsonl", more=("--dedup", "fineweb")) == 0
    assert product(tmp_path / "out") == product(tmp_path / "fresh")
    assert len(list((tmp_path / "out" / "documents").iterdir())) == 1


@pytest.mark.slow
def test_killed_at_any_time_the_same_command_ends_with_the_same_bytes(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.jsonl").write_bytes(json_lines(rows_of(4000)[number::4]))
    assert dedup(tmp_path / "whole", tmp_path / "*.jsonl") == 0
    watched = tmp_path / "killed"
    command = [sys.executable, "-m", "dags", "dedup", "--input", f"{tmp_path}/*.jsonl", "--output", str(watched), "--quiet"]
    for sign in ("documents/*", "duplicates/signatures-*", "duplicates/edges-00009*", "duplicates/verdicts*", "ledger/*"):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and not list(watched.glob(sign)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=0.02)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert product(tmp_path / "killed") == product(tmp_path / "whole")
    assert not list(watched.rglob("*.tmp-*"))
