"""A live line a stage while a DAG runs: what is done, what was dropped, how fast, how long still."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from pipeline.fetch.crawl import progress_line
from pipeline.schema import Shard

INTERVAL_S = 0.5
PLAIN_INTERVAL_S = 10.0  # between two lines of a stage, where the output is no terminal


@dataclass
class StageProgress:
    """What the shards of one stage have come to."""

    started: float
    last: float
    series: dict[str, int] = field(default_factory=dict)  # train, validation: shards of each
    done: set[str] = field(default_factory=set)
    rows: int = 0
    dropped: int = 0

    @property
    def of(self) -> int:
        return sum(self.series.values())

    def add(self, shard: Shard, *, now: float) -> None:
        if shard.path not in self.done:  # a runner may repeat a bundle
            self.series[os.path.basename(shard.path).partition("-")[0]] = shard.of
            self.done.add(shard.path)
            self.rows += shard.rows
            self.dropped += shard.dropped
            self.last = now

    @property
    def finished(self) -> bool:
        return len(self.done) >= self.of

    def line(self, stage: str) -> str:
        """documents  12/16 shards  1,043 kept  211 dropped  38/s  0:12 left"""
        elapsed = max(self.last - self.started, 1e-9)
        rate = (self.rows + self.dropped) / elapsed
        parts = [f"{stage:<11}{len(self.done):,}/{self.of:,} shards", f"{self.rows:,} kept", f"{self.dropped:,} dropped"]
        if elapsed >= INTERVAL_S:
            parts.append(f"{rate:,.0f}/s")
        if self.done and not self.finished:
            left = elapsed / len(self.done) * (self.of - len(self.done))
            parts.append(f"{int(left // 60)}:{int(left % 60):02d} left")
        return "  ".join(parts)


class Progress:
    """Follows the journal to which workers append each shard they finish, in whatever process they run."""

    def __init__(self, journal: str, *, quiet: bool, stream: IO[str] | None = None) -> None:
        self.journal = journal
        self.quiet = quiet
        self.stages: dict[str, StageProgress] = {}
        self._console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._position = 0
        self._stage_started = time.monotonic()
        self._stop = threading.Event()
        self._told: dict[str, tuple[float, int]] = {}

    def read(self) -> None:
        """Takes in what has been appended since."""
        if not os.path.exists(self.journal):
            return
        now = time.monotonic()
        with open(self.journal, "rb") as file:
            file.seek(self._position)
            lines = file.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.splitlines():
            shard = Shard(**json.loads(line))
            if shard.stage not in self.stages:
                self.stages[shard.stage] = StageProgress(self._stage_started, now)
            self.stages[shard.stage].add(shard, now=now)
            self._stage_started = now

    def times(self) -> dict[str, Any]:
        """Seconds and records a second by stage, for run.json."""
        return {
            stage: {
                "shards": progress.of,
                "seconds": round(progress.last - progress.started, 2),
                "kept": progress.rows,
                "dropped": progress.dropped,
            }
            for stage, progress in self.stages.items()
        }

    @contextmanager
    def shown(self) -> Iterator["Progress"]:
        """Shows progress on stderr while the block runs: live on a terminal, plain lines elsewhere."""
        thread = threading.Thread(target=self._follow, name="progress", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _follow(self) -> None:
        if self.quiet:
            while not self._stop.wait(INTERVAL_S):
                self.read()  # run.json wants the time of each stage
            self.read()
        elif self._console.is_terminal:
            with Live(console=self._console, auto_refresh=False) as live:
                while not self._stop.wait(INTERVAL_S):
                    self.read()
                    live.update(self._picture(), refresh=True)
                self.read()
                live.update(self._picture(), refresh=True)
        else:
            while not self._stop.wait(INTERVAL_S):
                self.read()
                self._tell(final=False)
            self.read()
            self._tell(final=True)

    def _picture(self) -> Group:
        lines = [progress.line(stage) for stage, progress in self.stages.items()]
        if crawl := progress_line():
            lines.append(f"{'crawl':<11}{crawl}")
        return Group(*map(Text, lines))

    def _tell(self, *, final: bool) -> None:
        now = time.monotonic()
        for stage, progress in self.stages.items():
            told_at, told_done = self._told.get(stage, (now - PLAIN_INTERVAL_S, -1))
            due = progress.finished or final or now - told_at >= PLAIN_INTERVAL_S
            if len(progress.done) > told_done and due:
                self._console.print(progress.line(stage))
                self._told[stage] = (now, len(progress.done))
        if (crawl := progress_line()) and now - self._told.get("crawl", (self._stage_started, 0))[0] >= PLAIN_INTERVAL_S:
            self._console.print(f"{'crawl':<11}{crawl}")
            self._told["crawl"] = (now, 0)
