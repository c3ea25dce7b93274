import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from corpus_made import rows
from small_web import Files

from dags.__main__ import main
from pipeline.manifest import SCHEMA
from pipeline.schema import CORPUS, LEDGER, LedgerRow
from pipeline.shards import table_of, write_arrow


def screen(root: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert main(["inspect", str(root)]) == 0
    return capsys.readouterr().out.splitlines()


def test_one_screen_tells_it_all(whole: tuple[Files, Path], capsys: pytest.CaptureFixture[str]) -> None:
    lines = screen(whole[1], capsys)
    assert lines[0].startswith(f"{whole[1]}: 244 documents, ")
    funnel = {line.split()[0]: int(line.split()[1].replace(",", "")) for line in lines[2:9]}
    assert funnel == {
        "read": 323, "submissions": 318, "links": 287, "pages": 270, "documents": 256, "unique": 244, "kept": 244,
    }  # fmt: skip
    section = lines[lines.index("dropped") + 1 : lines.index("", lines.index("dropped"))]
    counts = [entry.split()[-1] for line in section for entry in line[15:].rstrip(",").split(", ")]
    assert sum(map(int, counts)) == 323 - 244
    said = {line.split()[0]: line for line in lines if line.strip()}
    assert said["languages"].endswith("en 244")
    assert "6 of 3" in said["clusters"]
    assert said["karma"].endswith("most 900")
    assert " rows in " in said["shards"]
    assert "validation" in said["shards"]
    assert said["last"].startswith("last run       in all ")
    assert any(line.startswith("domains kept") and "domains dropped" in line for line in lines)
    assert len(lines) < 60
    assert max(map(len, lines[1:])) <= 118


def test_the_same_facts_as_json(whole: tuple[Files, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(whole[1] / "corpus"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["documents"], facts["folded"], facts["languages"]) == (244, 12, {"en": 244})
    assert facts["stages"][1]["dropped"]["REPOST"] == 8
    assert len(facts["top_domains"]) == 10
    assert facts["words"] > 244 * 150
    assert facts["karma"] == {**facts["karma"], "least": 3, "most": 900}
    assert facts["cluster_sizes"] == {"1": 238, "3": 6}
    assert {cluster["size"] for cluster in facts["clusters"]} == {3}
    assert facts["dropped_domains"]["forgotten.example"] == {"NOT_ARCHIVED": 5}
    assert facts["years"] == {"2013": 244}
    assert facts["run"]["seconds"] > 0


HOSTILE = "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe \u2066 http://a.example/\r\n<script>" + "x" * 1_000_000


def hostile_root(root: Path) -> Path:
    """A finished corpus in which every text that comes from outside is hostile."""
    row = {**rows(1)[0], **dict.fromkeys(("url", "title", "domain", "language", "subreddit", "submission_id"), HOSTILE)}
    row["cluster_size"] = 3
    write_arrow(str(root / "corpus" / "data" / "train-00000-of-00001.arrow"), CORPUS, [pa.RecordBatch.from_pylist([row], CORPUS)])
    dropped = [
        LedgerRow("links", "LOW_KARMA", HOSTILE, HOSTILE, HOSTILE),
        LedgerRow("links", HOSTILE, "http://b.example/", "b.example/"),
    ]
    write_arrow(str(root / "ledger" / "links-00000.arrow"), LEDGER, table_of(dropped, LEDGER).to_batches())
    file = {"rows": 1, "bytes": 1, "sha256": ""}
    manifest = {
        "schema": SCHEMA, "config": {}, "inputs": [], "versions": {"python": "", "webtext": ""},
        "stages": [{"name": "links", "in": 3, "kept": 1, "dropped": {"LOW_KARMA": 1, "X": 1}}],
        "shards": [{**file, "path": "data/train-00000-of-00001.arrow", "split": "train"}],
        "ledger": [{**file, "path": "ledger/links-00000.arrow"}],
    }  # fmt: skip
    (root / "corpus" / "manifest.json").write_text(json.dumps(manifest))
    return root


def harmless(text: str) -> bool:
    return not any(mark in text for mark in ("\x1b", "\x07", "\r", "\u202e", "\u2066")) and len(text) < 50_000


def test_hostile_text_is_shown_harmlessly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = hostile_root(tmp_path)
    assert main(["inspect", str(root)]) == 0
    said = capsys.readouterr().out
    assert harmless(said), said[:2000]
    assert "gnp.exe" in said
    assert main(["inspect", str(root), "--json"]) == 0
    assert json.loads(said := capsys.readouterr().out)["clusters"][0]["url"] == HOSTILE  # whole, for programs
    assert said.isascii()
    for words in (["why", HOSTILE], ["why", "http://b.example/"], ["why", "http://never.example/\x1b[2J\u202e"]):
        main([*words, "--corpus", str(root)])
        said = capsys.readouterr()
        assert harmless(said.out + said.err), (said.out + said.err)[:2000]
    main(["remove", "--corpus", str(root), "--id", rows(1)[0]["id"]])
    said = capsys.readouterr()
    assert harmless(said.out + said.err), (said.out + said.err)[:2000]


def test_a_run_without_times_is_told_without_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("", "[]", "{}", '{"stages": {"links": 3, "x": {"seconds": "long"}}, "seconds": null}'):
        (root / "run.json").write_text(text)
        assert not any(line.startswith("last run") for line in screen(root, capsys))
    (root / "run.json").unlink()
    assert screen(root, capsys)


def test_an_empty_corpus_is_told(whole: tuple[Files, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(shutil.copytree(whole[1], tmp_path / "root"))
    manifest = json.loads((root / "corpus" / "manifest.json").read_text())
    manifest.update(shards=[], ledger=[])
    (root / "corpus" / "manifest.json").write_text(json.dumps(manifest))
    assert screen(root, capsys)[0] == f"{root}: 0 documents, 0 words, 0 domains"


def test_a_damaged_shard_ends_in_one_sentence(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = next((root / "corpus" / "data").glob("train-00002-*"))
    data = bytearray(shard.read_bytes())
    data[100:-3_000] = bytes(len(data) - 3_100)  # the footer says where the batches lie: there is nothing left of them
    shard.write_bytes(data)
    assert main(["inspect", str(root)]) == 1
    said = capsys.readouterr().err
    assert f"{shard}: is not a whole Arrow IPC file" in said
    assert said.count("\n") == 1


def test_a_missing_shard_ends_in_one_sentence(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = next((root / "corpus" / "data").glob("train-00002-*"))
    shard.unlink()
    assert main(["inspect", str(root)]) == 1
    assert f"{shard}: is not there" in capsys.readouterr().err


def test_a_report_under_a_bare_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert main(["inspect", "corpus/..", "--html", "here.html"]) == 0
    assert (root / "here.html").read_bytes().startswith(b"<!doctype html>"[:2])


def test_json_and_html_are_one_or_the_other(whole: tuple[Files, Path]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["inspect", str(whole[1]), "--json", "--html"])
    assert refused.value.code == 2
