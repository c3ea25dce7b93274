"""How a crawl is going: counts that many threads add to, and one line of them for people."""

import threading
import time
from collections import Counter

from pipeline.fetch.transport import Exchange


class Progress:
    """Counts of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begin = time.monotonic()
        self.statuses: Counter[str] = Counter()
        self.bytes_read = 0
        self.links_wanted = 0
        self.links_done = 0
        self.pages = 0

    def want(self, links: int) -> None:
        with self._lock:
            self.links_wanted += links

    def exchange(self, exchange: Exchange) -> None:
        with self._lock:
            self.statuses[exchange.fault.reason.name if exchange.fault else str(exchange.status)] += 1
            self.bytes_read += len(exchange.response)

    def link(self, *, page: bool) -> None:
        with self._lock:
            self.links_done += 1
            self.pages += page

    def line(self, *, hosts: int) -> str:
        """1,204 of 9,000 links, 741 pages, 12.3 links/s, 87 hosts, 33.1 MB, 10 min left (200: 741, 404: 96, ...)."""
        with self._lock:
            seconds = max(1e-9, time.monotonic() - self._begin)
            rate = self.links_done / seconds
            left = (self.links_wanted - self.links_done) / rate / 60 if rate else float("inf")
            common = ", ".join(f"{name}: {count:,}" for name, count in self.statuses.most_common(6))
            return (
                f"{self.links_done:,} of {self.links_wanted:,} links, {self.pages:,} pages, {rate:,.1f} links/s, "
                f"{hosts:,} hosts, {self.bytes_read / 1e6:,.1f} MB"
                + (f", {left:,.0f} min left" if left < 1e6 else "")
                + (f" ({common})" if common else "")
            )
