"""The documentation builds without a warning, needs no network to be read, and its worked example works."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^`(\S+)`:\n\n((?:```(?:python|diff)\n.*?^```\n\n?)+)", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^```(python|diff)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = built(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def built(source: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` builds it."""
    words = ["--quiet", "--fail-on-warning", "--keep-going", "--conf-dir", "docs", "--doctree-dir", f"{folder}-trees"]
    command = [sys.executable, "-m", "sphinx", *words, ".", str(folder)]
    return subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300, check=False)


class Loads(HTMLParser):
    """What a browser fetches to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = dict(attrs)
        kinds = (fields.get("rel") or "").split() if tag == "link" else []
        is_sheet = bool({"stylesheet", "icon", "preload", "prefetch"} & set(kinds))
        for name in ("src", "srcset", *(["href"] if is_sheet else [])):
            if fields.get(name):
                self.urls.append(fields[name] or "")


def test_every_page_is_built_and_shows_without_a_network(site: Path) -> None:
    built = {str(path.relative_to(site).with_suffix("")) for path in site.rglob("*.html")}
    pages = {f"docs/{path.stem}" for path in (ROOT / "docs").glob("*.md")}
    assert pages | {"index", "CONTRIBUTING", "benchmarks/RESULTS"} <= built
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text())
        assert [url for url in loads.urls if "//" in url] == [], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text()), sheet


def test_the_front_page_leads_everywhere(site: Path) -> None:
    front = (site / "docs" / "index.html").read_text()
    for page in ("getting-started", "pipeline", "corpus-format", "reasons", "tokenizer", "training", "evaluation", "benchmarks",
                 "add-a-stage", "decisions", "removal"):  # fmt: skip
        assert f'href="{page}.html"' in front
    assert "--since" in (site / "docs" / "reasons.html").read_text()  # and no dash of a typesetter
    assert 'url=docs/index.html"' in (site / "index.html").read_text()


@pytest.mark.slow
def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    for name in ("docs", "benchmarks", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.py", "*.gz", "*.zst", "__pycache__"))
    shutil.copy(ROOT / "docs" / "conf.py", tmp_path / "docs")
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    with open(tmp_path / "docs" / "laws.md", "a") as page:
        page.write("\nSee [there](nowhere.md).\n")
    done = built(tmp_path, tmp_path / "html")
    assert done.returncode == 1
    assert "nowhere.md" in done.stderr


# ---- the worked example ----


@pytest.fixture(scope="module")
def with_the_stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, changed as the page says."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("dags", "pipeline", "tokenizer", "model", "examples"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for path, blocks in BLOCK.findall((ROOT / "docs" / "add-a-stage.md").read_text()):
        for kind, code in CODE.findall(blocks):
            change(copy / path, kind, code)
    return copy


def change(path: Path, kind: str, code: str) -> None:
    if kind == "python":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        return
    before = "".join(line[1:] for line in code.splitlines(keepends=True) if line[0] in " -")
    after = "".join(line[1:] for line in code.splitlines(keepends=True) if line[0] in " +")
    text = path.read_text()
    assert text.count(before) == 1, f"{path.name} has no longer the line that docs/add-a-stage.md names: {before}"
    path.write_text(text.replace(before, after))


def run(copy: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy), "NUMBA_CACHE_DIR": str(copy / "numba")}
    done = subprocess.run(
        [sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_names_the_files_it_changes() -> None:
    page = (ROOT / "docs" / "add-a-stage.md").read_text()
    assert [path for path, _ in BLOCK.findall(page)] == [
        "pipeline/reads.py", "pipeline/__init__.py", "dags/corpus.py", "tests/pipeline/test_reads.py",
    ]  # fmt: skip
    assert len(CODE.findall(page)) == 5


@pytest.mark.slow
def test_the_added_stage_is_counted_told_and_verified(with_the_stage: Path) -> None:
    copy = with_the_stage
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/pipeline/test_reads.py")
    funnel = run(
        copy, "-m", "dags", "corpus", "--submissions", "examples/submissions.ndjson.zst", "--archive", "examples/pages.warc.gz",
        "--output", "out", "--quiet",
    )  # fmt: skip
    manifest = json.loads((copy / "out" / "corpus" / "manifest.json").read_text())
    stages = {stage["name"]: stage for stage in manifest["stages"]}
    assert list(stages) == ["submissions", "links", "pages", "documents", "reads", "duplicates", "corpus"]
    assert 0 < stages["reads"]["kept"] < stages["documents"]["kept"] == stages["reads"]["in"]
    assert re.search(r"^reads .* less SHORT_READ \d+", funnel, re.MULTILINE)
    assert "whole. " in run(copy, "-m", "dags", "verify", "out")
    rows = "import pyarrow.dataset as d; print(d.dataset('out/corpus/data', format='ipc').to_table(columns=['words'])['words'])"
    assert min(map(int, re.findall(r"^\s+(\d+)", run(copy, "-c", rows), re.MULTILINE))) >= 500
    is_ours = "filter=d.field('stage') == 'reads'"
    first = f"import pyarrow.dataset as d; print(d.dataset('out/ledger', format='ipc').to_table({is_ours})['url'][0])"
    url = run(copy, "-c", first).strip()
    assert "SHORT_READ: the text is too short for a long read (words=" in run(copy, "-m", "dags", "why", url, "--corpus", "out")
