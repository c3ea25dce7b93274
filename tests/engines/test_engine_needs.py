"""What an engine lacks is said in one sentence, before anything is written."""

import importlib.util
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from small_web import POSTED

pytest.importorskip("google.cloud.storage", reason="the extra `dataflow` is not installed")
import apache_beam as beam
from apache_beam.runners.runner import PipelineResult
from google_here import PROJECT, REGION, client, dataflow_service, storage_emulator

from dags import engines, running
from dags.__main__ import main
from dags.engines import check_graph, engine_named, shards_at_once
from dags.running import mendable, new_pipeline, pipeline_options, run_pipeline
from dags.settings import CorpusConfig, RunOptions
from pipeline.schema import PipelineError
from tokenizer import train

BUCKET = "needs-bucket"
IMAGE = "--sdk_container_image=repo/webtext:1"


@pytest.fixture(scope="module")
def storage_address() -> Iterator[str]:
    with storage_emulator(BUCKET) as address:
        bucket = client(address).bucket(BUCKET)
        line = {"id": "a", "url": "http://a.example/", "score": 5, "created_utc": POSTED}
        bucket.blob("in/dump.ndjson").upload_from_string(json.dumps(line))
        bucket.blob("in/empty.warc.gz").upload_from_string(b"")
        yield address


@pytest.fixture
def storage_here(storage_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """No test here leaves anything in the bucket."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_address)
    yield storage_address
    names = [blob.name for blob in client(storage_address).list_blobs(BUCKET)]
    assert names == ["in/dump.ndjson", "in/empty.warc.gz"]


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with dataflow_service() as address:
        yield address


def on_gs(*more: str, root: str = f"gs://{BUCKET}/root") -> list[str]:
    files = ["--submissions", f"gs://{BUCKET}/in/dump.ndjson", "--archive", f"gs://{BUCKET}/in/empty.warc.gz"]
    return ["corpus", *files, "--output", root, *more]


def on_dataflow(*more: str, **chosen: str) -> list[str]:
    needs = {"project": PROJECT, "region": REGION, "temp_location": f"gs://{BUCKET}/tmp", **chosen}
    return on_gs("--runner=DataflowRunner", *(f"--{name}={value}" for name, value in needs.items() if value), *more)


def failed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"webtext {arguments[0]}: ")
    assert said.count("\n") == 1
    return said


# ---- what is not given ----


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({}, "DataflowRunner also needs --sdk_container_image=IMAGE."),
        ({"project": "", "region": ""}, "also needs --project=PROJECT --region=REGION --sdk_container_image=IMAGE."),
        ({"temp_location": "", "sdk_container_image": "i"}, "also needs --temp_location=gs://BUCKET/tmp."),
        ({"region": "us-central1-a", "sdk_container_image": "i"}, "--region us-central1-a: expected a region such as us-c"),
        ({"temp_location": "/tmp/x", "sdk_container_image": "i"}, "/tmp/x: Dataflow's workers do not see the files of"),
    ],
)
def test_what_dataflow_lacks_is_listed(
    storage_here: str, capsys: pytest.CaptureFixture[str], chosen: dict[str, str], said: str
) -> None:
    assert said in failed(on_dataflow(**chosen), capsys)


@pytest.fixture
def small_corpus(tmp_path: Path) -> Path:
    data = tmp_path / "root" / "corpus" / "data"
    data.mkdir(parents=True)
    for split in ("train", "validation"):
        with pa.OSFile(str(data / f"{split}-00000-of-00001.arrow"), "wb") as file:
            rows = pa.table({"id": ["a"], "text": ["a text"]})
            with pa.ipc.new_file(file, rows.schema) as writer:
                writer.write_table(rows)
    train(["a text"], vocab_size=257).save(tmp_path / "root" / "vocab")
    return tmp_path / "root"


@pytest.mark.parametrize("name", ["vocab", "tokens", "dedup"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--runner=DataflowRunner"], "DataflowRunner also needs --project=PROJECT --region=REGION"),
        (["--runner=PortableRunner"], "PortableRunner also needs --job_endpoint=HOST:PORT"),
    ],
)
def test_other_commands_ask_for_the_same(
    small_corpus: Path, name: str, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(small_corpus.rglob("*"))
    sources = ["--corpus", str(small_corpus)] if name != "dedup" else ["--input", f"{small_corpus}/corpus/data/train*.arrow"]
    assert said in failed([name, *sources, "--output", str(small_corpus / "new"), *options], capsys)
    assert sorted(small_corpus.rglob("*")) == before


@pytest.mark.parametrize("name", ["vocab", "tokens", "dedup"])
def test_other_commands_refuse_an_engine_that_nobody_knows(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    sources = ["--corpus", "c"] if name != "dedup" else ["--input", "c", "--output", "o"]
    with pytest.raises(SystemExit) as stopped:
        main([name, *sources, "--runner=DaskRunner"])
    assert stopped.value.code == 2
    assert "--runner DaskRunner: not an engine that webtext runs on." in capsys.readouterr().err


def test_libraries_that_are_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "needs libraries that are not installed: pip install 'webtext[dataflow]'" in failed(on_dataflow(IMAGE), capsys)


def test_files_of_this_machine_are_refused(storage_here: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{tmp_path}: Dataflow's workers do not see" in failed([*on_dataflow(IMAGE), "--output", str(tmp_path)], capsys)
    assert f"{tmp_path}: Dataflow's workers do not see" in failed([*on_dataflow(IMAGE), "--archive", str(tmp_path)], capsys)
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_nobody_knows_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(on_gs("--runner=DaskRunner"))
    assert stopped.value.code == 2
    assert "--runner DaskRunner: not an engine that webtext runs on. Choose one of FnApiRunner, " in capsys.readouterr().err


def test_options_at_odds_are_one_sentence() -> None:
    options = pipeline_options(["--runner=PortableRunner", "--job_endpoint=localhost:1", "--environment_type=PROCESS"])
    with pytest.raises(PipelineError, match=r"Beam.s options: .*process_command is required"):
        new_pipeline(options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "PortableRunner also needs --job_endpoint=HOST:PORT of a job server"),
        (["--job_endpoint=localhost:{port}"], "also needs workers that have webtext: --environment_type=EXTERNAL"),
        (["--job_endpoint=localhost:{port}", "--environment_type=EXTERNAL"], "also needs workers that have webtext"),
        (["--job_endpoint=localhost:{port}", "--environment_type=LOOPBACK"], "no job server answers at localhost:"),
        (["--job_endpoint=localhost", "--environment_type=LOOPBACK"], "localhost: expected HOST:PORT of a job server"),
        (["--job_endpoint=localhost:{port}", "--environment_type=NOPE"], "--environment_type NOPE: expected one of EXTERNAL, "),
    ],
)
def test_what_a_job_server_lacks_is_named(
    storage_here: str, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    with socket.socket() as bound:  # and not listening: nobody else answers there meanwhile
        bound.bind(("localhost", 0))
        port = bound.getsockname()[1]
        words = on_gs("--runner=PortableRunner", *(option.format(port=port) for option in options))
        assert said in failed(words, capsys)


# ---- what is given, and wrong ----


def test_no_credentials(
    storage_here: str, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # nor is this a machine of Google's
    said = failed(on_dataflow(IMAGE, f"--dataflow_endpoint={service}"), capsys)
    assert "no Google credentials are found on this machine. Run `gcloud auth application-default login`" in said


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"region": "mars-north1"}, "answers 400 for --project sample-project --region mars-north1: (2f): invalid regio"),
        ({"project": "someone-elses"}, "answers 403 for --project someone-elses --region europe-west4: (8d): Permission de"),
        ({"temp_location": "gs://not-there/tmp"}, "not-there"),
    ],
)
def test_a_wrong_project_region_or_bucket(
    storage_here: str, service: str, capsys: pytest.CaptureFixture[str], chosen: dict[str, str], said: str
) -> None:
    told = failed(on_dataflow(IMAGE, f"--dataflow_endpoint={service}", "--no_auth", **chosen), capsys)
    assert said in told
    assert "See the help" not in told  # a line of Google's answer is enough


def test_a_service_that_cannot_be_reached(storage_here: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"
        said = failed(on_dataflow(IMAGE, f"--dataflow_endpoint={address}", "--no_auth"), capsys)
    assert f"{address} cannot be reached" in said


def test_an_output_of_another_configuration(storage_here: str, service: str, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = client(storage_here).bucket(BUCKET).blob("root/config.json")
    recorded.upload_from_string(json.dumps({**CorpusConfig().as_json(), "min_karma": 20}))
    try:
        said = failed(on_dataflow(IMAGE, f"--dataflow_endpoint={service}", "--no_auth"), capsys)
    finally:
        recorded.delete()
    assert f"gs://{BUCKET}/root was made with another configuration: min_karma 20, now 3. Choose another --output" in said


def test_all_that_is_right_passes(storage_here: str, service: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(on_dataflow(IMAGE, f"--dataflow_endpoint={service}", "--no_auth", "--dry-run")) == 0
    out = capsys.readouterr().out
    assert f"dump      gs://{BUCKET}/in/dump.ndjson" in out
    assert "workers             1\n" in out  # a process of the service works on one shard at a time
    assert out.endswith("nothing was built\n")


# ---- the parts ----


@pytest.mark.parametrize(
    ("name", "engine"),
    [(None, "FnApiRunner"), ("direct", "FnApiRunner"), ("DirectRunner", "FnApiRunner"), ("dataflow", "DataflowRunner"),
     ("apache_beam.runners.portability.flink_runner.FlinkRunner", "FlinkRunner")],
)  # fmt: skip
def test_engines_by_any_name_of_beams(name: str | None, engine: str) -> None:
    assert engine_named(name) == engine


def test_only_this_machine_works_on_as_many_shards_as_it_has_processors() -> None:
    assert [shards_at_once(engine, processors=8) for engine in ("FnApiRunner", "DataflowRunner", "FlinkRunner")] == [8, 1, 1]
    assert shards_at_once("FnApiRunner", processors=None) == 1


def test_workers_elsewhere_are_told_of_no_journal_that_they_cannot_see() -> None:
    assert RunOptions(f"gs://{BUCKET}/root", []).workers_journal == RunOptions(f"gs://{BUCKET}/root", []).journal
    assert RunOptions(f"gs://{BUCKET}/root", [], here=False).workers_journal is None
    assert RunOptions("/shared/root", [], here=False).workers_journal == "/shared/root/.journal"


class Job(PipelineResult):
    """A job of an engine that answers a request to cancel it, refuses, or is silent."""

    def __init__(self, answer: Callable[[], object]) -> None:
        super().__init__("RUNNING")
        self.answer = answer

    def cancel(self) -> None:
        self.answer()


def refuse() -> None:
    raise OSError("not now")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("answer", "said"),
    [(None, "stopped"), (list, "job cancelled"), (refuse, "look there first"), (threading.Event().wait, "look there first")],
    ids=["no job", "yes", "no", "silence"],
)
def test_what_became_of_the_job_is_said(
    answer: Callable[[], object] | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_job", [] if answer is None else [Job(answer)])
    monkeypatch.setattr(running, "CANCEL_S", 0.2)
    assert running.cancel_job().endswith(said)


def test_a_graph_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    pipeline | beam.Create([1])
    check_graph(pipeline)
    monkeypatch.setattr(engines, "MAX_GRAPH_BYTES", 1000)
    with pytest.raises(PipelineError, match=r"Dataflow takes 1,000\. Build in parts"):
        check_graph(pipeline)
    bound = beam.Pipeline(runner="FnApiRunner", options=pipeline_options(["--runner=DataflowRunner"]))
    bound | beam.Create([1])
    with pytest.raises(PipelineError, match=r"Dataflow takes 1,000\."):
        run_pipeline(bound)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ModuleNotFoundError: No module named 'pipeline'\n", "a worker has no webtext."),
        ("ModuleNotFoundError: No module named 'pipeline.release'\n", "a worker runs another webtext"),
        ("AttributeError: Can't get attribute 'spill' on <module 'pipeline.links' from '/x'>", "a worker runs another webtext"),
        ("RuntimeError: Channel closed prematurely.\n", "a worker ended in the middle of its work"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/d/x.zst'", "a worker does not see /d/x.zst."),
    ],
)
def test_what_engines_say_of_workers_is_told(text: str, said: str) -> None:
    assert (mendable(text) or "").startswith(said)


def test_a_bug_of_ours_stays_a_traceback() -> None:
    assert mendable("ModuleNotFoundError: No module named 'numpy'\n") is None
    assert mendable("AttributeError: Can't get attribute 'x' on <module 'os'>") is None
