"""A URL as people post it in, the address to fetch and the key to compare by out.

A false merge costs more than a missed one: two spellings of a page are found again by their text, a page folded into
another one is lost.  So the key forgets only what no server tells apart, or next to none.
"""

import ipaddress
import re
from collections.abc import Iterable
from enum import StrEnum
from functools import cache, lru_cache
from typing import NamedTuple

import ada_url
import tldextract

MAX_CHARS = 2048  # browsers and caches stop near here; the longest of June 2013 has 7,891, of August 2022 511,885 characters
MAX_HOST = 253  # RFC 1035, section 2.3.4, and 63 for each label
HOST = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+")
HOST_AND_PORT = re.compile(r"(?:[^:\[\]/]+|\[[0-9a-fA-F:.]+\]):\d{1,5}")
# A URL that a browser would leave as it is, unless it has `/.`; 96 % of real ones.  Spares the parser, a tenth of the stage.
PLAIN = re.compile(
    r"(https?)://((?![^/]*xn--)[a-z0-9.-]+\.[a-z]{2,})/([A-Za-z0-9_~!$&()*+,;=:@/.-]*)(?:\?([A-Za-z0-9_~!$&()*+,;=:@/?.-]*))?"
)
PORTS = ("", "80", "443")  # others: 170 of 1.6 million real URLs, mostly somebody's test server
# Parameters that only tell the server where the reader came from.  Each is named by the service that sets it; none was seen
# to choose the content.  A longer list merges pages: `cid`, `source`, `keyword`, `ga` and `ref` all carry content somewhere.
TRACKING = frozenset([
    "fbclid", "gclid", "dclid", "msclkid", "yclid", "twclid", "igshid", "mc_cid", "mc_eid", "_ga", "ref_src", "ncid",
    "cmpid", "smid", "wt_mc",
])  # and utm_*


class UrlDefect(StrEnum):
    """Why a URL is not an address of the public web."""

    UNPARSABLE = "no browser can make sense of the URL"
    SCHEME = "the URL is neither http nor https"
    TOO_LONG = f"the URL has more than {MAX_CHARS:,} characters"
    USERINFO = "the URL carries a user name or password"
    BAD_HOST = "the host is not a name under a public suffix"
    IP_HOST = "the host is a bare IP address"
    PORT = "the port is neither 80 nor 443"


class UrlError(ValueError):
    """A URL that cannot be fetched from the public web; `defect` says why."""

    def __init__(self, defect: UrlDefect, detail: str = "") -> None:
        super().__init__(f"{defect.value}: {detail}" if detail else defect.value)
        self.defect = defect
        self.detail = detail


class CanonicalUrl(NamedTuple):
    """`fetch_url` stays as near the source as it can; `key` is equal for spellings of one page, and is never fetched.

    http://www.Example.com:80/a/../b?id=1&utm_source=x#top
        fetch_url  http://www.example.com/b?id=1&utm_source=x
        key        example.com/b?id=1
    """

    fetch_url: str
    key: str
    host: str  # lower case, punycode, no port and no trailing dot
    domain: str  # registrable
    path: str  # as it stands in the URL, without the leading slash


class Allowed(NamedTuple):
    """Private hosts that a person chose to allow: `HOST:PORT` entries and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> "Allowed":
        """Raises ValueError for what is neither HOST:PORT nor a network."""
        hosts, networks = set(), []
        for entry in entries:
            if HOST_AND_PORT.fullmatch(entry):
                hosts.add(entry.lower())
                continue
            try:
                networks.append(ipaddress.ip_network(entry))
            except ValueError:
                raise ValueError(f"{entry!r} is neither HOST:PORT nor a network such as 127.0.0.0/8") from None
        return cls(frozenset(hosts), tuple(networks))

    def covers(self, host: str, *, port: int) -> bool:
        """True if the entry list names the host with this port, or a network that holds the address."""
        if f"{host}:{port}" in self.hosts:
            return True
        if not self.networks:
            return False
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        return any(address in network for network in self.networks)


NOTHING_ALLOWED = Allowed()


def canonical(url: str, *, allowed: Allowed = NOTHING_ALLOWED) -> CanonicalUrl:
    """The address to fetch and the key to compare by.  Raises UrlError, defects in the order of UrlDefect.

    Parsed as browsers do (WHATWG); path, trailing slash, order of the query and `m.` hosts are kept.  Both results are
    fixed points: the key of `http://KEY` is KEY.
    """
    plain = None if "/." in url else PLAIN.fullmatch(url)
    scheme, authority, path, query, fragment = (*plain.groups(""), "") if plain else _parsed(url)
    if len(url) > MAX_CHARS:
        raise UrlError(UrlDefect.TOO_LONG, f"characters={len(url)}")
    place = _place(authority)
    if place.defect is not None:
        default = 443 if scheme == "https" else 80
        if place.defect is UrlDefect.USERINFO or not allowed.covers(place.host, port=int(place.port or default)):
            raise UrlError(place.defect, place.host[:MAX_HOST])
    route = f"#{fragment}" if fragment[:1] == "!" else ""  # `#!` names a page of its own; other fragments a place in it
    tail = f"{path}?{query}{route}" if query else path + route
    fetch_url = f"{scheme}://{place.name}/{tail}"
    if query:
        query = _untracked(query)
        tail = f"{path}?{query}{route}" if query else path + route
    return CanonicalUrl(fetch_url, f"{place.key}/{tail}", place.host, place.domain, path)


def _parsed(url: str) -> tuple[str, str, str, str, str]:
    """Scheme, authority, path without its first slash, query, fragment: as a browser reads them."""
    try:
        href = ada_url.normalize_url(url)
    except ValueError:
        raise UrlError(UrlDefect.UNPARSABLE) from None
    scheme, _, rest = href.partition("://")
    if scheme not in ("http", "https"):
        raise UrlError(UrlDefect.SCHEME, href.partition(":")[0][:32])
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")  # a parsed http URL always has a path
    return scheme, authority, path, query, fragment


def registrable_domain(host: str) -> str:
    """The name that one owner holds: `a.b.example.co.uk` -> `example.co.uk`, `me.blogspot.com` -> itself; else empty.

    By the public suffix list bundled with tldextract, private section included; `.test` and `.example` count as suffixes.
    """
    parts = _suffix_list().extract_str(host.lower().removesuffix("."))
    if parts.is_private and not parts.domain:  # `blogspot.com`: a suffix of others' names, and a site too
        depth = parts.registry_suffix.count(".") + 2
        return ".".join(parts.suffix.split(".")[-depth:])
    return parts.top_domain_under_public_suffix


@cache
def _suffix_list() -> tldextract.TLDExtract:
    return tldextract.TLDExtract(
        suffix_list_urls=(),  # the bundled list: nothing is downloaded, so nothing changes between two runs
        cache_dir=None,
        include_psl_private_domains=True,
        extra_suffixes=("test", "example"),
    )


class _Place(NamedTuple):
    name: str  # host and port, to fetch from
    key: str  # the same, as it stands in the key
    host: str
    port: str
    domain: str
    defect: UrlDefect | None


@lru_cache(maxsize=1 << 16)  # 213,000 real submissions name 27,000 hosts
def _place(authority: str) -> _Place:
    if "@" in authority:
        return _Place(authority, authority, authority.rpartition("@")[2], "", "", UrlDefect.USERINFO)
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, port = authority, ""
    host = host.removesuffix(".")
    suffix = f":{port}" if port else ""
    domain = registrable_domain(host)
    defect = None
    if host.startswith("[") or host.rpartition(".")[2].isdecimal():  # parsing made every numeric spelling dotted decimal
        defect = UrlDefect.IP_HOST
    elif not domain or len(host) > MAX_HOST or not HOST.fullmatch(host):
        defect = UrlDefect.BAD_HOST
    elif port not in PORTS:
        defect = UrlDefect.PORT
    key = host
    while key.startswith("www.") and domain and key[4:].endswith(domain):  # `www.com` is a domain of its own
        key = key[4:]
    return _Place(host + suffix, key + suffix, host, port, domain or host, defect)


def _untracked(query: str) -> str:
    parts = query.split("&")
    kept = [part for part in parts if not _is_tracking(part.partition("=")[0].lower())]
    return "&".join(kept) if len(kept) < len(parts) else query


def _is_tracking(name: str) -> bool:
    return name in TRACKING or name.startswith("utm_")
