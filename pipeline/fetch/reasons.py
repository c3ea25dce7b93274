"""Why a link brought no page: the reasons of the live crawl and of reading a stored exchange."""

from enum import StrEnum


class FetchDrop(StrEnum):
    """A value is the sentence people read; the ledger's detail says the rest (status=404, hop=2 ...)."""

    ROBOTS_DISALLOWED = "robots.txt asks us not to fetch this path"
    ROBOTS_UNREACHABLE = "robots.txt could not be read, so nothing may be fetched"
    TRAINING_OPT_OUT = "the site asks that its pages train no models"
    BAD_URL = "the address cannot be asked for: not http or https, no host, or a strange port"
    PRIVATE_ADDRESS = "the host name leads to an address that is not public"
    DNS_FAILURE = "the host name has no address"
    CONNECTION_REFUSED = "nothing listens at the address"
    CONNECTION_RESET = "the server broke the connection off"
    CONNECTION_FAILED = "no connection could be made"
    TLS_ERROR = "the certificate or the TLS handshake is bad"
    DEADLINE = "the answer took longer than a page may take"
    TOO_LARGE = "the page is larger than a page may be"
    NOT_HTTP = "the answer is not HTTP"
    WRONG_LENGTH = "the body is shorter than its headers say"
    BAD_CHUNKS = "the chunks of the body are broken"
    BAD_ENCODING = "the body cannot be decompressed"
    HTTP_STATUS = "the server answered with a status that brings no page"
    REDIRECT_LOOP = "the redirects run in a circle"
    TOO_MANY_REDIRECTS = "more redirects than are followed"
    BAD_REDIRECT = "the redirect leads nowhere"
    HOST_UNREACHABLE = "the host failed too often in a row and was left alone"
    DEFERRED = "the host has had its share of requests in this run: the next run goes on"
    BROKEN_RECORD = "the archive record is cut short or malformed"


class MessageError(Exception):
    """An exchange that brought no page, as a reason and a detail for the ledger."""

    def __init__(self, reason: FetchDrop, detail: str = "") -> None:
        super().__init__(f"{reason.name}: {detail}" if detail else reason.name)
        self.reason = reason
        self.detail = detail


# A later run may find these mended; `--retry-failed` asks again.
PASSING = frozenset({
    FetchDrop.ROBOTS_UNREACHABLE,
    FetchDrop.DNS_FAILURE,
    FetchDrop.CONNECTION_REFUSED,
    FetchDrop.CONNECTION_RESET,
    FetchDrop.CONNECTION_FAILED,
    FetchDrop.TLS_ERROR,
    FetchDrop.DEADLINE,
    FetchDrop.NOT_HTTP,
    FetchDrop.WRONG_LENGTH,
    FetchDrop.BAD_CHUNKS,
    FetchDrop.BAD_ENCODING,
    FetchDrop.HOST_UNREACHABLE,
})


def is_passing(reason: str, detail: str) -> bool:
    """Whether a failure may mend itself: by name, or by the status in its detail."""
    if reason == FetchDrop.HTTP_STATUS.name:
        status = detail.removeprefix("status=").partition(" ")[0]
        return status in ("408", "425", "429") or (len(status) == 3 and status.startswith("5"))
    return reason in _PASSING_NAMES


_PASSING_NAMES = frozenset(reason.name for reason in PASSING)
