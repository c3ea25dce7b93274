"""Checkpoints: folders that appear whole or not at all, and say what they hold.

    checkpoints/step-00000100/model.safetensors       weights, names and shapes of Hugging Face's gpt2
                              optimizer.safetensors   moments, `NAME/KEY`
                              state.json              step, batch, recipe, fingerprints, guard, sizes and hashes of the two

Everything is written under another name, flushed and renamed, and renamed again before it is deleted: a kill leaves a `.partial-`
folder that the next run removes, or a `.replaced-` one that it puts back where nothing took its place.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from model.config import GPT2Config, ModelError

SCHEMA = "webtext-checkpoint/1"
WEIGHTS, MOMENTS, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
FIELDS = {  # of state.json, without which nothing goes on
    "step": int,
    "batch": int,
    "recipe": dict,
    "config": dict,
    "tokenizer": str,
    "guard": dict,
    "scale": dict,
    "best": dict,
    "evaluated": int,
    "validation_losses": list,
    "threads": int,
    "ranks": int,
    "unscheduled": bool,
    "files": dict,
}


class CheckpointError(ModelError):
    """A checkpoint that is missing, damaged, of another run, or cannot be written."""


class Checkpoint(NamedTuple):
    """What a checkpoint holds; tensors on the processor."""

    path: Path
    weights: dict[str, torch.Tensor]
    moments: dict[str, torch.Tensor]
    state: dict[str, Any]

    @property
    def config(self) -> GPT2Config:
        return GPT2Config(**self.state["config"])


def checkpoints(directory: Path) -> list[Path]:
    """The checkpoint folders of a run, oldest first."""
    return sorted((directory / "checkpoints").glob("step-" + 8 * "[0-9]"))  # not a person's `step-00000050.bak`


def save(directory: Path, *, weights: dict[str, torch.Tensor], moments: dict[str, torch.Tensor], state: dict[str, Any]) -> Path:
    """Writes one checkpoint; what was there before stays until it is whole.  Raises CheckpointError on a full disk."""
    name = f"step-{state['step']:08d}"
    final = directory / "checkpoints" / name
    partial, replaced = final.with_name(f".partial-{name}"), final.with_name(f".replaced-{name}")
    weights = {key: value for key, value in weights.items() if key != "lm_head.weight"}  # tied
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        files = {}
        for file, tensors in ((WEIGHTS, weights), (MOMENTS, moments)):
            save_file({key: value.contiguous() for key, value in tensors.items()}, partial / file, metadata={"format": "pt"})
            files[file] = {"bytes": (partial / file).stat().st_size, "sha256": sha256(partial / file)}
            flush(partial / file)
        whole = {"schema": SCHEMA, **state, "files": files}
        (partial / STATE).write_text(json.dumps(whole, indent=1) + "\n")
        flush(partial / STATE)
        flush(partial)
        if final.exists():
            final.rename(replaced)
        partial.rename(final)
        flush(final.parent)
        if replaced.exists():
            delete(replaced)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            sweep(directory)
        kept = checkpoints(directory)
        last = f"The last one, {kept[-1].name}, is whole" if kept else "There is none before it"
        raise CheckpointError(
            f"{final}: cannot be written ({error}). {last}. Free some space and run the same command again."
        ) from error
    return final


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint, after comparing sizes and hashes with what was written."""
    state = read_state(path)
    for file, written in state["files"].items():
        found = path / file
        if not found.exists():
            raise CheckpointError(f"{found}: is missing. Delete {path} to go on from the checkpoint before it.")
        if found.stat().st_size != written["bytes"] or sha256(found) != written["sha256"]:
            raise CheckpointError(
                f"{found}: has {found.stat().st_size:,} bytes and is not what was written ({written['bytes']:,} bytes). "
                f"Delete {path} to go on from the checkpoint before it."
            )
    return Checkpoint(path, load_file(path / WEIGHTS), load_file(path / MOMENTS), state)


def read_state(path: Path) -> dict[str, Any]:
    """`state.json` of a checkpoint."""
    try:
        state = json.loads((path / STATE).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path / STATE}: cannot be read ({error}). Delete {path} to go on from the checkpoint before it."
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path / STATE}: is no JSON object. Delete {path} to go on from the checkpoint before it.")
    if state.get("schema") != SCHEMA:
        raise CheckpointError(f"{path}: schema is {state.get('schema')}, this version reads {SCHEMA}.")
    odd = [name for name, kind in FIELDS.items() if not isinstance(state.get(name), kind)]
    if odd:
        raise CheckpointError(
            f"{path / STATE}: {', '.join(odd)} missing or of another kind. Delete {path} to go on from the checkpoint before it."
        )
    return state


def chosen(directory: Path) -> Path:
    """The checkpoint a person means by a path: itself, or a run's best by validation loss, or its newest."""
    if (directory / STATE).exists():
        return directory
    found = checkpoints(directory)
    if not found:
        raise CheckpointError(f"{directory}: holds no checkpoint. Train one with `webtext train`.")
    best = read_state(found[-1]).get("best") or {}
    path = directory / "checkpoints" / f"step-{best.get('step', -1):08d}"
    return path if path.exists() else found[-1]


def prune(directory: Path, *, keep: int, best: int | None) -> None:
    """Deletes all but the newest `keep` checkpoints and the best."""
    found = checkpoints(directory)
    for path in found[:-keep]:
        if path.name != f"step-{-1 if best is None else best:08d}":
            delete(path)


def delete(path: Path) -> None:
    """Removes a checkpoint, which a kill never leaves half there under its own name."""
    shutil.rmtree(path.rename(path.with_name(f".partial-deleted-{path.name.removeprefix('.')}")))


def sweep(directory: Path) -> None:
    """Removes folders a killed run left half written, and puts back a checkpoint it was about to replace."""
    for path in (directory / "checkpoints").glob(".partial-*"):
        shutil.rmtree(path)
    for path in (directory / "checkpoints").glob(".replaced-*"):
        final = path.with_name(path.name.removeprefix(".replaced-"))
        if final.exists():
            delete(path)
        else:
            path.rename(final)


@contextlib.contextmanager
def only_trainer(directory: Path) -> Iterator[None]:
    """Holds the run's folder; a second trainer is refused.  The lock dies with its process."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CheckpointError(
                f"{directory}: another process is training here. Wait for it, or give another --output."
            ) from error
        yield


class Writer:
    """Writes checkpoints beside the training, one at a time.  An error of the last one is raised by the next call."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: CheckpointError | OSError | None = None

    def submit(self, write: Callable[[], object]) -> None:
        self.wait()

        def attempt() -> None:
            try:
                write()
            except (CheckpointError, OSError) as error:  # the second from pruning
                self._error = error

        self._thread = threading.Thread(target=attempt, name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Returns when nothing is being written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Has the system write a file or a folder's names to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
