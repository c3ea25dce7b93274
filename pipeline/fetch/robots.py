"""robots.txt by RFC 9309, and the training preferences that stand in it."""

import re
from typing import NamedTuple

from protego import Protego

from pipeline.fetch.reasons import FetchDrop
from pipeline.fetch.transport import Want
from pipeline.fetch.wishes import PRODUCT, TdmFile, opted_out, path_of, pattern_matches, refused_use
from pipeline.schema import Drop

MAX_BYTES = 512_000  # RFC 9309 section 2.5 asks for 500 KiB at least; the rest is not read
MAX_REDIRECTS = 5  # section 2.3.1.2
KEEP_S = 24 * 3600  # section 2.4
MAX_CRAWL_DELAY_S = 30.0
MAX_AGENTS = 20  # kept apart in one file: ours, those that opt out, and their spellings
ROBOTS = Want(max_wire_bytes=2 * MAX_BYTES, max_body_bytes=MAX_BYTES, keep_bytes=MAX_BYTES, whole=False)
TDM_PATH = "/.well-known/tdmrep.json"
# Crawlers that gather training data: who names one of them in a Disallow says no to training.
OPT_OUT_TOKENS = ("CCBot", "GPTBot", "Google-Extended")

_LINE = re.compile(r"\s*([A-Za-z-]+)\s*:\s*(.*)")
_AGENT_LINE = re.compile(r"\s*user[- ]?agent\s*:?\s*([^#]*)", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z_-]+|\*")


class _Usage(NamedTuple):
    path: str
    preferences: str


class Rules:
    """What one robots.txt says to us.  Decoded as UTF-8, byte order mark and bad bytes passed over."""

    def __init__(self, body: bytes = b"", *, opt_out_tokens: tuple[str, ...] = OPT_OUT_TOKENS) -> None:
        text = body[:MAX_BYTES].decode("utf-8-sig", "replace")
        self._rules = Protego.parse(_few_agents(text, names=(PRODUCT, *(token.lower() for token in opt_out_tokens))))
        agents, self._usage = _usage_rules(text)
        self._tokens = tuple(token for token in opt_out_tokens if token.lower() in agents)

    def verdict(self, url: str) -> Drop | None:
        """Why `url` may not be fetched; None if it may."""
        if not self._rules.can_fetch(url, PRODUCT):
            return Drop(FetchDrop.ROBOTS_DISALLOWED)
        for token in self._tokens:
            if not self._rules.can_fetch(url, token):
                return opted_out(f"robots.txt disallows {token}")
        path = path_of(url)
        matching = [usage for usage in self._usage if pattern_matches(usage.path, path)]
        longest = max((len(usage.path) for usage in matching), default=0)
        for usage in matching:
            if len(usage.path) == longest and (use := refused_use(usage.preferences)):
                return opted_out(f"robots.txt: {use}")
        return None

    @property
    def crawl_delay_s(self) -> float:
        """Seconds between requests, at most 30; 0 if nothing is said."""
        delay = self._rules.crawl_delay(PRODUCT)
        return min(max(0.0, float(delay)), MAX_CRAWL_DELAY_S) if delay is not None and delay == delay else 0.0


def _few_agents(text: str, *, names: tuple[str, ...]) -> str:
    """The file with every agent that is none of `names` under one name.

    A parser hands each rule to each agent of its group: 20,000 agents over 15,000 rules, all within 500 KiB, would make
    300 million.
    """
    kept: set[str] = set()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        found = _AGENT_LINE.match(line)
        if not found:
            continue
        agent = found[1].strip().lower()
        if agent not in kept:
            if len(kept) >= MAX_AGENTS or not ("*" in agent or any(name in agent for name in names)):
                lines[number] = "User-agent: another"
            else:
                kept.add(agent)
    return "\n".join(lines)


def _usage_rules(text: str) -> tuple[set[str], list[_Usage]]:
    """Every agent named, and the Content-Usage and Content-Signal lines of the groups that hold for us."""
    named: set[str] = set()
    usage: dict[str, list[_Usage]] = {}
    current: list[str] = []  # of the group at hand, those that hold for us
    in_agents = False
    for line in text.splitlines():
        found = _LINE.match(line.partition("#")[0])
        if not found:
            continue
        name, value = found[1].lower(), found[2].strip()
        if name in ("user-agent", "useragent"):
            if not in_agents:
                current = []
            in_agents = True
            agent = token[0].lower() if (token := _TOKEN.match(value)) else ""
            named.add(agent)
            if agent in (PRODUCT, "*") and agent not in current:
                current.append(agent)
                usage.setdefault(agent, [])
        elif name in ("content-usage", "content-signal"):
            in_agents = False
            path, _, rest = value.partition(" ") if value.startswith("/") else ("/", "", value)
            for agent in current if named else ["*"]:  # some files say it before any group
                usage.setdefault(agent, []).append(_Usage(path, rest))
        elif name != "sitemap":
            in_agents = False
    return named, usage.get(PRODUCT, usage.get("*", []))


class Site(NamedTuple):
    """All that a scheme, host and port ask of us, for `until` on the monotonic clock."""

    rules: Rules
    tdm: TdmFile
    fault: Drop | None  # nothing may be fetched: why
    until: float

    def verdict(self, url: str) -> Drop | None:
        return self.fault or self.rules.verdict(url) or self.tdm.wish(url)
