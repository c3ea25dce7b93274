"""A bucket of S3, or of anything that speaks its protocol."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from apache_beam.io.aws.s3io import S3IO
from apache_beam.options.pipeline_options import PipelineOptions
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError, PartialCredentialsError

from pipeline.objects import Stored
from pipeline.schema import PipelineError

DELETED_AT_ONCE = 1000  # keys in one request, the most S3 takes

_clients: dict[int, tuple[PipelineOptions, Any]] = {}  # by options, which are kept so that their id stays theirs
_lock = threading.Lock()


def client_of(options: PipelineOptions) -> Any:
    """Beam's client for these options, one a process: it may be used by many threads, and takes 50 ms to make."""
    with _lock:
        if id(options) not in _clients:
            _clients[id(options)] = options, S3IO(options=options).client.client
        return _clients[id(options)][1]


class S3Bucket:
    def __init__(self, bucket: str, options: PipelineOptions) -> None:
        self._bucket = bucket
        self._is_there = False
        with self._errors(""):
            try:
                self._client = client_of(options)
            except ValueError as error:  # of the client's endpoint, before anything is asked
                message = f"s3://{bucket}: {error}. Mend AWS_ENDPOINT_URL or --s3_endpoint_url; it begins with http."
                raise PipelineError(message) from error

    def size(self, name: str) -> int:
        with self._errors(name):
            try:
                return self._client.head_object(Bucket=self._bucket, Key=name)["ContentLength"]
            except ClientError as error:
                if _status(error) == 404:
                    self._check_bucket()  # the answer to HEAD does not say what is missing
                raise

    def _check_bucket(self) -> None:
        if not self._is_there:
            try:
                self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if _status(error) == 404:
                    raise PipelineError(_no_bucket(self._bucket)) from error
            self._is_there = True

    def read(self, name: str, *, start: int, length: int) -> bytes:
        with self._errors(name):
            try:
                wanted = f"bytes={start}-{start + length - 1}"
                return self._client.get_object(Bucket=self._bucket, Key=name, Range=wanted)["Body"].read()
            except ClientError as error:
                if _status(error) == 416:  # behind the end
                    return b""
                raise

    def put(self, path: str, name: str) -> None:
        with self._errors(name, writing=True):
            self._client.upload_file(path, self._bucket, name)  # aborts the upload if it fails

    def delete(self, names: Sequence[str]) -> None:
        with self._errors("", writing=True):
            for first in range(0, len(names), DELETED_AT_ONCE):
                keys = [{"Key": name} for name in names[first : first + DELETED_AT_ONCE]]
                failed = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": keys, "Quiet": True}).get("Errors")
                if failed:
                    said = failed[0].get("Message", failed[0].get("Code"))
                    raise PipelineError(f"s3://{self._bucket}/{failed[0]['Key']}: cannot be deleted ({said}).")

    def names(self, prefix: str) -> Iterator[str]:
        with self._errors(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield entry["Key"]

    def forget_uploads(self, prefix: str) -> None:
        with self._errors(prefix, writing=True):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=prefix)
            for upload in [upload for page in pages for upload in page.get("Uploads", ())]:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])

    def stored(self, name: str) -> Stored:
        with self._errors(name):
            answer = self._client.get_object(Bucket=self._bucket, Key=name)
            return Stored(answer["Body"].read(), answer["ETag"])

    def swap(self, name: str, data: bytes, *, version: str | None) -> str | None:
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        with self._errors(name, writing=True):
            try:
                return self._client.put_object(Bucket=self._bucket, Key=name, Body=data, **condition)["ETag"]
            except ClientError as error:
                if _status(error) in (404, 409, 412) and _code(error) != "NoSuchBucket":  # gone, in the making, another one
                    return None
                raise

    @contextlib.contextmanager
    def _errors(self, name: str, *, writing: bool = False) -> Iterator[None]:
        """What S3 and its client raise, in a sentence."""
        bucket = f"s3://{self._bucket}"
        try:
            yield
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise PipelineError(
                f"no AWS credentials for {bucket}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`."
            ) from error
        except NoRegionError as error:
            raise PipelineError(f"no AWS region for {bucket}. Set AWS_DEFAULT_REGION to the bucket's.") from error
        except S3UploadFailedError as error:
            cause = error.__context__
            if isinstance(cause, ClientError):
                raise _mendable(cause, bucket=bucket, name=name, writing=writing) from error
            raise PipelineError(f"cannot write {bucket}/{name}: {error}. Mend that, then run the same command again.") from error
        except ClientError as error:
            raise _mendable(error, bucket=bucket, name=name, writing=writing) from error
        except BotoCoreError as error:  # no way to the endpoint, a name that no bucket can have, a profile that is not there
            raise PipelineError(f"{bucket} cannot be reached: {error}") from error


def _mendable(error: ClientError, *, bucket: str, name: str, writing: bool) -> Exception:
    status, code = _status(error), _code(error)
    if code == "NoSuchBucket":
        return PipelineError(_no_bucket(bucket.removeprefix("s3://")))
    if status == 404:
        return FileNotFoundError(f"{bucket}/{name}: is not there.")
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"):
        return PipelineError(f"{bucket}: the AWS credentials are refused ({code}). Renew or mend them.")
    if status == 403:
        return PipelineError(f"{bucket}/{name}: these AWS credentials may not {'write' if writing else 'read'} there ({code}).")
    if status == 301 or code in ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"):
        told = f"{bucket}: lies in another region than the one that was asked ({code})."
        return PipelineError(f"{told} Set AWS_DEFAULT_REGION to it.")
    return PipelineError(f"{bucket}/{name}: {error}. Run the same command again when the store answers.")


def _no_bucket(name: str) -> str:
    return f"s3://{name}: there is no such bucket. Make it, or mend the name."


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
