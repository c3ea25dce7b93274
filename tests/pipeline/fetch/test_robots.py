"""RFC 9309, case by case, and the training preferences beside it."""

import time

import pytest

from pipeline.fetch.robots import Rules

SITE = "https://site.example"


def allowed(text: str | bytes, path: str) -> bool:
    body = text if isinstance(text, bytes) else text.encode()
    return Rules(body).verdict(SITE + path) is None


@pytest.mark.parametrize(
    ("text", "path", "want"),
    [
        ("User-agent: *\nDisallow: /fish*.php", "/fish/a.php", False),
        ("User-agent: *\nDisallow: /*.php$", "/a.php?x", True),
        ("User-agent: *\nDisallow: /*.php$", "/a.php", False),
        ("User-agent: *\nDisallow: /\nAllow: /p", "/page", True),
        ("User-agent: *\nAllow: /p\nDisallow: /", "/page", True),
        ("User-agent: *\nAllow: /folder\nDisallow: /folder", "/folder/page", True),
        ("User-agent: *\nAllow: /page\nDisallow: /*.htm", "/page.htm", False),
        ("User-agent: webtext\nDisallow: /x\nUser-agent: *\nDisallow: /", "/y", True),
        ("User-agent: webtext\nDisallow: /x\n\nUser-agent: *\nDisallow: /", "/x", False),
        ("User-agent: *\nDisallow: /a%3Cd.html", "/a%3cd.html", False),
        ("User-agent: *\nDisallow: /ツ", "/%E3%83%84", False),
        ("\ufeffUser-agent: *\nDisallow: /", "/x", False),
        ("User-agent: *\nDisallow:", "/x", True),
        ("  uSER-aGENT :  *\n disallow : /x", "/x", False),
        ("user-agent: WebText\nDisallow: /x", "/x", False),
        ("User-agent: *\nCrawl-delay: 1\n\nDisallow: /x", "/x", False),
        ("User-agent: a\nUser-agent: webtext\nDisallow: /x", "/x", False),
        ("User-agent: webtext\nDisallow: /x\n\nUser-agent: webtext\nDisallow: /y", "/y", False),
        ("User-agent: *\nDisallow: /x#c", "/x", False),
        ("User-agent: *\nAllow: /", "/x", True),
        ("Disallow: /", "/x", True),
        ("User-agent: text\nDisallow: /", "/x", True),
        ("<!doctype html><html><body><p>Not found</p></body></html>", "/x", True),
        ("User-agent: *\nDisallow: /*/secret", "/a/secret/b", False),
        (b"User-agent: *\nDisallow: /\xff\xfe\nDisallow: /x", "/x", False),
        ("", "/x", True),
    ],
)
def test_rules_of_the_standard(text, path, want):
    assert allowed(text, path) is want


@pytest.mark.parametrize(
    ("text", "path", "detail"),
    [
        ("User-agent: GPTBot\nDisallow: /", "/x", "robots.txt disallows GPTBot"),
        ("User-agent: ccbot\nUser-agent: other\nDisallow: /x", "/x", "robots.txt disallows CCBot"),
        ("User-agent: Google-Extended\nDisallow: /x", "/x", "robots.txt disallows Google-Extended"),
        ("User-agent: Google-Extended\nDisallow: /x", "/y", None),
        ("User-agent: GPTBot\nAllow: /\nUser-agent: *\nAllow: /", "/x", None),
        ("User-agent: Googlebot\nDisallow: /", "/x", None),
        ("User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /", "/x", "robots.txt: ai-train=no"),
        ("Content-Signal: ai-train=no", "/x", "robots.txt: ai-train=no"),
        ("User-agent: *\nContent-Usage: train-ai=n", "/x", "robots.txt: train-ai=n"),
        ("User-agent: *\nContent-Usage: /a train-ai=n\nContent-Usage: /a/b train-ai=y", "/a/c", "robots.txt: train-ai=n"),
        ("User-agent: *\nContent-Usage: /a train-ai=n\nContent-Usage: /a/b train-ai=y", "/a/b", None),
        ("User-agent: other\nContent-Usage: train-ai=n", "/x", None),
        ("User-agent: webtext\nAllow: /\n\nUser-agent: *\nContent-Usage: train-ai=n", "/x", None),
    ],
)
def test_a_no_to_training_is_heard(text, path, detail):
    drop = Rules(text.encode()).verdict(SITE + path)
    assert (drop and (drop.reason.name, drop.detail)) == (detail and ("TRAINING_OPT_OUT", detail))


def test_the_tokens_that_opt_out_can_be_chosen():
    body = b"User-agent: GPTBot\nDisallow: /\n\nUser-agent: MyBot\nDisallow: /a"
    rules = Rules(body, opt_out_tokens=("MyBot",))
    assert rules.verdict(SITE + "/b") is None
    assert rules.verdict(SITE + "/a").detail == "robots.txt disallows MyBot"


@pytest.mark.parametrize(("said", "want"), [("5", 5), ("0.5", 0.5), ("900", 30), ("-1", 0), ("nan", 0), ("soon", 0)])
def test_the_crawl_delay_is_bounded(said, want):
    assert Rules(f"User-agent: *\nCrawl-delay: {said}".encode()).crawl_delay_s == want


def test_what_lies_past_the_limit_is_not_read():
    body = b"User-agent: *\nDisallow: /early\n" + b"#" * 600_000 + b"\nDisallow: /late\n"
    assert not allowed(body, "/early")
    assert allowed(body, "/late")


@pytest.mark.parametrize(
    "body",
    [
        "\n".join(f"User-agent: a{n}" for n in range(15_000)) + "\n" + "\n".join(f"Allow: /{n}" for n in range(15_000)),
        "\n".join(f"User-agent: webtext{n}" for n in range(15_000)) + "\nDisallow: /x" * 10_000,
        "User-agent: *\n" + "Disallow: /" + "*a" * 200_000,
        "User-agent: *\n" + "\n".join(f"Disallow: /*{'a*' * 20}{n}" for n in range(8_000)),
        "\n".join(f"User-agent: a{n}" for n in range(20_000)) + "\nContent-Usage: train-ai=n" * 6_000,
    ],
    ids=["many agents", "many spellings of us", "many stars", "many patterns", "many agents and preferences"],
)
def test_a_hostile_file_takes_little_time(body):
    begin = time.process_time()
    Rules(body.encode()).verdict(SITE + "/" + "a" * 2000)
    assert time.process_time() - begin < 3
