"""Objects are whole or not there, read by the byte, found by globs; what a person can mend is one sentence."""

import io
import os
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import objects, storage
from pipeline.objects.range_file import FIRST_AHEAD, TAIL, RangeFile
from pipeline.schema import PipelineError, ShardError
from pipeline.shards import finished, read_metadata, read_table, write_shard


def test_an_object_appears_when_its_block_ends_well(bucket: str) -> None:
    path = f"{bucket}/root/a.bin"
    with storage.publish(path) as file:
        file.write(b"one")
        assert not storage.exists(path)
    assert storage.exists(path)
    assert storage.size(path) == 3
    assert storage.matching(f"{bucket}/**") == [path]  # no temporary name beside it
    with storage.open_read(path) as read:
        assert read.read() == b"one"


def test_what_stood_there_stays_when_the_block_fails(bucket: str) -> None:
    path = f"{bucket}/b.bin"
    storage.write_text(path, "before")
    for name in (path, f"{bucket}/c.bin"):
        published = storage.publish(name)
        published.__enter__().write(b"x" * (9 << 20))
        assert published.__exit__(KeyError, KeyError(), None) is False
    assert storage.read_text(path) == "before"
    assert storage.matching(f"{bucket}/**") == [path]


def test_a_large_object_goes_up_in_parts_and_is_what_was_written(bucket: str) -> None:
    data = os.urandom(19 << 20)
    with storage.publish(f"{bucket}/large") as file:
        file.write(data)
    with storage.open_read(f"{bucket}/large") as read:
        assert read.read() == data
    with storage.open_read(f"{bucket}/large") as read:
        assert storage.read_range(read, offset=len(data) - 5, length=100) == data[-5:]
        assert storage.read_range(read, offset=8 << 20, length=7) == data[8 << 20 :][:7]
        assert storage.read_range(read, offset=len(data) + 5, length=7) == b""
        read.seek(1 << 20)
        assert read.read(10) == data[1 << 20 :][:10]


def test_an_upload_that_a_killed_process_left_is_dropped(s3_bucket: str) -> None:
    import boto3

    client, name = boto3.client("s3"), s3_bucket.removeprefix("s3://")
    for key in ("root/a", "rootless/b"):
        upload = client.create_multipart_upload(Bucket=name, Key=key)["UploadId"]
        client.upload_part(Bucket=name, Key=key, UploadId=upload, PartNumber=1, Body=b"x" * (5 << 20))
    assert not storage.exists(f"{s3_bucket}/root/a")
    storage.collect_temporaries(f"{s3_bucket}/root")
    assert [upload["Key"] for upload in client.list_multipart_uploads(Bucket=name)["Uploads"]] == ["rootless/b"]


def test_files_are_found_once_and_in_order(bucket: str) -> None:
    for name in ("b.zst", "a.zst", "c.txt", "deep/d.zst", "deep/er/e.zst", "x[1].zst"):
        storage.write_text(f"{bucket}/in/{name}", name)

    def found(pattern: str) -> list[str]:
        return [path.removeprefix(f"{bucket}/in/") for path in storage.matching(f"{bucket}/in/{pattern}")]

    assert found("*.zst") == ["a.zst", "b.zst", "x[1].zst"]
    assert found("**/*.zst") == ["a.zst", "b.zst", "deep/d.zst", "deep/er/e.zst", "x[1].zst"]
    assert found("[ab].zst") == ["a.zst", "b.zst"]
    assert found("[!a].zst") == ["b.zst"]
    assert found("?.txt") == ["c.txt"]
    assert found("x[1].zst") == ["x[1].zst"]  # a file before it is a glob
    assert found("de") == found("none*") == []
    with pytest.raises(PipelineError, match="no dump matches"):
        storage.expand([f"{bucket}/in/*.xz"], what="dump")


def test_removing_what_is_gone_is_no_error(bucket: str) -> None:
    for name in ("a", "b", "c"):
        storage.write_text(f"{bucket}/{name}", name)
    storage.remove([f"{bucket}/a", f"{bucket}/b", f"{bucket}/none"])
    assert storage.matching(f"{bucket}/*") == [f"{bucket}/c"]
    storage.remove([])


def test_a_missing_object_is_a_missing_file(bucket: str) -> None:
    for attempt in (storage.size, storage.read_text, storage.sha256_of):
        with pytest.raises(FileNotFoundError):
            attempt(f"{bucket}/none")
    with pytest.raises(ShardError, match=r"none\.arrow: is not there"):
        read_table(f"{bucket}/none.arrow")


def test_a_shard_is_finished_on_an_object_store_too(bucket: str) -> None:
    table = pa.table({"id": [str(n) for n in range(5000)], "text": ["some words " * 20] * 5000})
    path = f"{bucket}/root/links/links-00000-of-00001.arrow"
    shard = write_shard(path, table, stage="links", number=0, of=1, recipe="r", made_from="m", counts={"links_in": 5000})
    assert finished(path, "m") == shard
    assert finished(path, "other") is None
    assert read_metadata(path).counts == {"links_in": 5000}
    assert read_table(path, columns=["id"]).column("id").to_pylist() == table.column("id").to_pylist()
    assert read_table(path).replace_schema_metadata() == table
    storage.write_text(path, "cut short")
    assert finished(path, "m") is None


def test_a_copy_to_be_mapped_is_made_once(bucket: str, tmp_path: Path) -> None:
    storage.write_text(f"{bucket}/index", "rows")
    copy = Path(storage.local_copy(f"{bucket}/index", digest=f"{bucket[:2]}-d1"))
    assert copy.read_text() == "rows"
    storage.remove([f"{bucket}/index"])
    assert storage.local_copy(f"{bucket}/index", digest=f"{bucket[:2]}-d1") == str(copy)
    (tmp_path / "local").write_text("rows")
    assert storage.local_copy(str(tmp_path / "local"), digest="d1") == str(tmp_path / "local")


def test_folders_of_libraries_that_know_local_files_alone(bucket: str) -> None:
    with storage.folder_to_write(f"{bucket}/vocab") as folder:
        Path(folder, "b.txt").write_text("b")
        Path(folder, "a.json").write_text("{}")
    assert storage.matching(f"{bucket}/vocab/*") == [f"{bucket}/vocab/a.json", f"{bucket}/vocab/b.txt"]
    with storage.folder_to_read(f"{bucket}/vocab") as folder:
        assert sorted(os.listdir(folder)) == ["a.json", "b.txt"]


# ---- how much is fetched ----


class Counted:
    """Bytes of an object, and what was asked of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []

    def read(self, start: int, length: int) -> bytes:
        self.asked.append((start, length))
        return self.data[start : start + length]

    def file(self, **named: Any) -> RangeFile:
        return RangeFile(self.read, lambda: len(self.data), **named)


def test_a_record_of_an_archive_costs_one_request_of_its_own_size() -> None:
    stored = Counted(os.urandom(40 << 20))
    file = io.BufferedReader(stored.file(), storage.LINE_BUFFER)
    assert storage.read_range(file, offset=17 << 20, length=31_000) == stored.data[17 << 20 :][:31_000]
    assert stored.asked == [(17 << 20, 31_000)]


def test_reading_on_asks_for_more_and_more_at_a_time() -> None:
    stored = Counted(os.urandom(40 << 20))
    file = io.BufferedReader(stored.file(), storage.LINE_BUFFER)
    assert b"".join(iter(lambda: file.read(100_000), b"")) == stored.data
    assert len(stored.asked) < 12
    assert [start for start, _ in stored.asked] == sorted({start for start, _ in stored.asked})
    assert sum(len(stored.data[start : start + length]) for start, length in stored.asked) == len(stored.data)


def test_any_reads_give_the_bytes_that_are_there() -> None:
    stored = Counted(os.urandom(3 * FIRST_AHEAD))
    for tail in (False, True):
        file, plain = stored.file(tail=tail), io.BytesIO(stored.data)
        for n in range(400):
            if n % 3 == 0:
                place = (n * 7919 * 131) % (len(stored.data) + 1000)
                assert file.seek(place) == plain.seek(place)
            assert file.read(n * n) == plain.read(n * n), n
        assert file.seek(-10, os.SEEK_END) == plain.seek(-10, os.SEEK_END)
        assert file.read() == plain.read()
        file.seek(0)
        assert file.read() == stored.data


def test_a_small_arrow_file_is_read_in_one_request(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.objects.s3 import S3Bucket

    path = f"{s3_bucket}/ledger.arrow"
    table = pa.table({"id": ["a", "b"]})
    write_shard(path, table, stage="links", number=0, of=1, recipe="", made_from="")
    whole, asked = S3Bucket.read, []
    monkeypatch.setattr(S3Bucket, "read", lambda self, name, **named: (asked.append(named), whole(self, name, **named))[1])
    assert read_table(path).column("id").to_pylist() == ["a", "b"]
    assert [request["length"] for request in asked] == [TAIL]


# ---- what a person can mend ----


def failure(path: str) -> str:
    with pytest.raises(PipelineError) as caught:
        storage.exists(path)
    return str(caught.value)


def test_what_is_wrong_with_a_bucket_is_one_sentence(bucket: str) -> None:
    scheme = bucket.partition("://")[0]
    missing = f"{scheme}://webtext-no-such-bucket"
    for attempt in (storage.matching, lambda path: storage.write_text(path, "x")):
        with pytest.raises(PipelineError, match=f"{missing}: there is no such bucket. Make it, or mend the name."):
            attempt(f"{missing}/*.zst")
    assert failure(f"{scheme}:///x") == f"{scheme}:///x: names no bucket. Expected {scheme}://BUCKET/PATH."


def test_a_missing_bucket_is_told_from_a_missing_object(s3_bucket: str) -> None:
    assert not storage.exists(f"{s3_bucket}/none")
    assert failure("s3://webtext-no-such-bucket/none").endswith("there is no such bucket. Make it, or mend the name.")


def test_missing_credentials_are_one_sentence(s3_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert failure("s3://bucket/x").startswith("no AWS credentials for s3://bucket. Set AWS_ACCESS_KEY_ID and")


def test_missing_google_credentials_are_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    def nothing_found() -> None:
        raise DefaultCredentialsError("none")

    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setattr(google.auth, "default", nothing_found)  # it would ask the machine's metadata server
    monkeypatch.setattr(objects, "_stores", threading.local())
    assert failure("gs://bucket/x").startswith("no Google credentials for gs://bucket. Run `gcloud auth")


def test_an_endpoint_that_does_not_answer_is_one_sentence(s3_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert failure("s3://bucket/x").startswith("s3://bucket cannot be reached: Could not connect to the endpoint URL")


@pytest.mark.parametrize("endpoint", ["nonsense", "127.0.0.1:47801"])
def test_an_endpoint_that_is_none_is_one_sentence(
    s3_environment: None, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(PipelineError, match=r"^s3://b: .*Mend AWS_ENDPOINT_URL or --s3_endpoint_url; it begins with http\.$"):
        storage.exists("s3://b/x")


@pytest.mark.parametrize("path", ["s3://", "s3:/bucket/x", "gs:bucket", "S3:/bucket", "gs:"])
def test_half_a_buckets_path_is_no_local_folder(path: str) -> None:
    with pytest.raises(PipelineError, match=r"expected s3://BUCKET/\.\.\. or gs://BUCKET/"):
        storage.is_local(path)
    assert all(map(storage.is_local, ["/data/s3:/x", "s3/x", "a:b"]))


def test_an_unknown_scheme_is_one_sentence() -> None:
    assert failure("ftp://host/x") == "ftp://host/x: expected a local path, s3:// or gs://."


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(objects, "_stores", threading.local())
    monkeypatch.setitem(sys.modules, "pipeline.objects.s3", None)
    assert failure("s3://bucket/x") == "s3:// needs libraries that are not installed: pip install 'webtext[s3]'."


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (301, "PermanentRedirect", "s3://b: lies in another region than the one that was asked (PermanentRedirect)."),
        (400, "AuthorizationHeaderMalformed", "s3://b: lies in another region than the one that was asked"),
        (403, "InvalidAccessKeyId", "s3://b: the AWS credentials are refused (InvalidAccessKeyId). Renew or mend them."),
        (400, "ExpiredToken", "s3://b: the AWS credentials are refused (ExpiredToken). Renew or mend them."),
        (403, "AccessDenied", "s3://b/name: these AWS credentials may not read there (AccessDenied)."),
        (404, "NoSuchBucket", "s3://b: there is no such bucket. Make it, or mend the name."),
        (503, "SlowDown", "s3://b/name: An error occurred (SlowDown)"),
    ],
)
def test_what_s3_answers_is_one_sentence(status: int, code: str, said: str) -> None:
    from botocore.exceptions import ClientError

    from pipeline.objects.s3 import _mendable

    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = _mendable(ClientError(answer, "GetObject"), bucket="s3://b", name="name", writing=False)
    assert isinstance(error, PipelineError)
    assert str(error).startswith(said)


@pytest.fixture
def beams_options(s3_bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What leads to the store, which the environment says nothing of."""
    from apache_beam.io.filesystems import FileSystems

    storage.write_text(f"{s3_bucket}/RS_2013-01.ndjson", "{}\n")
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(FileSystems, "_pipeline_options", None)  # put back behind the test
    return [f"--s3_endpoint_url={s3_endpoint}", "--s3_access_key_id=key", "--s3_secret_access_key=secret"]


@pytest.mark.parametrize("name", ["vocab", "tokens"])
def test_what_follows_a_corpus_is_led_there_too(
    s3_bucket: str, beams_options: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from dags.__main__ import main

    assert main([name, "--corpus", f"{s3_bucket}/root", *beams_options]) == 1
    assert f"webtext {name}: {s3_bucket}/root holds no corpus" in capsys.readouterr().err


def test_beams_own_options_lead_to_the_store(
    s3_bucket: str, beams_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from dags.__main__ import main

    words = ["corpus", "--submissions", f"{s3_bucket}/*.ndjson", "--contact", "me@example.org", "--output", f"{s3_bucket}/root"]
    assert main([*words, "--dry-run", *beams_options]) == 0
    assert f"dump      {s3_bucket}/RS_2013-01.ndjson  3 bytes" in capsys.readouterr().out
