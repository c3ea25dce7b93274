"""A URL in, the page it leads to and why that is left out, if it is: rules without a stage.

Asked of every submitted link, of every target of a redirect, and by commands that explain a URL.  The order is that of LinkDrop.
"""

import hashlib
import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from pipeline import hosts
from pipeline.exclude import NO_EXCLUSIONS, Exclusions, parents
from pipeline.schema import Drop
from pipeline.unwrap import unwrapped
from pipeline.url import NOTHING_ALLOWED, Allowed, CanonicalUrl, UrlDefect, UrlError, canonical

PORT = re.compile(r":\d+$")
MAX_WRAPS = 4  # a copy of a copy exists; deeper nesting is a game


class LinkDrop(StrEnum):
    """Why a submission gives no link of its own, in the order in which the rules are asked."""

    SELF_POST = "the submission is a text of its own and links nowhere"
    REMOVED = "moderators or Reddit removed the submission"
    OVER_18 = "the submission is marked as not safe for work"
    NO_URL = "the submission carries no URL"
    NO_KARMA = "the score of the submission is not known"
    LOW_KARMA = "this submission is below the karma threshold"
    UNPARSABLE = UrlDefect.UNPARSABLE.value
    SCHEME = UrlDefect.SCHEME.value
    TOO_LONG = UrlDefect.TOO_LONG.value
    USERINFO = UrlDefect.USERINFO.value
    BAD_HOST = UrlDefect.BAD_HOST.value
    IP_HOST = UrlDefect.IP_HOST.value
    PORT = UrlDefect.PORT.value
    REDDIT = "the link stays on Reddit"
    WIKIPEDIA = "the page is Wikipedia or a copy of it, which test sets are made from"
    IMAGE_HOST = "the host serves images, not text"
    MEDIA_HOST = "the host serves video or sound, not text"
    ARCHIVE_WRAPPER = "the page is an archived copy that does not say of what"
    SHORTENER = "a link shortener served this page itself instead of leading on"
    EXTENSION = "the path ends like a file that is no HTML page"
    EXCLUDED = "the page is on the removal list"
    SAME_SUBMISSION = "the same submission was read before"
    REPOST = "another submission of the same page is kept"


class Judged(NamedTuple):
    """What the rules say of a URL."""

    page: CanonicalUrl | None  # what is compared and fetched: of a copy, the page that was copied; None if there is no key
    drop: Drop | None


def judged(
    url: str, *, allowed: Allowed = NOTHING_ALLOWED, excluded: Exclusions = NO_EXCLUSIONS, final: bool = False
) -> Judged:
    """The page that a URL leads to, and why it is left out if it is.  `final`: the URL answered with a page of its own."""
    if url.startswith("/") and not url.startswith("//"):
        return Judged(None, Drop(LinkDrop.REDDIT, "relative"))
    for _ in range(MAX_WRAPS):
        try:
            page = canonical(url, allowed=allowed)
        except UrlError as error:
            return Judged(None, Drop(LinkDrop[error.defect.name], error.detail))
        ruling = _host_ruling(page.host)
        if ruling is None:
            break
        if ruling is LinkDrop.ARCHIVE_WRAPPER:
            inner = unwrapped(page)
            if inner is not None:
                url = inner  # and back to the top: a copy of Wikipedia is Wikipedia
                continue
            if hosts.OPAQUE_ARCHIVES.isdisjoint(parents(page.host)):
                break  # archive.org has pages of its own
        elif ruling is LinkDrop.SHORTENER and not final:
            break
        return Judged(page, _PLAIN_DROPS[ruling])
    else:
        return Judged(page, Drop(LinkDrop.ARCHIVE_WRAPPER, f"depth={MAX_WRAPS}"))
    # The path alone: OpenWebText looks at the whole URL, and so loses every page of hosts such as foo.app.
    _, dot, ending = page.path.rpartition("/")[2].rpartition(".")
    if dot and ending.lower() in hosts.EXTENSIONS:
        return Judged(page, Drop(LinkDrop.EXTENSION))
    if excluded and (entry := excluded.entry(host=page.host, key=page.key, id=link_id(page.key))):
        return Judged(page, Drop(LinkDrop.EXCLUDED, f"entry={entry}"))
    return Judged(page, None)


def url_drop(
    url: str, *, allowed: Allowed = NOTHING_ALLOWED, excluded: Exclusions = NO_EXCLUSIONS, final: bool = False
) -> Drop | None:
    """Why a URL is left out, None if it is not: the half of the rules that also holds for the target of a redirect."""
    return judged(url, allowed=allowed, excluded=excluded, final=final).drop


def link_id(key: str) -> str:
    """The id of the link, the page and the document of a canonical key."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def entry_against(key: str, *, excluded: Exclusions) -> str | None:
    """The entry of a removal list that excludes the page of this canonical key; None if there is none."""
    return excluded.entry(host=PORT.sub("", key.partition("/")[0]), key=key, id=link_id(key))


def origin(submission_id: str, karma: int | None) -> str:
    """How the ledger names a submission."""
    return f"submission={submission_id} karma={karma}"


@lru_cache(maxsize=1 << 16)
def _host_ruling(host: str) -> LinkDrop | None:
    """What the host lists say.  ARCHIVE_WRAPPER and SHORTENER depend on the rest of the URL too."""
    for name in parents(host):
        if name in _RULINGS:
            return _RULINGS[name]
    if host.startswith(hosts.MOBILE_WIKIPEDIA):
        return LinkDrop.WIKIPEDIA
    return LinkDrop.ARCHIVE_WRAPPER if "google" in host.split(".") else None


_RULINGS = {
    **dict.fromkeys(hosts.WRAPPERS, LinkDrop.ARCHIVE_WRAPPER),
    **dict.fromkeys(hosts.SHORTENERS, LinkDrop.SHORTENER),
    **dict.fromkeys(hosts.MEDIA, LinkDrop.MEDIA_HOST),
    **dict.fromkeys(hosts.IMAGES, LinkDrop.IMAGE_HOST),
    **dict.fromkeys(hosts.WIKIPEDIA | hosts.WIKIPEDIA_MIRRORS, LinkDrop.WIKIPEDIA),
    **dict.fromkeys(hosts.REDDIT, LinkDrop.REDDIT),  # redd.it serves pictures, and is Reddit first
}
_PLAIN_DROPS = {reason: Drop(reason) for reason in LinkDrop}
