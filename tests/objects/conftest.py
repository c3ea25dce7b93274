"""Emulators of S3 and of Google Cloud Storage on loopback: the clients' real requests, over real sockets."""

import importlib.util
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import objects

NEEDED = ("moto", "boto3", "gcp_storage_emulator", "google.auth")  # the extras s3, dataflow and dev bring them
collect_ignore_glob = [] if all(importlib.util.find_spec(name) for name in NEEDED) else ["test_*.py"]


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_environment(s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person sets who has an account, and nothing of the person who runs this test."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_endpoint, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    forget_clients(monkeypatch)


@pytest.fixture
def s3_bucket(s3_environment: None) -> str:
    """s3://BUCKET, empty."""
    import boto3

    name = f"webtext-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[str]:
    from gcp_storage_emulator.server import create_server

    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    yield f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
    server.stop()


@pytest.fixture
def gcs_bucket(gcs_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """gs://BUCKET, empty."""
    from google.cloud import storage

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_endpoint)
    forget_clients(monkeypatch)
    name = f"webtext-{uuid.uuid4().hex[:12]}"
    client = storage.Client.create_anonymous_client()
    client.project = "test"
    client.create_bucket(name)
    client.close()
    return f"gs://{name}"


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue({"s3": "s3_bucket", "gs": "gcs_bucket"}[request.param])


def forget_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients keep the endpoint that they were made for."""
    import threading

    from pipeline.objects import s3

    monkeypatch.setattr(objects, "_stores", threading.local())
    monkeypatch.setattr(s3, "_clients", {})
