"""The address of a copy in, the address of what was copied out.

Archives, search caches, translators and AMP serve somebody else's page.  The page itself is what was linked: it is fetched
once however it was wrapped, and the rules see its true host.
"""

import re
from urllib.parse import parse_qs, unquote

from pipeline.url import CanonicalUrl

WAYBACK = re.compile(r"web/(?:\d{1,14}|\*)(?:[a-z]{2}_)?/(.+)", re.DOTALL)
ARCHIVE_TODAY = re.compile(r"(?:\d{4,14}|newest|oldest|o/\w+)/(https?:/.+)", re.DOTALL)
CACHE = re.compile(r"cache:(?:[\w-]{12}:)?(\S+)")
ARCHIVE_TODAY_HOSTS = ("archive.is", "archive.today", "archive.ph", "archive.fo", "archive.li", "archive.md", "archive.vn")


def unwrapped(url: CanonicalUrl) -> str | None:
    """The URL that this one serves a copy of; None if it is no such wrapper, or does not say of what."""
    if url.domain == "archive.org":
        return _tail(WAYBACK, url)
    if url.domain in ARCHIVE_TODAY_HOSTS:
        return _tail(ARCHIVE_TODAY, url)
    if url.host == "webcache.googleusercontent.com":
        return _cached(url)
    if url.host.endswith(".translate.goog"):
        return _untranslated(url)
    if url.host == "r.jina.ai":
        return _with_scheme(_rest(url)) if url.path else None
    if url.domain.startswith("google.") and url.path.startswith("amp/s/"):
        return "https://" + _rest(url).removeprefix("amp/s/")
    if url.host.endswith(".cdn.ampproject.org") and url.path.startswith("c/s/"):
        return "https://" + _rest(url).removeprefix("c/s/")
    return None


def _rest(url: CanonicalUrl) -> str:
    """Path, query and fragment, as they are fetched."""
    return url.fetch_url.split("/", 3)[3]


def _tail(pattern: re.Pattern[str], url: CanonicalUrl) -> str | None:
    found = pattern.fullmatch(_rest(url))
    return _with_scheme(found[1]) if found else None


def _with_scheme(address: str) -> str:
    if re.match(r"https?%3a", address, re.IGNORECASE):
        address = unquote(address)
    return address if re.match(r"[a-z][a-z0-9+.-]*:/", address, re.IGNORECASE) else f"http://{address}"


def _query(url: CanonicalUrl) -> dict[str, list[str]]:
    return parse_qs(_rest(url).partition("?")[2].partition("#")[0])


def _cached(url: CanonicalUrl) -> str | None:
    """`/search?q=cache:CODE:ADDRESS WORDS`: the words of the search follow the address."""
    found = CACHE.match(_query(url).get("q", [""])[0])
    return _with_scheme(found[1]) if found else None


def _untranslated(url: CanonicalUrl) -> str:
    """`en-m-wikipedia-org.translate.goog`: a dot is written as a dash, a dash as two."""
    host = url.host.removesuffix(".translate.goog").replace("--", "\0").replace("-", ".").replace("\0", "-")
    path, _, query = _rest(url).partition("?")
    kept = "&".join(part for part in query.split("&") if not part.startswith("_x_tr_"))
    return f"https://{host}/{path}?{kept}" if kept else f"https://{host}/{path}"
