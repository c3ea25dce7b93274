"""The address guard, end to end: URLs through requests, urllib3 and our adapter, down to the socket that is (not) opened."""

import contextlib
import socket

import pytest

from pipeline.fetch.deadline import Watchdog
from pipeline.fetch.guard import address_fault
from pipeline.fetch.resolve import Resolver
from pipeline.fetch.transport import Transport, tls_context
from pipeline.url import Allowed

PUBLIC_4, PUBLIC_6 = "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"
NAMES = {
    "public.example": [PUBLIC_4],
    "public6.example": [PUBLIC_6],
    "mixed.example": [PUBLIC_4, "169.254.169.254"],
    "mixed2.example": ["10.0.0.1", PUBLIC_4],
    "private.example": ["192.168.1.1"],
    "v6private.example": ["fd12::1"],
    "mapped.example": ["::ffff:10.0.0.1"],
    "nat64.example": ["64:ff9b::a00:1"],
    "localhost": ["127.0.0.1", "::1"],
    "localhost.": ["127.0.0.1"],
    "ip6-localhost": ["::1"],
    "metadata.google.internal": ["169.254.169.254"],
}

BLOCKED = {
    "loopback and this host": """
        http://127.0.0.1/ http://127.0.1/ http://127.1/ http://127.0.0.1./ http://127.0.0.1.:80/ http://2130706433/ http://0x7f000001/
        http://0x7f.0.0.1/ http://0x7F.0x0.0x0.0x1/ http://0177.0.0.1/ http://0177.0.0.01/ http://017700000001/ http://127.255.255.254/
        http://0.0.0.0/ http://0/ http://0x0/ http://0.1.2.3/ https://127.0.0.1/""",
    "RFC 1918": "http://10.0.0.1/ http://10.255.255.255/ http://172.16.0.1/ http://172.31.255.254/ http://192.168.0.1/ http://0xc0a80001/",
    "link-local and metadata": """
        http://169.254.169.254/latest/meta-data/ http://2852039166/ http://0xa9fea9fe/ http://0251.0376.0251.0376/
        http://169.254.43518/ http://169.254.170.2/ http://192.0.0.192/ http://100.100.100.200/ http://metadata.google.internal/""",
    "carrier-grade NAT": "http://100.64.0.1/ http://100.127.255.255/",
    "special": """
        http://192.0.2.1/ http://198.51.100.7/ http://203.0.113.5/ http://198.18.0.1/ http://224.0.0.1/ http://239.1.2.3/
        http://240.0.0.1/ http://255.255.255.255/ http://192.88.99.1/""",
    "v6 loopback, unspecified, mapped, compatible": """
        http://[::1]/ http://[::]/ http://[0:0:0:0:0:0:0:1]/ http://[::ffff:127.0.0.1]/ http://[::ffff:7f00:1]/
        http://[::ffff:a9fe:a9fe]/ http://[::127.0.0.1]/ http://[::a00:1]/""",
    "v6 transition": """
        http://[64:ff9b::7f00:1]/ http://[64:ff9b::10.0.0.1]/ http://[64:ff9b:1::a00:1]/ http://[2002:a9fe:a9fe::]/
        http://[2002:7f00:1::1]/ http://[2001:0:53aa:64c:0:0:80ff:fefe]/""",
    "v6 local": """
        http://[fe80::1]/ http://[fe80::1%25eth0]/ http://[fe80::1%25lo]/ http://[fd00:ec2::254]/ http://[fc00::1]/ http://[fec0::1]/
        http://[2001:db8::1]/ http://[100::1]/ http://[5f00::1]/ http://[3fff::1]/ http://[ff02::1]/""",
    "names": "http://localhost/ http://LOCALHOST./ http://localhost:80/ http://ip6-localhost/",
    "unicode digits and dots": "http://①②⑦.⓪.⓪.①/ http://127。0。0。1/ http://１２７.0.0.1/",
    "userinfo, fragment and backslash": """
        http://public@127.0.0.1/ http://public.example@10.0.0.1/ http://public.example:80@127.0.0.1/
        http://public.example\\@127.0.0.1/ http://127.0.0.1\\@public.example/ http://127.0.0.1#@public.example/
        http://127.0.0.1?@public.example/""",
    "ports": """
        http://public.example:22/ http://public.example:25/ http://public.example:6379/ https://public.example:8443/
        http://public.example:0/ http://public.example:65536/ http://public.example:-1/""",
    "schemes": """
        ftp://public.example/ file:///etc/passwd gopher://public.example/ dict://127.0.0.1:11211/ data:text/html,x javascript:1
        //127.0.0.1/ /etc/passwd http:/// http:// unix:///var/run/docker.sock""",
    "DNS": """
        http://mixed.example/ http://mixed2.example/ http://private.example/ http://v6private.example/ http://mapped.example/
        http://nat64.example/ http://unknown.example/""",
}  # fmt: skip
ALLOWED = {
    "http://public.example/": PUBLIC_4,
    "https://public.example/": PUBLIC_4,
    "http://public.example:80/x": PUBLIC_4,
    "http://public.example:443/": PUBLIC_4,
    "http://PUBLIC.example/?u=http://127.0.0.1/": PUBLIC_4,
    f"http://[{PUBLIC_6}]/": PUBLIC_6,
    "http://public6.example/": PUBLIC_6,
    f"http://{PUBLIC_4}/": PUBLIC_4,
    "http://0x5db8d822/": PUBLIC_4,
    "http://public.example/\r\nX-Injected: y": PUBLIC_4,
}


CONTEXT = tls_context()


def lookup(host, port, family=0, kind=0, *rest):
    """getaddrinfo over NAMES; numeric hosts as the system reads them."""
    if isinstance(host, bytes):
        host = host.decode()
    answers = NAMES.get(host.lower())
    if answers is None:
        return REAL(host, port, family, kind, 0, socket.AI_NUMERICHOST)
    return [found for answer in answers for found in REAL(answer, port, family, kind, 0, socket.AI_NUMERICHOST)]


REAL = socket.getaddrinfo


@pytest.fixture
def wire(monkeypatch):
    """Every address that anybody tries to connect to, and what was sent; nothing goes out."""
    asked = []

    def connect(self, address):
        asked.append((address[0].partition("%")[0], address[1]))
        raise ConnectionRefusedError(111, "refused by the test")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return asked


@pytest.fixture
def get(wire):
    watchdog = Watchdog()

    def transport(*private):
        return Transport(
            user_agent="webtext/0 (+test@webtext.example)", allowed=Allowed.parse(private), resolver=Resolver(lookup=lookup),
            watchdog=watchdog, context=CONTEXT, deadline_s=5, connect_timeout_s=2, idle_timeout_s=2, kept_connections=4,
        )  # fmt: skip

    yield lambda url, *private, **options: transport(*private).get(url, **options)
    watchdog.close()


@pytest.mark.parametrize(("kind", "url"), [(kind, url) for kind, urls in BLOCKED.items() for url in urls.split()])
def test_nothing_private_is_ever_connected_to(kind, url, get, wire):
    exchange = get(url)
    assert exchange.fault is not None
    assert exchange.response == b""
    assert all(address in (PUBLIC_4, PUBLIC_6) and port in (80, 443) for address, port in wire), wire
    if kind in ("DNS", "schemes"):
        assert wire == []


@pytest.mark.parametrize("url", ALLOWED)
def test_public_places_are_reached(url, get, wire):
    exchange = get(url)
    assert {address for address, _ in wire} == {ALLOWED[url]}
    assert b"X-Injected" not in b"\r\n".join(exchange.request.split(b"\r\n")[1:])


@pytest.mark.parametrize(
    ("url", "entry", "address"),
    [
        ("http://10.0.0.1:8080/", "10.0.0.0/8", "10.0.0.1"),
        ("http://10.0.0.1:8080/", "10.0.0.1:8080", "10.0.0.1"),
        ("http://private.example/", "private.example:80", "192.168.1.1"),
        ("http://private.example:9000/", "192.168.0.0/16", "192.168.1.1"),
        ("http://[fd12::1]:81/", "fd00::/8", "fd12::1"),
    ],
)
def test_the_list_of_private_places_opens_just_these(url, entry, address, get, wire):
    exchange = get(url, entry)
    assert [asked for asked, _ in wire] == [address]
    assert exchange.listed
    del wire[:]
    for other in ("http://10.0.0.1:8081/", "http://127.0.0.1/", "http://private.example:81/", "http://mixed2.example/"):
        if not (entry == "10.0.0.0/8" and "10.0.0.1" in other) and entry != "192.168.0.0/16":
            get(other, entry)
    assert wire == []


def test_the_list_does_not_hold_for_a_redirect_from_outside_it(get, wire):
    exchange = get("http://10.0.0.1/", "10.0.0.0/8", exempt=False)
    assert (exchange.fault.reason.name, wire) == ("PRIVATE_ADDRESS", [])


def test_a_name_is_checked_again_whenever_it_is_resolved_again(wire):
    """Rebinding: public at first, private when the answer has expired."""
    answers = [PUBLIC_4, "127.0.0.1"]
    watchdog = Watchdog()
    transport = Transport(
        user_agent="webtext/0 (+test@webtext.example)", allowed=Allowed(), watchdog=watchdog, context=CONTEXT,
        resolver=Resolver(lookup=lambda host, port, *rest: REAL(answers.pop(0), port, *rest), keep_s=0.0),
        deadline_s=5, connect_timeout_s=2, idle_timeout_s=2, kept_connections=4,
    )  # fmt: skip
    assert transport.get("http://rebinding.example/").fault.reason.name == "CONNECTION_REFUSED"
    assert transport.get("http://rebinding.example/").fault.reason.name == "PRIVATE_ADDRESS"
    assert wire == [(PUBLIC_4, 80)]
    watchdog.close()


SPELLINGS = (
    "127.0.0.1", "127.1", "0177.0.0.1", "0x7f000001", "2130706433", "0", "0.0.0.0", "localhost", "LOCALHOST.", "user@127.0.0.1",
    "[::1]", "[::ffff:127.0.0.1]", "①②⑦.⓪.⓪.①", "canary.example",
)  # fmt: skip


def test_canaries_on_loopback_see_no_connection(monkeypatch):
    """Real sockets: nothing is stubbed but the name of one host, and the port rule is out of the way."""
    real = socket.getaddrinfo

    def named(host, *rest):
        return real("127.0.0.1" if host == "canary.example" else host, *rest)

    with contextlib.ExitStack() as stack:
        canaries = [stack.enter_context(socket.create_server(("127.0.0.1", 0)))]
        if socket.has_ipv6:
            with contextlib.suppress(OSError):
                address = ("::1", canaries[0].getsockname()[1])
                canaries.append(stack.enter_context(socket.create_server(address, family=socket.AF_INET6)))
        port = canaries[0].getsockname()[1]
        monkeypatch.setattr("pipeline.fetch.guard.PORTS", frozenset({port}))
        watchdog = Watchdog()
        transport = Transport(
            user_agent="webtext/0 (+test@webtext.example)", allowed=Allowed(), resolver=Resolver(lookup=named), watchdog=watchdog,
            context=CONTEXT, deadline_s=2, connect_timeout_s=1, idle_timeout_s=1, kept_connections=4,
        )  # fmt: skip
        for scheme in ("http", "https"):
            for spelling in SPELLINGS:
                assert transport.get(f"{scheme}://{spelling}:{port}/").fault is not None, spelling
        for canary in canaries:
            canary.setblocking(False)
            with pytest.raises(BlockingIOError):
                canary.accept()
        listed = Transport(
            user_agent="webtext/0 (+test@webtext.example)", allowed=Allowed.parse([f"127.0.0.1:{port}"]), watchdog=watchdog,
            resolver=Resolver(lookup=named), context=CONTEXT, deadline_s=0.2, connect_timeout_s=1, idle_timeout_s=1,
            kept_connections=4,
        )  # fmt: skip
        listed.get(f"http://127.0.0.1:{port}/")
        canaries[0].accept()[0].close()  # the canary is alive
        watchdog.close()


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::1", "9.255.255.255", "11.0.0.1"])
def test_public_addresses_have_no_fault(address):
    assert address_fault(address) == ""
