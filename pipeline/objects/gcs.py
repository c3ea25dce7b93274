"""A bucket of Google Cloud Storage."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import google.auth
from apache_beam.io.gcp.gcsio import create_storage_client
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from google.api_core.exceptions import (
    Conflict,
    Forbidden,
    GoogleAPIError,
    NotFound,
    PreconditionFailed,
    RequestRangeNotSatisfiable,
    Unauthorized,
)
from google.auth.exceptions import GoogleAuthError

from pipeline.objects import Stored
from pipeline.schema import PipelineError

EMULATOR = "STORAGE_EMULATOR_HOST"  # Google's own name for it
LOGIN = "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file."


def client_of(options: PipelineOptions) -> Any:
    """Beam's client.  Raises GoogleAuthError without credentials: Beam would look for them for half a minute, then go on."""
    anonymous = bool(os.environ.get(EMULATOR)) or options.view_as(GoogleCloudOptions).no_auth
    if not anonymous:
        google.auth.default()
    return create_storage_client(options, use_credentials=not anonymous)


class GcsBucket:
    def __init__(self, bucket: str, options: PipelineOptions) -> None:
        self._name = bucket
        with self._errors(""):
            self._client = client_of(options)
            self._bucket = self._client.bucket(bucket)

    def size(self, name: str) -> int:
        with self._errors(name):
            blob = self._bucket.get_blob(name)
            if blob is None:
                raise FileNotFoundError(f"gs://{self._name}/{name}: is not there.")
            return blob.size

    def read(self, name: str, *, start: int, length: int) -> bytes:
        with self._errors(name):
            try:  # as it is stored: an object may say that it is gzipped, and would be unpacked on the way
                return self._bucket.blob(name).download_as_bytes(start=start, end=start + length - 1, raw_download=True)
            except RequestRangeNotSatisfiable:
                return b""

    def put(self, path: str, name: str) -> None:
        with self._errors(name, writing=True):
            self._bucket.blob(name).upload_from_filename(path, content_type="application/octet-stream")

    def delete(self, names: Sequence[str]) -> None:
        with self._errors("", writing=True):
            for name in names:
                with contextlib.suppress(NotFound):
                    self._bucket.delete_blob(name)

    def names(self, prefix: str) -> Iterator[str]:
        with self._errors(prefix):
            for blob in self._client.list_blobs(self._bucket, prefix=prefix, fields="items(name),nextPageToken"):
                yield blob.name

    def forget_uploads(self, prefix: str) -> None:
        """Nothing: Google drops an upload that was not finished after a week, and does not charge for it."""

    def stored(self, name: str) -> Stored:
        with self._errors(name):
            blob = self._bucket.get_blob(name)
            if blob is None:
                raise FileNotFoundError(f"gs://{self._name}/{name}: is not there.")
            return Stored(blob.download_as_bytes(if_generation_match=blob.generation), str(blob.generation))

    def swap(self, name: str, data: bytes, *, version: str | None) -> str | None:
        with self._errors(name, writing=True):
            blob = self._bucket.blob(name)
            try:
                blob.upload_from_string(data, if_generation_match=int(version or 0))
            except (PreconditionFailed, Conflict):
                return None
            return str(blob.generation)

    @contextlib.contextmanager
    def _errors(self, name: str, *, writing: bool = False) -> Iterator[None]:
        """What Google's client raises, in a sentence."""
        bucket = f"gs://{self._name}"
        try:
            yield
        except NotFound as error:
            if "bucket does not exist" in str(error) or not name or not self._is_there():
                raise PipelineError(f"{bucket}: there is no such bucket. Make it, or mend the name.") from error
            raise FileNotFoundError(f"{bucket}/{name}: is not there.") from error
        except (GoogleAuthError, Unauthorized) as error:
            raise PipelineError(f"no Google credentials for {bucket}. {LOGIN}") from error
        except Forbidden as error:
            doing = "write" if writing else "read"
            raise PipelineError(f"{bucket}/{name}: these Google credentials may not {doing} there.") from error
        except FileNotFoundError:
            raise
        except (GoogleAPIError, OSError) as error:  # OSError: no way to it
            raise PipelineError(f"{bucket} cannot be reached: {error}. Run the same command again when it answers.") from error

    def _is_there(self) -> bool:
        try:
            return bool(self._bucket.exists())
        except GoogleAPIError:
            return True  # one may read objects and not the bucket
