"""Which webtext this is.  A worker of another one would give other bytes: it is refused before it does any work."""

import functools
import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from pipeline.schema import PipelineError

# Libraries that may change a byte of the corpus.
DECISIVE = (
    "ada-url", "apache-beam", "datasketch", "lxml", "newspaper3k", "numpy", "orjson", "py3langid", "pyarrow", "regex",
    "tldextract", "trafilatura", "webtext", "xxhash",
)  # fmt: skip
ROOMS = ("pipeline", "tokenizer")  # whose code runs in a worker


class WorkerError(PipelineError):
    """A worker that must not take part."""


@functools.cache
def release() -> Mapping[str, str]:
    """Python as far as pickles ask, every decisive library, and our code itself: a version says little between two releases."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: version(name) for name in DECISIVE}, "code": code_digest(Path(__file__).parents[1])}


def code_digest(folder: Path) -> str:
    """First 12 hex digits of SHA-256 over the names and bytes of our modules below `folder`."""
    digest = hashlib.sha256()
    for path in sorted(path for room in ROOMS for path in (folder / room).rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def check_release(submitted: Mapping[str, str]) -> None:
    """Raises WorkerError unless this process runs what the job was submitted from."""
    here = release()
    if differing := [name for name in submitted if here.get(name) != submitted[name]]:
        told = ", ".join(f"{name} {here.get(name)} instead of {submitted[name]}" for name in differing)
        raise WorkerError(
            f"a worker runs another webtext than the one that submitted this job: {told}. "
            "Build the worker's image, or its environment, from the same checkout and lock."
        )
