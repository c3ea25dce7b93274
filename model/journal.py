"""What a run shows while it runs and leaves behind: a live line, metrics.jsonl, TensorBoard, a curve.

`metrics.jsonl` holds only what the run's inputs decide, no clock: a resumed run ends with the same bytes.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from matplotlib.figure import Figure

from model.config import ModelError

SMOOTHING = 0.95  # weight of the past in the smoothed loss
LINE_EVERY_S = 0.2  # on a terminal
PRINT_EVERY_S = 15.0  # into a file or a pipe


class Journal:
    """Records the steps of one run in its folder."""

    def __init__(
        self, directory: Path, *, stream: TextIO, steps: int, tokens_per_step: int, flops_per_step: float, peak: float | None
    ) -> None:
        self.directory, self.stream, self.steps = directory, stream, steps
        self.tokens_per_step, self.flops_per_step, self.peak = tokens_per_step, flops_per_step, peak
        self.path = directory / "metrics.jsonl"
        self.smoothed: float | None = None
        self._live = stream.isatty()
        self._shown = 0.0
        self._pace: tuple[float, int] | None = None
        self._file: TextIO | None = None
        self._board: Any = None

    def open(self, *, step: int, evaluated: int) -> None:
        """Starts after `step` and the evaluation of step `evaluated`: what an earlier process wrote beyond them is cut off."""
        self.close()
        kept = []
        for number, line in enumerate(self._lines(), start=1):
            try:
                each = json.loads(line)
                known = each["step"] <= (evaluated if "validation_loss" in each else step)
            except (ValueError, KeyError, TypeError):
                self.say(f"{self.path}: line {number:,} is damaged and was left out")
                continue
            if known:
                kept.append(line)
        partial = self.path.with_suffix(".partial")
        with writing(self.path):
            partial.write_text("".join(f"{line}\n" for line in kept))
            os.replace(partial, self.path)
            self._file = self.path.open("a", buffering=1)
        self._pace = None
        with writing(self.directory / "tensorboard"):
            self._board = _board(self.directory / "tensorboard", purge_step=step + 1)

    def _lines(self) -> list[str]:
        lines = self.path.read_text(errors="replace").split("\n") if self.path.exists() else []
        return lines[:-1]  # after the last line feed: nothing, or half a line of a killed run

    def record(self, step: int, **values: float | str | None) -> None:
        """One line of metrics.jsonl, and TensorBoard's points."""
        assert self._file is not None
        with writing(self.path):
            self._file.write(json.dumps({"step": step, **values}) + "\n")
        if self._board is not None:
            with writing(self.directory / "tensorboard"):
                for name, value in values.items():
                    if isinstance(value, float):
                        self._board.add_scalar(name, value, step)

    def show(self, step: int, *, loss: float, lr: float) -> None:
        """The live line of a finished step."""
        self.smoothed = loss if self.smoothed is None else SMOOTHING * self.smoothed + (1 - SMOOTHING) * loss
        now = time.monotonic()
        if self._pace is None:  # the first step pays for compilation and for cold pages
            self._pace = now, step
            return
        if now - self._shown < (LINE_EVERY_S if self._live else PRINT_EVERY_S) and step != self.steps:
            return
        self._shown = now
        started, first = self._pace
        per_step = (now - started) / max(1, step - first)
        speed = self.tokens_per_step / per_step if per_step else 0.0
        mfu = f"{self.flops_per_step / per_step / self.peak:.1%}" if self.peak and per_step else "unknown"
        line = (
            f"step {step:,}/{self.steps:,}  loss {loss:.4f}  smoothed {self.smoothed:.4f}  lr {lr:.2e}  "
            f"{speed:,.0f} tokens/s  MFU {mfu}  {_clock(per_step * (self.steps - step))} left"
        )
        self.stream.write(f"\r{line:<110}" if self._live else line + "\n")
        self.stream.flush()
        if self._board is not None:
            with writing(self.directory / "tensorboard"):
                self._board.add_scalar("tokens_per_second", speed, step)

    def say(self, line: str) -> None:
        """A line of its own."""
        self.stream.write(("\r" + " " * 110 + "\r" if self._live else "") + line + "\n")
        self.stream.flush()

    def records(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl so far."""
        if self._file is not None:
            with writing(self.path):
                self._file.flush()
        return [json.loads(line) for line in self._lines()]

    def draw(self) -> Path:
        """The loss curve of the run so far, as a PNG beside the checkpoints."""
        records = self.records()
        train = [(each["step"], each["loss"]) for each in records if each.get("loss") is not None and "skipped" not in each]
        validation = [(each["step"], each["validation_loss"]) for each in records if "validation_loss" in each]
        figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
        axes = figure.add_subplot()
        if train:
            axes.plot(*zip(*train, strict=True), linewidth=0.8, alpha=0.5, label="training")
            axes.plot(
                [step for step, _ in train], _smoothed([loss for _, loss in train]), linewidth=1.6, label="training, smoothed"
            )
        if validation:
            axes.plot(*zip(*validation, strict=True), marker="o", markersize=3.5, linewidth=1.6, label="validation")
        axes.set(xlabel="step", ylabel="loss (nats a token)")
        axes.grid(alpha=0.3)
        axes.legend()
        path = self.directory / "loss.png"
        partial = self.directory / ".loss.partial.png"
        with writing(path):
            figure.savefig(partial, metadata={"Software": None})
            os.replace(partial, path)
        return path

    def close(self) -> None:
        file, board = self._file, self._board
        self._file = self._board = None
        if file is not None:
            with writing(self.path):
                file.close()
        if board is not None:
            with writing(self.directory / "tensorboard"):
                board.close()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an error of the disk, which knows no name, into a sentence that says which file it was."""
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be written ({error.strerror or error}). Free some space and run the same command again."
        ) from error


def _smoothed(losses: list[float]) -> list[float]:
    line, value = [], losses[0]
    for loss in losses:
        value = SMOOTHING * value + (1 - SMOOTHING) * loss
        line.append(value)
    return line


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"


def _board(directory: Path, *, purge_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # TensorBoard is there to look at, never to wait for
        return None
    return SummaryWriter(str(directory), purge_step=purge_step)
