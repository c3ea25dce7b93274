"""Files by path or URL, published whole or not at all.

A local path goes straight to the operating system, gs:// and s3:// to `pipeline.objects`: an object appears whole when its upload
ends, so it is written to a local file first and uploaded under its own name.
"""

import functools
import glob
import hashlib
import io
import os
import posixpath
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar, cast

import pyarrow as pa

from pipeline.schema import PipelineError

TEMPORARY = ".tmp-"  # in the name of every file that is not published yet
CHUNK = 1 << 20
AT_ONCE = 16  # requests of a task; one by one, thousands of small ones are hours of waiting: benchmarks/scale.py
HALF_A_BUCKET = re.compile(r"(?:s3|gs):(?:/?[^/]|/*$)", re.IGNORECASE)
LINE_BUFFER = 64 << 10  # of an object that is read as a stream

T = TypeVar("T")
R = TypeVar("R")


def is_local(path: str) -> bool:
    """Whether it lies on this machine.  Raises PipelineError for a bucket's path that is not written as one."""
    if HALF_A_BUCKET.match(path):
        raise PipelineError(f"{path}: expected s3://BUCKET/... or gs://BUCKET/...")
    return "://" not in path


def _store(path: str) -> tuple[Any, str]:
    """The object store that a path with a scheme lies in, and its name there.  Raises PipelineError for another scheme."""
    from pipeline import objects  # with Beam, 1.4 s: only for those who need it

    if not objects.is_known(path):
        raise PipelineError(f"{path}: expected a local path, s3:// or gs://.")
    return objects.store_of(path)


def join(root: str, *parts: str) -> str:
    return os.path.join(root, *parts) if is_local(root) else posixpath.join(root, *parts)


def exists(path: str) -> bool:
    if is_local(path):
        return os.path.exists(path)
    try:
        size(path)
    except FileNotFoundError:
        return False
    return True


def size(path: str) -> int:
    """Bytes of a file."""
    if is_local(path):
        return os.path.getsize(path)
    store, name = _store(path)
    return store.size(name)


def matching(pattern: str) -> list[str]:
    """Files that match a glob, sorted.  A path without wildcards matches itself if it is a file."""
    if is_local(pattern):
        found = [pattern] if os.path.isfile(pattern) else glob.glob(os.path.expanduser(pattern), recursive=True)
        return sorted(path for path in found if os.path.isfile(path))
    store, name = _store(pattern)
    if name and exists(pattern):
        return [pattern]
    wild = re.search(r"[*?[]", name)
    if wild is None:
        return []
    root = pattern.removesuffix(name)
    named = re.compile(translated(name))
    return sorted(root + found for found in store.names(name[: wild.start()]) if named.fullmatch(found))


def files_in(folder: str, pattern: str = "*") -> list[str]:
    """Files of a folder whose names match a glob, sorted.  The folder is taken as it is written: `a[1]` is no glob here."""
    if is_local(folder):
        found = glob.glob(os.path.join(glob.escape(folder), pattern), recursive=True)
        return sorted(path for path in found if os.path.isfile(path))
    place = join(folder, "")
    store, name = _store(place)
    named = re.compile(translated(pattern))
    return sorted(place + path.removeprefix(name) for path in store.names(name) if named.fullmatch(path.removeprefix(name)))


def translated(pattern: str) -> str:
    """A glob as a regular expression: `*` and `?` stay within a folder, `**/` is any number of folders."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    found = re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^]]*\]|.", pattern, re.DOTALL)
    return "".join(parts.get(part) or (part.replace("[!", "[^", 1) if len(part) > 1 else re.escape(part)) for part in found)


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
    return cast(BinaryIO, io.BufferedReader(_object(path), LINE_BUFFER))


def _object(path: str, *, tail: bool = False) -> Any:
    from pipeline.objects.range_file import RangeFile

    store, name = _store(path)
    return RangeFile(lambda start, length: store.read(name, start=start, length=length), lambda: store.size(name), tail=tail)


def arrow_source(path: str) -> pa.NativeFile:
    """A file for Arrow to read: memory-mapped where it is local."""
    if is_local(path):
        return pa.memory_map(path, "rb")
    return pa.PythonFile(_object(path, tail=True), mode="r")


def read_range(file: IO[bytes], *, offset: int, length: int) -> bytes:
    """`length` bytes from `offset`, fewer at the end; of an object these alone are fetched."""
    if isinstance(file, io.BufferedReader) and not isinstance(file.raw, io.FileIO):
        file = cast(IO[bytes], file.raw)
    file.seek(offset)
    return file.read(length)


def remove(paths: Sequence[str]) -> None:
    """Deletes files; one that is gone already is no error."""
    objects: dict[str, list[str]] = {}
    for path in paths:
        if is_local(path):
            Path(path).unlink(missing_ok=True)
        else:
            objects.setdefault("/".join(path.split("/", 3)[:3]), []).append(path)
    for group in objects.values():
        store, _ = _store(group[0])
        store.delete([_store(path)[1] for path in group])


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
    if not is_local(path):
        with _uploaded(path) as file:
            yield file
        return
    make_folder(os.path.dirname(path) or ".")
    temporary = f"{path}{TEMPORARY}{uuid.uuid4().hex[:12]}"
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


@contextmanager
def _uploaded(path: str) -> Iterator[BinaryIO]:
    """A local file that is uploaded when the block ends well."""
    store, name = _store(path)
    with tempfile.NamedTemporaryFile(prefix="webtext-", suffix=".upload") as file:
        try:
            yield cast(BinaryIO, file)
            file.flush()
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            message = f"cannot write {file.name}, for {path}: {error.strerror or error}. Set TMPDIR to a larger disk."
            raise PipelineError(message) from error
        store.put(file.name, name)


def write_text(path: str, text: str) -> None:
    with publish(path) as file:
        file.write(text.encode())


def read_text(path: str) -> str:
    with open_read(path) as file:
        return file.read().decode()


def each(work: Callable[[T], R], items: Sequence[T], *, at: str) -> list[R]:
    """What `work` makes of each item, in their order; some at a time if `at` is on an object store, for which each waits."""
    if is_local(at):
        return [work(item) for item in items]
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="store") as threads:
        return list(threads.map(work, items))


@functools.lru_cache(maxsize=1)
def _copies() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="webtext-copies-")  # goes when the process ends


def local_copy(path: str, *, digest: str) -> str:
    """A file that is read here and there, on a local disk, to be memory-mapped: itself where it is local.

    `digest`: of its content; a copy is made once a process, and not again for the same content.
    """
    if is_local(path):
        return path
    copy = os.path.join(_copies().name, digest)
    if not os.path.exists(copy):
        with open_read(path) as source, publish(copy) as file:
            shutil.copyfileobj(source, file, CHUNK)
    return copy


@contextmanager
def folder_to_read(folder: str) -> Iterator[str]:
    """A local folder with the files of `folder`, for libraries that read local files alone: itself where it is local."""
    if is_local(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="webtext-") as local:
        for path in files_in(folder):
            with open_read(path) as source, open(os.path.join(local, posixpath.basename(path)), "wb") as copy:
                shutil.copyfileobj(source, copy, CHUNK)
        yield local


@contextmanager
def folder_to_write(folder: str) -> Iterator[str]:
    """A local folder whose files are in `folder` when the block has ended well: itself where it is local."""
    if is_local(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="webtext-") as local:
        yield local
        for name in sorted(os.listdir(local)):
            with open(os.path.join(local, name), "rb") as source, publish(join(folder, name)) as file:
                shutil.copyfileobj(source, file, CHUNK)


def journal_of(root: str) -> str:
    """Where workers on this machine note each shard they finish: a local file, wherever ROOT lies."""
    if is_local(root):
        return join(root, ".journal")
    return os.path.join(tempfile.gettempdir(), f"webtext-{hashlib.sha256(root.encode()).hexdigest()[:16]}.journal")


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
    """Deletes what a killed run left half written or half uploaded.  Call it only while the lock on `root` is held."""
    if not is_local(root):
        store, name = _store(join(root, ""))
        store.forget_uploads(name)
        return
    for path in Path(root).rglob(f"*{TEMPORARY}*"):
        path.unlink(missing_ok=True)
