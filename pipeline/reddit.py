"""Subreddit listings in, a dump out: submissions read with praw, in the shape in which dumps hold them.

The only file that knows praw.  Application credentials come from praw's own configuration: the environment
(`praw_client_id`, `praw_client_secret`) or a praw.ini.  Needed are an application that Reddit has approved and no user account.
Items are read from what a listing sent (`vars`): asking praw for one field that is absent fetches the whole post, one request
an item.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple

import orjson
import praw
import praw.exceptions
import prawcore
import prawcore.exceptions
import zstandard

from pipeline import storage
from pipeline.schema import PipelineError

log = logging.getLogger(__name__)

LISTINGS = ("new", "hot", "rising", "top", "controversial")
TIMES = ("all", "year", "month", "week", "day", "hour")  # of top and controversial
CEILING = 1000  # items of any listing, whoever asks; Reddit's own limit
MAX_WAIT_S = 600.0  # Reddit counts requests over ten minutes
PATIENCE = 5  # answers of "too many requests" or of a broken server in a row

# Of a post; no author, title or text is ever stored.
FIELDS = (
    "id", "name", "url", "url_overridden_by_dest", "permalink", "domain", "score", "created_utc", "is_self", "over_18",
    "is_gallery", "removed_by_category",
)  # fmt: skip


class RedditError(PipelineError):
    """Reddit could not be read, and what to do about it."""


@dataclass(frozen=True)
class RedditConfig:
    """`listings`: names of LISTINGS; `top:week` and the like choose a time.  `search`: queries, newest first."""

    subreddits: tuple[str, ...]
    listings: tuple[str, ...] = ("new", "top", "hot")
    limit: int | None = None  # items of each listing; None for all that Reddit gives
    search: tuple[str, ...] = ()
    contact: str = ""

    def __post_init__(self) -> None:
        if not self.subreddits:
            raise RedditError("no subreddit was named. Pass --subreddits science,history.")
        for name in self.listings:
            kind, _, span = name.partition(":")
            if kind not in LISTINGS or (span and (kind not in ("top", "controversial") or span not in TIMES)):
                message = f"{name!r} is no listing. Choose from {', '.join(LISTINGS)}, or top:week and the like."
                raise RedditError(message)
        if not self.listings and not self.search:
            raise RedditError("neither a listing nor a search was named. Pass --listing new,top,hot.")
        if self.limit is not None and self.limit < 1:
            raise RedditError(f"--limit is {self.limit}. It must be 1 or more.")


class Listing(NamedTuple):
    """What one listing gave."""

    name: str  # r/science/top:all
    items: int
    fresh: int  # not seen in an earlier listing

    @property
    def at_ceiling(self) -> bool:
        return self.items >= CEILING


def listing_dump(config: RedditConfig, path: str, *, sleep: Callable[[float], None] = time.sleep) -> list[Listing]:
    """Reads every listing and writes the posts, each once, sorted by id, as zstd NDJSON to `path`.

    The file appears whole or not at all.  Its records carry `"_source": "praw"`: their URLs are not HTML-escaped.
    """
    reddit = _reddit(config)
    posts: dict[str, dict[str, Any]] = {}
    report = []
    for name, items in _listings(reddit, config):
        count = 0
        before = len(posts)
        for item in _patiently(items, name=name, sleep=sleep):
            record = record_of(vars(item), now=time.time())
            posts.setdefault(record["id"], record)
            count += 1
        report.append(Listing(name, count, len(posts) - before))
        if report[-1].at_ceiling:
            log.warning("%s: Reddit gives %d items of a listing and no more; other listings may hold others.", name, CEILING)
    packer = zstandard.ZstdCompressor(level=9)
    with storage.publish(path) as file, packer.stream_writer(file, closefd=False) as writer:
        for post in sorted(posts, key=lambda name: (len(name), name)):  # ids count up in base 36
            writer.write(orjson.dumps(posts[post], option=orjson.OPT_APPEND_NEWLINE))
    return report


def record_of(item: dict[str, Any], *, now: float) -> dict[str, Any]:
    """The dump record of a post, from what its listing sent."""
    record = {name: item[name] for name in FIELDS if name in item}
    record["subreddit"] = str(item.get("subreddit", ""))
    parents = item.get("crosspost_parent_list")
    if isinstance(parents, list) and parents and isinstance(parents[0], dict):
        record["crosspost_parent_list"] = [{"url": parents[0].get("url")}]
    return {**record, "retrieved_utc": int(now), "_source": "praw"}


def _reddit(config: RedditConfig) -> praw.Reddit:
    agent = f"python:webtext:v{version('webtext')}" + (f" (contact: {config.contact})" if config.contact else "")
    try:
        reddit = praw.Reddit(check_for_updates=False, check_for_async=False, user_agent=agent, **_endpoints())
    except praw.exceptions.MissingRequiredAttributeException as error:
        raise RedditError(
            f"praw has no credentials ({error}). Set praw_client_id and praw_client_secret in the environment or in a "
            "praw.ini; Reddit gives them to approved applications only. Without them, read dumps: --submissions."
        ) from error
    reddit.read_only = True
    return reddit


def _endpoints() -> dict[str, Any]:
    """Another Reddit than reddit.com: praw takes credentials from the environment, but not these."""
    return {name: os.environ[f"praw_{name}"] for name in ("reddit_url", "oauth_url") if f"praw_{name}" in os.environ}


def _listings(reddit: praw.Reddit, config: RedditConfig) -> Iterator[tuple[str, Iterator]]:
    for name in config.subreddits:
        subreddit = reddit.subreddit(name)
        for listing in config.listings:
            kind, _, span = listing.partition(":")
            options = {"time_filter": span or "all"} if kind in ("top", "controversial") else {}
            yield f"r/{name}/{listing}", getattr(subreddit, kind)(limit=config.limit, **options)
        for query in config.search:
            found = subreddit.search(query, sort="new", time_filter="all", limit=config.limit)
            yield f"r/{name}/search {query!r}", found


def _patiently(items: Iterator, *, name: str, sleep: Callable[[float], None]) -> Iterator:
    """The items of a listing; waits as long as Reddit says when it has had enough.  Raises RedditError.

    A request that failed leaves the listing where it was, so asking again loses and repeats nothing.
    """
    failures = 0
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except prawcore.exceptions.TooManyRequests as error:
            failures += 1
            if failures > PATIENCE:
                raise RedditError(f"{name}: Reddit says 'too many requests' again and again. Try later.") from error
            sleep(_wait_s(error.response.headers))
        except (prawcore.exceptions.ServerError, prawcore.exceptions.RequestException) as error:
            failures += 1  # prawcore itself has tried three times by now
            if failures > PATIENCE:
                raise RedditError(f"{name}: Reddit does not answer ({error}). Try later.") from error
            sleep(min(2.0**failures, MAX_WAIT_S))
        except (prawcore.exceptions.NotFound, prawcore.exceptions.Redirect) as error:
            raise RedditError(f"{name}: there is no such subreddit. Check --subreddits.") from error
        except prawcore.exceptions.Forbidden as error:
            raise RedditError(f"{name}: Reddit keeps it private, or has not approved this application.") from error
        except (prawcore.exceptions.OAuthException, prawcore.exceptions.ResponseException) as error:
            message = f"{name}: Reddit refused us ({error}). Check praw_client_id and praw_client_secret."
            raise RedditError(message) from error
        else:
            failures = 0
            yield item


def _wait_s(headers: Any) -> float:
    for header in ("retry-after", "x-ratelimit-reset"):
        try:
            return min(max(1.0, float(headers[header])), MAX_WAIT_S)
        except (KeyError, ValueError):
            continue
    return 60.0
