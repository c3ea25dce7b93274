"""Killable children that do what may hang, crash or eat memory: one request in, one answer out.

    pages = sandbox("pipeline.documents.page:document", {"extractor": "trafilatura"}, workers=2)
    for answer in pages.map((header, record) for ...):      # answers in the order of the requests
        ...                                                 # a dict of JSON values, or Killed

A child is a fresh `python -m pipeline.sandbox` (never a fork: beside gRPC's threads that broke most runs), fed over pipes.
For each request it arms a kernel timer of CPU time whose default action ends the process, so that a loop inside C is
stopped too, and it runs under an address space limit.  A request that ends its child is tried once more, alone, in a new
one; only that verdict counts, so that a verdict does not depend on what the child had done before.  A child ends when its
standard input closes, so none outlives its parent.  Children import what the task imports: keep Beam out of it.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import queue
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

from pipeline.schema import PipelineError

FRAME = struct.Struct("<II")  # bytes of the JSON header, bytes of the payload


@dataclass(frozen=True)
class Limits:
    """What one request may take.  docs/extraction.md has the measurements behind the numbers."""

    cpu_s: float = 15.0  # slowest of 1,507 real pages: 5.3 s, on a loaded machine
    wall_s: float = 180.0  # for a child that waits without computing; far above cpu_s, so that load decides nothing
    memory_bytes: int = 2 << 30  # above what the child maps once its libraries are loaded; real pages stay below 1.1 GB
    requests: int = 5000  # then a child is replaced: it grows by some 40 MB in 10,000 pages (benchmarks/results/corpus_memory.md)


class Killed(NamedTuple):
    """A request that no child survived.  `reason` is TIMEOUT, MEMORY or CRASH."""

    reason: str
    detail: str


Request = tuple[Mapping[str, Any], bytes]
Answer = dict[str, Any] | Killed


class Sandbox:
    """A pool of children that all run one task: a module function `task(header: dict, payload: bytes) -> dict`."""

    def __init__(self, task: str, config: Mapping[str, Any], *, workers: int = 1, limits: Limits | None = None) -> None:
        self.task = task
        self.config = dict(config)
        self.workers = workers
        self.limits = limits or Limits()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="sandbox")
        self._idle: queue.LifoQueue[_Child] = queue.LifoQueue()
        self._children: set[_Child] = set()
        self._lock = threading.Lock()
        atexit.register(self.close)

    def map(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answers in the order of the requests; a few are in flight at a time, however many there are."""
        in_flight: deque[Future[Answer]] = deque()
        try:
            for header, payload in requests:
                if len(in_flight) > 2 * self.workers:
                    yield in_flight.popleft().result()
                in_flight.append(self._threads.submit(self.answer, header, payload))
            while in_flight:
                yield in_flight.popleft().result()
        finally:
            for future in in_flight:
                future.cancel()

    def answer(self, header: Mapping[str, Any], payload: bytes) -> Answer:
        """The answer to one request; blocks."""
        try:
            child = self._idle.get_nowait()
        except queue.Empty:
            child = self._started()
        answer = child.ask(header, payload)
        if isinstance(answer, Killed):
            self._forget(child)
            child = self._started()
            answer = child.ask(header, payload)
            if isinstance(answer, Killed):
                self._forget(child)
                return answer
        if child.asked >= self.limits.requests:
            self._forget(child)
        else:
            self._idle.put(child)
        return answer

    def close(self) -> None:
        """Ends the children at once."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            children, self._children = self._children, set()
        for child in children:
            child.end()

    def _started(self) -> "_Child":
        child = _Child(self.task, self.config, self.limits)
        with self._lock:
            self._children.add(child)
        return child

    def _forget(self, child: "_Child") -> None:
        child.end()
        with self._lock:
            self._children.discard(child)


@functools.cache
def _pool(task: str, config: str, workers: int) -> Sandbox:
    return Sandbox(task, json.loads(config), workers=workers)


_pool_lock = threading.Lock()


def sandbox(task: str, config: Mapping[str, Any], *, workers: int) -> Sandbox:
    """The pool of this process for a task: one, however many bundles and threads ask for it."""
    with _pool_lock:
        return _pool(task, json.dumps(dict(config), sort_keys=True), workers)


class _Child:
    """The parent's side of one child process."""

    def __init__(self, task: str, config: Mapping[str, Any], limits: Limits) -> None:
        self.limits = limits
        self.asked = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.sandbox", task, str(limits.cpu_s), str(limits.memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is the parent's to handle
            # Order of sets inside the libraries must not differ from run to run.
            env={**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        ready = self._exchange(config, b"")
        if isinstance(ready, Killed) or "ready" not in ready:
            self.end()
            raise PipelineError(f"the worker for {task} did not start ({ready}). Is webtext installed on this machine?")

    def ask(self, header: Mapping[str, Any], payload: bytes) -> Answer:
        self.asked += 1
        return self._exchange(header, payload)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _exchange(self, header: Mapping[str, Any], payload: bytes) -> Answer:
        text = json.dumps(header).encode()
        assert self.process.stdin is not None
        try:
            for part in (FRAME.pack(len(text), len(payload)), text, payload):
                _write_all(self.process.stdin, part)
            frame = self._read(FRAME.size)
            answer = json.loads(self._read(FRAME.unpack(frame)[0]))
        except (BrokenPipeError, EOFError):
            return self._obituary()
        except TimeoutError:
            self.process.kill()
            self.process.wait()
            return Killed("TIMEOUT", f"no answer within {self.limits.wall_s:g} s")
        return Killed(**answer["killed"]) if "killed" in answer else answer

    def _read(self, wanted: int) -> bytes:
        assert self.process.stdout is not None
        parts = []
        while wanted:
            if not select.select([self.process.stdout], [], [], self.limits.wall_s)[0]:
                raise TimeoutError
            part = self.process.stdout.read(wanted)
            if not part:
                raise EOFError
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def _obituary(self) -> Killed:
        status = self.process.wait()
        if status == -signal.SIGPROF:
            return Killed("TIMEOUT", f"cpu_s={self.limits.cpu_s:g}")
        if status == -signal.SIGKILL:
            return Killed("MEMORY", "killed by the system")
        name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return Killed("CRASH", name)


def _write_all(pipe: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[pipe.write(view) :]


# ---- the child's side ----


def _read_exactly(pipe: IO[bytes], wanted: int) -> bytes:
    data = pipe.read(wanted)
    if len(data) != wanted:
        sys.exit(0)  # the parent is gone
    return data


def _mapped_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def serve(task_name: str, cpu_s: float, memory_bytes: int) -> None:
    """Answers requests until standard input closes."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints stays out of the answers
    requests = sys.stdin.buffer

    def receive() -> tuple[dict[str, Any], bytes]:
        header_length, payload_length = FRAME.unpack(_read_exactly(requests, FRAME.size))
        header = json.loads(_read_exactly(requests, header_length))
        return header, _read_exactly(requests, payload_length)

    def send(answer: dict[str, Any]) -> None:
        text = json.dumps(answer).encode()
        answers.write(FRAME.pack(len(text), 0) + text)
        answers.flush()

    config, _ = receive()
    module, _, function = task_name.partition(":")
    gc.disable()  # what is imported stays, so it need not be looked through
    task = getattr(importlib.import_module(module), function)
    gc.freeze()
    gc.enable()
    # The limit counts what the libraries have mapped already, so it is set once they are loaded.
    if sys.platform == "linux":
        ceiling = _mapped_bytes() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    send({"ready": True})
    while True:
        header, payload = receive()
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
        try:
            answer = task({**config, **header}, payload)
        except MemoryError:
            answer = {"killed": {"reason": "MEMORY", "detail": f"memory_bytes={memory_bytes}"}}
        except Exception as error:  # noqa: BLE001 - a page may raise anything; the parent ledgers it
            answer = {"killed": {"reason": "CRASH", "detail": type(error).__name__}}
        signal.setitimer(signal.ITIMER_PROF, 0)
        send(answer)


if __name__ == "__main__":
    serve(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
