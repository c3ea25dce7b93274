"""What a run is told, what it reports, and the small things it asks of its surroundings."""

import contextlib
import hashlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from model.checkpoint import sha256
from model.config import ModelError
from tokenizer import Tokenizer


@dataclass(frozen=True)
class Run:
    """Where a run lies and how often it looks up: nothing that changes a loss, but `weights` and the tokens themselves."""

    tokens: Path
    output: Path
    vocab: Path | None = None  # for samples and bits per byte
    weights: Path | None = None  # start from this checkpoint or export
    parallel: str = "ddp"  # or fsdp; only under torchrun
    compile: bool | None = None  # None: on CUDA
    threads: int | None = None  # None: the checkpoint's, else torch's
    eval_every: int = 250  # steps
    eval_tokens: int = 1_048_576  # of the validation split, at most
    save_every: int = 1000  # steps
    keep: int = 3  # newest checkpoints; the best is kept besides


class Outcome(NamedTuple):
    """How a run ended."""

    step: int
    first_validation_loss: float
    validation_loss: float
    best: dict[str, Any]
    curve: Path
    sample: str
    signal: int | None  # that stopped it


class Stopped(Exception):  # noqa: N818 - no error
    """A signal asked for the end."""


class Signals:
    """Remembers Ctrl-C and SIGTERM until the step is in a state to be saved."""

    def __init__(self) -> None:
        self.received = 0

    @contextlib.contextmanager
    def watched(self) -> Iterator["Signals"]:
        before = {each: signal.signal(each, self._remember) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _remember(self, number: int, _: Any) -> None:
        self.received = number


def seed_of(*numbers: int) -> int:
    """A seed for these numbers, far from that of any others."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:8], "little", signed=False) % 2**63


def short(value: Any) -> str:
    return f"{value[:12]}…" if isinstance(value, str) and len(value) > 12 else str(value)


def vocabulary_beside(run: Run, *, fingerprint: str) -> Tokenizer | None:
    """The tokenizer of these shards: given, or lying beside them."""
    directory = run.vocab or run.tokens.parent / "vocab"
    if run.vocab is None and not directory.exists():
        return None
    found = Tokenizer.load(directory)
    if found.fingerprint != fingerprint:
        raise ModelError(
            f"{run.tokens}: was made with tokenizer {short(fingerprint)}, {directory} holds {short(found.fingerprint)}. "
            "Run `webtext tokens` again, or give the right --vocab."
        )
    return found


def manifest_hash(tokens: Path) -> str | None:
    manifest = tokens.parent / "corpus" / "manifest.json"
    return sha256(manifest) if manifest.exists() else None
