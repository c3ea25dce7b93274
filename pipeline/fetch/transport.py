"""One GET, one exchange: what was sent and received, byte for byte, or the reason why not.

The only file that knows requests.  Its adapter is driven directly, without a Session: so no cookies, no netrc, no proxy
from the environment and no redirect that we did not choose.
"""

import errno
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from typing import IO, Any, NamedTuple

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError

from pipeline.fetch.deadline import Stopped, Watch, Watchdog
from pipeline.fetch.guard import checked
from pipeline.fetch.message import BodyDecoder, Headers, MessageError, declared_length, header_values
from pipeline.fetch.reasons import FetchDrop
from pipeline.fetch.resolve import Place, Resolver
from pipeline.schema import Drop, PipelineError
from pipeline.url import Allowed

READ_BYTES = 65_536
MAX_INTERIM = 8  # 100 and 103 answers before the real one


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


class _Attempt:
    """What the layers below leave behind for one exchange."""

    def __init__(self, watch: Watch, *, exempt: bool, max_wire_bytes: int) -> None:
        self.watch = watch
        self.exempt = exempt
        self.max_wire_bytes = max_wire_bytes
        self.sent: list[bytes] = []
        self.tap: _Tap | None = None
        self.address = ""
        self.listed = False
        self.fault: MessageError | None = None


class _Tap:
    """Reads a socket's file and keeps every byte, as long as there are not too many."""

    def __init__(self, file: IO[bytes], max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._taken: list[bytes] = []
        self.size = 0

    def forget(self) -> None:
        self._taken = []
        self.size = 0

    def _take(self, data: bytes) -> bytes:
        self._taken.append(data)
        self.size += len(data)
        if self.size > self._max_bytes:
            raise MessageError(FetchDrop.TOO_LARGE, f"wire_bytes>{self._max_bytes}")
        return data

    @property
    def taken(self) -> bytes:
        return b"".join(self._taken)

    def read(self, size: int = -1) -> bytes:
        return self._take(self._file.read(size))

    def read1(self, size: int = -1) -> bytes:
        return self._take(self._file.read1(size))  # type: ignore[attr-defined]

    def readline(self, size: int = -1) -> bytes:
        return self._take(self._file.readline(size))

    def readinto(self, buffer: bytearray) -> int:
        size: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self._take(bytes(memoryview(buffer)[:size]))
        return size

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    @property
    def closed(self) -> bool:
        return self._file.closed


class _Response(http.client.HTTPResponse):
    """http.client's response, tapped, and passing over every interim answer."""

    fp: Any

    def __init__(self, sock: socket.socket, *args: Any, attempt: _Attempt, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = attempt.tap = _Tap(self.fp, attempt.max_wire_bytes)
        self._attempt = attempt

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MAX_INTERIM):
            self.fp.forget()
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == 101:
                return version, status, reason
            while self.fp.readline(READ_BYTES + 1) not in (b"\r\n", b"\n", b""):
                pass
        raise http.client.BadStatusLine("interim answers without end")


class _GuardedConnection(HTTPConnection):
    """Connects to a checked address only, and records what is sent."""

    transport: "Transport"
    address = ""
    listed = False

    def _new_conn(self) -> socket.socket:
        connected = self.transport._connected(self)
        attempt = self.transport._attempt
        self.address, self.listed = attempt.address, attempt.listed
        return connected

    def send(self, data: Any) -> None:
        attempt = self.transport._attempt
        if self.sock is None:
            self.connect()
        if self.listed and not attempt.exempt:  # kept from a request that was
            raise MessageError(FetchDrop.PRIVATE_ADDRESS, f"reached by a redirect: {self.address}")
        attempt.address, attempt.listed = self.address, self.listed
        attempt.watch.hold(self.sock)
        attempt.sent.append(bytes(data))
        super().send(data)

    def getresponse(self) -> Any:
        self.response_class = partial(_Response, attempt=self.transport._attempt)  # type: ignore[assignment]
        return super().getresponse()


class _GuardedTlsConnection(_GuardedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection

    def __init__(self, *args: Any, transport: "Transport", **options: Any) -> None:
        self._transport = transport
        super().__init__(*args, **options)

    def _new_conn(self) -> Any:
        connection: Any = super()._new_conn()
        connection.transport = self._transport
        return connection


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _GuardedTlsConnection


class _Adapter(HTTPAdapter):
    """requests' adapter over our pools; the CA bundle is read once a process, not once a connection (13 ms CPU each)."""

    def __init__(self, transport: "Transport", *, context: ssl.SSLContext, hosts: int) -> None:
        self._transport = transport
        self._context = context
        super().__init__(pool_connections=hosts, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **options)
        self.poolmanager.pool_classes_by_scheme = {
            "http": partial(_Pool, transport=self._transport),
            "https": partial(_TlsPool, transport=self._transport),
        }

    def build_connection_pool_key_attributes(self, *args: Any, **options: Any) -> Any:
        host, pool = super().build_connection_pool_key_attributes(*args, **options)
        pool.pop("ca_certs", None)
        pool.pop("ca_cert_dir", None)
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"
        conn.ca_certs = conn.ca_cert_dir = None  # the shared context holds them


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
        self._adapter = _Adapter(self, context=context, hosts=kept_connections)

    def close(self) -> None:
        self._adapter.close()

    @property
    def _attempt(self) -> _Attempt:
        attempt: _Attempt = self._local.attempt
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
            attempt = self._local.attempt = _Attempt(watch, exempt=exempt, max_wire_bytes=want.max_wire_bytes)
            answer = _Answer()
            try:
                fault = self._ask(url, attempt, answer, want, gate)
            except MessageError as error:
                fault = Drop(error.reason, error.detail)
            except (requests.RequestException, HTTPError, http.client.HTTPException, OSError, UnicodeError) as error:
                fault = _fault_of(error, attempt)
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

    def _ask(self, url: str, attempt: _Attempt, answer: "_Answer", want: Want, gate: Callable) -> Drop | None:
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

    def _connected(self, connection: HTTPConnection) -> socket.socket:
        """A socket to the first checked address that answers."""
        attempt = self._attempt
        try:
            return self._first_connected(connection.host, connection.port or 80, attempt)
        except MessageError as error:
            attempt.fault = error
            raise NewConnectionError(connection, str(error)) from error

    def _first_connected(self, host: str, port: int, attempt: _Attempt) -> socket.socket:
        places = self._resolver.places(host.strip("[]"), port, timeout_s=min(self._connect_timeout_s, attempt.watch.left_s()))
        addresses = [place.address for place in places]
        attempt.listed = checked(addresses, host=host, port=port, allowed=self._allowed, exempt=attempt.exempt)
        last: OSError | None = None
        for place in places[:4]:
            try:
                return self._socket(place, attempt)
            except OSError as error:
                last = error
        raise _connect_fault(last)

    def _socket(self, place: Place, attempt: _Attempt) -> socket.socket:
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


def _connect_fault(error: OSError | None) -> MessageError:
    if error is not None and error.errno in (errno.EMFILE, errno.ENFILE):
        raise PipelineError("too many open files for the crawl. Raise the limit (`ulimit -n 4096`) and run it again.")
    if isinstance(error, TimeoutError):
        return MessageError(FetchDrop.DEADLINE, "connecting")
    if isinstance(error, ConnectionRefusedError):
        return MessageError(FetchDrop.CONNECTION_REFUSED)
    if isinstance(error, ConnectionResetError):
        return MessageError(FetchDrop.CONNECTION_RESET, "connecting")
    return MessageError(FetchDrop.CONNECTION_FAILED, str(error.strerror if error else "no address"))


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what lies beneath it: causes, contexts, arguments and urllib3's reasons."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < 20:
        current = waiting.pop(0)
        if current is None or any(current is other for other in found):
            continue
        found.append(current)
        waiting += [getattr(current, "reason", None), *current.args, current.__cause__, current.__context__]
        waiting = [item for item in waiting if isinstance(item, BaseException)]
    return found


def _fault_of(error: Exception, attempt: _Attempt) -> Drop:
    """What a library's exception means, in our words."""
    if attempt.fault is not None:
        return Drop(attempt.fault.reason, attempt.fault.detail)
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, MessageError):
            return Drop(cause.reason, cause.detail)
        if isinstance(cause, ssl.SSLError):
            return Drop(FetchDrop.TLS_ERROR, str(getattr(cause, "verify_message", "") or cause.reason or "handshake")[:100])
    for cause in causes:
        if isinstance(cause, TimeoutError):
            return Drop(FetchDrop.DEADLINE, "no byte for too long")
        if isinstance(cause, http.client.IncompleteRead) or "IncompleteRead" in type(cause).__name__:
            return _short_body(attempt)
        if isinstance(cause, ConnectionError | http.client.RemoteDisconnected):
            return Drop(FetchDrop.CONNECTION_RESET)
    for cause in causes:
        if isinstance(cause, http.client.HTTPException):
            return Drop(FetchDrop.NOT_HTTP, type(cause).__name__)
    if isinstance(error, ValueError):  # requests' InvalidURL and its like are ValueErrors too
        return Drop(FetchDrop.BAD_URL, type(error).__name__)
    return Drop(FetchDrop.CONNECTION_FAILED, type(causes[-1]).__name__)


def _short_body(attempt: _Attempt) -> Drop:
    head = attempt.tap.taken.partition(b"\r\n\r\n")[0].lower() if attempt.tap is not None else b""
    chunked = b"transfer-encoding" in head and b"chunked" in head
    return Drop(FetchDrop.BAD_CHUNKS if chunked else FetchDrop.WRONG_LENGTH)


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
