"""A corpus opens with the readers people have: every snippet of the dataset card and the README is run on the sample's corpus."""

import re
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset
import pytest

from pipeline.schema import CORPUS

ROOT = Path(__file__).parent.parent
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample") / "data" / "sample"
    webtext = Path(sys.executable).parent / "webtext"
    command = [
        webtext, "corpus", "--submissions", "examples/submissions.ndjson.zst", "--archive", "examples/pages.warc.gz",
        "--output", str(root), "--quiet",
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, timeout=240, capture_output=True)
    return root


def ran(snippet: str, *, folder: Path) -> str:
    command = [sys.executable, "-c", snippet]
    environment = {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_folder_opens_with_pyarrow_with_the_columns_of_the_contract(sample: Path) -> None:
    dataset = pyarrow.dataset.dataset(str(sample / "corpus" / "data"), format="ipc")
    assert dataset.schema.remove_metadata().equals(CORPUS)
    assert dataset.count_rows() >= 25


@pytest.mark.parametrize("number", range(4), ids=["pyarrow", "datasets", "polars", "duckdb"])
def test_the_snippets_of_the_card_run(sample: Path, number: int) -> None:
    *imports, last = PYTHON.findall((sample / "corpus" / "README.md").read_text())[number].strip().splitlines()
    rows = pyarrow.dataset.dataset(str(sample / "corpus" / "data"), format="ipc").count_rows()
    shown = ran("\n".join([*imports, f"result = {last}", "print(type(result).__module__, result)"]), folder=sample)
    expected = {0: "pyarrow", 1: "num_rows", 2: "polars", 3: "duckdb"}[number]
    assert expected in shown
    if number == 1:
        assert sum(map(int, re.findall(r"num_rows: (\d+)", shown))) == rows


def test_the_snippet_of_the_readme_runs(sample: Path) -> None:
    (snippet,) = PYTHON.findall((ROOT / "README.md").read_text())
    assert "url" in ran(snippet, folder=sample.parent.parent)


def test_the_readme_shows_what_the_sample_gives(sample: Path) -> None:
    webtext = Path(sys.executable).parent / "webtext"
    shown = subprocess.run([webtext, "inspect", str(sample)], capture_output=True, text=True, timeout=60, check=True).stdout
    funnel = [line for line in shown.splitlines() if re.match(r"(read|submissions|links|pages|documents|unique|kept) ", line)]
    assert len(funnel) == 7
    readme = (ROOT / "README.md").read_text()
    assert all(line in readme for line in funnel), funnel
