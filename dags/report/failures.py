"""Kinds of failure: what kept a link from becoming a page, and a page from becoming a document."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from pipeline.documents.document import DocumentDrop
from pipeline.fetch.reasons import FetchDrop
from pipeline.link_rules import LinkDrop
from pipeline.pages import ReplayDrop
from pipeline.response import PageDrop

# The last kind of a stage takes in what no other names.
PAGES: dict[str, tuple[StrEnum, ...]] = {
    "not in the archives": (ReplayDrop.NOT_ARCHIVED,),
    "the site does not want it": (FetchDrop.ROBOTS_DISALLOWED, FetchDrop.ROBOTS_UNREACHABLE, FetchDrop.TRAINING_OPT_OUT),
    "no connection": (
        FetchDrop.DNS_FAILURE, FetchDrop.CONNECTION_REFUSED, FetchDrop.CONNECTION_RESET, FetchDrop.CONNECTION_FAILED,
        FetchDrop.TLS_ERROR, FetchDrop.DEADLINE, FetchDrop.HOST_UNREACHABLE, FetchDrop.DEFERRED, FetchDrop.PRIVATE_ADDRESS,
        FetchDrop.BAD_URL,
    ),
    "no page at the address": (FetchDrop.HTTP_STATUS,),
    "led to a page that is left out": tuple(LinkDrop),
    "the redirect leads nowhere": (FetchDrop.REDIRECT_LOOP, FetchDrop.TOO_MANY_REDIRECTS, FetchDrop.BAD_REDIRECT),
    "a broken answer": (),
}  # fmt: skip
DOCUMENTS: dict[str, tuple[StrEnum, ...]] = {
    "no HTML page": (PageDrop.NOT_HTML, PageDrop.BINARY, PageDrop.TOO_LARGE, PageDrop.EMPTY_BODY),
    "no text was found": (DocumentDrop.NO_TEXT, DocumentDrop.TOO_DEEP),
    "the extractor gave up": (DocumentDrop.EXTRACT_TIMEOUT, DocumentDrop.EXTRACT_MEMORY, DocumentDrop.EXTRACT_CRASH),
    "another language": (DocumentDrop.WRONG_LANGUAGE, DocumentDrop.UNCLEAR_LANGUAGE),
    "the site does not want it": (FetchDrop.TRAINING_OPT_OUT,),
    "a copy of Wikipedia": (PageDrop.WIKIPEDIA_MIRROR,),
    "too short": (DocumentDrop.TOO_SHORT,),
    "a broken answer": tuple(reason for reason in FetchDrop if reason is not FetchDrop.TRAINING_OPT_OUT),
    "text, but not prose": (),
}


def by_kind(dropped: Mapping[str, int], kinds: Mapping[str, tuple[StrEnum, ...]]) -> dict[str, int]:
    """Counts of reasons as counts of kinds.  Of two kinds that name a reason the first has it."""
    kind_of = {reason.name: kind for kind, reasons in reversed(list(kinds.items())) for reason in reasons}
    last = list(kinds)[-1]
    found: Counter[str] = Counter()
    for reason, count in dropped.items():
        found[kind_of.get(reason, last)] += count
    return dict(found)
