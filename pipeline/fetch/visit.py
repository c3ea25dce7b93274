"""One visit: every link of a registrable domain, one request after the other, as a generator of turns."""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import ada_url

from pipeline.fetch.config import FetchConfig
from pipeline.fetch.guard import address_fault
from pipeline.fetch.message import Headers, header_values
from pipeline.fetch.reasons import PASSING, FetchDrop
from pipeline.fetch.robots import KEEP_S, MAX_REDIRECTS, ROBOTS, TDM_PATH, Rules, Site
from pipeline.fetch.sites import Sites
from pipeline.fetch.transport import PAGE, Exchange, Transport, Want, retry_after_s
from pipeline.fetch.turns import Turn
from pipeline.fetch.wishes import TdmFile, header_wish, page_wish
from pipeline.response import media_type_drop
from pipeline.schema import Drop, Link
from pipeline.url import Allowed, UrlDefect, UrlError, canonical

REDIRECTS = frozenset({301, 302, 303, 307, 308})
RETRIED = frozenset({
    FetchDrop.CONNECTION_REFUSED, FetchDrop.CONNECTION_RESET, FetchDrop.CONNECTION_FAILED,
    FetchDrop.WRONG_LENGTH, FetchDrop.BAD_CHUNKS,
})  # fmt: skip  # the others either cost a whole deadline or will not change in seconds
BACKOFF_S = 2.0  # before the second attempt, doubled before each further one
MAX_LATENCY_REST_S = 60.0

T = TypeVar("T")
Turns = Generator[str, Turn, T]
UrlRule = Callable[[str], Drop | None]
Note = Callable[[Exchange], None]


class Found(NamedTuple):
    """A page, its exchange the last of those noted."""

    url: str


Outcome = Found | Drop


@dataclass
class _Host:
    """What this visit knows of a host."""

    pages: int = 0
    failures: int = 0  # in a row
    later: bool = False  # asked to come back after longer than we wait


class Visit:
    """Everything a visit needs to ask politely; `exchanges` collects what is said for the link at hand."""

    def __init__(
        self, *, config: FetchConfig, transport: Transport, sites: Sites, url_drop: UrlRule, note: Note
    ) -> None:
        self._config = config
        self._transport = transport
        self._sites = sites
        self._url_drop = url_drop
        self._note = note
        self._allowed = Allowed.parse(config.allow_private)
        self._hosts: dict[str, _Host] = {}
        self.exchanges: list[Exchange] = []

    def run(self, links: Sequence[Link], *, finish: Callable[[Link, list[Exchange], Outcome], None]) -> Turns[None]:
        """Asks for every link in order.  `finish` is given each outcome with the exchanges that led to it."""
        for link in links:
            self.exchanges = []
            outcome = yield from self._page(link.url)
            finish(link, self.exchanges, outcome)

    # ---- a page, hop by hop ----

    def _page(self, url: str) -> Turns[Outcome]:
        seen = {url}
        exempt = True
        for hop in range(self._config.max_redirects + 1):
            detail = f"redirect={url}" if hop else ""
            host = self._hosts.setdefault(_host(url), _Host())
            if host.failures >= self._config.max_failures:
                return Drop(FetchDrop.HOST_UNREACHABLE, detail or f"failures={host.failures}")
            if host.later or host.pages >= self._config.max_pages_per_host:
                return Drop(FetchDrop.DEFERRED, detail)
            site = yield from self._site(url, exempt=exempt)
            if drop := site.verdict(url):
                return drop._replace(detail=" ".join(part for part in (drop.detail, detail) if part))
            host.pages += 1
            exchange = yield from self._ask(url, want=PAGE, gate=_gate, exempt=exempt, rest_s=site.rules.crawl_delay_s)
            if host.later:
                return Drop(FetchDrop.DEFERRED, detail)
            failed = exchange.fault.reason in PASSING if exchange.fault else exchange.status >= 500 or exchange.status == 429
            host.failures = host.failures + 1 if failed else 0
            if exchange.fault is not None:
                return exchange.fault
            if exchange.status == 200:
                if wish := page_wish(exchange.body):
                    self.exchanges[-1] = exchange._replace(fault=wish)  # so that its body is not stored
                return wish or Found(url)
            if exchange.status not in REDIRECTS:
                return Drop(FetchDrop.HTTP_STATUS, f"status={exchange.status}")
            target = self._target(exchange)
            if isinstance(target, Drop):
                return target
            if target in seen:
                return Drop(FetchDrop.REDIRECT_LOOP, f"redirect={target[:200]}")
            seen.add(target)
            url, exempt = target, exchange.listed
        return Drop(FetchDrop.TOO_MANY_REDIRECTS, f"more than {self._config.max_redirects}")

    def _target(self, exchange: Exchange) -> str | Drop:
        """Where a redirect leads, if we may go there: the rules a link has passed hold for it too."""
        location = next(iter(header_values(exchange.headers, "location")), "")
        target = absolute(exchange.url, location)
        if target is None:
            return Drop(FetchDrop.BAD_REDIRECT, f"status={exchange.status} location={location[:200]}")
        try:
            canonical(target, allowed=self._allowed)
        except UrlError as error:
            if error.defect is UrlDefect.IP_HOST and address_fault(error.detail.strip("[]")):
                return Drop(FetchDrop.PRIVATE_ADDRESS, f"redirect={target[:200]}")
            return Drop(FetchDrop.BAD_REDIRECT, f"{error.defect.name} {target[:200]}")
        if drop := self._url_drop(target):
            return drop._replace(detail=f"redirect={target}")
        return target

    # ---- what the site asks of us ----

    def _site(self, url: str, *, exempt: bool) -> Turns[Site]:
        origin = _origin(url)
        site = self._sites.get(origin)
        if site is not None:
            return site
        rules, fault = yield from self._robots(origin, exempt=exempt)
        tdm = TdmFile(b"")
        if fault is None and rules.verdict(origin + TDM_PATH) is None:
            exchange = yield from self._ask(
                origin + TDM_PATH, want=ROBOTS, exempt=exempt, rest_s=rules.crawl_delay_s, attempts=1
            )
            if exchange.fault is None and exchange.status == 200:
                tdm = TdmFile(exchange.body)
        site = Site(rules, tdm, fault, time.monotonic() + KEEP_S)
        self._sites.put(origin, site)
        return site

    def _robots(self, origin: str, *, exempt: bool) -> Turns[tuple[Rules, Drop | None]]:
        """The rules of an origin, or why they cannot be known.  RFC 9309 section 2.3.1."""
        url = f"{origin}/robots.txt"
        nothing = Rules(opt_out_tokens=self._config.robots_tokens)
        for _ in range(MAX_REDIRECTS + 1):
            exchange = yield from self._ask(url, want=ROBOTS, exempt=exempt)
            if exchange.fault is not None:
                return nothing, exchange.fault._replace(detail=f"robots.txt {exchange.fault.detail}".strip())
            if exchange.status in REDIRECTS:
                target = absolute(url, next(iter(header_values(exchange.headers, "location")), ""))
                if target is None or not target.startswith(("http://", "https://")):
                    return nothing, None  # unavailable: everything is allowed
                url, exempt = target, exchange.listed
                continue
            if exchange.status == 429 or exchange.status >= 500:
                return nothing, Drop(FetchDrop.ROBOTS_UNREACHABLE, f"status={exchange.status}")
            body = exchange.body if 200 <= exchange.status < 300 else b""
            return Rules(body, opt_out_tokens=self._config.robots_tokens), None
        return nothing, None

    # ---- one request, with its retries ----

    def _ask(
        self,
        url: str,
        *,
        want: Want,
        exempt: bool,
        gate: Callable[[Headers], Drop | None] = lambda headers: None,
        rest_s: float = 0.0,
        attempts: int | None = None,
    ) -> Turns[Exchange]:
        """Takes a turn, asks, and asks again after a while if the failure is of a kind that passes."""
        attempts = attempts or self._config.max_attempts
        host = _host(url)
        for attempt in range(attempts):
            turn = yield host
            exchange = self._transport.get(url, want=want, gate=gate, exempt=exempt)
            self.exchanges.append(exchange)
            self._note(exchange)
            turn.rest_s = self._rest_s(exchange, rest_s)
            wait_s = _wait_s(exchange, attempt)
            if wait_s is None:
                break
            if wait_s > self._config.max_wait_s:
                self._hosts.setdefault(host, _Host()).later = True
                break
            if attempt + 1 < attempts:
                turn.rest_s = max(turn.rest_s, wait_s)
        return exchange

    def _rest_s(self, exchange: Exchange, crawl_delay_s: float) -> float:
        if exchange.listed and self._config.private_delay_s is not None:
            return self._config.private_delay_s
        return max(self._config.delay_s, crawl_delay_s, min(2 * exchange.latency_s, MAX_LATENCY_REST_S))


def _gate(headers: Headers) -> Drop | None:
    return media_type_drop(headers) or header_wish(headers)


def _wait_s(exchange: Exchange, attempt: int) -> float | None:
    """Seconds until the same request may be made again; None if it should not."""
    if exchange.fault is not None:
        return BACKOFF_S * 2**attempt if exchange.fault.reason in RETRIED else None
    if exchange.status == 429 or 500 <= exchange.status < 600:
        asked = retry_after_s(exchange.headers, now=time.time())
        return max(BACKOFF_S * 2**attempt, asked or 0.0)
    return None


def absolute(base: str, location: str) -> str | None:
    """The URL a Location header means, without its fragment; None if it means none."""
    try:
        return ada_url.join_url(base, location).partition("#")[0] if location else None
    except ValueError:
        return None


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"
