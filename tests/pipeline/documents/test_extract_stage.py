import gzip
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from pages_to_fear import page, paragraphs, record

from pipeline import ExtractText
from pipeline.documents import stage
from pipeline.documents.document import ExtractConfig
from pipeline.schema import DOCUMENT, LEDGER, PAGE, Shard
from pipeline.shards import read_metadata, read_table, shard_path, table_of, write_shard

BODIES = {
    "a": page(paragraphs(12)).encode(),
    "b": b"%PDF-1.4 words",
    "c": page(paragraphs(12, seed=3)).encode(),
    "d": page(paragraphs(1)).encode(),
    "e": page("<div>" * 400).encode(),
}


def archive(path: Path, bodies: Iterable[bytes]) -> list[tuple[int, int, str]]:
    """Writes a WARC file; offset, length and digest of each record."""
    places, stored = [], b""
    for body in bodies:
        member = gzip.compress(record(body), mtime=0)
        places.append((len(stored), len(member), hashlib.sha256(member).hexdigest()))
        stored += member
    path.write_bytes(stored)
    return places


def page_shard(root: Path, bodies: dict[str, bytes], *, warc: str = "pages.warc.gz", karma: int = 5) -> Shard:
    root.mkdir(exist_ok=True)
    places = archive(root / warc, bodies.values())
    rows = [
        (name * 32, f"example.test/{name}", f"http://example.test/{name}", "example.test", karma, "xyz", "all", 1_400_000_000,
         f"http://example.test/{name}", 1_500_000_000, str(root / warc), *place)
        for name, place in zip(bodies, places, strict=True)
    ]  # fmt: skip
    path = shard_path(str(root), "pages", 0, 1)
    return write_shard(path, table_of(rows, PAGE), stage="pages", number=0, of=1, recipe="r", made_from="m")


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the pages that were read and judged, not taken over from an earlier build."""
    ids: list[str] = []
    real = stage.outcomes

    def noted(pages: list[dict[str, Any]], **options: Any) -> Any:
        ids.extend(row["id"][0] for row in pages)
        return real(pages, **options)

    monkeypatch.setattr(stage, "outcomes", noted)
    return ids


def run(root: Path, pages: Shard, *, config: ExtractConfig | None = None) -> Shard:
    return stage.extract_shard(pages, root=str(root), config=config or ExtractConfig(), workers=1)


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for folder in ("documents", "ledger") for path in sorted((root / folder).iterdir())}


def test_every_page_becomes_a_document_or_a_ledger_row(tmp_path: Path) -> None:
    pages = page_shard(tmp_path, BODIES)
    shard = run(tmp_path, pages)
    documents = read_table(shard.path)
    assert documents.schema.equals(DOCUMENT)
    assert [row["id"][0] for row in documents.to_pylist()] == ["a", "c"]
    first = documents.to_pylist()[0]
    assert (first["karma"], first["subreddit"], first["fetched_utc"], first["language"]) == (5, "all", 1_500_000_000, "en")
    assert first["text_hash"] == hashlib.sha256(first["text"].encode()).hexdigest()
    assert first["page_digest"] == read_table(pages.path).to_pylist()[0]["digest"]
    ledger = read_table(str(tmp_path / "ledger" / "documents-00000.arrow"))
    assert ledger.schema.equals(LEDGER)
    assert [(row["key"][-1], row["stage"], row["reason"]) for row in ledger.to_pylist()] == [
        ("b", "documents", "BINARY"), ("d", "documents", "TOO_SHORT"), ("e", "documents", "TOO_DEEP"),
    ]  # fmt: skip
    assert read_metadata(shard.path).counts == {"documents_in": 5, "documents_kept": 2}
    assert (shard.stage, shard.rows, shard.dropped) == ("documents", 2, 3)


def test_a_finished_shard_is_left_alone(tmp_path: Path, extracted: list[str]) -> None:
    pages = page_shard(tmp_path, BODIES)
    first = run(tmp_path, pages)
    before = files(tmp_path)
    extracted.clear()
    assert run(tmp_path, pages) == first
    assert extracted == []
    assert files(tmp_path) == before


def test_an_archive_that_moved_changes_nothing(tmp_path: Path, extracted: list[str]) -> None:
    run(tmp_path, page_shard(tmp_path, BODIES))
    before = files(tmp_path)
    extracted.clear()
    run(tmp_path, page_shard(tmp_path, BODIES, warc="moved.warc.gz"))
    assert extracted == []
    assert files(tmp_path) == before


def test_only_new_and_changed_pages_are_read_again(tmp_path: Path, extracted: list[str]) -> None:
    run(tmp_path / "grown", page_shard(tmp_path / "grown", BODIES))
    changed = {**BODIES, "c": page(paragraphs(12, seed=9)).encode(), "f": page(paragraphs(12, seed=5)).encode()}
    extracted.clear()
    run(tmp_path / "grown", page_shard(tmp_path / "grown", changed, karma=9))
    assert extracted == ["c", "f"]
    run(tmp_path / "fresh", page_shard(tmp_path / "fresh", changed, karma=9))
    assert files(tmp_path / "grown") == files(tmp_path / "fresh")


def test_another_config_takes_nothing_over(tmp_path: Path, extracted: list[str]) -> None:
    pages = page_shard(tmp_path, BODIES)
    run(tmp_path, pages)
    extracted.clear()
    shard = run(tmp_path, pages, config=ExtractConfig(rules="none"))
    assert extracted == list(BODIES)
    assert [row["id"][0] for row in read_table(shard.path).to_pylist()] == ["a", "c", "d"]


def test_a_killed_page_is_a_ledger_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deadly:
        def map(self, requests: Iterable[tuple[dict, bytes]]) -> Iterable[stage.Killed]:
            return (stage.Killed("TIMEOUT", "cpu_s=15") for _ in requests)

    monkeypatch.setattr(stage, "sandbox", lambda *_, **__: Deadly())
    shard = run(tmp_path, page_shard(tmp_path, {"a": BODIES["a"]}))
    assert shard.rows == 0
    assert shard.dropped == 1
    row = read_table(str(tmp_path / "ledger" / "documents-00000.arrow")).to_pylist()[0]
    assert (row["reason"], row["detail"]) == ("EXTRACT_TIMEOUT", "cpu_s=15")


def test_no_pages_no_documents(tmp_path: Path) -> None:
    shard = run(tmp_path, page_shard(tmp_path, {}))
    assert (shard.rows, shard.dropped) == (0, 0)


def test_the_transform_writes_what_the_function_writes(tmp_path: Path) -> None:
    run(tmp_path / "plain", page_shard(tmp_path / "plain", BODIES))
    pages = page_shard(tmp_path / "beam", BODIES)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        pipeline | beam.Create([pages]) | ExtractText(root=str(tmp_path / "beam"), workers=1)
    assert files(tmp_path / "plain") == files(tmp_path / "beam")
