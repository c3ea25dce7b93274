"""The connection layer under requests: checked addresses, every byte kept, one certificate store.

Subclasses of what http.client, urllib3 and requests offer for it; `pipeline.fetch.transport` drives them.
"""

import http.client
import socket
import ssl
from functools import partial
from typing import IO, Any, Protocol

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pipeline.fetch.deadline import Watch
from pipeline.fetch.message import MessageError
from pipeline.fetch.reasons import FetchDrop

READ_BYTES = 65_536
MAX_INTERIM = 8  # 100 and 103 answers before the real one


class Attempt:
    """What the layers below leave behind for one exchange."""

    def __init__(self, watch: Watch, *, exempt: bool, max_wire_bytes: int) -> None:
        self.watch = watch
        self.exempt = exempt
        self.max_wire_bytes = max_wire_bytes
        self.sent: list[bytes] = []
        self.tap: Tap | None = None
        self.address = ""
        self.listed = False
        self.fault: MessageError | None = None


class Dialer(Protocol):
    """Who opens the sockets, and for which exchange."""

    @property
    def attempt(self) -> Attempt: ...

    def connected(self, connection: HTTPConnection) -> socket.socket: ...


class Tap:
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

    def __init__(self, sock: socket.socket, *args: Any, attempt: Attempt, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = attempt.tap = Tap(self.fp, attempt.max_wire_bytes)
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

    transport: Dialer
    address = ""
    listed = False

    def _new_conn(self) -> socket.socket:
        connected = self.transport.connected(self)
        attempt = self.transport.attempt
        self.address, self.listed = attempt.address, attempt.listed
        return connected

    def send(self, data: Any) -> None:
        attempt = self.transport.attempt
        if self.sock is None:
            self.connect()
        if self.listed and not attempt.exempt:  # kept from a request that was
            raise MessageError(FetchDrop.PRIVATE_ADDRESS, f"reached by a redirect: {self.address}")
        attempt.address, attempt.listed = self.address, self.listed
        attempt.watch.hold(self.sock)
        attempt.sent.append(bytes(data))
        super().send(data)

    def getresponse(self) -> Any:
        self.response_class = partial(_Response, attempt=self.transport.attempt)  # type: ignore[assignment]
        return super().getresponse()


class _GuardedTlsConnection(_GuardedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection

    def __init__(self, *args: Any, transport: Dialer, **options: Any) -> None:
        self._transport = transport
        super().__init__(*args, **options)

    def _new_conn(self) -> Any:
        connection: Any = super()._new_conn()
        connection.transport = self._transport
        return connection


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _GuardedTlsConnection


class Adapter(HTTPAdapter):
    """requests' adapter over our pools; the CA bundle is read once a process, not once a connection (13 ms CPU each)."""

    def __init__(self, transport: Dialer, *, context: ssl.SSLContext, hosts: int) -> None:
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
