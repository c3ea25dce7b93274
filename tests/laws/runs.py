"""Running the installed command, and reading what it left behind without its own help."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from small_web import Fate, Files, Web

from pipeline.link_rules import link_id

HERE = Path(__file__).parent
WEBTEXT = Path(sys.executable).parent / "webtext"
STAGES = ("submissions", "links", "pages", "documents", "duplicates", "corpus")
# Ten corpus shards or more, and some documents to validate with.
SIZES = ("--shard-bytes", "40000", "--validation", "0.1")
TIMEOUT_S = 600  # of a run that takes ten CPU seconds, a hundred with pages that hang, on a machine with much else to do


def arguments(files: Files, root: Path, *more: str) -> list[str]:
    return ["corpus", *files.arguments, "--output", str(root), *SIZES, *more]


def command(*words: str, shim: str | None = None) -> list[str]:
    """The installed command; with `shim` one function of it is replaced (shims.py)."""
    return [sys.executable, str(HERE / "shims.py"), shim, *words] if shim else [str(WEBTEXT), *words]


def webtext(
    *words: str, shim: str | None = None, env: Mapping[str, str] | None = None, setup: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    return subprocess.run(
        command(*words, shim=shim), capture_output=True, text=True, timeout=TIMEOUT_S, env={**os.environ, **(env or {})},
        preexec_fn=setup, check=False,
    )  # fmt: skip


def built(*words: str, shim: str | None = None, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs it to a good end."""
    done = webtext(*words, shim=shim, env=env)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


@contextlib.contextmanager
def started(*words: str, shim: str | None = None) -> Iterator[psutil.Popen]:
    """It runs inside the block; whatever is left of its process tree behind the block is killed."""
    with open(os.devnull, "w") as nowhere:
        process = psutil.Popen(command(*words, shim=shim), stdout=nowhere, stderr=nowhere, start_new_session=True)
    try:
        yield process
    finally:
        kill_tree(process)


def kill_tree(process: psutil.Popen) -> None:
    """SIGKILL to a process and all below it, the parent first so that it mends nothing."""
    tree = [process]
    with contextlib.suppress(psutil.NoSuchProcess):
        tree += process.children(recursive=True)
    for member in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGKILL)
    psutil.wait_procs(tree, timeout=30)


def wait_until(true: Callable[[], bool], *, process: psutil.Popen) -> bool:
    """Whether it came true while the process ran."""
    end = time.monotonic() + TIMEOUT_S
    while not true():
        if process.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


# ---- the run that others are compared with ----


def reference(tmp_path_factory: pytest.TempPathFactory, web: Web) -> tuple[Files, Path]:
    """The small web's files and the output of one whole run, made once however many test processes ask.  Read it, never write."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "reference"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            files = web.write(folder / "web")
            built(*arguments(files, folder / "root"))
            (folder / "done").touch()
    return Files(str(folder / "web" / "dumps" / "*.zst"), str(folder / "web" / "archives" / "*.warc.gz")), folder / "root"


def copied(root: Path, to: Path) -> Path:
    shutil.copytree(root, to)
    return to


# ---- what a run left behind ----


def product(root: Path) -> dict[str, str]:
    """SHA-256 of every corpus shard, ledger file and the dataset card; of the manifest all but the inputs' paths and packing."""
    paths = [*(root / "corpus" / "data").iterdir(), *(root / "ledger").iterdir(), root / "corpus" / "README.md"]
    found = {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    manifest = json.loads((root / "corpus" / "manifest.json").read_text())
    del manifest["inputs"]
    return {**found, "manifest": json.dumps(manifest, sort_keys=True)}


def differences(one: Path, other: Path) -> list[str]:
    """Names of what is not the same in two outputs."""
    left, right = product(one), product(other)
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def rows(path: Path) -> list[dict[str, Any]]:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all().to_pylist()


def ledger(root: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((root / "ledger").glob("*.arrow")) for row in rows(path)]


def corpus(root: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((root / "corpus" / "data").glob("*.arrow")) for row in rows(path)]


def fates(root: Path) -> Counter[Fate]:
    """What became of every record, as the ledger and the corpus have it."""
    found: Counter[Fate] = Counter()
    for row in ledger(root):
        name = row["detail"].split()[0].removeprefix("submission=") if row["stage"] in STAGES[:2] else link_id(row["key"])
        found[Fate(name, row["stage"], row["reason"])] += 1
    found.update(Fate(row["id"], "corpus", "") for row in corpus(root))
    return found


def unconserved(root: Path, web: Web) -> list[str]:
    """Every breach of the law of conservation, a sentence each."""
    found, expected = fates(root), web.expected
    said = [f"{count} of {fate} are missing" for fate, count in sorted((expected - found).items())]
    said += [f"{count} of {fate} are too many" for fate, count in sorted((found - expected).items())]
    manifest = json.loads((root / "corpus" / "manifest.json").read_text())
    dropped = Counter(row["stage"] for row in ledger(root))
    running = len(web.lines)
    for stage in manifest["stages"]:
        if (stage["in"], stage["kept"]) != (running, running - dropped[stage["name"]]):
            said.append(f"{stage['name']}: {running} in, {dropped[stage['name']]} rows, but the manifest says {stage}")
        running -= dropped[stage["name"]]
    ids = {row["id"]: row["cluster_size"] for row in corpus(root)}
    if running != len(ids):
        said.append(f"{running} documents should be in the corpus, {len(ids)} are")
    folded = Counter(row["kept"] for row in ledger(root) if row["stage"] == "duplicates")
    said += [f"the keeper {keeper} is not in the corpus" for keeper in sorted(folded.keys() - ids.keys(), key=str)]
    said += [f"{id_} stands for {size}" for id_, size in sorted(ids.items()) if size != 1 + folded[id_]]
    reposts = {row["kept"] for row in ledger(root) if row["reason"] in ("REPOST", "SAME_SUBMISSION")}
    known = {fate.name for fate in found}
    said += [f"the repost's keeper {keeper} has no fate of its own" for keeper in sorted(reposts - known, key=str)]
    return said


def half_written(root: Path) -> list[str]:
    """Files under a final name that are not whole."""
    bad = []
    for path in sorted(root.rglob("*")):
        if ".tmp-" in path.name or not path.is_file():
            continue
        try:
            if path.suffix == ".arrow":
                rows(path)
            elif path.suffix == ".json":
                json.loads(path.read_text())
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            bad.append(f"{path.relative_to(root)}: {error}")
    return bad


def temporaries(root: Path) -> list[str]:
    return sorted(str(path) for path in root.rglob("*.tmp-*"))


def clear_error(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a run that failed as it should."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("webtext "), done.stderr
    return last
