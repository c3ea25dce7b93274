"""What every DAG needs around it: one process a directory, one configuration, a clean stop, errors as sentences."""

import contextlib
import fcntl
import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NamedTuple, NoReturn

import apache_beam as beam
import grpc
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import DebugOptions, GoogleCloudOptions, PipelineOptions, SetupOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult

from dags.engines import LOCAL, check_engine, check_graph, console_url, engine_named, engine_of, is_translation, shards_at_once
from dags.settings import seen_journal
from pipeline import storage
from pipeline.fetch.crawl import progress_line, stop_crawl
from pipeline.schema import PipelineError

NOTES = {".lock", ".journal", "config.json"}  # what a run writes of itself before its first shard
DRAIN_S = 8.0  # for a crawl that is stopped; the whole command has 10
CANCEL_S = 5.0  # for an engine elsewhere to take note
STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 143}


@contextlib.contextmanager
def output_directory(root: str) -> Iterator[None]:
    """Holds ROOT for this process alone; what a killed run left half written is gone.  Raises PipelineError if it is taken."""
    if not storage.is_local(root):
        from pipeline.objects.lock import held

        with held(root):
            storage.collect_temporaries(root)
            yield
        return
    is_new = not storage.exists(root)
    storage.make_folder(root)
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
        try:
            yield
        except PipelineError:
            if set(notes := os.listdir(root)) <= NOTES:  # it failed before anything was made
                storage.remove([storage.join(root, name) for name in notes])
                if is_new:
                    os.rmdir(root)
            raise


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
        sys.stderr.write(f"\nwebtext {command}: {cancel_job()}; run the same command again to go on\n")
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
    """Beam's options, settled; paths are looked at with them from here on.  Without --runner the engine is this machine."""
    options = PipelineOptions(list(arguments))
    standard, debug = options.view_as(StandardOptions), options.view_as(DebugOptions)
    standard.runner = engine_named(standard.runner)
    options.view_as(SetupOptions).save_main_session = False  # nothing of ours lives in __main__
    if standard.runner == "DataflowRunner" and debug.number_of_worker_harness_threads is None:
        debug.number_of_worker_harness_threads = 1  # one shard at a time in each process: memory is bounded by a shard
    FileSystems.set_options(options)
    return options


class Engine(NamedTuple):
    """What runs a DAG.  It has what it needs to begin."""

    options: PipelineOptions
    across: int  # shards at a time in a process
    here: bool  # it is this machine

    def journal(self, output: str) -> str | None:
        """Where workers note each shard they finish."""
        return seen_journal(output, here=self.here)


def engine_for(options: PipelineOptions, *, output: str, inputs: Sequence[str], workers: int | None) -> Engine:
    """What Beam's options choose.  `inputs`: paths and globs of all that workers read.  Raises PipelineError."""
    check_engine(options, output=output, inputs=inputs)
    engine = engine_of(options)
    return Engine(options, workers or shards_at_once(engine, processors=os.cpu_count()), engine == LOCAL)


def new_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """Raises PipelineError for options that Beam finds at odds with each other."""
    try:
        return beam.Pipeline(options=options)
    except ValueError as error:
        raise PipelineError(f"Beam's options: {' '.join(str(error).split())}") from error


_job: list[PipelineResult] = []  # that runs elsewhere while this process waits for it


def run_pipeline(pipeline: beam.Pipeline) -> bool:
    """Runs it to its end; False if it was only translated.  What a person can mend comes out as PipelineError from any engine."""
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # it logs the traceback of every error that it also raises
    logging.getLogger().addFilter(_nothing)  # and so does its client of a job service, without a logger of its own
    engine = engine_of(pipeline._options)  # before Beam forgets it
    try:
        if engine == "DataflowRunner":
            check_graph(pipeline)
        result = pipeline.run()
        if engine == "DataflowRunner" and is_translation(pipeline._options):
            print("the job was translated, as Beam's options ask; nothing was built")
            return False
        if engine != LOCAL:
            _job.append(result)
        if engine == "DataflowRunner":
            tell_job(result, pipeline._options)
        result.wait_until_finish()
    except PipelineError as error:
        raise type(error)(sentence(str(error))) from error
    except Exception as error:
        if message := mendable(str(error)):
            raise PipelineError(sentence(message)) from error
        if engine not in (LOCAL, "PortableRunner", "DataflowRunner"):  # passed on to Beam, and never tried
            raise PipelineError(f"{engine}: {sentence(str(error))} docs/engines.md says which engines were tried.") from error
        if isinstance(error, grpc.RpcError):
            code = error.code().name
            raise PipelineError(f"{engine}: no job server answers at --job_endpoint ({code}). Check the port.") from error
        raise
    finally:
        _job.clear()
    return True


def tell_job(result: PipelineResult, options: PipelineOptions) -> None:
    """Where a job on Dataflow can be watched."""
    job_id = result.job_id()  # type: ignore[attr-defined]  # of Dataflow's result
    print(f"job: {console_url(options.view_as(GoogleCloudOptions), job_id)}", file=sys.stderr)


def cancel_job() -> str:
    """Asks the engine to end the job that runs elsewhere, if one does; what is to be said of it."""
    if not _job:
        return "stopped"
    cancelled: list[bool] = []

    def ask() -> None:
        _job[0].cancel()
        cancelled.append(True)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(CANCEL_S)
    return "job cancelled" if cancelled else "stopped, but the engine did not confirm that the job is: look there first"


def _nothing(_record: logging.LogRecord) -> bool:
    return False


# How an error stands at the end of the traceback text that a runner with other processes raises.
RAISED = re.compile(r"(pipeline(?:\.\w+)+)\.(\w+): (.+)")

# What engines say of workers that a person can mend.
OURS = "(?:dags|pipeline|tokenizer)"
WORKERS = (
    (
        re.compile(rf"No module named '{OURS}'"),
        "a worker has no webtext. Build its image with our Dockerfile, or install the same wheel there.",
    ),
    (
        re.compile(rf"Can't get attribute '\w+' on <module '{OURS}\b|No module named '{OURS}\."),
        "a worker runs another webtext than the one that submitted this job. Build its image, or its environment, from the same "
        "checkout.",
    ),
    (
        re.compile(r"Channel closed prematurely|SDK (?:harness|worker).* (?:disconnected|exited)|lost contact with the service"),
        "a worker ended in the middle of its work: it was killed, or ran out of memory. Run the same command again; it goes on "
        "from the shards that are finished.",
    ),
    (
        re.compile(r"StartWorker.*status = StatusCode\.UNAVAILABLE", re.DOTALL),
        "no worker pool answers at the address of --environment_config, as the job server sees it. Start it, or mend that.",
    ),
    (
        re.compile(r"Command '\['docker'"),
        "the job server cannot start the container of --environment_config: it has no Docker, or not this image.",
    ),
    (
        re.compile(r"KeyError: '?beam:env:(?P<kind>\w+):v1"),
        "the job server starts no workers of the kind {kind}. Choose another --environment_type.",
    ),
    (
        re.compile(r"FileNotFoundError: \[Errno 2\] No such file or directory: '(?P<path>[^']+)'"),
        "a worker does not see {path}. Workers and this machine must share it: gs://, s3://, or a folder mounted at one path.",
    ),
)


def mendable(traceback: str) -> str | None:
    """The message of the last PipelineError in a traceback's text, or what it says of the workers."""
    for module, name, message in reversed(RAISED.findall(traceback)):
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type) and issubclass(kind, PipelineError):
            return message
    for pattern, message in WORKERS:
        if found := pattern.search(traceback):
            return message.format(**found.groupdict())
    return None


def sentence(message: str) -> str:
    """A message without what Beam appends to it."""
    return re.sub(r"\s*\[while running .*", "", message, flags=re.DOTALL)
