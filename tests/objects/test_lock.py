"""One run at a time in a directory of an object store."""

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from pipeline import objects, storage
from pipeline.objects import store_of
from pipeline.objects.lock import held
from pipeline.schema import PipelineError

LEASE_S = 0.3


def test_the_lock_is_there_while_it_is_held_and_gone_behind(bucket: str) -> None:
    with held(f"{bucket}/root/"):
        assert json.loads(storage.read_text(f"{bucket}/root/.lock"))["pid"] == os.getpid()
    assert storage.matching(f"{bucket}/**") == []


def test_a_second_run_is_refused_while_the_first_renews(s3_bucket: str) -> None:
    with (
        held(f"{s3_bucket}/root", lease_s=LEASE_S),
        pytest.raises(PipelineError, match=rf"{s3_bucket}/root is in use by process {os.getpid()} on "),
        held(f"{s3_bucket}/root", lease_s=LEASE_S),
    ):
        pass
    with held(f"{s3_bucket}/other", lease_s=LEASE_S), held(f"{s3_bucket}/root", lease_s=LEASE_S):
        pass


def test_the_lock_of_a_process_of_this_machine_that_was_killed_is_taken_at_once(s3_bucket: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, f"{s3_bucket}/root"], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert storage.exists(f"{s3_bucket}/root/.lock")
    with held(f"{s3_bucket}/root", lease_s=10_000):  # not waited for
        pass


HOLD = """
import sys, threading
from pipeline.objects.lock import held
with held(sys.argv[1]):
    print("held", flush=True)
    threading.Event().wait()
"""


def test_the_lock_of_a_machine_that_is_no_more_is_taken_when_its_lease_is_over(s3_bucket: str) -> None:
    said = {"host": "another", "pid": 1, "started": "1", "run": "", "renewed": ""}
    storage.write_text(f"{s3_bucket}/root/.lock", json.dumps(said))
    with held(f"{s3_bucket}/root", lease_s=LEASE_S):
        assert json.loads(storage.read_text(f"{s3_bucket}/root/.lock"))["pid"] == os.getpid()


def test_of_many_runs_that_begin_at_once_one_goes_on(s3_bucket: str) -> None:
    took, refused = [], []
    begin, end = threading.Barrier(5), threading.Barrier(5)

    def run() -> None:
        begin.wait()
        try:
            with held(f"{s3_bucket}/root", lease_s=LEASE_S):
                took.append(1)
                end.wait()
        except PipelineError:
            refused.append(1)
            end.wait()

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(took), len(refused)) == (1, 4)


def test_a_write_whose_answer_was_lost_is_known_as_ours(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.objects.s3 import S3Bucket

    whole, renewed = S3Bucket.swap, threading.Event()

    def unheard(self: S3Bucket, name: str, data: bytes, *, version: str | None) -> None:
        whole(self, name, data, version=version)
        if version is not None:
            renewed.set()

    monkeypatch.setattr(S3Bucket, "swap", unheard)
    asked = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        with held(f"{s3_bucket}/root", lease_s=LEASE_S):
            assert renewed.wait(20)
            assert not asked.wait(LEASE_S)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_run_that_lost_its_lock_ends(s3_bucket: str) -> None:
    asked = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        with held(f"{s3_bucket}/root", lease_s=LEASE_S):
            store, name = store_of(f"{s3_bucket}/root/.lock")
            while store.swap(name, b"{}", version=store.stored(name).version) is None:
                pass
            assert asked.wait(20)
        assert storage.read_text(f"{s3_bucket}/root/.lock") == "{}"  # the other run's stays
    finally:
        signal.signal(signal.SIGTERM, before)


# ---- Google's conditions, which its emulator ignores ----


class Refusing(BaseHTTPRequestHandler):
    """Notes what is asked, and says that the condition does not hold."""

    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"error": {"code": 412, "message": "conditionNotMet"}}'
        self.send_response(412)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


def test_google_is_asked_on_the_condition_of_a_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setattr(objects, "_stores", threading.local())
        store, name = store_of("gs://bucket/root/.lock")
        assert store.swap(name, b"mine", version=None) is None
        assert store.swap(name, b"mine", version="17") is None
        queries = [parse_qs(urlsplit(path).query) for path in Refusing.asked]
        assert [query["ifGenerationMatch"] for query in queries] == [["0"], ["17"]]
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
