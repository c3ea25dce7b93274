"""One GET, one exchange: what was sent and received, byte for byte, or the reason why not.

The only file that knows requests.  Its adapter is driven directly, without a Session: so no cookies, no netrc, no proxy
from the environment and no redirect that we did not choose.
"""

import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import certifi
import requests
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, NewConnectionError

from pipeline.fetch.deadline import Stopped, Watchdog
from pipeline.fetch.faults import connect_fault, fault_of
from pipeline.fetch.guard import checked
from pipeline.fetch.message import BodyDecoder, Headers, MessageError, declared_length, header_values
from pipeline.fetch.reasons import FetchDrop
from pipeline.fetch.resolve import Place, Resolver
from pipeline.fetch.wire import READ_BYTES, Adapter, Attempt
from pipeline.schema import Drop
from pipeline.url import Allowed


class Want(NamedTuple):
    """How much of a body is wanted.  `whole`: more than this is a fault; else the rest is left unread."""

    max_wire_bytes: int
    max_body_bytes: int
    keep_bytes: int
    whole: bool


PAGE = Want(max_wire_bytes=3_200_000, max_body_bytes=3_000_000, keep_bytes=65_536, whole=True)
SCRAP = Want(max_wire_bytes=65_536, max_body_bytes=65_536, keep_bytes=0, whole=False)  # of redirects and error pages


class Exchange(NamedTuple):
    """A request and what came of it.  `fault` None: an answer whose body was read as far as it was wanted."""

    url: str
    request: bytes  # as sent; empty if nothing was
    response: bytes  # as received, chunks and compression included
    status: int  # 0 without an answer
    headers: Headers
    body: bytes  # decoded, the first `keep_bytes`
    cut: bool  # the rest of the body was left unread
    started: float  # seconds since 1970
    latency_s: float
    address: str
    listed: bool  # the place is on the list of private hosts
    fault: Drop | None
    refused: bool  # the fault is the gate's: the head is whole, the body was not read


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Certificates are always checked, against `ca_file`, SSL_CERT_FILE or the bundle of certifi."""
    return ssl.create_default_context(cafile=ca_file or os.environ.get("SSL_CERT_FILE") or certifi.where())


class Transport:
    """GET for many threads at once."""

    def __init__(
        self,
        *,
        user_agent: str,
        allowed: Allowed,
        resolver: Resolver,
        watchdog: Watchdog,
        context: ssl.SSLContext,
        deadline_s: float,
        connect_timeout_s: float,
        idle_timeout_s: float,
        kept_connections: int,
    ) -> None:
        self._user_agent = user_agent
        self._allowed = allowed
        self._resolver = resolver
        self._watchdog = watchdog
        self._deadline_s = deadline_s
        self._connect_timeout_s = connect_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._local = threading.local()
        self._adapter = Adapter(self, context=context, hosts=kept_connections)

    def close(self) -> None:
        self._adapter.close()

    @property
    def attempt(self) -> Attempt:
        attempt: Attempt = self._local.attempt
        return attempt

    def get(
        self,
        url: str,
        *,
        want: Want = PAGE,
        gate: Callable[[Headers], Drop | None] = lambda headers: None,
        exempt: bool = True,
    ) -> Exchange:
        """Asks for one URL, following nothing.  `gate` judges the headers of a 200; its drop leaves the body unread."""
        started = time.time()
        begin = time.monotonic()
        with self._watchdog.watch(self._deadline_s) as watch:
            attempt = self._local.attempt = Attempt(watch, exempt=exempt, max_wire_bytes=want.max_wire_bytes)
            answer = _Answer()
            try:
                fault = self._ask(url, attempt, answer, want, gate)
            except MessageError as error:
                fault = Drop(error.reason, error.detail)
            except (requests.RequestException, HTTPError, http.client.HTTPException, OSError, UnicodeError) as error:
                fault = fault_of(error, attempt)
            finally:
                answer.close()
                self._local.attempt = None
            if watch.stopped:
                raise Stopped
            if watch.expired:  # a cut socket looks like an end
                fault = Drop(FetchDrop.DEADLINE, f"limit_s={self._deadline_s:g}")
        return Exchange(
            url=url,
            request=b"".join(attempt.sent),
            response=attempt.tap.taken if attempt.tap is not None else b"",
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            cut=answer.cut,
            started=started,
            latency_s=time.monotonic() - begin,
            address=attempt.address,
            listed=attempt.listed,
            fault=fault,
            refused=answer.refused and not watch.expired,
        )

    def _ask(self, url: str, attempt: Attempt, answer: "_Answer", want: Want, gate: Callable) -> Drop | None:
        headers = {
            "User-Agent": self._user_agent,
            "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.1",
            "Accept-Encoding": "gzip, deflate",
            "Accept-Language": "en,*;q=0.5",
        }
        request = requests.Request("GET", url, headers=headers).prepare()
        timeout = (self._connect_timeout_s, self._idle_timeout_s)
        raw = self._adapter.send(request, stream=True, timeout=timeout, verify=True).raw
        answer.raw = raw
        answer.status = int(raw.status)
        answer.headers = list(raw.headers.items())
        fault = gate(answer.headers) if answer.status == 200 else None
        if fault is None:
            answer.read(want if answer.status == 200 else SCRAP)
        else:
            answer.cut = answer.refused = True
        return fault

    def connected(self, connection: HTTPConnection) -> socket.socket:
        """A socket to the first checked address that answers."""
        attempt = self.attempt
        try:
            return self._first_connected(connection.host, connection.port or 80, attempt)
        except MessageError as error:
            attempt.fault = error
            raise NewConnectionError(connection, str(error)) from error

    def _first_connected(self, host: str, port: int, attempt: Attempt) -> socket.socket:
        places = self._resolver.places(host.strip("[]"), port, timeout_s=min(self._connect_timeout_s, attempt.watch.left_s()))
        addresses = [place.address for place in places]
        attempt.listed = checked(addresses, host=host, port=port, allowed=self._allowed, exempt=attempt.exempt)
        last: OSError | None = None
        for place in places[:4]:
            try:
                return self._socket(place, attempt)
            except OSError as error:
                last = error
        raise connect_fault(last)

    def _socket(self, place: Place, attempt: Attempt) -> socket.socket:
        connected = socket.socket(place.family, socket.SOCK_STREAM)
        try:
            connected.settimeout(min(self._connect_timeout_s, attempt.watch.left_s()))
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            attempt.watch.hold(connected)  # before connecting: it takes time too, and so does the TLS handshake
            connected.connect(place.sockaddr)
            connected.settimeout(min(self._idle_timeout_s, attempt.watch.left_s()))
        except BaseException:
            connected.close()
            raise
        attempt.address = place.address
        return connected


class _Answer:
    """An answer being read."""

    def __init__(self) -> None:
        self.raw: Any = None
        self.status = 0
        self.headers: Headers = []
        self.body = b""
        self.cut = False
        self.refused = False

    def read(self, want: Want) -> None:
        decoder = BodyDecoder(self.headers if want.keep_bytes else [], max_bytes=want.max_body_bytes, keep=want.keep_bytes)
        length = declared_length(self.headers)
        if want.whole and length is not None and length > want.max_wire_bytes:
            raise MessageError(FetchDrop.TOO_LARGE, f"declared={length}")
        try:
            while not decoder.too_large:
                data = self.raw.read1(READ_BYTES, decode_content=False)
                if not data:
                    break
                decoder.feed(data)
        except MessageError as error:
            if error.reason is not FetchDrop.TOO_LARGE or want.whole:
                raise
            self.cut = True
        if decoder.too_large:
            self.cut = True
            if want.whole:
                raise MessageError(FetchDrop.TOO_LARGE, f"bytes>{want.max_body_bytes}")
        if not self.cut and want.keep_bytes:
            decoder.finish()
        self.body = decoder.body

    def close(self) -> None:
        """Gives the connection back for the host's next page if the body was read to its end, else closes it."""
        if self.raw is None:
            return
        whole = not self.cut and getattr(self.raw._original_response, "isclosed", bool)()
        if not whole:
            self.raw.close()
        self.raw.release_conn()


def retry_after_s(headers: Headers, *, now: float) -> float | None:
    """Seconds a Retry-After asks us to wait, from a number or an HTTP date; None without one."""
    for value in header_values(headers, "retry-after"):
        value = value.strip()
        if value.isascii() and value.isdigit() and len(value) < 10:
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - now)
        except (ValueError, TypeError, OverflowError):
            continue
    return None
