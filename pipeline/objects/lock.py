"""One run at a time in a directory of an object store: a lock object that its holder writes anew again and again.

It is made and renewed on the condition that nobody else has written it since, so no two runs hold it.  A run that is killed
leaves it behind: the same machine sees that its process is gone, another one that nobody renews it for LEASE_S.  No clocks
are compared.
"""

import contextlib
import json
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator

from pipeline.objects import Store, store_of
from pipeline.schema import PipelineError

LEASE_S = 30.0
NAME = ".lock"

log = logging.getLogger(__name__)


@contextlib.contextmanager
def held(root: str, *, lease_s: float = LEASE_S) -> Iterator[None]:
    """Holds ROOT, an s3:// or gs:// path, while the block runs.  Raises PipelineError if another run does."""
    store, name = store_of(f"{root.rstrip('/')}/{NAME}")
    holder = _Holder(store, name)
    holder.take(root, lease_s=lease_s)
    ended = threading.Event()
    renewing = threading.Thread(target=holder.renew, args=(root, ended), kwargs={"every_s": lease_s / 3}, daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        holder.release()


class _Holder:
    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._version: str | None = None
        self._run = uuid.uuid4().hex

    def take(self, root: str, *, lease_s: float) -> None:
        if self._written(None):
            return
        try:
            found = self._store.stored(self._name)
            if not _is_gone(found.data):
                log.warning("%s is locked by another run, or by one that was killed: waiting %d s to see which.", root, lease_s)
                time.sleep(lease_s)
                again = self._store.stored(self._name)
                if again.version != found.version:
                    raise PipelineError(f"{root} is in use by {_told(found.data)}. Wait for it, or choose another --output.")
            taken = self._written(found.version)
        except FileNotFoundError:  # it has just been released
            taken = self._written(None)
        if not taken:
            raise PipelineError(f"{root} has just been taken by another run. Wait for it, or choose another --output.")

    def renew(self, root: str, ended: threading.Event, *, every_s: float) -> None:
        while not ended.wait(every_s):
            with contextlib.suppress(PipelineError):  # the store does not answer: it is asked again
                if not self._written(self._version):
                    log.error("%s was taken by another run while this one could not reach it.", root)
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

    def release(self) -> None:
        if self._version_of_ours() is not None:  # else it is another's by now
            self._store.delete([self._name])

    def _written(self, version: str | None) -> bool:
        """Whether the lock is ours now.  A write whose answer was lost is tried again by the client, and refused by itself."""
        self._version = self._store.swap(self._name, self._said(), version=version) or self._version_of_ours()
        return self._version is not None

    def _version_of_ours(self) -> str | None:
        try:
            found = self._store.stored(self._name)
            return found.version if json.loads(found.data)["run"] == self._run else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _said(self) -> bytes:
        pid = os.getpid()
        said = {"host": socket.gethostname(), "pid": pid, "started": _started(pid), "run": self._run, "renewed": uuid.uuid4().hex}
        return json.dumps(said).encode()


def _is_gone(data: bytes) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    try:
        said = json.loads(data)
        return said["host"] == socket.gethostname() and _started(said["pid"]) != said["started"]
    except (ValueError, KeyError, TypeError):
        return False


def _started(pid: int) -> str:
    """When a process of this machine was started, in the kernel's own count; empty if it is none."""
    try:
        with open(f"/proc/{int(pid)}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, ValueError):
        return ""


def _told(data: bytes) -> str:
    try:
        said = json.loads(data)
        return f"process {said['pid']} on {said['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
