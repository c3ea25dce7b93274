"""Files by path or URL, published whole or not at all.

A local path goes straight to the operating system; anything with a scheme (gs://, s3://) goes through Beam's filesystems.
"""

import functools
import glob
import hashlib
import os
import posixpath
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import pyarrow as pa

from pipeline.schema import PipelineError

TEMPORARY = ".tmp-"  # in the name of every file that is not published yet
CHUNK = 1 << 20


def is_local(path: str) -> bool:
    return "://" not in path


def _remote() -> Any:
    from apache_beam.io.filesystems import FileSystems  # 1.4 s: only for those who need it

    return FileSystems


def join(root: str, *parts: str) -> str:
    return os.path.join(root, *parts) if is_local(root) else posixpath.join(root, *parts)


def exists(path: str) -> bool:
    return os.path.exists(path) if is_local(path) else _remote().exists(path)


def size(path: str) -> int:
    """Bytes of a file."""
    return os.path.getsize(path) if is_local(path) else _remote().match([path])[0].metadata_list[0].size_in_bytes


def matching(pattern: str) -> list[str]:
    """Files that match a glob, sorted.  A path without wildcards matches itself if it is a file."""
    if is_local(pattern):
        found = [pattern] if os.path.isfile(pattern) else glob.glob(os.path.expanduser(pattern), recursive=True)
        return sorted(path for path in found if os.path.isfile(path))
    return sorted(entry.path for entry in _remote().match([pattern])[0].metadata_list)


def expand(patterns: Sequence[str], *, what: str) -> list[str]:
    """Every file that the globs name, each once, sorted.  A glob that matches nothing is an error."""
    paths: set[str] = set()
    for pattern in patterns:
        found = matching(pattern)
        if not found:
            raise PipelineError(f"no {what} matches {pattern!r}. Check the path; quote a glob so that the shell leaves it.")
        paths.update(found)
    return sorted(paths)


def open_read(path: str) -> BinaryIO:
    """The bytes of a file, as they are stored."""
    if is_local(path):
        return open(path, "rb")
    return _remote().open(path, mime_type="application/octet-stream", compression_type="uncompressed")


def arrow_source(path: str) -> pa.NativeFile:
    """A file for Arrow to read: memory-mapped where it is local."""
    if is_local(path):
        return pa.memory_map(path, "rb")
    return pa.PythonFile(open_read(path), mode="r")


def read_range(file: IO[bytes], *, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def remove(paths: Sequence[str]) -> None:
    """Deletes files; one that is gone already is no error."""
    for path in paths:
        if not is_local(path):
            _remote().delete([path])
        else:
            Path(path).unlink(missing_ok=True)


def make_folder(path: str) -> None:
    if is_local(path):
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            message = f"cannot make the folder {path}: {error.strerror}. Choose an --output that can be written."
            raise PipelineError(message) from error


@contextmanager
def publish(path: str) -> Iterator[BinaryIO]:
    """A file to write that appears under `path` only when the block ends well.

    The temporary name is unique, so that two workers that build the same file do no harm.  Raises PipelineError when the
    disk is full or the folder cannot be written.
    """
    make_folder(os.path.dirname(path))
    temporary = f"{path}{TEMPORARY}{uuid.uuid4().hex[:12]}"
    if not is_local(path):
        with _remote().create(temporary, mime_type="application/octet-stream", compression_type="uncompressed") as file:
            yield file
        if _remote().exists(path):
            _remote().delete([path])
        _remote().rename([temporary], [path])
        return
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, PipelineError):
            message = f"cannot write {path}: {error.strerror or error}. Mend that, then run the same command again."
            raise PipelineError(message) from error
        raise


def write_text(path: str, text: str) -> None:
    with publish(path) as file:
        file.write(text.encode())


def read_text(path: str) -> str:
    with open_read(path) as file:
        return file.read().decode()


def input_digest(path: str) -> str:
    """SHA-256 of an input file; read once a process while its size and time of change stay the same."""
    if not is_local(path):
        return sha256_of(path)
    status = os.stat(path)
    return _remembered_digest(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1 << 16)
def _remembered_digest(path: str, _size: int, _changed_ns: int) -> str:
    return sha256_of(path)


def sha256_of(path: str) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with open_read(path) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def collect_temporaries(root: str) -> None:
    """Deletes what a killed run left half written.  Call it only while the lock on `root` is held."""
    if is_local(root):
        for path in Path(root).rglob(f"*{TEMPORARY}*"):
            path.unlink(missing_ok=True)
