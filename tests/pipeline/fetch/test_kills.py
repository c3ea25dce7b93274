"""SIGKILL and SIGTERM in the middle of a crawl: nothing is lost and nothing finished is asked for again."""

import collections
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crawling import Crawl, link_shard
from warcio.archiveiterator import ArchiveIterator

from examples.fixture_web import FixtureWeb

pytestmark = pytest.mark.slow

SITES = 8
KILLS = 10
SETTINGS = {"private_delay_s": 0.05, "segment_exchanges": 25}


def start(root: Path, links: str, **settings: object) -> subprocess.Popen:
    script = str(Path(__file__).parent / "crawl_once.py")
    process = subprocess.Popen(
        [sys.executable, script, str(root), links, json.dumps({**SETTINGS, **settings})], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "started\n"
    return process


def read_whole(crawl: Crawl) -> collections.Counter:
    kinds: collections.Counter = collections.Counter()
    for path in crawl.archives():
        with open(path, "rb") as file:
            for record in ArchiveIterator(file, check_digests="raise"):
                record.content_stream().read()
                kinds[record.rec_type] += 1
    return kinds


def test_ten_kills_lose_no_page_and_repeat_at_most_one_a_host_each(tmp_path):
    chance = random.Random(7)
    with FixtureWeb(addresses=SITES, latency_s=0.02) as web:
        urls = [web.url(site, f"/page/{number}") for site in range(1, SITES + 1) for number in range(60)]
        links = link_shard(tmp_path, urls)
        for _ in range(KILLS):
            process = start(tmp_path, links.path)
            asked = len(web.log.requests)
            while len(web.log.requests) < asked + 5 and process.poll() is None:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.25))
            assert process.poll() is None, "the crawl was over before it could be killed"
            process.kill()
            process.communicate()
        before = len(web.log.requests)
        process = start(tmp_path, links.path, private_delay_s=0.0)
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert len(web.log.requests) > before
        crawl = Crawl(tmp_path)
        asked = len(web.log.requests)
        assert set(crawl(urls, private_delay_s=0.0).values()) == {"page"}
        assert len(web.log.requests) == asked  # the last run had finished everything
        for site in range(1, SITES + 1):
            pages = collections.Counter(path for path in web.log.paths(f"127.0.0.{site}") if path.startswith("/page/"))
            assert len(pages) == 60
            assert sum(pages.values()) - 60 <= KILLS
        assert not web.log.overlaps()
        kinds = read_whole(crawl)
        assert kinds["metadata"] == len(urls)
        assert not [path for path in (tmp_path / "pages" / "live").iterdir() if path.name.endswith(".open")]


@pytest.mark.parametrize("path", ["/page/{}", "/bad/slow-body?{}"])
def test_a_stop_ends_within_ten_seconds_and_the_crawl_goes_on(tmp_path, path, monkeypatch):
    from examples import fixture_web

    for number in range(200):
        monkeypatch.setitem(fixture_web.BAD, f"slow-body?{number}", fixture_web.BAD["slow-body"])
    with FixtureWeb(addresses=4, drip_s=0.3) as web:
        urls = [web.url(site, path.format(number)) for site in range(1, 5) for number in range(40)]
        links = link_shard(tmp_path, urls)
        process = start(tmp_path, links.path, private_delay_s=1.0, deadline_s=60, idle_timeout_s=20)
        while len(web.log.requests) < 8:
            time.sleep(0.05)
        time.sleep(3)
        begin = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
        assert process.returncode == 143
        assert time.monotonic() - begin < 10
        assert "Run the same command again" in said
        crawl = Crawl(tmp_path)
        done = read_whole(crawl)["metadata"]
        assert done == 0 if "slow" in path else done > 0  # what the stop cut off is no failure of the page
        if "slow" not in path:
            asked = len(web.log.requests)
            assert set(crawl(urls).values()) == {"page"}
            pages = [path for path in web.log.paths()[asked:] if path.startswith("/page/")]
            assert len(pages) == len(urls) - done
