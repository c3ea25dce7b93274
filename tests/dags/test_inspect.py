import json
from pathlib import Path

import pytest
from small_web import Files

from dags.__main__ import main


def test_the_funnel_the_drops_and_the_shards_are_told(whole: tuple[Files, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(whole[1])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{whole[1]}: 244 documents, ")
    funnel = {line.split()[0]: int(line.split()[1].replace(",", "")) for line in lines[2:9]}
    assert funnel == {
        "read": 323, "submissions": 318, "links": 287, "pages": 270, "documents": 256, "unique": 244, "kept": 244,
    }  # fmt: skip
    dropped = sum(int(line.split()[2]) for line in lines[lines.index("dropped") + 1 : lines.index("domains") - 1])
    assert dropped == 323 - 244
    assert "languages   en 244" in lines
    shards = lines[lines.index("shards") + 1 :]
    assert len(shards) >= 8
    assert sum(int(line.split()[1]) for line in shards) == 244
    assert shards[-1].split()[0].startswith("data/validation-")


def test_the_same_facts_as_json(whole: tuple[Files, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(whole[1] / "corpus"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["documents"], facts["folded"], facts["languages"]) == (244, 12, {"en": 244})
    assert facts["stages"][1]["dropped"]["REPOST"] == 8
    assert len(facts["top_domains"]) == 10
    assert facts["words"] > 244 * 150


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
