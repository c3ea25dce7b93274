"""praw against a Reddit on loopback."""

import io
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # `examples` is part of the project, not of the installed package

from examples.fake_reddit import FakeReddit, made_up_posts
from pipeline.dump import read_dump
from pipeline.reddit import Listing, RedditConfig, RedditError, listing_dump
from pipeline.schema import Submission


def no_wait(seconds: float) -> None:
    raise AssertionError(f"slept {seconds} s")


@pytest.fixture
def credentials(monkeypatch, tmp_path):
    monkeypatch.setenv("praw_client_id", "id")
    monkeypatch.setenv("praw_client_secret", "secret")
    monkeypatch.chdir(tmp_path)  # no praw.ini

    def point_at(reddit: FakeReddit) -> FakeReddit:
        monkeypatch.setenv("praw_reddit_url", reddit.url)
        monkeypatch.setenv("praw_oauth_url", reddit.url)
        return reddit

    return point_at


@pytest.fixture
def reddit(credentials):
    with FakeReddit(made_up_posts(1500)) as served:
        yield credentials(served)


def submissions(path: Path) -> list[Submission]:
    with open(path, "rb") as file:
        return list(read_dump(io.BytesIO(file.read()), name=path.name))


def test_a_listing_gives_a_thousand_posts_and_no_request_more(reddit, tmp_path):
    path = tmp_path / "praw.zst"
    report = listing_dump(RedditConfig(("science",), ("new",)), str(path), sleep=no_wait)
    assert report == [Listing("r/science/new", 1000, 1000)]
    assert report[0].at_ceiling
    assert [method for method, _ in reddit.log] == ["POST"] + ["GET"] * 10
    assert len(submissions(path)) == 1000


def test_the_union_of_listings_holds_every_post_once(reddit, tmp_path):
    path = tmp_path / "praw.zst"
    config = RedditConfig(("science", "history"), ("new", "top:week", "hot"), limit=150, search=("ferry",))
    report = listing_dump(config, str(path), sleep=no_wait)
    assert [(listing.items, listing.fresh) for listing in report] == [(150, 150)] + [(150, 0)] * 7
    assert len([1 for method, _ in reddit.log if method == "GET"]) == 16
    ids = [submission.id for submission in submissions(path)]
    assert ids == sorted(set(ids))
    assert any("t=week" in path for _, path in reddit.log)
    assert any("/search" in path and "q=ferry" in path for _, path in reddit.log)


def test_the_dump_says_what_reddit_said(reddit, tmp_path):
    path = tmp_path / "praw.zst"
    listing_dump(RedditConfig(("science",), ("new",), limit=100), str(path), sleep=no_wait)
    said = {post["id"]: post for post in reddit.posts}
    for found in submissions(path):
        post = said[found.id]
        assert found == Submission(
            post["id"], post["url"], post["score"], int(post["created_utc"]), "science", post["is_self"], post["over_18"],
            False, found.retrieved_utc,
        )  # fmt: skip
        assert found.retrieved_utc > 1_700_000_000


def test_an_escape_that_is_part_of_a_url_stays(reddit, tmp_path):
    reddit.posts[0]["url"] = "https://site.example/?a=1&amp;b=2&copy=3"
    path = tmp_path / "praw.zst"
    listing_dump(RedditConfig(("science",), ("new",), limit=1), str(path), sleep=no_wait)
    assert submissions(path)[0].url == "https://site.example/?a=1&amp;b=2&copy=3"


def test_a_crosspost_leads_to_the_link_of_its_parent(reddit, tmp_path):
    reddit.posts[0] |= {"url": "/r/other/comments/x/", "crosspost_parent_list": [{"url": "https://far.example/", "id": "x"}]}
    path = tmp_path / "praw.zst"
    listing_dump(RedditConfig(("science",), ("new",), limit=1), str(path), sleep=no_wait)
    assert submissions(path)[0].url == "https://far.example/"


def test_neither_authors_nor_titles_nor_texts_are_stored(reddit, tmp_path):
    import zstandard

    path = tmp_path / "praw.zst"
    listing_dump(RedditConfig(("science",), ("new",), limit=100), str(path), sleep=no_wait)
    with open(path, "rb") as file:
        lines = zstandard.ZstdDecompressor().stream_reader(file).read().splitlines()
    for line in lines:
        assert not {"author", "title", "selftext"} & json.loads(line).keys()


def test_too_many_requests_are_waited_out_and_lose_nothing(reddit, tmp_path):
    reddit.forced = [(429, {"retry-after": "7"}), (429, {"x-ratelimit-reset": "9", "x-ratelimit-remaining": "20"})]
    waits: list[float] = []
    path = tmp_path / "praw.zst"
    [listing] = listing_dump(RedditConfig(("science",), ("new",), limit=250), str(path), sleep=waits.append)
    assert (listing.items, waits) == (250, [7.0, 9.0])
    assert len(submissions(path)) == 250


@pytest.mark.slow  # prawcore's own retries sleep for seconds
def test_a_broken_server_is_asked_again(reddit, tmp_path):
    reddit.forced = [(503, {})] * 3
    waits: list[float] = []
    path = tmp_path / "praw.zst"
    [listing] = listing_dump(RedditConfig(("science",), ("new",), limit=150), str(path), sleep=waits.append)
    assert (listing.items, waits) == (150, [2.0])


@pytest.mark.parametrize(
    ("subreddit", "words"), [("private", "private"), ("nowhere", "no such subreddit")]
)
def test_a_subreddit_that_cannot_be_read_is_named(reddit, tmp_path, subreddit, words):
    path = tmp_path / "praw.zst"
    with pytest.raises(RedditError, match=f"r/{subreddit}/new: .*{words}"):
        listing_dump(RedditConfig((subreddit,), ("new",)), str(path), sleep=no_wait)
    assert not path.exists()


def test_refused_credentials_are_said_plainly(reddit, tmp_path, monkeypatch):
    monkeypatch.setenv("praw_client_secret", "wrong")
    with pytest.raises(RedditError, match="Check praw_client_id"):
        listing_dump(RedditConfig(("science",), ("new",)), str(tmp_path / "praw.zst"), sleep=no_wait)


def test_missing_credentials_are_said_plainly(monkeypatch, tmp_path):
    monkeypatch.delenv("praw_client_id", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RedditError, match="Set praw_client_id"):
        listing_dump(RedditConfig(("science",), ("new",)), str(tmp_path / "praw.zst"), sleep=no_wait)


@pytest.mark.parametrize(
    "bad",
    [
        {"subreddits": ()},
        {"listings": ("best",)},
        {"listings": ("new:week",)},
        {"listings": ("top:ever",)},
        {"limit": 0},
        {"listings": ()},
    ],
)
def test_a_config_that_means_nothing_is_refused(bad):
    with pytest.raises(RedditError):
        RedditConfig(**{"subreddits": ("science",), **bad})


def test_real_recordings_are_read_with_no_extra_request(shared, credentials, tmp_path):
    posts: dict[str, dict] = {}
    for cassette in sorted((shared / "praw_cassettes").glob("*.json")):
        text = json.loads(cassette.read_text())
        for interaction in text.get("http_interactions") or text["interactions"]:
            try:
                body = json.loads(interaction["response"]["body"]["string"])
            except (KeyError, ValueError):
                continue
            if isinstance(body, dict) and body.get("kind") == "Listing":
                for child in body["data"]["children"]:
                    if child["kind"] == "t3":
                        posts[child["data"]["id"]] = child["data"]
    assert len(posts) > 300
    with FakeReddit(list(posts.values())) as served:
        credentials(served)
        path = tmp_path / "praw.zst"
        [listing] = listing_dump(RedditConfig(("all",), ("top",)), str(path), sleep=no_wait)
        assert listing.items == min(len(posts), 1000)
        assert len([1 for method, _ in served.log if method == "GET"]) == -(-listing.items // 100)
    for found in submissions(path):
        assert isinstance(found, Submission)
        assert found.score == posts[found.id]["score"]
        assert found.url in (posts[found.id]["url"], posts[found.id].get("crosspost_parent_list", [{}])[0].get("url"))
