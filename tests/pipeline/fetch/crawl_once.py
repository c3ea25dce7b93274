"""A crawl in a process of its own, to be killed: python crawl_once.py ROOT LINKS CONFIG-JSON."""

import json
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from crawling import quick

from pipeline.fetch.crawl import CrawlStopped, crawl_shard, stop_crawl
from pipeline.shards import shard_at


def nothing(url: str) -> None:
    return None


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: stop_crawl())
    root, links, config = sys.argv[1:]
    print("started", flush=True)
    try:
        crawl_shard(shard_at(links), root=root, config=quick(**json.loads(config)), url_drop=nothing)
    except CrawlStopped as stopped:
        print(stopped, flush=True)
        sys.exit(143)
