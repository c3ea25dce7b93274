"""One exchange at a time: TLS, deadlines, kept connections, what is recorded."""

import os
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from pipeline.fetch.deadline import Watchdog
from pipeline.fetch.reasons import FetchDrop
from pipeline.fetch.resolve import Resolver
from pipeline.fetch.transport import PAGE, Transport, retry_after_s, tls_context
from pipeline.schema import Drop
from pipeline.url import Allowed

AGENT = "webtext/0 (+test@webtext.example)"
CONTEXT = tls_context()
NAMES = {"right.example": "127.0.0.1", "wrong.example": "127.0.0.1"}


def lookup(host, port, *rest):
    return socket.getaddrinfo(NAMES.get(host, host), port, *rest)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.connections.add(self.client_address)
        self.server.seen.append((self.path, dict(self.headers)))
        if self.path == "/interim":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        if self.path == "/interim-forever":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 50)
        if self.path == "/chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nhello\r\n6;x=1\r\n world\r\n0\r\n\r\n")
            return
        body = b"<p>hello</p>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Set-Cookie", "a=b")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A refused handshake is what some tests want."""


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def watchdog():
    dog = Watchdog()
    yield dog
    dog.close()


def served(context=None):
    server = Server(("127.0.0.1", 0), Handler)
    server.connections, server.seen = set(), []
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


@pytest.fixture
def plain():
    server = served()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def secure(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("right.example").configure_cert(context)
    server = served(context)
    server.names = []
    context.sni_callback = lambda sock, name, ctx: server.names.append(name)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def transport(watchdog):
    made = []

    def build(port, *, context=None, **limits):
        settings = {"deadline_s": 5.0, "connect_timeout_s": 2.0, "idle_timeout_s": 2.0, "kept_connections": 4, **limits}
        allowed = Allowed.parse([f"{name}:{port}" for name in NAMES])
        one = Transport(
            user_agent=AGENT, allowed=allowed, resolver=Resolver(lookup=lookup), watchdog=watchdog, context=context or CONTEXT,
            **settings,
        )  # fmt: skip
        made.append(one)
        return one

    yield build
    for one in made:
        one.close()


def port_of(server) -> int:
    return server.server_address[1]


def test_a_trusted_certificate_for_the_right_name_is_accepted(secure, transport, authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    exchange = transport(port_of(secure), context=context).get(f"https://right.example:{port_of(secure)}/")
    assert (exchange.status, exchange.fault, exchange.body) == (200, None, b"<p>hello</p>")
    assert secure.names == ["right.example"]
    assert exchange.address == "127.0.0.1"


def test_a_certificate_for_another_name_is_a_failure(secure, transport, authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    exchange = transport(port_of(secure), context=context).get(f"https://wrong.example:{port_of(secure)}/")
    assert exchange.fault.reason is FetchDrop.TLS_ERROR
    assert "Hostname mismatch" in exchange.fault.detail
    assert secure.seen == []


def test_an_unknown_authority_is_a_failure(secure, transport):
    exchange = transport(port_of(secure)).get(f"https://right.example:{port_of(secure)}/")
    assert exchange.fault.reason is FetchDrop.TLS_ERROR
    assert secure.seen == []


def test_plain_http_on_a_tls_port_and_the_reverse_are_failures(secure, plain, transport):
    assert transport(port_of(secure)).get(f"http://right.example:{port_of(secure)}/").fault is not None
    exchange = transport(port_of(plain)).get(f"https://right.example:{port_of(plain)}/")
    assert exchange.fault.reason is FetchDrop.TLS_ERROR


def test_the_environment_changes_nothing(plain, transport, monkeypatch, tmp_path):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (tmp_path / ".netrc").write_text("machine right.example login me password secret\n")
    os.chmod(tmp_path / ".netrc", 0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    client = transport(port_of(plain))
    for _ in range(2):
        assert client.get(f"http://right.example:{port_of(plain)}/").fault is None
    for _, headers in plain.seen:
        assert not {"Authorization", "Cookie", "Proxy-Authorization"} & headers.keys()
        assert headers["Accept-Encoding"] == "gzip, deflate"


def test_a_connection_is_kept_for_the_next_page(plain, transport):
    client = transport(port_of(plain))
    for path in ("/1", "/chunks", "/2", "/interim", "/3"):
        assert client.get(f"http://right.example:{port_of(plain)}{path}").fault is None
    assert len(plain.connections) == 1


def test_a_kept_connection_does_not_get_a_redirect_past_the_guard(plain, transport):
    client = transport(port_of(plain))
    url = f"http://right.example:{port_of(plain)}/"
    assert client.get(url).listed
    exchange = client.get(url, exempt=False)
    assert exchange.fault.reason in (FetchDrop.PRIVATE_ADDRESS, FetchDrop.BAD_URL)
    assert len(plain.seen) == 1
    assert client.get(url).fault is None


def test_the_exchange_is_kept_byte_for_byte(plain, transport):
    exchange = transport(port_of(plain)).get(f"http://right.example:{port_of(plain)}/chunks?a=1")
    assert exchange.request.startswith(b"GET /chunks?a=1 HTTP/1.1\r\nHost: right.example")
    assert exchange.request.endswith(b"\r\n\r\n")
    assert exchange.response.startswith(b"HTTP/1.1 200 OK\r\n")
    exchange = transport(port_of(plain)).get(f"http://right.example:{port_of(plain)}/chunks")
    assert exchange.response.endswith(b"\r\n\r\n5\r\nhello\r\n6;x=1\r\n world\r\n0\r\n\r\n")
    assert exchange.body == b"hello world"


def test_interim_answers_are_passed_over(plain, transport):
    client = transport(port_of(plain))
    exchange = client.get(f"http://right.example:{port_of(plain)}/interim")
    assert (exchange.status, exchange.body) == (200, b"<p>hello</p>")
    assert exchange.response.startswith(b"HTTP/1.1 200 OK\r\n")
    exchange = client.get(f"http://right.example:{port_of(plain)}/interim-forever")
    assert exchange.fault.reason is FetchDrop.NOT_HTTP


def test_a_refused_head_leaves_the_body_unread(plain, transport):
    refusal = Drop(FetchDrop.TRAINING_OPT_OUT, "test")
    exchange = transport(port_of(plain)).get(f"http://right.example:{port_of(plain)}/", gate=lambda headers: refusal)
    assert (exchange.fault, exchange.refused, exchange.cut, exchange.body) == (refusal, True, True, b"")
    assert exchange.response.endswith(b"\r\n\r\n")


def test_bodies_are_cut_or_refused_at_the_cap(plain, transport):
    url = f"http://right.example:{port_of(plain)}/"
    want = PAGE._replace(max_body_bytes=5)
    assert transport(port_of(plain)).get(url, want=want).fault.reason is FetchDrop.TOO_LARGE
    exchange = transport(port_of(plain)).get(url, want=want._replace(whole=False))
    assert (exchange.fault, exchange.cut) == (None, True)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_says_nothing_meets_the_deadline(scheme, transport):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, in the kernel's backlog, and never answers
        port = silent.getsockname()[1]
        begin = time.monotonic()
        exchange = transport(port, deadline_s=0.4).get(f"{scheme}://right.example:{port}/")
        assert exchange.fault.reason is FetchDrop.DEADLINE
        assert time.monotonic() - begin < 2


def test_a_resolver_that_hangs_is_not_waited_for(watchdog):
    release = threading.Event()

    def hang(*_):
        release.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    client = Transport(
        user_agent=AGENT, allowed=Allowed(), resolver=Resolver(lookup=hang), watchdog=watchdog, context=CONTEXT,
        deadline_s=5, connect_timeout_s=0.3, idle_timeout_s=1, kept_connections=1,
    )  # fmt: skip
    begin = time.monotonic()
    exchange = client.get("http://slow.example/")
    assert (exchange.fault.reason, exchange.fault.detail) == (FetchDrop.DNS_FAILURE, "no answer in time")
    assert time.monotonic() - begin < 2
    release.set()


def test_names_are_asked_for_once_while_they_are_remembered():
    asked = []

    def count(host, port, *rest):
        asked.append(host)
        if host == "none.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return lookup("127.0.0.1", port, *rest)

    resolver = Resolver(lookup=count, max_names=2)
    for _ in range(3):
        assert [place.address for place in resolver.places("a.example", 80, timeout_s=2)] == ["127.0.0.1"]
        with pytest.raises(Exception, match="DNS_FAILURE"):
            resolver.places("none.example", 80, timeout_s=2)
    assert asked == ["a.example", "none.example"]
    resolver.places("b.example", 80, timeout_s=2)
    resolver.places("a.example", 80, timeout_s=2)
    assert asked == ["a.example", "none.example", "b.example", "a.example"]  # the oldest name had to go


@pytest.mark.parametrize(
    ("value", "want"),
    [("120", 120.0), ("0", 0.0), ("Wed, 01 Jan 2020 00:01:00 GMT", 60.0), ("Wed, 01 Jan 2000 00:00:00 GMT", 0.0), ("soon", None),
     ("-5", None), ("9" * 30, None), (None, None)],
)  # fmt: skip
def test_retry_after(value, want):
    headers = [] if value is None else [("Retry-After", value)]
    assert retry_after_s(headers, now=1_577_836_800.0) == want
