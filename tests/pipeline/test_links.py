"""The rules, one by one and in their order, and reposts folded whatever their order."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dump import read_dump
from pipeline.exclude import exclusions
from pipeline.link_rules import LinkDrop, judged, link_id, url_drop
from pipeline.links import LinkConfig, merged, select_link
from pipeline.reposts import folded_reposts
from pipeline.schema import LINK, Drop, Link, PipelineError, Submission
from pipeline.url import Allowed


def submission(**fields: Any) -> Submission:
    plain = Submission("s1", "http://www.ex.com/a?utm_source=x", 3, 1_400_000_000, "science", False, False, False, None)
    return plain._replace(**fields)


def link(key: str = "ex.com/a", **fields: Any) -> Link:
    return Link(link_id(key), key, f"http://{key}", "ex.com", 5, "s1", "science", 1_400_000_000)._replace(**fields)


# ---- one submission ----


def test_a_link_is_what_the_submission_says() -> None:
    assert select_link(submission()) == Link(
        id=link_id("ex.com/a"),
        key="ex.com/a",
        url="http://www.ex.com/a?utm_source=x",
        domain="ex.com",
        karma=3,
        submission_id="s1",
        subreddit="science",
        created_utc=1_400_000_000,
    )


SPOILT: list[tuple[dict[str, Any], LinkDrop]] = [
    ({"is_self": True}, LinkDrop.SELF_POST),
    ({"removed": True}, LinkDrop.REMOVED),
    ({"over_18": True}, LinkDrop.OVER_18),
    ({"url": None}, LinkDrop.NO_URL),
    ({"score": None}, LinkDrop.NO_KARMA),
    ({"score": 2}, LinkDrop.LOW_KARMA),
    ({"url": "no url"}, LinkDrop.UNPARSABLE),
]


def test_submission_rules_are_asked_in_order_before_the_url() -> None:
    """Each spoils one thing more than the one after it: the first reason is the one that is given."""
    spoilt: dict[str, Any] = {}
    for fields, reason in reversed(SPOILT):
        spoilt |= fields
        drop = select_link(submission(**spoilt))
        assert isinstance(drop, Drop)
        assert drop.reason is reason


def test_the_threshold_is_the_callers() -> None:
    assert isinstance(select_link(submission(score=9), min_karma=10), Drop)
    assert isinstance(select_link(submission(score=10), min_karma=10), Link)
    assert isinstance(select_link(submission(score=-5), min_karma=None), Link)


def test_a_drop_names_the_submission_and_its_karma() -> None:
    assert select_link(submission(url="http://imgur.com/a", score=7)) == Drop(LinkDrop.IMAGE_HOST, "submission=s1 karma=7")
    assert select_link(submission(url="ftp://ex.com/a")) == Drop(LinkDrop.SCHEME, "submission=s1 karma=3 ftp")


def test_an_excluded_submission_is_dropped_whatever_it_links_to() -> None:
    drop = select_link(submission(), excluded=exclusions(["t3_s1"], name="list"))
    assert drop == Drop(LinkDrop.EXCLUDED, "submission=s1 karma=3 entry=t3_s1")


# ---- one URL ----

KEPT = [
    "http://ex.com/",
    "http://foo.app",  # OpenWebText takes the host for a file name, and drops these four
    "http://foo.ai",
    "http://foo.py/",
    "https://foo.zip/page",
    "http://ex.com/a.b/pdf",
    "http://ex.com/?file=a.pdf",
    "http://ex.com/a.html",
    "http://en.uncyclopedia.co/wiki/Main_Page",
    "http://starwars.wikia.com/wiki/Yoda",
    "http://www.wikihow.com/Boil-an-Egg",
    "http://notreddit.com/",
    "http://notimgur.com/",
    "http://bit.ly/abc",
    "https://archive.org/details/book",
    "http://ex.com/page?amp=1",
    "http://ex.com/amp",
    "https://news.google.com/articles/x",
]
DROPPED = [
    ("http://", LinkDrop.UNPARSABLE),
    ("ftp://ex.com/a", LinkDrop.SCHEME),
    ("http://ex.com/" + "a" * 511_871, LinkDrop.TOO_LONG),
    ("http://a:b@ex.com/", LinkDrop.USERINFO),
    ("http://localhost/", LinkDrop.BAD_HOST),
    ("http://1.2.3.4/", LinkDrop.IP_HOST),
    ("http://ex.com:8080/", LinkDrop.PORT),
    ("/r/science/comments/1/", LinkDrop.REDDIT),
    ("https://www.reddit.com/r/science/", LinkDrop.REDDIT),
    ("https://i.redd.it/x.jpg", LinkDrop.REDDIT),
    ("https://redd.it/abc", LinkDrop.REDDIT),
    ("https://en.wikipedia.org/wiki/Yoda", LinkDrop.WIKIPEDIA),
    ("https://de.m.wikipedia.org/wiki/Yoda", LinkDrop.WIKIPEDIA),
    ("https://en.zero.wikipedia.org/wiki/Yoda", LinkDrop.WIKIPEDIA),
    ("http://upload.wikimedia.org/a.jpg", LinkDrop.WIKIPEDIA),
    ("https://fr.wiktionary.org/wiki/a", LinkDrop.WIKIPEDIA),
    ("http://www.wikiwand.com/en/Yoda", LinkDrop.WIKIPEDIA),
    ("http://encyclopedia.thefreedictionary.com/Yoda", LinkDrop.WIKIPEDIA),
    ("http://en.m.mirror.example/Yoda", LinkDrop.WIKIPEDIA),
    ("http://i.imgur.com/x.jpg", LinkDrop.IMAGE_HOST),
    ("http://someone.tumblr.com/post/1", LinkDrop.IMAGE_HOST),
    ("http://www.youtube.com/watch?v=1", LinkDrop.MEDIA_HOST),
    ("http://ex.com/a.PDF", LinkDrop.EXTENSION),
    ("http://ex.com/a/b.jpg?size=1", LinkDrop.EXTENSION),
    ("https://archive.is/AbCdE", LinkDrop.ARCHIVE_WRAPPER),
    ("http://webcache.googleusercontent.com/search?q=nothing", LinkDrop.ARCHIVE_WRAPPER),
]
WRAPPED = [
    ("https://web.archive.org/web/20100101000000/http://ex.com/a?b=1", "ex.com/a?b=1"),
    ("http://archive.org/web/2010/http://ex.com/a", "ex.com/a"),
    ("http://web.archive.org/web/2010id_/ex.com/a", "ex.com/a"),
    ("http://web.archive.org/web/*/http%3A%2F%2Fex.com%2Fa", "ex.com/a"),
    ("http://web.archive.org/web/2010/http://web.archive.org/web/2009/http://ex.com/a", "ex.com/a"),
    ("http://archive.today/20130101/http://ex.com/a", "ex.com/a"),
    ("http://webcache.googleusercontent.com/search?q=cache:AbCdEfGhIjKl:ex.com/a+some+words&hl=en", "ex.com/a"),
    ("http://webcache.googleusercontent.com/search?q=cache:http://ex.com/a", "ex.com/a"),
    ("https://news-ex--site-com.translate.goog/a?_x_tr_sl=de&id=1&_x_tr_tl=en", "news.ex-site.com/a?id=1"),
    ("https://r.jina.ai/https://ex.com/a", "ex.com/a"),
    ("https://www.google.com/amp/s/www.ex.com/a/", "ex.com/a/"),
    ("https://www-ex-com.cdn.ampproject.org/c/s/www.ex.com/a", "ex.com/a"),
]


@pytest.mark.parametrize("url", KEPT)
def test_a_page_of_its_own_is_kept(url: str) -> None:
    assert url_drop(url) is None


@pytest.mark.parametrize(("url", "reason"), DROPPED)
def test_a_url_is_dropped_for_its_first_reason(url: str, reason: LinkDrop) -> None:
    drop = url_drop(url)
    assert drop is not None
    assert drop.reason is reason


@pytest.mark.parametrize(("url", "key"), WRAPPED)
def test_a_copy_is_the_page_that_was_copied(url: str, key: str) -> None:
    page, drop = judged(url)
    assert drop is None
    assert page is not None
    assert page.key == key


@pytest.mark.parametrize("wrapped", [url for url, _ in WRAPPED if "translate" not in url])
def test_a_copy_of_wikipedia_is_wikipedia(wrapped: str) -> None:
    head, _, _ = wrapped.partition("www.ex.com/a") if "www.ex.com/a" in wrapped else wrapped.partition("ex.com")
    drop = url_drop(f"{head}en.wikipedia.org/wiki/Yoda")
    assert drop is not None
    assert drop.reason is LinkDrop.WIKIPEDIA


def test_a_translated_wikipedia_is_wikipedia() -> None:
    drop = url_drop("https://en-m-wikipedia-org.translate.goog/wiki/Yoda?_x_tr_sl=en")
    assert drop is not None
    assert drop.reason is LinkDrop.WIKIPEDIA


def test_copies_of_copies_end() -> None:
    drop = url_drop("http://web.archive.org/web/1/" * 60 + "http://ex.com/")
    assert drop == Drop(LinkDrop.ARCHIVE_WRAPPER, "depth=4")


def test_a_page_that_a_shortener_serves_itself_is_dropped() -> None:
    assert url_drop("http://bit.ly/abc") is None
    assert url_drop("http://bit.ly/abc", final=True) == Drop(LinkDrop.SHORTENER)


def test_excluded_pages_are_dropped_by_the_page_not_its_wrapper() -> None:
    excluded = exclusions(["ex.com/a"], name="list")
    for url in ("https://www.ex.com/a#x", "http://web.archive.org/web/2010/http://ex.com/a"):
        assert url_drop(url, excluded=excluded) == Drop(LinkDrop.EXCLUDED, "entry=ex.com/a")
    assert url_drop("http://ex.com/b", excluded=excluded) is None


def test_allowed_hosts_pass_the_rules_of_the_public_web() -> None:
    allowed = Allowed.parse(["127.0.0.1:8080"])
    assert url_drop("http://127.0.0.1:8080/a", allowed=allowed) is None
    assert url_drop("http://127.0.0.1:8081/a", allowed=allowed) == Drop(LinkDrop.IP_HOST, "127.0.0.1")


PIECES = ["http://", "web.archive.org/web/1/", "google.com/amp/s/", "ex.com", "/", "cache:", "%3A", "x.translate.goog", "-", ".",
          "webcache.googleusercontent.com/search?q=", "?", "#", "r.jina.ai/", "\x00", "é"]  # fmt: skip


@settings(deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_no_url_is_more_than_a_drop(url: str) -> None:
    page, drop = judged(url)
    assert page is not None or drop is not None


# ---- reposts ----


def test_the_best_submission_stands_for_the_page() -> None:
    best = link(karma=9, submission_id="s2", created_utc=5)
    later = link(karma=9, submission_id="s1", created_utc=6, url="https://ex.com/a")
    lower = link(karma=8, submission_id="s0", created_utc=1)
    keeper, drops = merged([lower, later, best])
    assert keeper == best
    assert [(one, drop) for one, drop in drops] == [
        (later, Drop(LinkDrop.REPOST, "submission=s1 karma=9", best.id)),
        (lower, Drop(LinkDrop.REPOST, "submission=s0 karma=8", best.id)),
    ]


def test_smaller_submission_id_wins_a_tie() -> None:
    assert merged([link(submission_id="s2"), link(submission_id="s1")])[0] == link(submission_id="s1")


def test_a_submission_read_twice_is_counted_once() -> None:
    newer, older = link(karma=9), link(karma=4)
    keeper, drops = merged([older, newer], min_karma=10)
    assert keeper is None
    assert {drop.reason for _, drop in drops} == {LinkDrop.LOW_KARMA}
    keeper, drops = merged([older, newer])
    assert (keeper, drops) == (newer, [(older, Drop(LinkDrop.SAME_SUBMISSION, "submission=s1 karma=4", newer.id))])


def test_karma_sum_counts_all_submissions_of_a_page() -> None:
    """A repost at -4 takes a page at +5 below the threshold; three of 1 lift one above it."""
    low = [link(submission_id="a", karma=5), link(submission_id="b", karma=-4)]
    assert merged(low, min_karma=3)[0] is None
    ones = [link(submission_id=name, karma=1) for name in "abc"]
    keeper, drops = merged(ones, min_karma=3)
    assert keeper == ones[0]
    assert len(drops) == 2


pages = st.builds(
    link,
    st.sampled_from(["ex.com/a", "ex.com/b", "ex.com/c"]),
    karma=st.integers(-3, 3),
    submission_id=st.sampled_from("xyz"),
    created_utc=st.integers(0, 2),
    subreddit=st.sampled_from(["p", "q"]),
)


@settings(deadline=None)
@given(st.lists(pages, max_size=12), st.sampled_from([None, 3]), st.randoms(use_true_random=False))
def test_folding_conserves_rows_and_ignores_their_order(links: list[Link], min_karma: int | None, chance: random.Random) -> None:
    def folded(rows: list[Link]) -> tuple[list[dict], list[dict]]:
        table = pa.Table.from_pylist([row._asdict() for row in rows], LINK)
        kept, dropped = folded_reposts(table, min_karma=min_karma)
        return kept.to_pylist(), dropped.to_pylist()

    kept, dropped = folded(links)
    assert len(kept) + len(dropped) == len(links)
    assert [row["key"] for row in kept] == sorted({row["key"] for row in kept})
    groups = {key: [row for row in links if row.key == key] for key in {row.key for row in links}}
    keepers = (merged(group, min_karma=min_karma)[0] for _, group in sorted(groups.items()))
    assert kept == [keeper._asdict() for keeper in keepers if keeper is not None]
    shuffled = list(links)
    chance.shuffle(shuffled)
    assert folded(shuffled) == (kept, dropped)


# ---- config ----


@pytest.mark.parametrize("fields", [{"karma": "any"}, {"partitions": 12}, {"partitions": 0}, {"allow_private": ("nonsense",)}])
def test_a_config_that_means_nothing_is_an_error(fields: dict[str, Any]) -> None:
    with pytest.raises(PipelineError):
        LinkConfig(**fields)


def test_real_links_fall_as_the_facts_say(shared: Path) -> None:
    """The order of magnitude of docs/links.md, on the first of the real submissions."""
    kept = dropped = 0
    with open(shared / "RS_v2_2005-07.xz", "rb") as file:
        for one in read_dump(file, name="dump"):
            assert isinstance(one, Submission)
            verdict = select_link(one)
            kept += isinstance(verdict, Link)
            dropped += isinstance(verdict, Drop)
    assert kept + dropped == 1079
    assert 650 < kept <= 757  # 757 have 3 votes
