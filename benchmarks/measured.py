"""Runs a command and says what its process tree took: CPU seconds, wall seconds, peak memory by kind of process and stage."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SAMPLE_S = 0.05
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    cpu_s: float  # user + system of the whole tree, as the kernel counts it for children that were waited for
    wall_s: float
    parent_cpu_s: float  # of the command's first process, sampled
    peak_mb: dict[str, dict[str, float]]  # "main" or "child" -> stage -> most memory of its own (RssAnon), sampled
    resident_mb: dict[str, dict[str, float]]  # the same with mapped files and libraries (VmRSS)
    output: str


def own_peak_mb() -> float:
    """Most memory that this program has held.  `ru_maxrss` starts from what the process that started it had held."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def measured(command: Sequence[str], *, stage: Callable[[], str] = lambda: "", env: Mapping[str, str] | None = None) -> Usage:
    """Runs a command to its end.  Exits with its output if it fails.  `stage` is asked at every sample what is being done."""
    own: dict[str, dict[str, float]] = {"main": defaultdict(float), "child": defaultdict(float)}
    resident: dict[str, dict[str, float]] = {"main": defaultdict(float), "child": defaultdict(float)}
    seen_cpu_s: dict[int, float] = {}
    started = time.monotonic()
    printed = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed below
    # A session of its own: where the kernel shares the processor out by session, runs side by side get equal parts.
    process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, env=env, start_new_session=True)
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_S):
            doing = stage()
            for pid in tree(process.pid):
                kind = "main" if pid == process.pid else "child"
                anonymous, whole = memory_mb(pid)
                own[kind][doing] = max(own[kind][doing], anonymous)
                resident[kind][doing] = max(resident[kind][doing], whole)
                seen_cpu_s[pid] = max(seen_cpu_s.get(pid, 0.0), own_cpu_s(pid))

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    _, status, used = os.wait4(process.pid, 0)  # of this child and of all that it waited for
    process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.monotonic() - started
    ended.set()
    sampler.join()
    with printed:
        printed.seek(0)
        output = printed.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    # A child that was killed and not waited for is in the samples alone.
    cpu_s = max(used.ru_utime + used.ru_stime, sum(seen_cpu_s.values()))
    return Usage(cpu_s, wall_s, seen_cpu_s.get(process.pid, 0.0), own, resident, output)


def stage_of(root: str, stages: Sequence[str]) -> Callable[[], str]:
    """What a run in ROOT is at, by its journal: the stage of the last finished shard, or the next if that was its last."""
    journal = Path(root) / ".journal"

    def stage() -> str:
        try:
            shards = [json.loads(line) for line in journal.read_text().splitlines()]
        except OSError:
            return stages[0]
        last = shards[-1]["stage"] if shards else stages[0]
        done = sum(shard["stage"] == last for shard in shards)
        place = stages.index(last)
        return stages[min(place + 1, len(stages) - 1)] if shards and done >= shards[-1]["of"] else last

    return stage


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as file:
                    found += [int(word) for word in file.read().split()]
        except OSError:
            continue
    return found


def memory_mb(pid: int) -> tuple[float, float]:
    """Anonymous and whole resident memory."""
    try:
        with open(f"/proc/{pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["RssAnon"].split()[0]) / 1024, int(fields["VmRSS"].split()[0]) / 1024
    except (OSError, KeyError, ValueError):
        return 0.0, 0.0  # it has just ended


def own_cpu_s(pid: int) -> float:
    """CPU seconds of one process without its children."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * TICK_S
