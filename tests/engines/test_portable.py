"""The job over the wire: Beam's job service and two pools, each worker a process that got all it knows through gRPC."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from runs import (
    TIMEOUT_S,
    arguments,
    built,
    clear_error,
    command,
    differences,
    half_written,
    kill_tree,
    unconserved,
    wait_until,
    webtext,
)
from small_web import KEPT, Files, Maker, Pen, Web, article
from wire import Cluster, cluster

from tokenizer import train

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline" / "documents"))
from pages_to_fear import FEARS

CODE = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

NO_WEBTEXT = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pipeline", "tokenizer", "dags"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""

DEADLY = """
import os, signal
from dags import tokens, vocab

def die(*arguments, **more):
    os.kill(os.getpid(), signal.SIGKILL)

tokens.encoded_shard = vocab.counted_shard = die
"""

SHORT_PATIENCE = """
import functools
from pipeline import sandbox
sandbox.Limits = functools.partial(sandbox.Limits, cpu_s=2.0)
"""


@pytest.fixture(scope="module")
def two_pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


def at_start(folder: Path, code: str) -> dict[str, str]:
    """The environment of a pool whose every process runs this first."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(folder)}


def running(*words: str) -> psutil.Popen:
    return psutil.Popen(command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def in_the_middle_of_documents(root: Path, process: psutil.Popen) -> bool:
    """Waits until three of sixteen shards of documents are there."""
    return wait_until(lambda: len(list(root.glob("documents/documents-*-of-00016.arrow"))) >= 3, process=process)


def test_two_pools_write_what_one_machine_writes(whole: tuple[Files, Path], two_pools: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "root"
    before = [set(pool.workers()) for pool in two_pools.pools]
    built(*arguments(whole[0], root), *two_pools.options)
    assert differences(whole[1], root) == []
    for pool, earlier in zip(two_pools.pools, before, strict=True):
        (worker,) = set(pool.workers()) - earlier
        assert worker.cpu_times().user > 1, "one of the pools was given nothing to do"


def test_a_worker_killed_at_work_ends_the_run_in_a_sentence_and_the_next_one_goes_on(
    whole: tuple[Files, Path], two_pools: Cluster, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    words = [*arguments(whole[0], root), *two_pools.options]
    before = set(two_pools.pools[0].workers())
    process = running(*words)
    try:
        assert in_the_middle_of_documents(root, process)
        (worker,) = set(two_pools.pools[0].workers()) - before
        finished = {path: path.stat().st_ino for path in root.glob("documents/documents-*.arrow")}
        worker.send_signal(signal.SIGKILL)
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        kill_tree(process)
    said = clear_error(subprocess.CompletedProcess(words, process.returncode, out, err))
    assert "a worker ended in the middle of its work" in said
    assert "Run the same command again" in said
    assert half_written(root) == []
    assert not (root / "corpus" / "manifest.json").exists()
    built(*words)
    assert differences(whole[1], root) == []
    assert {path: path.stat().st_ino for path in finished} == finished, "a finished shard was made twice"


def test_what_follows_a_corpus_runs_there_too(whole: tuple[Files, Path], two_pools: Cluster, tmp_path: Path) -> None:
    """Vocabulary, tokens and the dedup of other people's files: the bytes of this machine, made by the pools."""
    for place, options in (("here", ()), ("there", two_pools.options)):
        root = tmp_path / place
        shutil.copytree(whole[1] / "corpus", root / "corpus")
        built("vocab", "--corpus", str(root), "--size", "400", *options)
        built("tokens", "--corpus", str(root), *options)
        built("dedup", "--input", str(root / "corpus/data/train*.arrow"), "--output", str(root / "unique"), *options)
    files = {place: written(tmp_path / place) for place in ("here", "there")}
    made = ("vocab/merges.txt", "unique/dedup.json", "unique/ledger/duplicates-00000.arrow")
    assert set(map(Path, made)) <= files["here"].keys()
    assert len([path for path in files["here"] if path.parts[0] == "tokens"]) == len(list((whole[1] / "corpus/data").iterdir()))
    assert files["here"] == files["there"]


@pytest.mark.parametrize("name", ["vocab", "tokens"])
def test_a_worker_that_dies_in_what_follows_is_said(whole: tuple[Files, Path], tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    shutil.copytree(whole[1] / "corpus", root / "corpus")
    train(["a text"], vocab_size=257).save(root / "vocab")
    with cluster(tmp_path / "cluster", pools=1, environment=at_start(tmp_path / "site", DEADLY)) as pools:
        said = clear_error(webtext(name, "--corpus", str(root), "--output", str(tmp_path / "new"), *pools.options))
    assert "a worker ended in the middle of its work" in said
    assert not (tmp_path / "new").exists()


def written(root: Path) -> dict[Path, bytes]:
    """Every file but the notes of progress."""
    found = {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {path: content for path, content in found.items() if path.name not in (".journal", ".lock")}


def test_a_run_that_is_stopped_ends_its_job(whole: tuple[Files, Path], two_pools: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "root"
    process = running(*arguments(whole[0], root), *two_pools.options)
    try:
        assert in_the_middle_of_documents(root, process)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=TIMEOUT_S)
        assert time.monotonic() - asked < 10
    finally:
        kill_tree(process)
    assert process.returncode == 143
    assert err.splitlines()[-1] == "webtext corpus: job cancelled; run the same command again to go on"


def poisoned_web() -> Web:
    """A few articles, and records that end the process that reads them, or would."""
    maker = Maker(31)
    for n in range(12):
        maker.page(f"http://www.good{n % 5}.example/{n}", article(Pen((31, n)).paragraphs(5)))
    maker.bad_line(b"\0" * 70_000, "NUL_BYTE")
    for name in ("2.9 MB links", "100,000 nested divs", "1 MB random bytes"):
        url = f"http://www.poison{len(maker.web.records)}.example/"
        maker.submit(url, "documents", FEARS[name].outcomes[0])
        maker.store(url, FEARS[name].body())
    maker.submit("http://www.kept.example/", *KEPT)
    maker.store("http://www.kept.example/", article(Pen("kept").paragraphs(5)))
    return maker.web


def test_a_poisoned_record_ends_in_its_row_and_not_the_job(tmp_path: Path) -> None:
    web = poisoned_web()
    root = tmp_path / "root"
    with cluster(tmp_path / "cluster", environment=at_start(tmp_path / "site", SHORT_PATIENCE)) as pools:
        built(*arguments(web.write(tmp_path / "web"), root), *pools.options)
    assert unconserved(root, web) == []
    assert {fate.reason for fate in web.fates} >= {"EXTRACT_TIMEOUT", "TOO_DEEP", "BINARY", "NUL_BYTE"}


def refused(files: Files, root: Path, pools: Cluster) -> str:
    """What is said of workers that cannot do the work; none was done."""
    said = clear_error(webtext(*arguments(files, root), *pools.options))
    assert not root.exists()
    return said


def test_a_worker_without_webtext_is_named(whole: tuple[Files, Path], tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", pools=1, environment=at_start(tmp_path / "site", NO_WEBTEXT)) as pools:
        said = refused(whole[0], tmp_path / "root", pools)
    assert said.startswith("webtext corpus: a worker has no webtext. Build its image with our Dockerfile")


def test_a_worker_of_another_webtext_is_refused(whole: tuple[Files, Path], tmp_path: Path) -> None:
    for room in ("pipeline", "tokenizer"):
        shutil.copytree(CODE / room, tmp_path / "other" / room, ignore=shutil.ignore_patterns("__pycache__"))
    with open(tmp_path / "other" / "pipeline" / "schema.py", "a") as file:
        file.write("# a change\n")
    with cluster(tmp_path / "cluster", pools=1, environment={"PYTHONPATH": str(tmp_path / "other")}) as pools:
        said = refused(whole[0], tmp_path / "root", pools)
    assert "a worker runs another webtext than the one that submitted this job: code " in said


def test_a_pool_that_does_not_answer_is_named(whole: tuple[Files, Path], two_pools: Cluster, tmp_path: Path) -> None:
    nowhere = two_pools._replace(options=(*two_pools.options, "--environment_config=localhost:1"))
    assert "no worker pool answers at the address of --environment_config" in refused(whole[0], tmp_path / "root", nowhere)


def test_what_listens_and_is_no_job_server_is_named(whole: tuple[Files, Path], two_pools: Cluster, tmp_path: Path) -> None:
    pool = next(option.partition("=")[2] for option in two_pools.options if option.startswith("--environment_config"))
    wrong = two_pools._replace(options=(*two_pools.options, f"--job_endpoint={pool}"))
    assert "no job server answers at --job_endpoint (" in refused(whole[0], tmp_path / "root", wrong)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--environment_type=DOCKER", "--environment_config=nosuch:1"], "cannot start the container of --environment_config"),
        (["--environment_type=PROCESS", '--environment_config={"command": "/nope"}'], "starts no workers of the kind process"),
    ],
)
def test_workers_that_cannot_be_started_are_named(
    whole: tuple[Files, Path], two_pools: Cluster, tmp_path: Path, options: list[str], told: str
) -> None:
    wrong = two_pools._replace(options=(*two_pools.options, *options))
    assert told in refused(whole[0], tmp_path / "root", wrong)

