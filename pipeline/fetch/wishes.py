"""What a site asks of those who train models, in headers, pages and files.  A no is a no, whichever way it is said."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import orjson

from pipeline.fetch.message import Headers, header_values
from pipeline.fetch.reasons import FetchDrop
from pipeline.schema import Drop

PRODUCT = "webtext"

# `noindex` is about search and stays out of it; `noimageai` is about pictures.
_NO_TRAINING = frozenset({"noai", "none-train", "noml"})
# AIPREF vocabulary (draft-ietf-aipref-vocab) and Cloudflare's Content Signals (contentsignals.org).
_TRAINING_USES = frozenset({"train-ai", "train-genai", "ai-train"})
_NO = frozenset({"n", "no", "?0", "0"})
_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
_AGENT = re.compile(r"\s*([A-Za-z0-9_*.-]+)\s*:\s*(.*)")
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_META = re.compile(rb"<meta\b([^<>]{1,2000})>", re.IGNORECASE)
_ATTRIBUTE = re.compile(rb"""([a-zA-Z-]{1,40})\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
MAX_HEAD_BYTES = 65_536  # of a page, searched for meta elements
MAX_RULES = 1000  # of a tdmrep.json


def opted_out(how: str) -> Drop:
    return Drop(FetchDrop.TRAINING_OPT_OUT, how)


def response_wish(headers: Headers, head: bytes) -> Drop | None:
    """The drop that an answer asks for itself: in X-Robots-Tag, TDM, AIPREF or Content-Signal headers, or in meta elements.

    `head`: the start of the decoded body.
    """
    return header_wish(headers) or page_wish(head)


def header_wish(headers: Headers, *, agents: Iterable[str] = ()) -> Drop | None:
    names = {PRODUCT, "*", *(agent.lower() for agent in agents)}
    for value in header_values(headers, "x-robots-tag"):
        agent = _AGENT.match(value)
        if agent and agent[1].lower() not in _VALUED:
            if agent[1].lower() not in names:
                continue
            value = agent[2]
        if said := _NO_TRAINING & _words(value):
            return opted_out(f"X-Robots-Tag: {min(said)}")
    if any(value.strip() == "1" for value in header_values(headers, "tdm-reservation")):
        return opted_out("TDM-Reservation: 1")
    for name in ("content-usage", "content-signal"):
        for value in header_values(headers, name):
            if use := refused_use(value):
                return opted_out(f"{name}: {use}")
    return None


def page_wish(head: bytes) -> Drop | None:
    """The drop that the meta elements of a page ask for.  Zero bytes are passed over, so UTF-16 is read too."""
    start = _COMMENT.sub(b"", head[:MAX_HEAD_BYTES].replace(b"\0", b""))
    for element in _META.finditer(start):
        attributes = {
            found[1].lower(): found[2] or found[3] or found[4] or b"" for found in _ATTRIBUTE.finditer(element[1])
        }
        name = (attributes.get(b"name") or attributes.get(b"http-equiv") or b"").strip().lower().decode("latin-1")
        content = attributes.get(b"content", b"").decode("latin-1")
        if name in ("robots", PRODUCT) and (said := _NO_TRAINING & _words(content)):
            return opted_out(f"meta {name}: {min(said)}")
        if name == "tdm-reservation" and content.strip() == "1":
            return opted_out("meta tdm-reservation: 1")
        if name in ("content-usage", "content-signal") and (use := refused_use(content)):
            return opted_out(f"meta {name}: {use}")
    return None


def _words(value: str) -> set[str]:
    return {word.strip().lower() for word in re.split(r"[,;\s]", value)}


def refused_use(preferences: str) -> str:
    """The training use that a list such as `search=y, train-ai=n` refuses; empty if it refuses none."""
    for part in preferences.split(","):
        use, _, answer = part.partition(";")[0].partition("=")
        if use.strip().lower() in _TRAINING_USES and answer.strip().strip('"').lower() in _NO:
            return f"{use.strip().lower()}={answer.strip().lower()}"
    return ""


def pattern_matches(pattern: str, path: str) -> bool:
    """RFC 9309 section 2.2.3: `*` is any run of characters, `$` at the end anchors; linear in the length of both."""
    anchored = pattern.endswith("$")
    parts = (pattern[:-1] if anchored else pattern).split("*")
    if not path.startswith(parts[0]):
        return False
    place = len(parts[0])
    for part in parts[1:-1]:
        found = path.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    if len(parts) == 1:
        return not anchored or place == len(path)
    if anchored:
        return path.endswith(parts[-1]) and len(path) - len(parts[-1]) >= place
    return path.find(parts[-1], place) >= 0


def path_of(url: str) -> str:
    """Path and query, as robots rules see them."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class TdmFile:
    """A site's /.well-known/tdmrep.json (W3C Community Group report, 2024-02-02).

    The longest matching location decides, and of two equal ones the reservation.  What is no such file reserves nothing.
    """

    def __init__(self, body: bytes) -> None:
        self._rules: list[tuple[str, bool]] = []
        try:
            entries = orjson.loads(body)
        except orjson.JSONDecodeError:
            return
        for entry in entries[:MAX_RULES] if isinstance(entries, list) else ():
            location = entry.get("location") if isinstance(entry, dict) else None
            if isinstance(location, str):
                self._rules.append((location, str(entry.get("tdm-reservation")) == "1"))

    def wish(self, url: str) -> Drop | None:
        path = path_of(url)
        matching = [(len(location), reserved) for location, reserved in self._rules if pattern_matches(location, path)]
        return opted_out("tdmrep.json") if matching and max(matching)[1] else None
