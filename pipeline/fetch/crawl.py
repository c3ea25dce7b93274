"""Shard of Link in, Shard of Page out, by way of the live web.

One engine serves all shards of a process, so a slow host delays its own pages only.  Call `crawl_shard` for as many shards
at once as memory allows (a few kilobytes a link): its own thread only waits.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline import storage
from pipeline.fetch.config import FetchConfig
from pipeline.fetch.deadline import Stopped, Watchdog
from pipeline.fetch.journal import Entry, Journal
from pipeline.fetch.progress import Progress
from pipeline.fetch.reasons import FetchDrop, is_passing
from pipeline.fetch.resolve import Resolver
from pipeline.fetch.segments import Segments, Verdict, repair
from pipeline.fetch.sites import Sites
from pipeline.fetch.transport import Exchange, Transport, tls_context
from pipeline.fetch.turns import Turns
from pipeline.fetch.visit import Found, Outcome, UrlRule, Visit
from pipeline.schema import PAGE, LedgerRow, Link, PipelineError, Shard
from pipeline.shards import (
    fingerprint,
    finished,
    read_metadata,
    read_table,
    shard_path,
    table_of,
    write_ledger,
    write_shard,
)
from pipeline.url import Allowed

VERSION = 1
STOP_GRACE_S = 4.0  # for exchanges in hand; the contract is 10 seconds for the whole command


class CrawlStopped(PipelineError):  # noqa: N818  it is no error
    """The crawl was asked to stop."""

    def __init__(self) -> None:
        super().__init__("the crawl was stopped. Run the same command again: it goes on where it was.")


class Engine:
    """The threads, caches and connections that all shards of a process share."""

    def __init__(self, config: FetchConfig) -> None:
        self.config = config
        self.sites = Sites()
        self.progress = Progress()
        self.watchdog = Watchdog()
        self.transport = Transport(
            user_agent=config.user_agent,
            allowed=Allowed.parse(config.allow_private),
            resolver=Resolver(),
            watchdog=self.watchdog,
            context=tls_context(config.ca_file),
            deadline_s=config.deadline_s,
            connect_timeout_s=config.connect_timeout_s,
            idle_timeout_s=config.idle_timeout_s,
            kept_connections=config.visits,
        )
        self.turns = Turns(threads=config.threads, visits=config.visits)
        self.feeding = threading.BoundedSemaphore(2)  # shards that hand out visits; the others hold no links
        self._journals: dict[str, Journal] = {}
        self._lock = threading.Lock()

    def known(self, folder: str, shard: int, links: Sequence[Link]) -> dict[str, Entry]:
        """What is known of these links.  All journals of a folder are mended and read once, then only what this shard adds."""
        with self._lock:
            if folder not in self._journals:
                repair(folder)
                self._journals[folder] = Journal(folder)
                self._journals[folder].refresh()
            return self._journals[folder].find((link.id for link in links), and_of_shard=shard)

    def stop(self) -> None:
        self.turns.stop()
        timer = threading.Timer(STOP_GRACE_S, self.watchdog.cut_all)
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        self.turns.close(wait=not _stopping.is_set())
        self.transport.close()
        self.watchdog.close()


_engines: dict[FetchConfig, tuple[Engine, int]] = {}
_engines_lock = threading.Lock()
_stopping = threading.Event()


@contextlib.contextmanager
def engine_of(config: FetchConfig) -> Iterator[Engine]:
    """The engine for this config, started for the first shard and ended after the last."""
    with _engines_lock:
        engine, users = _engines.get(config) or (Engine(config), 0)
        _engines[config] = (engine, users + 1)
    try:
        yield engine
    finally:
        with _engines_lock:
            users = _engines[config][1] - 1
            _engines[config] = (engine, users)
            if not users:
                del _engines[config]
        if not users:
            engine.close()


def stop_crawl() -> None:
    """Ends every crawl of this process: exchanges in hand get four seconds, then `crawl_shard` raises CrawlStopped."""
    _stopping.set()
    with _engines_lock:
        for engine, _ in _engines.values():
            engine.stop()


def progress_line() -> str:
    """How the crawl of this process is going; empty if there is none."""
    with _engines_lock:
        return "; ".join(engine.progress.line(hosts=engine.turns.hosts_active) for engine, _ in _engines.values())


@dataclass
class _Shard:
    """The visits of one shard."""

    segments: Segments
    progress: Progress
    error: BaseException | None = None
    open_visits: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def finish(self, link: Link, exchanges: list[Exchange], outcome: Outcome) -> None:
        if self.error is not None:
            raise Stopped
        if isinstance(outcome, Found):
            self.segments.append(link, exchanges, Verdict("", "", outcome.url, page=True))
        elif outcome.reason is FetchDrop.DEFERRED:  # no outcome yet, so in no journal
            self.segments.keep(exchanges)
        else:
            last = exchanges[-1].url if exchanges else link.url
            self.segments.append(link, exchanges, Verdict(outcome.reason.name, outcome.detail, last, page=False))
        self.progress.link(page=isinstance(outcome, Found))

    def ended(self, error: BaseException | None) -> None:
        with self.changed:
            self.open_visits -= 1
            if error is not None and self.error is None:
                self.error = error
            self.changed.notify()

    def begun(self) -> None:
        with self.changed:
            self.open_visits += 1

    def wait(self) -> None:
        """Until every visit has ended; once the crawl is stopping, no longer than exchanges in hand are given."""
        with self.changed:
            while self.open_visits and not _stopping.is_set():
                self.changed.wait(1)
            self.changed.wait_for(lambda: not self.open_visits, STOP_GRACE_S + 1)


def crawl_shard(links: Shard, *, root: str, config: FetchConfig, url_drop: UrlRule, rules: str = "") -> Shard:
    """Fetches what is not in the journal yet and writes the page shard and its ledger.

    `url_drop` judges the targets of redirects, `rules` is a fingerprint of what it refuses.  A link that has an outcome is
    never asked for again, but for passing failures under `retry_failed`; `DEFERRED` ones are asked for in the next run.
    """
    path = shard_path(root, "pages", links.number, links.of)
    folder = storage.join(root, "pages", "live")
    recipe = fingerprint("crawl", VERSION, rules, config.robots_tokens, config.allow_private)
    made_from = fingerprint(recipe, links.digest, folder)
    if not config.retry_failed and (shard := finished(path, made_from)) and not _deferred(path):
        return shard
    if _stopping.is_set():
        raise CrawlStopped
    with engine_of(config) as engine:
        _fetch_missing(engine, links, folder=folder, url_drop=url_drop)
        wanted = _links(links)
        outcomes = engine.known(folder, links.number, wanted)
    pages: list[tuple] = []
    ledger: list[LedgerRow] = []
    for link in wanted:
        found = outcomes.get(link.id)
        if found is None:
            ledger.append(LedgerRow("pages", FetchDrop.DEFERRED.name, link.url, link.key, ""))
        elif found.reason:
            ledger.append(LedgerRow("pages", found.reason, link.url, link.key, found.detail))
        else:
            archive = storage.join(folder, found.archive)
            pages.append((*link, found.final_url, found.fetched_utc, archive, found.offset, found.length, found.digest))
    file = write_ledger(root, "pages", links.number, ledger)
    counts = {"pages_in": links.rows, "pages_kept": len(pages)}
    return write_shard(
        path,
        table_of(pages, PAGE),
        stage="pages",
        number=links.number,
        of=links.of,
        recipe=recipe,
        made_from=made_from,
        ledger=[file],
        counts=counts,
    )


def _deferred(path: str) -> bool:
    return any(FetchDrop.DEFERRED.name in file.dropped for file in read_metadata(path).ledger)


def _links(shard: Shard) -> list[Link]:
    return sorted(Link(**row) for row in read_table(shard.path).to_pylist())


def _fetch_missing(engine: Engine, links: Shard, *, folder: str, url_drop: UrlRule) -> None:
    """Asks for every link without an outcome.

    What a shard holds in memory while it waits is its open visits: its links are read when there is room for visits, two
    shards at a time, and its outcomes are read again from the journal.  So thousands of shards may wait for one slow host each.
    """
    config = engine.config
    about = {"http-header-user-agent": config.user_agent, "robots": "RFC 9309", "operator": config.contact}
    segments = Segments(folder, shard=links.number, max_exchanges=config.segment_exchanges, about=about)
    shard = _Shard(segments, engine.progress)
    try:
        with engine.feeding:
            todo = _by_domain(engine, links, folder=folder)
            engine.progress.want(sum(map(len, todo.values())))
            # The largest domain first: it takes longest.
            for domain in sorted(todo, key=lambda domain: (-len(todo[domain]), domain)):
                if shard.error is not None:
                    break
                visit = Visit(
                    config=config, transport=engine.transport, sites=engine.sites, url_drop=url_drop,
                    note=engine.progress.exchange,
                )  # fmt: skip
                shard.begun()
                engine.turns.add(visit.run(todo.pop(domain), finish=shard.finish), shard.ended)
    finally:
        shard.wait()
        segments.close()
    if isinstance(shard.error, Stopped) or shard.open_visits:
        raise CrawlStopped
    if shard.error is not None:
        raise shard.error


def _by_domain(engine: Engine, links: Shard, *, folder: str) -> dict[str, list[Link]]:
    """The links that must be asked for, by domain."""
    wanted = _links(links)
    known = engine.known(folder, links.number, wanted)
    if engine.config.retry_failed:
        known = {name: entry for name, entry in known.items() if not is_passing(entry.reason, entry.detail)}
    todo: dict[str, list[Link]] = {}
    for link in wanted:
        if link.id not in known:
            todo.setdefault(link.domain, []).append(link)
    return todo
