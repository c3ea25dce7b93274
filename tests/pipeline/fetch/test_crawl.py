"""A crawl of the fixture web: what comes of good pages, bad manners and wishes, and what the servers saw."""

import hashlib
import json
import resource
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from crawling import Crawl, link_shard, quick
from fastwarc.warc import ArchiveIterator as FastIterator
from warcio.archiveiterator import ArchiveIterator

from examples.fixture_web import BAD, KINDS, FixtureWeb
from pipeline.archive import records, stored_record
from pipeline.fetch.crawl import crawl_shard
from pipeline.fetch.journal import JOURNAL
from pipeline.fetch.reasons import FetchDrop
from pipeline.schema import Drop, PipelineError
from pipeline.warc import read_response

WANT = {
    "gzip-bomb": "TOO_LARGE",
    "double-bomb": "TOO_LARGE",
    "brotli-bomb": "TOO_LARGE",
    "fifty-megabytes": "TOO_LARGE",
    "declared-fifty": "TOO_LARGE",
    "endless": "TOO_LARGE",
    "endless-head": "TOO_LARGE",
    "slow-head": "DEADLINE",
    "slow-body": "DEADLINE",
    "short": "WRONG_LENGTH",
    "bad-chunks": "BAD_CHUNKS",
    "cut-chunks": "BAD_CHUNKS",
    "bad-gzip": "BAD_ENCODING",
    "unknown-encoding": "BAD_ENCODING",
    "not-http": "NOT_HTTP",
    "reset": "CONNECTION_RESET",
    "binary": "page",  # its body is judged in the sandbox
    "image": "NOT_HTML",
    "pdf": "NOT_HTML",
    "wrong-charset": "page",
    "loop": "REDIRECT_LOOP",
    "loop-2": "REDIRECT_LOOP",
    "self": "REDIRECT_LOOP",
    **{f"chain-{step}": "page" for step in range(6)},
    **{f"chain-{step}": "TOO_MANY_REDIRECTS" for step in range(6, 9)},
    "to-metadata": "PRIVATE_ADDRESS",
    "to-decimal": "PRIVATE_ADDRESS",
    "to-private": "PRIVATE_ADDRESS",
    "to-wikipedia": "TOO_LARGE",  # what the rule given below says
    "to-ftp": "BAD_REDIRECT",
    "to-nowhere": "BAD_REDIRECT",
    "to-image": "HTTP_STATUS",
    "to-secret": "ROBOTS_DISALLOWED",
    "to-closed-site": "ROBOTS_DISALLOWED",
    "to-html-site": "page",
    "503-later": "DEFERRED",
    **dict.fromkeys(("204", "206", "304", "404", "410", "451", "500"), "HTTP_STATUS"),
    **dict.fromkeys(("noai-header", "tdm-header", "usage-header", "noai-meta"), "TRAINING_OPT_OUT"),
    "empty": "page",
    "cookies": "page",
}


SLOW = ("slow-head", "slow-body")


@pytest.mark.slow
def test_slow_heads_and_slow_bodies_meet_the_deadline(web, crawl):
    urls = [web.url(1, f"/bad/{name}") for name in SLOW]
    assert set(crawl(urls, deadline_s=2.5).values()) == {"DEADLINE"}


def test_every_other_bad_manner_ends_with_its_reason(web, crawl, monkeypatch):
    monkeypatch.setattr("pipeline.fetch.visit.BACKOFF_S", 0.05)

    def no_wikipedia(url: str) -> Drop | None:
        return Drop(FetchDrop.TOO_LARGE) if "wikipedia.org" in url else None

    assert set(WANT) == set(BAD)
    urls = {name: web.url(1, f"/bad/{name}") for name in BAD if name != "503-later" and name not in SLOW}
    outcomes = crawl(urls.values(), url_drop=no_wikipedia, max_failures=1000, deadline_s=20, idle_timeout_s=10)
    found = {name: outcomes[url] for name, url in urls.items()}
    assert found == {name: WANT[name] for name in urls}
    assert "/secret/redirected" not in web.log.paths()
    assert web.log.paths(f"127.0.0.{web.sites('closed')[0]}") == ["/robots.txt"]
    [far] = [row for row in crawl.pages() if row["url"] == urls["to-html-site"]]
    assert far["final_url"] == web.url(web.sites("html")[0], "/page/far")
    assert not web.log.overlaps()
    details = {row["url"]: row["detail"] for row in crawl.ledger()}
    assert details[urls["404"]] == "status=404"
    assert details[urls["to-wikipedia"]] == "redirect=https://en.wikipedia.org/wiki/Ferry"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """One crawl of every site's good pages, and the log of the web."""
    with FixtureWeb() as web, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.fetch.visit.BACKOFF_S", 0.05)
        crawl = Crawl(tmp_path_factory.mktemp("good"))
        urls = [*web.good_urls()[::5], *(web.url(site, "/secret/1") for site in range(1, len(KINDS) + 1))]
        outcomes = crawl(urls, segment_exchanges=40)
        yield web, crawl, outcomes


def test_robots_and_wishes_decide(good):
    web, _, outcomes = good
    by_kind = {
        kind: {outcomes[url] for url in outcomes if any(url.startswith(web.url(site, "/page/")) for site in web.sites(kind))}
        for kind in set(KINDS)
    }
    assert by_kind == {
        **{kind: {"page"} for kind in ("open", "html", "huge", "bom", "forbidden", "moved", "lost")},
        "closed": {"ROBOTS_DISALLOWED"},
        "error": {"ROBOTS_UNREACHABLE"},
        **{kind: {"TRAINING_OPT_OUT"} for kind in ("opt-out", "signal", "tdm")},
    }


def test_nothing_disallowed_was_asked_for(good):
    web, _, outcomes = good
    asked = {(entry["site"], entry["path"]) for entry in web.log.requests}
    for site in [*web.sites("open"), *web.sites("huge"), *web.sites("bom"), *web.sites("moved")]:
        assert not any(path.startswith("/secret/") for asked_site, path in asked if asked_site == f"127.0.0.{site}")
    for kind in ("closed", "error", "opt-out", "signal", "tdm"):
        for site in web.sites(kind):
            assert not any(path.startswith("/page/") for asked_site, path in asked if asked_site == f"127.0.0.{site}")
    [html_site] = web.sites("html")  # a robots.txt of HTML forbids nothing
    assert outcomes[web.url(html_site, "/secret/1")] == "page"


def test_one_request_a_site_at_once_and_robots_once(good):
    web, _, _ = good
    assert not web.log.overlaps()
    for site in {entry["site"] for entry in web.log.requests}:
        times = {f"127.0.0.{web.sites('error')[0]}": 3, f"127.0.0.{web.sites('lost')[0]}": 6}  # attempts; redirects
        assert web.log.paths(site).count("/robots.txt") == times.get(site, 1)


def test_the_contact_stands_in_the_user_agent(good):
    web, _, _ = good
    [agent] = {entry["agent"] for entry in web.log.requests}
    assert agent.startswith("webtext/")
    assert agent.endswith(" (+test@webtext.example)")


def test_a_page_points_to_the_exact_bytes_of_its_record(good):
    _, crawl, _ = good
    for row in crawl.pages():
        record = stored_record(row["archive"], offset=row["offset"], length=row["length"])
        assert hashlib.sha256(record).hexdigest() == row["digest"]
        response = read_response(record, max_bytes=3_000_000)
        assert response.status == 200
        assert row["url"].rpartition("/")[2] in response.body.decode()


def test_other_readers_confirm_every_record_and_digest(good):
    _, crawl, outcomes = good
    assert len(crawl.archives()) > 1  # segments of 40 exchanges
    kinds: list[str] = []
    for path in crawl.archives():
        with open(path, "rb") as file:
            for record in ArchiveIterator(file, check_digests="raise"):
                record.content_stream().read()
                kinds.append(record.rec_type)
        with warnings.catch_warnings(), open(path, "rb") as file:
            fast = [record.headers["WARC-Type"] for record in FastIterator(file, parse_http=True)]
        assert fast == kinds[-len(fast) :]
    assert kinds.count("metadata") == len(outcomes)
    assert kinds.count("request") == kinds.count("response")


def test_the_report_beside_a_page_tells_its_story(good):
    _, crawl, outcomes = good
    stories = {}
    for path in crawl.archives():
        with open(path, "rb") as file:
            for record in ArchiveIterator(file):
                if record.rec_type == "metadata":
                    assert record.content_type == "application/warc-fields"  # which pywb leaves out of its index
                    story = json.loads(record.content_stream().read().removeprefix(b"webtext: "))
                    stories[story["url"]] = story
    assert stories.keys() == outcomes.keys()
    for url, outcome in outcomes.items():
        assert (stories[url]["reason"] or "page") == outcome
        assert {"id", "key", "karma", "submission_id", "exchanges"} < stories[url].keys()


def test_a_page_that_asks_not_to_be_trained_on_is_not_stored(web, crawl):
    names = ("noai-header", "tdm-header", "usage-header", "noai-meta", "chain-0")
    crawl([web.url(1, f"/bad/{name}") for name in names])
    stored = [
        record.headers["warc-target-uri"].rpartition("/")[2]
        for path in crawl.archives()
        for record in records(str(path))
        if record.headers["warc-type"] == "response"
    ]
    assert [name for name in stored if name in names] == ["chain-0"]


def test_a_finished_url_is_never_asked_for_again(web, crawl):
    urls = web.good_urls()[:20]
    first = crawl(urls)
    asked = len(web.log.requests)
    again = crawl([*urls, web.url(2, "/page/new")])
    assert {url: again[url] for url in urls} == first
    assert web.log.paths()[asked:] == ["/robots.txt", "/.well-known/tdmrep.json", "/page/new"]
    pages = {row["url"]: row for row in crawl.pages()}
    crawl([*urls, web.url(2, "/page/new")])
    assert {row["url"]: row for row in crawl.pages()} == pages
    assert len(web.log.requests) == asked + 3


def test_a_lost_journal_is_made_again_from_its_segment(web, crawl):
    urls = [*web.good_urls()[:8], web.url(1, "/bad/404")]
    first = crawl(urls)
    pages, asked = crawl.pages(), len(web.log.requests)
    for archive in crawl.archives():
        archive.with_name(archive.name + JOURNAL).unlink()
    (crawl.root / "pages" / "pages-00000-of-00001.arrow").unlink()
    assert crawl(urls) == first
    assert crawl.pages() == pages
    assert len(web.log.requests) == asked


def test_only_passing_failures_are_tried_again_and_only_when_asked(web, crawl, monkeypatch):
    monkeypatch.setattr("pipeline.fetch.visit.BACKOFF_S", 0.01)
    urls = [web.url(1, f"/bad/{name}") for name in ("404", "500", "short", "image", "chain-0")]
    first = crawl(urls)
    asked = len(web.log.requests)
    assert crawl(urls) == first
    assert len(web.log.requests) == asked
    assert crawl(urls, retry_failed=True) == first
    assert set(web.log.paths()[asked:]) == {"/robots.txt", "/.well-known/tdmrep.json", "/bad/500", "/bad/short"}


def test_the_rest_of_a_full_host_comes_in_the_next_run(web, crawl):
    urls = [web.url(1, f"/page/{number}") for number in range(7)]
    for done in (3, 6, 7):
        outcomes = crawl(urls, max_pages_per_host=3)
        assert sorted(outcomes.values()) == ["DEFERRED"] * (7 - done) + ["page"] * done
    asked = len(web.log.requests)
    crawl(urls, max_pages_per_host=3)
    assert len(web.log.requests) == asked


def test_who_asks_to_come_back_tomorrow_is_left_alone(web, crawl):
    urls = [web.url(1, "/bad/503-later"), *(web.url(1, f"/page/{number}") for number in range(30))]
    outcomes = crawl(urls)
    assert outcomes[urls[0]] == "DEFERRED"
    pages = [path for path in web.log.paths() if path.startswith("/page/")]
    assert [path for path in web.log.paths() if path.startswith("/bad/")] == ["/bad/503-later"]
    assert len(pages) == list(outcomes.values()).count("page") < 30
    assert web.log.paths()[-1] == "/bad/503-later"  # nothing was asked after it


def test_a_host_that_fails_again_and_again_is_left_alone(web, crawl, monkeypatch):
    monkeypatch.setattr("pipeline.fetch.visit.BACKOFF_S", 0.001)
    urls = [web.url(1, f"/bad/500?{number}") for number in range(20)]
    monkeypatch.setitem(BAD, "500", BAD["500"])
    for number in range(20):
        monkeypatch.setitem(BAD, f"500?{number}", BAD["500"])
    outcomes = crawl(urls, max_failures=4)
    assert sorted(outcomes.values()) == ["HOST_UNREACHABLE"] * 16 + ["HTTP_STATUS"] * 4
    assert len([path for path in web.log.paths() if path.startswith("/bad/")]) == 12  # three attempts each


def test_a_dead_host_costs_three_connections_however_many_links_it_has(crawl, monkeypatch):
    monkeypatch.setattr("pipeline.fetch.visit.BACKOFF_S", 0.001)
    outcomes = crawl([f"http://127.0.0.1:1/{number}" for number in range(1000)])
    assert set(outcomes.values()) == {"CONNECTION_REFUSED"}
    outcomes = crawl([f"http://no-such-host.invalid/{number}" for number in range(50)])
    assert set(outcomes.values()) == {"DNS_FAILURE"}
    assert not any(entry.suffix == ".open" for entry in (crawl.root / "pages" / "live").iterdir())


def test_another_number_of_shards_asks_for_nothing_again(web, crawl):
    urls = web.good_urls()[:12]
    crawl(urls)
    asked = len(web.log.requests)
    for number in range(3):
        links = link_shard(crawl.root, urls[number::3], number=number, of=3)
        shard = crawl_shard(links, root=str(crawl.root), config=quick(), url_drop=lambda url: None)
        assert shard.rows == 4
    assert len(web.log.requests) == asked


@pytest.mark.slow
def test_a_slow_host_delays_no_other_shard(crawl):
    with FixtureWeb(addresses=6) as web:
        slow = [web.url(1, f"/page/{number}") for number in range(6)]
        others = [[web.url(site, f"/page/{number}") for number in range(5)] for site in range(2, 7)]
        shards = [link_shard(crawl.root, urls, number=number, of=6) for number, urls in enumerate([slow, *others])]
        config = quick(private_delay_s=None, visits=3, threads=2)  # each host rests for a second; three domains at once
        begin = time.monotonic()
        work = partial(crawl_shard, root=str(crawl.root), config=config, url_drop=lambda url: None)
        with ThreadPoolExecutor(6) as pool:
            assert [shard.rows for shard in pool.map(work, shards)] == [6, 5, 5, 5, 5, 5]
        # One after the other: 6 domains of 7 or 8 requests with a rest of 1 s, at least 43 s; three at once, a third of it.
        assert time.monotonic() - begin < 30
        assert not web.log.overlaps()


def test_a_full_disk_stops_the_crawl_with_a_sentence_and_loses_nothing(web, crawl):
    urls = [web.url(1, f"/page/{number}") for number in range(25)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(PipelineError, match=r"cannot write .*Mend that, then run the same command again"):
            crawl(urls)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    asked = set(web.log.paths())
    assert 0 < len(asked) < 25
    before = len(web.log.requests)
    assert set(crawl(urls).values()) == {"page"}
    again = [path for path in web.log.paths()[before:] if path in asked and path.startswith("/page/")]
    assert len(again) <= 1  # the one for which there was no room
