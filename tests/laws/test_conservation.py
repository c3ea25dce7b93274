"""Law 1: in every stage, records in = kept + dropped, and every line of the input has an end that was planned for it."""

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from runs import arguments, clear_error, copied, corpus, ledger, rows, unconserved, webtext
from small_web import Files, Web

from pipeline.shards import write_arrow


def test_every_line_ends_where_it_was_planned(whole: tuple[Files, Path], web: Web) -> None:
    _, root = whole
    assert unconserved(root, web) == []
    assert len(corpus(root)) >= 200
    assert len(list((root / "documents").glob("documents-*"))) >= 8
    assert len(list((root / "corpus" / "data").iterdir())) >= 8
    stages = Counter(row["stage"] for row in ledger(root))
    assert set(stages) == {"submissions", "links", "pages", "documents", "duplicates"}, "a stage that drops nothing shows nothing"


def test_a_duplicate_names_a_better_document(whole: tuple[Files, Path], web: Web) -> None:
    _, root = whole
    karma = {row["id"]: row["karma"] for row in corpus(root)}
    folded = [row for row in ledger(root) if row["stage"] == "duplicates"]
    assert len(folded) == 12
    assert {karma[row["kept"]] for row in folded} == {900}


# ---- breaches ----


def rewritten(path: Path, change: Callable[[list[dict]], list[dict]]) -> None:
    with pa.memory_map(str(path)) as source:
        schema = pa.ipc.open_file(source).schema
    write_arrow(str(path), schema, pa.Table.from_pylist(change(rows(path)), schema).to_batches())


def first_with_rows(root: Path, pattern: str) -> Path:
    return next(path for path in sorted(root.glob(pattern)) if rows(path))


@pytest.mark.parametrize(
    ("pattern", "change", "said"),
    [
        ("ledger/pages-*", lambda found: found[1:], "are missing"),
        ("ledger/links-*", lambda found: [*found, found[0]], "are too many"),
        ("ledger/documents-*", lambda found: [{**found[0], "reason": "BULLETED"}, *found[1:]], "are missing"),
        ("ledger/duplicates-*", lambda found: [{**found[0], "kept": "0" * 32}, *found[1:]], "the keeper 000"),
        ("corpus/data/train-*", lambda found: found[1:], "should be in the corpus"),
        ("corpus/data/train-*", lambda found: [{**found[0], "cluster_size": 9}, *found[1:]], "stands for 9"),
    ],
)
def test_the_checker_sees_one_row_too_few_or_wrong(
    whole: tuple[Files, Path], web: Web, tmp_path: Path, pattern: str, change: Callable, said: str
) -> None:
    root = copied(whole[1], tmp_path / "root")
    rewritten(first_with_rows(root, pattern), change)
    assert any(said in sentence for sentence in unconserved(root, web))


def run_again(files: Files, root: Path, *, without: str, shim: str) -> subprocess.CompletedProcess[str]:
    for path in root.glob(without):
        path.unlink()
    return webtext(*arguments(files, root), shim=shim)


def test_a_run_that_forgets_a_dropped_page_refuses_to_end_well(whole: tuple[Files, Path], tmp_path: Path) -> None:
    root = copied(whole[1], tmp_path / "root")
    done = run_again(whole[0], root, without="pages/pages-*", shim="lose-a-ledger-row")
    assert "stage pages: 287 records in, but" in clear_error(done)
    assert not (root / "corpus" / "manifest.json").exists()


@pytest.mark.slow
def test_lines_that_were_never_counted_are_missed(whole: tuple[Files, Path], web: Web, tmp_path: Path) -> None:
    root = copied(whole[1], tmp_path / "root")
    done = run_again(whole[0], root, without="links/*", shim="skip-a-line")
    assert done.returncode == 0  # its own count of records in is as wrong as the rest
    assert sum("are missing" in sentence for sentence in unconserved(root, web)) >= 6
