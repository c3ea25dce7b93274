"""The wheel alone, in an environment of its own and another folder: what the image installs."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from runs import arguments, differences
from small_web import Files
from wire import cluster

from pipeline.release import code_digest

pytest.importorskip("google.cloud.storage", reason="the extra `dataflow` is not installed")
from google_here import PROJECT, REGION, client, storage_emulator

ROOT = Path(__file__).parents[2]
PACKAGES = ("dags", "model", "pipeline", "tokenizer")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Dockerfile copies, and nothing else."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    wheels = tmp_path_factory.mktemp("wheels")
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(wheels), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, timeout=300)
    (made,) = wheels.glob("webtext-*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the wheel, and the libraries of this one; not its checkout."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")  # an editable install in there is not followed
    made = folder / "bin" / "python"
    words = ["--python", str(made), "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, timeout=300)
    return made


def run(python: Path, *words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(python.parent / "webtext"), *words], cwd=folder, env={**clean, **environment}, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert sorted(set(tracked) - held) == []


def test_it_is_the_webtext_of_the_checkout(python: Path, source: Path, tmp_path: Path) -> None:
    code = "import pipeline, json, pathlib; from pipeline.release import release; print(pipeline.__file__, release()['code'])"
    done = subprocess.run([str(python), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    place, digest = done.stdout.split()
    assert Path(place).is_relative_to(python.parent.parent)
    assert digest == code_digest(source)


def test_a_job_of_the_wheel_is_translated_for_dataflow(python: Path, tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir()
    with storage_emulator("wheel-bucket") as address:
        bucket = client(address).bucket("wheel-bucket")
        for name in ("submissions.ndjson.zst", "pages.warc.gz"):
            bucket.blob(f"in/{name}").upload_from_filename(ROOT / "examples" / name)
        done = run(
            python, "corpus", "--submissions", "gs://wheel-bucket/in/*.zst", "--archive", "gs://wheel-bucket/in/*.warc.gz",
            "--output", "gs://wheel-bucket/root", "--runner", "DataflowRunner", "--dataflow_endpoint=http://localhost:9",
            "--no_auth", "--project", PROJECT, "--region", REGION, "--job_name", "webtext", "--staging_location", "staging",
            "--temp_location", "gs://wheel-bucket/tmp", "--template_location", "job.json", "--sdk_container_image", "webtext:1",
            folder=tmp_path, STORAGE_EMULATOR_HOST=address,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "the job was translated, as Beam's options ask; nothing was built\n"
    assert {path.name for path in tmp_path.rglob("*")} >= {"job.json", "pipeline.pb"}


def test_a_pool_of_the_wheel_writes_what_the_checkout_writes(python: Path, whole: tuple[Files, Path], tmp_path: Path) -> None:
    root = tmp_path / "root"
    with cluster(tmp_path / "cluster", pools=1, python=str(python)) as pools:
        done = run(python, *arguments(whole[0], root), *pools.options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert differences(whole[1], root) == []
