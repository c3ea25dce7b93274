"""How a live crawl behaves: one frozen record, checked when it is made."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from pipeline.fetch.robots import OPT_OUT_TOKENS
from pipeline.schema import PipelineError
from pipeline.url import Allowed


class FetchConfigError(PipelineError):
    """A setting that no polite crawl can have."""


@dataclass(frozen=True)
class FetchConfig:
    """`contact` is a mail or web address; it stands in the user agent of every request."""

    contact: str
    allow_private: tuple[str, ...] = ()  # HOST:PORT or a network; exempt from the address guard, never by redirect
    retry_failed: bool = False  # ask again for pages that failed for a passing reason
    robots_tokens: tuple[str, ...] = OPT_OUT_TOKENS
    delay_s: float = 1.0  # between requests to a host, at least
    private_delay_s: float | None = None  # instead of every delay, on the hosts of `allow_private` only
    max_pages_per_host: int = 10_000  # in one run, so that it ends: 4 hours at 1.5 s a page; the rest is DEFERRED
    max_attempts: int = 3  # of one request that fails in a passing way
    max_wait_s: float = 300  # for a Retry-After; who asks for more is left to the next run
    max_redirects: int = 5
    max_failures: int = 10  # in a row, then the host is left alone for this run
    deadline_s: float = 30  # for a whole exchange, connecting included
    connect_timeout_s: float = 10
    idle_timeout_s: float = 20  # without a byte
    threads: int = 64  # exchanges at once; past 64 the interpreter lock is the limit (benchmarks/fetch_pages.py)
    visits: int = 512  # domains at once; most of them wait for their host's next turn
    segment_exchanges: int = 1000  # in one WARC file
    ca_file: str | None = None  # certificates to trust instead of certifi's

    def __post_init__(self) -> None:
        contact = self.contact
        if not contact or not contact.isascii() or not contact.isprintable() or not ("@" in contact or "://" in contact):
            raise FetchConfigError(
                f"--contact is {contact!r}. A live crawl needs a mail or web address under which site owners reach you, "
                "such as me@example.org."
            )
        if self.delay_s < 1:
            raise FetchConfigError(f"the delay between requests to a host is {self.delay_s} s. At least 1 s is polite.")
        for name in ("max_pages_per_host", "max_attempts", "max_failures", "threads", "visits", "segment_exchanges"):
            if getattr(self, name) < 1:
                raise FetchConfigError(f"{name} is {getattr(self, name)}. It must be 1 or more.")
        for name in ("deadline_s", "connect_timeout_s", "idle_timeout_s"):
            if not getattr(self, name) > 0:
                raise FetchConfigError(f"{name} is {getattr(self, name)}. It must be above 0.")
        try:
            Allowed.parse(self.allow_private)
        except ValueError as error:
            raise FetchConfigError(f"--allow-private: {error}.") from None

    @property
    def user_agent(self) -> str:
        try:
            number = version("webtext")
        except PackageNotFoundError:  # run from a bare checkout
            number = "0"
        return f"webtext/{number} (+{self.contact})"
