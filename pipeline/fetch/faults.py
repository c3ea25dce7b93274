"""What the exceptions of five libraries mean, as reasons for the ledger."""

import errno
import http.client
import ssl

from pipeline.fetch.message import MessageError
from pipeline.fetch.reasons import FetchDrop
from pipeline.fetch.wire import Attempt
from pipeline.schema import Drop, PipelineError


def connect_fault(error: OSError | None) -> MessageError:
    if error is not None and error.errno in (errno.EMFILE, errno.ENFILE):
        raise PipelineError("too many open files for the crawl. Raise the limit (`ulimit -n 4096`) and run it again.")
    if isinstance(error, TimeoutError):
        return MessageError(FetchDrop.DEADLINE, "connecting")
    if isinstance(error, ConnectionRefusedError):
        return MessageError(FetchDrop.CONNECTION_REFUSED)
    if isinstance(error, ConnectionResetError):
        return MessageError(FetchDrop.CONNECTION_RESET, "connecting")
    return MessageError(FetchDrop.CONNECTION_FAILED, str(error.strerror if error else "no address"))


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what lies beneath it: causes, contexts, arguments and urllib3's reasons."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < 20:
        current = waiting.pop(0)
        if current is None or any(current is other for other in found):
            continue
        found.append(current)
        waiting += [getattr(current, "reason", None), *current.args, current.__cause__, current.__context__]
        waiting = [item for item in waiting if isinstance(item, BaseException)]
    return found


def fault_of(error: Exception, attempt: Attempt) -> Drop:
    """What a library's exception means, in our words."""
    if attempt.fault is not None:
        return Drop(attempt.fault.reason, attempt.fault.detail)
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, MessageError):
            return Drop(cause.reason, cause.detail)
        if isinstance(cause, ssl.SSLError):
            return Drop(FetchDrop.TLS_ERROR, str(getattr(cause, "verify_message", "") or cause.reason or "handshake")[:100])
    for cause in causes:
        if isinstance(cause, TimeoutError):
            return Drop(FetchDrop.DEADLINE, "no byte for too long")
        if isinstance(cause, http.client.IncompleteRead) or "IncompleteRead" in type(cause).__name__:
            return _short_body(attempt)
        if isinstance(cause, ConnectionError | http.client.RemoteDisconnected):
            return Drop(FetchDrop.CONNECTION_RESET)
    for cause in causes:
        if isinstance(cause, http.client.HTTPException):
            return Drop(FetchDrop.NOT_HTTP, type(cause).__name__)
    if isinstance(error, ValueError):  # requests' InvalidURL and its like are ValueErrors too
        return Drop(FetchDrop.BAD_URL, type(error).__name__)
    return Drop(FetchDrop.CONNECTION_FAILED, type(causes[-1]).__name__)


def _short_body(attempt: Attempt) -> Drop:
    head = attempt.tap.taken.partition(b"\r\n\r\n")[0].lower() if attempt.tap is not None else b""
    chunked = b"transfer-encoding" in head and b"chunked" in head
    return Drop(FetchDrop.BAD_CHUNKS if chunked else FetchDrop.WRONG_LENGTH)
