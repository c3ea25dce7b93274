"""What every DAG needs around it: one process a directory, one configuration, a clean stop, errors as sentences."""

import contextlib
import fcntl
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipeline import storage
from pipeline.fetch.crawl import progress_line, stop_crawl
from pipeline.schema import PipelineError

DRAIN_S = 8.0  # for a crawl that is stopped; the whole command has 10
STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 143}


@contextlib.contextmanager
def output_directory(root: str) -> Iterator[None]:
    """Holds ROOT for this process alone; what a killed run left half written is gone.  Raises PipelineError if it is taken."""
    storage.make_folder(root)
    if not storage.is_local(root):
        yield
        return
    path = storage.join(root, ".lock")
    try:
        lock = open(path, "w")  # noqa: SIM115 - held until the block ends
    except OSError as error:
        raise PipelineError(f"cannot write in {root}: {error.strerror}. Choose an --output that can be written.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PipelineError(f"{root} is in use by another process. Wait for it, or choose another --output.") from None
        storage.collect_temporaries(root)
        yield


def settle_configuration(root: str, config: dict[str, Any], differences: Sequence[str], *, rebuild: bool) -> None:
    """Records the configuration of ROOT.  `differences`: from the one that is recorded there, if any."""
    path = storage.join(root, "config.json")
    if differences and not rebuild:
        raise PipelineError(
            f"{root} was made with another configuration: {'; '.join(differences)}. "
            "Choose another --output, or add --rebuild to build this one over it."
        )
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    if not storage.exists(path) or storage.read_text(path) != text:
        storage.remove([storage.join(root, "corpus", "manifest.json")])  # of a corpus of another configuration
        storage.write_text(path, text)


def recorded_configuration(root: str) -> dict[str, Any] | None:
    path = storage.join(root, "config.json")
    try:
        return json.loads(storage.read_text(path)) if storage.exists(path) else None
    except ValueError as error:
        message = f"{path}: is not the JSON it was written as ({error}). Delete it if you know the configuration."
        raise PipelineError(message) from error


@contextlib.contextmanager
def stopping_cleanly(command: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the process with 130 or 143: every file is whole or absent, so nothing need be undone.

    Only a live crawl is given a few seconds, for the exchanges in hand.
    """

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        stop_crawl()
        latest = time.monotonic() + DRAIN_S
        while progress_line() and time.monotonic() < latest:
            time.sleep(0.1)
        sys.stderr.write(f"\nwebtext {command}: stopped; run the same command again to go on\n")
        sys.stderr.flush()
        for child in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        os._exit(STOPPED[signal.Signals(number)])

    before = {number: signal.signal(number, stop) for number in STOPPED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _children() -> list[int]:
    """Process ids of our children, where the system tells."""
    found = []
    for task in os.listdir("/proc/self/task") if os.path.exists("/proc/self/task") else []:
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children") as file:
            found += [int(word) for word in file.read().split()]
    return found


def pipeline_options(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options.  The local default is FnApiRunner in memory: bare DirectRunner tries to download another engine."""
    options = PipelineOptions(list(arguments), save_main_session=False)
    if options.view_as(StandardOptions).runner is None:
        options.view_as(StandardOptions).runner = "FnApiRunner"
    return options


def run_pipeline(pipeline: beam.Pipeline) -> None:
    """Runs it to its end.  What a person can mend comes out as PipelineError whatever the runner wrapped it in."""
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # it logs the traceback of every error that it also raises
    try:
        result = pipeline.run()
        if result is not None:
            result.wait_until_finish()
    except PipelineError as error:
        raise type(error)(sentence(str(error))) from error
    except Exception as error:
        if message := mendable(str(error)):
            raise PipelineError(sentence(message)) from error
        raise


# How an error stands at the end of the traceback text that a runner with other processes raises.
RAISED = re.compile(r"(pipeline(?:\.\w+)+)\.(\w+): (.+)")


def mendable(traceback: str) -> str | None:
    """The message of the last PipelineError in a traceback's text."""
    for module, name, message in reversed(RAISED.findall(traceback)):
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type) and issubclass(kind, PipelineError):
            return message
    return None


def sentence(message: str) -> str:
    """A message without what Beam appends to it."""
    return re.sub(r"\s*\[while running .*", "", message, flags=re.DOTALL)
