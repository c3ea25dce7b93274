"""What each engine must be given, looked at before any work starts: what is missing is one sentence and costs nothing."""

import importlib.util
import re
import socket
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
    TestOptions,
)

from pipeline import storage
from pipeline.schema import PipelineError

LOCAL = "FnApiRunner"
# By the lower-case name.  Beam's DirectRunner looks for another engine on the network before it falls back on this one.
ENGINES = {
    "fnapirunner": LOCAL,
    "directrunner": LOCAL,
    "portablerunner": "PortableRunner",
    "flinkrunner": "FlinkRunner",
    "sparkrunner": "SparkRunner",
    "prismrunner": "PrismRunner",
    "dataflowrunner": "DataflowRunner",
}
DATAFLOW_NEEDS = {
    "project": "PROJECT",
    "region": "REGION",
    "temp_location": "gs://BUCKET/tmp",
    "sdk_container_image": "IMAGE",
}
REGION = re.compile(r"[a-z]+-[a-z]+\d+")
MAX_GRAPH_BYTES = 10_000_000  # Dataflow's limit for the JSON of a job; the graph is staged apart, and kept below it all the same
WORKER_KINDS = ("EXTERNAL", "DOCKER", "PROCESS", "LOOPBACK")  # of --environment_type
CONNECT_S = 5.0
SERVICE_S = 30.0
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LOGIN = "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file."


def engine_named(name: str | None) -> str:
    """Beam's name of the engine that `--runner` means; this machine without one.  Raises PipelineError if we do not run on it."""
    if name is None:
        return LOCAL
    short = name.rpartition(".")[2].lower()
    found = ENGINES.get(short) or ENGINES.get(f"{short}runner")
    if found is None:
        known = ", ".join(dict.fromkeys(ENGINES.values()))
        raise PipelineError(f"--runner {name}: not an engine that webtext runs on. Choose one of {known}.")
    return found


def engine_of(options: PipelineOptions) -> str:
    return options.view_as(StandardOptions).runner or LOCAL


def check_engine(options: PipelineOptions, *, output: str, inputs: Sequence[str]) -> None:
    """Raises PipelineError unless the engine has what it needs to begin.  `inputs`: paths and globs of all that workers read."""
    engine = engine_of(options)
    if engine == "DataflowRunner":
        check_dataflow(options, paths=[output, *inputs])
    elif engine == "PortableRunner":
        check_portable(options)


def shards_at_once(engine: str, *, processors: int | None) -> int:
    """How many shards a process works on at a time, unless the command says: a cluster has its own number of processes."""
    return (processors or 1) if engine == LOCAL else 1


# ---- Dataflow ----


def check_dataflow(options: PipelineOptions, *, paths: Sequence[str]) -> None:
    if importlib.util.find_spec("google.cloud") is None or importlib.util.find_spec("google.cloud.storage") is None:
        raise PipelineError("DataflowRunner needs libraries that are not installed: pip install 'webtext[dataflow]'.")
    cloud = options.view_as(GoogleCloudOptions)
    given = options.get_all_options()
    if missing := [f"--{name}={shown}" for name, shown in DATAFLOW_NEEDS.items() if not given[name]]:
        raise PipelineError(f"DataflowRunner also needs {' '.join(missing)}. docs/engines.md says how to get each.")
    for path in [*paths, cloud.temp_location, *([cloud.staging_location] if cloud.staging_location else [])]:
        if storage.is_local(path) and not (path == cloud.staging_location and is_offline(options)):
            raise PipelineError(f"{path}: Dataflow's workers do not see the files of this machine. Give a gs:// path.")
    if not REGION.fullmatch(cloud.region):
        zone = " That looks like a zone; leave its last letter out." if REGION.match(cloud.region) else ""
        raise PipelineError(f"--region {cloud.region}: expected a region such as us-central1 or europe-west4.{zone}")
    if not is_offline(options):
        check_service(cloud)
        for place in dict.fromkeys([cloud.temp_location, cloud.staging_location or cloud.temp_location]):
            storage.matching(storage.join(place, "webtext-*"))  # says so if the bucket is not there or not ours


def is_translation(options: PipelineOptions) -> bool:
    """Whether the job is only written down: as a template, or not at all."""
    return bool(options.view_as(GoogleCloudOptions).template_location or options.view_as(TestOptions).dry_run)


def is_offline(options: PipelineOptions) -> bool:
    """Whether it is written down on this machine, for which Google need not be asked anything."""
    template = options.view_as(GoogleCloudOptions).template_location
    return is_translation(options) and not (template and not storage.is_local(template))


def check_service(cloud: Any) -> None:
    """Asks for the jobs of the project in the region: the cheapest call that needs credentials, project and region right."""
    from google.auth import default
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    url = f"{cloud.dataflow_endpoint.rstrip('/')}/v1b3/projects/{cloud.project}/locations/{cloud.region}/jobs"
    try:
        credentials = AnonymousCredentials() if cloud.no_auth else default(scopes=[SCOPE])[0]
        answer = AuthorizedSession(credentials).get(url, params={"pageSize": 1}, timeout=SERVICE_S)
    except DefaultCredentialsError:
        raise PipelineError(f"no Google credentials are found on this machine. {LOGIN}") from None
    except GoogleAuthError as error:
        raise PipelineError(f"Google refuses the credentials of this machine ({_first_line(error)}). {LOGIN}") from error
    except OSError as error:  # what requests raises, too
        raise PipelineError(f"{cloud.dataflow_endpoint} cannot be reached ({type(error).__name__}).") from error
    if answer.status_code != 200:
        said = _said(answer)
        raise PipelineError(
            f"Dataflow answers {answer.status_code} for --project {cloud.project} --region {cloud.region}: {said} "
            "Check both, and that the Dataflow API is enabled and your account may use it."
        )


def _said(answer: Any) -> str:
    """The error message of Google's answer."""
    try:
        message = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = answer.reason or "no reason given"
    return f"{_first_line(message).rstrip('.')}."


def _first_line(message: object) -> str:
    return (str(message).strip().splitlines() or [""])[0][:300]


def check_graph(pipeline: beam.Pipeline) -> None:
    """Raises PipelineError if the graph is more than Dataflow takes: lists of files and of what is excluded make it grow."""
    size = pipeline.to_runner_api().ByteSize()
    if size > MAX_GRAPH_BYTES:
        raise PipelineError(
            f"the job's graph has {size:,} bytes, and Dataflow takes {MAX_GRAPH_BYTES:,}. Build in parts: fewer archives, or a "
            "shorter removal list, at a time."
        )


def console_url(cloud: Any, job_id: str) -> str:
    return f"https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job_id}?project={cloud.project}"


# ---- a job service and workers of its own ----


def check_portable(options: PipelineOptions) -> None:
    portable = options.view_as(PortableOptions)
    if not portable.job_endpoint:
        raise PipelineError("PortableRunner also needs --job_endpoint=HOST:PORT of a job server; see docs/engines.md.")
    kind = (portable.environment_type or "DOCKER").upper()
    if kind not in WORKER_KINDS:
        raise PipelineError(f"--environment_type {kind}: expected one of {', '.join(WORKER_KINDS)}.")
    if kind in ("DOCKER", "EXTERNAL") and not (portable.environment_config or portable.environment_options):
        raise PipelineError(
            "PortableRunner also needs workers that have webtext: --environment_type=EXTERNAL --environment_config=HOST:PORT of "
            "a worker pool, or --environment_type=DOCKER --environment_config=IMAGE."
        )
    if portable.job_endpoint != "embed":
        check_listens(portable.job_endpoint, what="job server")


def check_listens(endpoint: str, *, what: str) -> None:
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdecimal():
        raise PipelineError(f"{endpoint}: expected HOST:PORT of a {what}.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise PipelineError(f"no {what} answers at {endpoint} ({_first_line(error)}). Start it, or check the address.") from error
