import hashlib
import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus import BUCKETS, IDS, Measuring, Range, Writing, measure, plan, rows_between, tasks, write_corpus_shard
from pipeline.schema import CORPUS, DOCUMENT, Shard
from pipeline.shards import read_metadata, read_table, write_arrow, write_shard


def document(n: int) -> dict:
    key = f"h{n}.example/"
    text = f"text number {n} " * (n % 7 + 1)
    return {
        "id": hashlib.sha256(key.encode()).hexdigest()[:32], "key": key, "url": f"http://{key}", "text": text,
        "title": f"title {n}",
        "domain": f"h{n}.example", "language": "en", "language_score": 0.99, "karma": n, "submission_id": f"s{n}",
        "subreddit": "books", "created_utc": 1_400_000_000 + n, "fetched_utc": 1_500_000_000, "extractor": "trafilatura",
        "words": len(text.split()), "text_hash": hashlib.sha256(text.encode()).hexdigest(), "page_digest": "d",
    }  # fmt: skip


def documents_in(folder: Path, rows: list[dict], *, shards: int) -> list[Shard]:
    made = []
    for number in range(shards):
        part = sorted((row for n, row in enumerate(rows) if n % shards == number), key=lambda row: row["id"])
        path = folder / "documents" / f"documents-{number:05d}-of-{shards:05d}.arrow"
        table = pa.Table.from_pylist(part, DOCUMENT)
        made.append(write_shard(str(path), table, stage="documents", number=number, of=shards, recipe="", made_from=str(number)))
    return made


def verdicts_in(folder: Path, dropped: list[str], clusters: dict[str, int]) -> Shard:
    ids = pa.schema([("id", pa.string())])
    sizes = pa.schema([("id", pa.string()), ("cluster_size", pa.int32())])
    dropped_path = str(folder / "duplicates" / "verdicts.arrow")
    write_arrow(dropped_path, ids, pa.table({"id": sorted(dropped)}, schema=ids).to_batches())
    rows = [{"id": id_, "cluster_size": size} for id_, size in sorted(clusters.items())]
    write_arrow(clusters_path(dropped_path), sizes, pa.Table.from_pylist(rows, sizes).to_batches())
    return Shard("duplicates", 0, 1, dropped_path, len(dropped), 0, str(sorted(dropped)))


def clusters_path(path: str) -> str:
    return path.replace("verdicts", "clusters")


def corpus_of(folder: Path, rows: list[dict], *, shards: int = 3, shard_bytes: int = 1 << 20, dropped: list[str] = [],  # noqa: B006
              clusters: dict[str, int] = {}, validation: float = 0.005) -> tuple[list[Writing], pa.Table]:  # noqa: B006  # fmt: skip
    root = str(folder)
    documents = documents_in(folder, rows, shards=shards)
    verdicts = verdicts_in(folder, dropped, clusters)
    sizes = [measure(Measuring(shard, verdicts), root=root) for shard in documents]
    made = tasks(sizes, documents, verdicts, root=root, validation=validation, shard_bytes=shard_bytes)
    written = [write_corpus_shard(task, root=root, clusters_path=clusters_path) for task in made]
    return made, pa.concat_tables([read_table(shard.path).replace_schema_metadata(None) for shard in written])


@pytest.mark.parametrize("clump", [False, True])
def test_a_range_of_ids_is_cut_out_of_a_file_without_reading_it_whole(tmp_path: Path, clump: bool) -> None:
    """Ids over all of their range, and in one clump, as no hash gives them."""
    ids = sorted(hashlib.sha256(str(n).encode()).hexdigest()[:32] for n in range(5000))
    ids = sorted(f"7{id_[:31]}" for id_ in ids) if clump else ids
    path = str(tmp_path / "documents" / "d.arrow")
    write_shard(path, pa.table({"id": ids, "text": ids}), stage="d", number=0, of=1, recipe="", made_from="")
    for of in (1, 7, 300):
        edges = [n * IDS // of for n in range(of + 1)]
        found = [
            table.column("text").to_pylist()
            for low, high in itertools.pairwise([*edges, IDS])
            for table in rows_between(path, low=low, high=high, columns=["text"])
        ]
        assert [id_ for part in found for id_ in part] == ids


def test_each_document_that_stays_is_in_one_shard_sorted_by_id(tmp_path: Path) -> None:
    rows = [document(n) for n in range(300)]
    dropped = [row["id"] for row in rows[:40]]
    made, table = corpus_of(tmp_path, rows, shard_bytes=2_000, dropped=dropped, clusters={rows[50]["id"]: 41})
    assert len(made) > 8
    assert sorted(table.column("id").to_pylist()) == sorted(row["id"] for row in rows[40:])
    assert table.schema.equals(CORPUS)
    sizes = dict(zip(table.column("id").to_pylist(), table.column("cluster_size").to_pylist(), strict=True))
    assert sizes.pop(rows[50]["id"]) == 41
    assert set(sizes.values()) == {1}
    for task in made:
        ids = read_table(task.range.path(str(tmp_path))).column("id").to_pylist()
        assert ids == sorted(ids)
        assert all(task.range.low <= int(id_[:8], 16) < task.range.high for id_ in ids)


@pytest.mark.parametrize("validation", [0.0, 0.005, 0.3, 1.0])
def test_validation_is_by_the_hash_of_the_key(tmp_path: Path, validation: float) -> None:
    rows = [document(n) for n in range(200)]
    made, _ = corpus_of(tmp_path, rows, validation=validation, shard_bytes=3_000)
    ids = {"train": set(), "validation": set()}
    for task in made:
        ids[task.range.split] |= set(read_table(task.range.path(str(tmp_path))).column("id").to_pylist())
    expected = {row["id"] for row in rows if int(row["id"][:8], 16) / 2**32 < validation}
    if validation == 0.005:
        assert not {row["id"] for row in rows if int(row["id"][:8], 16) / 2**32 < 0.001}
        expected = expected or {min(row["id"] for row in rows)}
    assert ids["validation"] == expected
    assert len(ids["train"]) + len(ids["validation"]) == len(rows)


def test_the_lowest_document_is_validation_when_no_other_is(tmp_path: Path) -> None:
    rows = [document(n) for n in range(5)]
    made, _ = corpus_of(tmp_path, rows, validation=1e-9)
    validation = next(task for task in made if task.range.split == "validation")
    assert read_table(validation.range.path(str(tmp_path))).column("id").to_pylist() == [min(row["id"] for row in rows)]


def test_no_documents_give_empty_shards_with_the_schema(tmp_path: Path) -> None:
    made, table = corpus_of(tmp_path, [])
    assert [task.range.split for task in made] == ["train", "validation"]
    assert table.num_rows == 0
    assert table.schema.equals(CORPUS)


def test_how_documents_lie_in_shards_changes_no_byte(tmp_path: Path) -> None:
    rows = [document(n) for n in range(100)]
    files = []
    for shards, order in ((2, rows), (2, rows[::-1])):
        folder = tmp_path / str(len(files))
        made, _ = corpus_of(folder, order, shards=shards, shard_bytes=1_000)
        files.append([Path(task.range.path(str(folder))).read_bytes() for task in made])
    tables = [corpus_of(tmp_path / f"s{shards}", rows, shards=shards, shard_bytes=1_000)[1] for shards in (1, 7)]
    assert tables[0].equals(tables[1])
    assert len(files[0]) == len(files[1])


def test_a_finished_shard_is_not_written_again_and_the_manifest_stays(tmp_path: Path) -> None:
    rows = [document(n) for n in range(50)]
    made, _ = corpus_of(tmp_path, rows)
    manifest = tmp_path / "corpus" / "manifest.json"
    manifest.write_text("{}")
    before = {task.range.path(str(tmp_path)): Path(task.range.path(str(tmp_path))).stat().st_mtime_ns for task in made}
    corpus_of(tmp_path, rows)
    assert {path: Path(path).stat().st_mtime_ns for path in before} == before
    assert manifest.exists()
    corpus_of(tmp_path, rows, dropped=[rows[0]["id"]])
    assert not manifest.exists()


@given(
    weights=st.lists(st.tuples(st.integers(0, BUCKETS - 1), st.integers(1, 10**9)), max_size=50),
    validation=st.floats(0, 1),
    shard_bytes=st.integers(1, 10**9),
)
def test_ranges_cover_every_id_once(weights: list[tuple[int, int]], validation: float, shard_bytes: int) -> None:
    buckets = [bucket for bucket, _ in weights]
    lowest = [bucket << 20 for bucket in buckets]
    sizes = pa.table({"bucket": buckets, "rows": [1] * len(buckets), "bytes": [size for _, size in weights], "lowest": lowest})
    sizes = sizes.cast(pa.schema([("bucket", pa.uint16()), ("rows", pa.int64()), ("bytes", pa.int64()), ("lowest", pa.uint32())]))
    ranges = plan(sizes, validation=validation, shard_bytes=shard_bytes)
    spans = sorted((part.low, part.high) for part in ranges)
    assert spans[0][0] == 0
    assert spans[-1][1] == IDS
    assert all(high == low for (_, high), (low, _) in itertools.pairwise(spans))
    for split in ("train", "validation"):
        numbers = [part.number for part in ranges if part.split == split]
        assert numbers == list(range(len(numbers)))
        assert {part.of for part in ranges if part.split == split} == {len(numbers)}


def test_shards_are_near_their_size(tmp_path: Path) -> None:
    randomness = np.random.default_rng(1)
    buckets = randomness.integers(0, BUCKETS, 100_000)
    table = pa.table({"bucket": pa.array(buckets, pa.uint16()), "rows": [1] * 100_000, "bytes": [1000] * 100_000,
                      "lowest": pa.array(buckets << 20, pa.uint32())})  # fmt: skip
    ranges = [part for part in plan(table, validation=0.0, shard_bytes=10_000_000) if part.split == "train"]
    loads = [sum(1000 for bucket in buckets if part.low <= bucket << 20 < part.high) for part in ranges]
    assert len(ranges) == 10
    assert max(loads) < 10_300_000
    assert min(loads) > 9_700_000


def test_work_is_named_in_the_metadata(tmp_path: Path) -> None:
    made, table = corpus_of(tmp_path, [document(n) for n in range(10)])
    metadata = [read_metadata(task.range.path(str(tmp_path))) for task in made]
    assert sum(entry.counts["corpus_kept"] for entry in metadata) == table.num_rows
    assert Range("train", 0, 1, 0, IDS).path("r") == "r/corpus/data/train-00000-of-00001.arrow"
