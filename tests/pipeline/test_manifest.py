"""The manifest: written last, of shards that add up, and nothing stale beside it."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import stage_names, storage
from pipeline.manifest import SCHEMA, input_of, publish_manifest, stage_counts
from pipeline.schema import LedgerRow, Shard, ShardError
from pipeline.shards import shard_path, write_ledger, write_shard

CONFIG = {"min_karma": 3, "language": "en", "validation": 0.005}
TABLE = pa.table({"id": ["a", "b", "c"]})


def shard_of(root: Path, stage: str, *, entered: int, kept: int, dropped: int, number: int = 0, of: int = 1) -> Shard:
    reasons = ["TOO_SHORT" if n % 2 else "NO_TEXT" for n in range(dropped)]
    rows = [LedgerRow(stage, reason, f"http://{n}.example/", f"{n}.example/") for n, reason in enumerate(reasons)]
    ledger = [write_ledger(str(root), stage, number, rows)] if dropped else []
    counts = {f"{stage}_in": entered, f"{stage}_kept": kept}
    path = shard_path(str(root), stage, number, of)
    if stage == "corpus":
        path = storage.join(str(root), "corpus", "data", f"train-{number:05d}-of-{of:05d}.arrow")
    return write_shard(
        path, TABLE, stage=stage, number=number, of=of, recipe="r", made_from="m", ledger=ledger, counts=counts
    )


def whole_run(root: Path) -> list[Shard]:
    """Ten lines: two dropped at documents, the rest kept."""
    before = [shard_of(root, stage, entered=10, kept=10, dropped=0) for stage in ("submissions", "links", "pages")]
    documents = shard_of(root, "documents", entered=10, kept=8, dropped=2)
    return [*before, documents, *(shard_of(root, stage, entered=8, kept=8, dropped=0) for stage in ("duplicates", "corpus"))]


def published(root: Path, shards: list[Shard], **config: Any) -> dict[str, Any]:
    dump = root / "dump.zst"
    dump.write_bytes(b"a dump")
    publish_manifest(shards, [input_of((0, str(dump)))], root=str(root), config={**CONFIG, **config})
    return json.loads((root / "corpus" / "manifest.json").read_text())


def test_everything_is_counted_and_hashed(tmp_path: Path) -> None:
    made = published(tmp_path, whole_run(tmp_path))
    assert made["schema"] == SCHEMA
    assert made["config"] == CONFIG
    assert [stage["name"] for stage in made["stages"]] == stage_names()
    assert made["stages"][3] == {"name": "documents", "in": 10, "kept": 8, "dropped": {"NO_TEXT": 1, "TOO_SHORT": 1}}
    dump = str(tmp_path / "dump.zst")
    assert made["inputs"] == [{"path": dump, "size": 6, "sha256": storage.sha256_of(dump)}]
    (shard,) = made["shards"]
    path = tmp_path / "corpus" / shard["path"]
    assert (shard["split"], shard["rows"], shard["bytes"]) == ("train", 3, path.stat().st_size)
    assert shard["sha256"] == storage.sha256_of(str(path))
    (ledger,) = made["ledger"]
    assert (ledger["path"], ledger["rows"]) == ("ledger/documents-00000.arrow", 2)
    assert made["versions"]["pyarrow"] == pa.__version__


def test_the_same_run_elsewhere_differs_in_its_inputs_only(tmp_path: Path) -> None:
    one, other = (published(tmp_path / name, whole_run(tmp_path / name)) for name in ("one", "other"))
    assert one.pop("inputs") != other.pop("inputs")
    assert one == other
    assert (tmp_path / "one" / "corpus" / "README.md").read_text() == (tmp_path / "other" / "corpus" / "README.md").read_text()


@pytest.mark.parametrize("lost", [-1, 1])
def test_a_stage_that_does_not_add_up_is_no_corpus(tmp_path: Path, lost: int) -> None:
    shards = whole_run(tmp_path)
    shards[3] = shard_of(tmp_path, "documents", entered=10, kept=8 + lost, dropped=2)
    with pytest.raises(ShardError, match=f"stage documents: 10 records in, but {8 + lost} kept and 2 in the ledger"):
        stage_counts(shards)
    with pytest.raises(ShardError):
        published(tmp_path, shards)
    assert not (tmp_path / "corpus" / "manifest.json").exists()


def test_what_is_stale_is_gone_before_there_is_a_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = whole_run(tmp_path)
    stale = [
        tmp_path / "corpus" / "data" / "train-00001-of-00002.arrow", tmp_path / "ledger" / "documents-00007.arrow",
        tmp_path / "links" / "links-00000-of-00064.arrow",
    ]  # fmt: skip
    kept = [tmp_path / "links" / "spill-0123.arrow", tmp_path / "duplicates" / "verdicts.arrow"]
    for path in [*stale, *kept]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    seen: list[bool] = []
    write_text = storage.write_text

    def watched(path: str, text: str) -> None:
        if path.endswith("manifest.json"):
            seen.extend(file.exists() for file in stale)
        write_text(path, text)

    monkeypatch.setattr(storage, "write_text", watched)
    published(tmp_path, shards)
    assert seen == [False, False, False]
    assert all(path.exists() for path in kept)


def test_a_card_never_stands_beside_the_manifest_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = whole_run(tmp_path)
    published(tmp_path, shards)
    write_text = storage.write_text

    def dying(path: str, text: str) -> None:
        write_text(path, text)
        if path.endswith("README.md"):
            raise KeyboardInterrupt

    monkeypatch.setattr(storage, "write_text", dying)
    with pytest.raises(KeyboardInterrupt):
        published(tmp_path, shards, language="any")
    assert not (tmp_path / "corpus" / "manifest.json").exists()
