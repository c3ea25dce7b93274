"""Which addresses a stranger's URL may make us connect to: public ones, on the web's two ports.

The check is made on the resolved address, by the code that then connects to that very address, so no spelling of a
host (octal, hex, unicode digits, user info, backslashes) and no DNS answer can talk its way past.
"""

import ipaddress

from pipeline.fetch.message import MessageError
from pipeline.fetch.reasons import FetchDrop
from pipeline.url import Allowed

PORTS = frozenset({80, 443})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# `ipaddress` of Python 3.11 calls all of these global; the IANA special-purpose registries do not.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.88.99.0/24",  # 6to4 relay anycast, RFC 7526
        "192.0.0.0/24",  # IETF protocol assignments; 192.0.0.192 is a cloud's metadata server
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
        "64:ff9b:1::/48",  # local NAT64, RFC 8215
        "5f00::/16",  # SRv6 identifiers, RFC 9602
        "3fff::/20",  # documentation, RFC 9637
        "2001::/23",  # Teredo and other protocol assignments
        "fec0::/10",  # site-local, RFC 3879
        "fd00::/8",  # unique local; cloud metadata lives here too
    )
)
# These carry an IPv4 address inside, which a gateway on the way would connect to.
_EMBEDDING = tuple(ipaddress.ip_network(network) for network in ("64:ff9b::/96", "2002::/16", "::/96"))


def address_fault(text: str) -> str:
    """Why a resolved address is not one of the public internet, in a few words; empty if it is one."""
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return "no IP address"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif any(address in network for network in _EMBEDDING):
            return "an IPv4 address inside an IPv6 address"
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return "not public"
    if address.is_multicast:
        return "multicast"
    if address.is_reserved:
        return "reserved"
    return "" if address.is_global else "not public"


def checked(addresses: list[str], *, host: str, port: int, allowed: Allowed, exempt: bool) -> bool:
    """Whether the place is on the list of private hosts; raises MessageError unless it is there or public.

    Every answer of the DNS must pass, or a mixed answer could be drawn until the private one comes first.  `exempt`
    False: the list does not count, because a page outside the list redirected here.
    """
    listed = allowed.covers(host, port=port) or (
        bool(addresses) and all(allowed.covers(address.partition("%")[0], port=port) for address in addresses)
    )
    if listed and exempt:
        return True
    if port not in PORTS:
        raise MessageError(FetchDrop.BAD_URL, f"port={port}")
    for address in addresses:
        if fault := address_fault(address):
            raise MessageError(FetchDrop.PRIVATE_ADDRESS, f"{fault}: {address}")
    return False
