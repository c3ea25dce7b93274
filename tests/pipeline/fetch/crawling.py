"""Links into a web on loopback, and a crawl of them."""

import hashlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.fetch.config import FetchConfig
from pipeline.fetch.crawl import crawl_shard
from pipeline.schema import LINK, Link, Shard
from pipeline.shards import read_table, shard_path, table_of, write_shard

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))  # `examples` is part of the project, not of the installed package

LOOPBACK = ("127.0.0.0/8",)


def link_of(url: str) -> Link:
    key = url.partition("://")[2]
    host = key.partition("/")[0].partition(":")[0]
    return Link(hashlib.sha256(key.encode()).hexdigest()[:32], key, url, host, 5, "abc", "test", 1_370_000_000)


def link_shard(root: Path, urls: Iterable[str], *, number: int = 0, of: int = 1) -> Shard:
    links = sorted(link_of(url) for url in dict.fromkeys(urls))
    path = shard_path(str(root), "links", number, of)
    return write_shard(path, table_of(links, LINK), stage="links", number=number, of=of, recipe="", made_from="")


def quick(**changes: object) -> FetchConfig:
    """A config for loopback: no delays, short deadlines."""
    settings = {"contact": "test@webtext.example", "allow_private": LOOPBACK, "private_delay_s": 0.0, "deadline_s": 1.5}
    return FetchConfig(**{**settings, "idle_timeout_s": 1.0, "threads": 24, **changes})


class Crawl:
    """Crawls URLs into one root, as often as asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shard: Shard | None = None

    def __call__(self, urls: Iterable[str], *, url_drop: Callable = lambda url: None, **changes: object) -> dict[str, str]:
        """URL -> `page`, or the reason it was dropped."""
        links = link_shard(self.root, urls)
        self.shard = crawl_shard(links, root=str(self.root), config=quick(**changes), url_drop=url_drop)
        outcomes = dict.fromkeys((row["url"] for row in self.pages()), "page")
        for row in self.ledger():
            assert row["url"] not in outcomes
            outcomes[row["url"]] = row["reason"]
        assert len(outcomes) == links.rows  # conservation
        return outcomes

    def pages(self) -> list[dict]:
        return read_table(self.shard.path).to_pylist()

    def ledger(self) -> list[dict]:
        return read_table(str(self.root / "ledger" / "pages-00000.arrow")).to_pylist()

    def archives(self) -> list[Path]:
        return sorted((self.root / "pages" / "live").glob("*.warc.gz"))
