"""A time limit on a whole exchange, kept by cutting its socket: slow headers and slow bodies end too.

A cut socket can look like a body that simply ended, so the flag decides: what has `expired` was no answer.
"""

import contextlib
import heapq
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator


class Stopped(Exception):  # noqa: N818  it is no error
    """The crawl was asked to stop while this was under way."""


class Watch:
    """One exchange under watch."""

    def __init__(self, end: float) -> None:
        self.end = end
        self.expired = False
        self.stopped = False  # expired, but not by the clock
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def left_s(self) -> float:
        """Seconds until the deadline, at least a hundredth: a time-out of 0 would mean non-blocking."""
        return 0.01 if self.expired else max(0.01, self.end - time.monotonic())

    def hold(self, connected: socket.socket) -> None:
        """Takes a copy of the socket, which also reaches a connection that TLS has wrapped since."""
        with self._lock:
            self._drop()
            self._socket = socket.socket(fileno=os.dup(connected.fileno()))  # SSLSocket.dup refuses
            if self.expired:
                self._shut()

    def cut(self) -> None:
        with self._lock:
            self.expired = True
            self._shut()

    def release(self) -> None:
        with self._lock:
            self._drop()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # the other side was faster
                self._socket.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Watchdog:
    """One thread that cuts every exchange past its deadline."""

    def __init__(self) -> None:
        self._order = itertools.count()
        self._heap: list[tuple[float, int, Watch]] = []
        self._watched: set[Watch] = set()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def watch(self, limit_s: float) -> Iterator[Watch]:
        watch = Watch(time.monotonic() + limit_s)
        with self._wake:
            heapq.heappush(self._heap, (watch.end, next(self._order), watch))
            self._watched.add(watch)
            if self._heap[0][2] is watch:
                self._wake.notify()
        try:
            yield watch
        finally:
            with self._wake:
                self._watched.discard(watch)
            watch.release()

    def cut_all(self) -> None:
        """Ends every exchange in hand now."""
        with self._wake:
            for watch in self._watched:
                watch.stopped = True
                watch.cut()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        with self._wake:
            while not self._closed:
                now = time.monotonic()
                while self._heap and (self._heap[0][0] <= now or self._heap[0][2] not in self._watched):
                    watch = heapq.heappop(self._heap)[2]
                    if watch in self._watched:
                        watch.cut()
                self._wake.wait(self._heap[0][0] - now if self._heap else None)
