"""The job as Dataflow would get it: translated by the command itself, from gs:// to gs://, without an account or a network."""

import base64
import bz2
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_runner_api_pb2 as api
from small_web import Web, small_web

pytest.importorskip("google.cloud.storage", reason="the extra `dataflow` is not installed")
from google_here import PROJECT, REGION, client, storage_emulator

from dags.__main__ import main
from dags.corpus import corpus_dag
from dags.engines import MAX_GRAPH_BYTES
from dags.settings import CorpusConfig, RunOptions
from pipeline import STAGES

IMAGE = "europe-west4-docker.pkg.dev/sample-project/webtext/webtext:0.1.0"
BUCKET = "sample-bucket"
GROUP_BY_KEY, PARDO = "beam:transform:group_by_key:v1", "beam:transform:pardo:v1"


class Translated(NamedTuple):
    graph: api.Pipeline
    graph_bytes: int
    job: dict[str, Any]
    staged: list[str]
    folder: Path
    web: Web


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> Translated:
    folder = tmp_path_factory.mktemp("dataflow")
    (folder / "staging").mkdir()
    web = small_web(5)
    web.write(folder / "web")
    with storage_emulator(BUCKET) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", address)
        bucket = client(address).bucket(BUCKET)
        for path in (folder / "web").rglob("*.*"):
            bucket.blob(f"in/{path.parent.name}/{path.name}").upload_from_filename(path)
        status = main([
            "corpus", "--submissions", f"gs://{BUCKET}/in/dumps/*.zst", "--archive", f"gs://{BUCKET}/in/archives/*.warc.gz",
            "--output", f"gs://{BUCKET}/root", "--runner=DataflowRunner", "--dataflow_endpoint=http://localhost:9", "--no_auth",
            f"--project={PROJECT}", f"--region={REGION}", "--job_name=webtext-ci", f"--staging_location={folder / 'staging'}",
            f"--temp_location=gs://{BUCKET}/tmp", f"--template_location={folder / 'job.json'}",
            f"--sdk_container_image={IMAGE}", "--max_num_workers=20", "--machine_type=n2-highmem-4",
        ])  # fmt: skip
    assert status == 0
    data = (folder / "staging" / "pipeline.pb").read_bytes()
    job = json.loads((folder / "job.json").read_text())
    staged = sorted(path.name for path in (folder / "staging").iterdir())
    return Translated(api.Pipeline.FromString(data), len(data), job, staged, folder, web)


def shape(graph: api.Pipeline) -> set[tuple[str, str, frozenset[str]]]:
    """Every step by name, with the names of the steps that make what it reads."""
    steps = [
        step
        for step in graph.components.transforms.values()
        if step.unique_name and not step.subtransforms and not set(step.outputs.values()) <= set(step.inputs.values())
    ]  # neither what holds others, nor what passes on its input as it is, which Dataflow leaves out
    makers = {output: step.unique_name for step in steps for output in step.outputs.values()}
    return {(step.unique_name, step.spec.urn, frozenset(makers[name] for name in step.inputs.values())) for step in steps}


def contents(graph: api.Pipeline) -> Iterator[tuple[str, bytes]]:
    """What is pickled or written into each step, unpacked."""
    for step in graph.components.transforms.values():
        payload = step.spec.payload
        if step.spec.urn == PARDO:
            payload = api.ParDoPayload.FromString(payload).do_fn.payload
        try:
            yield step.unique_name, bz2.decompress(base64.b64decode(payload, validate=True))
        except (ValueError, OSError):
            yield step.unique_name, payload


def test_the_graph_is_the_one_that_runs_here(translated: Translated) -> None:
    here = beam.Pipeline(runner="FnApiRunner")
    inputs = [str(translated.folder / "web" / "archives" / f"{n}.warc.gz") for n in range(2)]
    corpus_dag(here, CorpusConfig(), RunOptions(str(translated.folder / "root"), dumps=inputs, archives=inputs))
    assert shape(translated.graph) == shape(here.to_runner_api())
    stages = {step.unique_name for step in translated.graph.components.transforms.values()}
    assert set(STAGES) <= stages


def test_workers_run_our_image(translated: Translated) -> None:
    (environment,) = translated.graph.components.environments.values()
    assert environment.urn == "beam:env:docker:v1"
    assert api.DockerPayload.FromString(environment.payload).container_image == IMAGE
    (pool,) = translated.job["environment"]["workerPools"]
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 20
    assert pool["machineType"] == "n2-highmem-4"
    assert pool["numThreadsPerWorker"] == 1  # a shard at a time in each process


def test_nothing_is_staged_that_the_image_holds(translated: Translated) -> None:
    """No session of __main__, no package: the list of what is installed here is Beam's note for support."""
    assert translated.staged == ["pipeline.pb", "submission_environment_dependencies.txt"]


def test_nothing_is_pickled_from_main_and_no_file_of_this_machine_is_named(translated: Translated) -> None:
    seen = dict(contents(translated.graph))
    assert any(b"pipeline.documents.stage" in data for data in seen.values()), "the payloads were not unpacked"
    assert [name for name, data in seen.items() if b"__main__" in data] == []
    assert [name for name, data in seen.items() if str(translated.folder).encode() in data or b".journal" in data] == []


def test_every_step_that_knows_a_place_knows_it_as_gs(translated: Translated) -> None:
    with_root = [name for name, data in contents(translated.graph) if b"gs://sample-bucket/root" in data]
    assert {name.partition("/")[0] for name in with_root} >= set(STAGES) - {"ReadSubmissions"}
    assert any(b"gs://sample-bucket/in/dumps/RS-1.ndjson.zst" in data for _, data in contents(translated.graph))


def test_no_row_is_in_the_graph(translated: Translated) -> None:
    addresses = [json.loads(line)["url"] for line in translated.web.lines if b".example/1/story-" in line]
    assert len(addresses) >= 5
    for name, data in contents(translated.graph):
        assert not any(address.encode() in data for address in addresses), name


def test_keys_are_numbers_and_of_one_size_on_every_worker(translated: Translated) -> None:
    components = translated.graph.components
    keys = []
    for step in components.transforms.values():
        if step.spec.urn == GROUP_BY_KEY:
            (read,) = step.inputs.values()
            pairs = components.coders[components.pcollections[read].coder_id]
            keys.append(components.coders[pairs.component_coder_ids[0]].spec.urn)
    assert len(keys) > 10
    assert set(keys) == {"beam:coder:varint:v1"}


def test_the_graph_is_small(translated: Translated) -> None:
    assert translated.graph_bytes < MAX_GRAPH_BYTES / 20
    assert (translated.folder / "job.json").stat().st_size < 100_000


@pytest.mark.slow
def test_the_graph_of_all_of_common_crawls_archives_fits(tmp_path: Path) -> None:
    """A month has 90,000 to 100,000 WARC files; the path of each stands in the graph."""
    paths = [
        f"gs://commoncrawl-of-ours/crawl-data/CC-MAIN-2017-51/segments/15129485{n // 1000:05d}.{n % 97}/warc/"
        f"CC-MAIN-20171211{n:06d}-20171211{n * 7 % 1_000_000:06d}-{n % 800:05d}.warc.gz"
        for n in range(100_000)
    ]
    pipeline = beam.Pipeline(runner="FnApiRunner")
    corpus_dag(pipeline, CorpusConfig(), RunOptions(str(tmp_path), dumps=[], archives=paths))
    assert pipeline.to_runner_api().ByteSize() < MAX_GRAPH_BYTES
