"""What sites ask of us, remembered for at most a day by everybody who fetches in this process."""

import threading
import time
from collections import OrderedDict

from pipeline.fetch.robots import Site

MAX_SITES = 20_000  # a few kilobytes each


class Sites:
    """A cache of `Site` by origin; the one unused for longest goes first."""

    def __init__(self, *, max_sites: int = MAX_SITES) -> None:
        self._max_sites = max_sites
        self._sites: OrderedDict[str, Site] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, origin: str) -> Site | None:
        with self._lock:
            site = self._sites.get(origin)
            if site is None or site.until < time.monotonic():
                return None
            self._sites.move_to_end(origin)
            return site

    def put(self, origin: str, site: Site) -> None:
        with self._lock:
            self._sites[origin] = site
            if len(self._sites) > self._max_sites:
                self._sites.popitem(last=False)
