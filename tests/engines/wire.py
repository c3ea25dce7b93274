"""A cluster of one machine: Beam's job service, pools of workers in processes of their own, and a door before the pools."""

import contextlib
import itertools
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import grpc
import psutil
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from runs import TIMEOUT_S, kill_tree, wait_until

JOB_SERVICE = str(Path(__file__).parent / "job_service.py")
WORKER_POOL = ("-m", "apache_beam.runners.worker.worker_pool_main")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


class Service(NamedTuple):
    """A server of Beam's, and the file to which it writes."""

    process: psutil.Popen
    port: int
    log: Path

    def workers(self) -> list[psutil.Process]:
        """Of a pool: the processes it started, dead ones with it."""
        return self.process.children()

    def cpu_s(self) -> list[float]:
        """CPU seconds of each worker of a pool and of what it started."""
        times = [worker.cpu_times() for worker in self.workers()]
        return [time.user + time.system + time.children_user + time.children_system for time in times]


@contextlib.contextmanager
def service(
    *words: str, log: Path, environment: Mapping[str, str] | None = None, python: str = sys.executable
) -> Iterator[Service]:
    """`python WORDS PORT`, a server on a free port, killed behind the block with all that it started."""
    port = free_port()
    # A pool starts its workers as `python`, whatever that is on the path.
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    with open(log, "wb") as said:
        process = psutil.Popen(
            [python, *words, str(port)], stdout=said, stderr=said, cwd=log.parent,  # not the checkout, which workers would import
            env={**os.environ, "PATH": path, **(environment or {})},
        )  # fmt: skip
    try:
        assert wait_until(lambda: listening(port), process=process), f"{words[0]} did not listen within {TIMEOUT_S} s"
        yield Service(process, port, log)
    finally:
        kill_tree(process)


class Door(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Asks one pool after another for a worker, as a load balancer before them would."""

    def __init__(self, ports: Sequence[int]) -> None:
        channels = [grpc.insecure_channel(f"localhost:{port}") for port in ports]
        self.pools = itertools.cycle([beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel) for channel in channels])

    def StartWorker(self, request: beam_fn_api_pb2.StartWorkerRequest, context: object) -> beam_fn_api_pb2.StartWorkerResponse:
        return next(self.pools).StartWorker(request)


@contextlib.contextmanager
def door(pools: Sequence[Service]) -> Iterator[int]:
    """The port under which all pools are one."""
    server = grpc.server(ThreadPoolExecutor(2))
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(Door([pool.port for pool in pools]), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None)


class Cluster(NamedTuple):
    jobs: Service
    pools: list[Service]
    options: tuple[str, ...]  # for the command line


@contextlib.contextmanager
def cluster(
    folder: Path, *, pools: int = 2, environment: Mapping[str, str] | None = None, python: str = sys.executable
) -> Iterator[Cluster]:
    """A job service and `pools` pools, a worker from each; `environment` is added to theirs, `python` runs them."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        jobs = stack.enter_context(service(JOB_SERVICE, str(pools), "--job_port", log=folder / "jobs.log"))
        made = [
            stack.enter_context(
                service(*WORKER_POOL, "--service_port", log=folder / f"pool-{n}.log", environment=environment, python=python)
            )
            for n in range(pools)
        ]
        port = stack.enter_context(door(made))
        yield Cluster(jobs, made, (
            "--runner=PortableRunner", f"--job_endpoint=localhost:{jobs.port}", "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{port}",
        ))  # fmt: skip
