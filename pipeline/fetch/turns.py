"""Turns: many visits take their requests one at a time, and each host has one request in hand and a rest after it.

A visit is a generator.  It yields the host it wants to ask, sleeps without a thread until the host's turn has come, and is
resumed with a `Turn` on a worker thread; the turn ends when it yields again or returns, and the host then rests for
`turn.rest_s`.  So 64 threads keep thousands of slow hosts going, and a slow host holds up nobody but itself.
"""

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Generator

from pipeline.fetch.deadline import Stopped


class Turn:
    """The right to make one request to a host."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.rest_s = 0.0


Visit = Generator[str, Turn, None]
Done = Callable[[BaseException | None], None]


class _Host:
    def __init__(self) -> None:
        self.busy = False
        self.due = 0.0
        self.waiting: deque[_Running] = deque()


class _Running:
    def __init__(self, visit: Visit, done: Done) -> None:
        self.visit = visit
        self.done = done
        self.turn: Turn | None = None


class Turns:
    """`threads` requests at once, over at most `visits` visits under way."""

    def __init__(self, *, threads: int, visits: int) -> None:
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._clock = threading.Condition(self._lock)
        self._room = threading.BoundedSemaphore(visits)
        self._hosts: dict[str, _Host] = {}
        self._ready: deque[_Running] = deque()
        self._timers: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._stopped = False
        self._closed = False
        self.under_way = 0
        names = [(self._worker, f"fetch-{number}") for number in range(threads)]
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True) for target, name in [*names, (self._timer, "turns")]
        ]
        for thread in self._threads:
            thread.start()

    def add(self, visit: Visit, done: Done) -> None:
        """Begins a visit, waiting while too many are under way.  `done` is called once, with the error that ended it."""
        self._room.acquire()
        with self._lock:
            self.under_way += 1
            self._ready.append(_Running(visit, done))
            self._work.notify()

    def stop(self) -> None:
        """Ends every visit at its next turn; those that wait end now."""
        with self._lock:
            self._stopped = True
            waiting = [running for host in self._hosts.values() for running in host.waiting]
            for host in self._hosts.values():
                host.waiting.clear()
            self._ready.extend(waiting)
            self._work.notify_all()

    def close(self, *, wait: bool = True) -> None:
        """Ends the threads.  Call it when no visit is under way, or do not wait."""
        with self._lock:
            self._closed = True
            self._work.notify_all()
            self._clock.notify()
        if wait:
            for thread in self._threads:
                thread.join()

    @property
    def hosts_active(self) -> int:
        return len(self._hosts)

    def _worker(self) -> None:
        while True:
            with self._lock:
                while not self._ready and not self._closed:
                    self._work.wait()
                if not self._ready:
                    return
                running = self._ready.popleft()
                stopped = self._stopped
            self._step(running, stopped=stopped)

    def _step(self, running: _Running, *, stopped: bool) -> None:
        error: BaseException | None = None
        wanted: str | None = None
        try:
            if stopped:
                running.visit.close()
                raise Stopped
            wanted = running.visit.send(running.turn)  # type: ignore[arg-type]  # None starts a generator
        except StopIteration:
            pass
        except BaseException as raised:  # noqa: BLE001  handed to whoever waits for the visit
            error = raised
        with self._lock:
            if running.turn is not None:
                self._release(running.turn)
                running.turn = None
            if wanted is not None:
                self._enqueue(running, wanted)
                return
            self.under_way -= 1
        self._room.release()
        running.done(error)

    def _release(self, turn: Turn) -> None:
        host = self._hosts[turn.host]
        host.busy = False
        host.due = time.monotonic() + turn.rest_s
        if turn.rest_s <= 0:
            self._serve(turn.host, host)
        else:
            heapq.heappush(self._timers, (host.due, next(self._order), turn.host))
            if self._timers[0][2] == turn.host:
                self._clock.notify()

    def _enqueue(self, running: _Running, name: str) -> None:
        if self._stopped:
            self._ready.append(running)
            self._work.notify()
            return
        host = self._hosts.setdefault(name, _Host())
        host.waiting.append(running)
        if not host.busy and host.due <= time.monotonic():
            self._serve(name, host)

    def _serve(self, name: str, host: _Host) -> None:
        """Hands a free host to the first who waits for it; forgets a host for which nobody does."""
        if host.waiting:
            running = host.waiting.popleft()
            host.busy = True
            running.turn = Turn(name)
            self._ready.append(running)
            self._work.notify()
        elif not host.busy:
            del self._hosts[name]

    def _timer(self) -> None:
        with self._lock:
            while not self._closed:
                now = time.monotonic()
                while self._timers and self._timers[0][0] <= now:
                    name = heapq.heappop(self._timers)[2]
                    host = self._hosts.get(name)
                    if host is not None and not host.busy and host.due <= now:
                        self._serve(name, host)
                self._clock.wait(self._timers[0][0] - now if self._timers else None)
