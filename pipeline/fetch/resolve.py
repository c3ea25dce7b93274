"""Host names in, socket addresses out: asked once, remembered for a while, and never waited for without end."""

import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from pipeline.fetch.message import MessageError
from pipeline.fetch.reasons import FetchDrop


class Place(NamedTuple):
    """One answer of getaddrinfo: what `connect` takes."""

    family: int
    sockaddr: tuple

    @property
    def address(self) -> str:
        return str(self.sockaddr[0])


class _Answer:
    def __init__(self) -> None:
        self.ready = threading.Event()
        self.places: list[Place] = []
        self.fault = ""
        self.until = float("inf")


class Resolver:
    """A cache over getaddrinfo, which knows no time-out: each question is asked in a thread that may be left behind."""

    def __init__(
        self,
        *,
        lookup: Callable = socket.getaddrinfo,
        keep_s: float = 300,  # most records live longer; a rebound name is checked again whenever it is asked again
        keep_failure_s: float = 60,
        max_names: int = 50_000,
        max_waiting: int = 64,
    ) -> None:
        self._lookup = lookup
        self._keep_s = keep_s
        self._keep_failure_s = keep_failure_s
        self._max_names = max_names
        self._slots = threading.BoundedSemaphore(max_waiting)
        self._answers: OrderedDict[tuple[str, int], _Answer] = OrderedDict()
        self._lock = threading.Lock()

    def places(self, host: str, port: int, *, timeout_s: float) -> list[Place]:
        """Every address of a host, each once, in the system's order.  Raises MessageError(DNS_FAILURE)."""
        end = time.monotonic() + timeout_s
        key = (host, port)
        with self._lock:
            answer = self._answers.get(key)
            asked = answer is not None and answer.until > time.monotonic()
            if answer is None or not asked:
                answer = self._answers[key] = _Answer()
                self._answers.move_to_end(key)
                if len(self._answers) > self._max_names:
                    self._answers.popitem(last=False)
        if not asked:
            if not self._slots.acquire(timeout=max(0.0, timeout_s)):
                answer.fault = "the resolver is overrun"
                answer.until = 0.0
                answer.ready.set()
            else:
                threading.Thread(target=self._ask, args=(host, port, answer), name="resolve", daemon=True).start()
        if not answer.ready.wait(max(0.0, end - time.monotonic())):
            raise MessageError(FetchDrop.DNS_FAILURE, "no answer in time")
        if answer.fault:
            raise MessageError(FetchDrop.DNS_FAILURE, answer.fault)
        return answer.places

    def _ask(self, host: str, port: int, answer: _Answer) -> None:
        try:
            found = self._lookup(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)
            places = [Place(family, sockaddr) for family, _, _, _, sockaddr in found]
            answer.places = list(dict.fromkeys(places))
            answer.fault = "" if places else "no address"
        except socket.gaierror as error:
            answer.fault = str(error.strerror or error)
        except (OSError, UnicodeError, ValueError) as error:  # names that IDNA refuses, embedded NUL
            answer.fault = type(error).__name__
        finally:
            answer.until = time.monotonic() + (self._keep_failure_s if answer.fault else self._keep_s)
            answer.ready.set()
            self._slots.release()
