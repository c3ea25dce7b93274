"""Headers, meta elements and files that say no to training."""

import time

import pytest

from pipeline.fetch.wishes import TdmFile, header_wish, page_wish, pattern_matches, response_wish

SITE = "https://site.example"


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        ("X-Robots-Tag", "noai", True),
        ("x-robots-tag", "noindex, NoAI", True),
        ("X-Robots-Tag", "none-train", True),
        ("X-Robots-Tag", "webtext: noai", True),
        ("X-Robots-Tag", "*: noai", True),
        ("X-Robots-Tag", "unavailable_after: 1 Jan 2030, noai", True),
        ("X-Robots-Tag", "otherbot: noai", False),
        ("X-Robots-Tag", "noindex, nofollow, noimageai", False),
        ("X-Robots-Tag", "none", False),
        ("TDM-Reservation", "1", True),
        ("TDM-Reservation", "0", False),
        ("Content-Usage", "train-ai=n", True),
        ("Content-Usage", "search=y, train-genai=n", True),
        ("Content-Usage", "train-ai=y", False),
        ("Content-Signal", "search=yes, ai-train=no", True),
        ("Content-Signal", "search=no, ai-train=yes", False),
    ],
)
def test_headers(name, value, refused):
    drop = header_wish([("Content-Type", "text/html"), (name, value)])
    assert (drop is not None) is refused
    assert drop is None or drop.reason.name == "TRAINING_OPT_OUT"


@pytest.mark.parametrize(
    ("head", "refused"),
    [
        ('<meta name="robots" content="noai">', True),
        ("<META content='noindex,noai' NAME=robots />", True),
        ("<meta name=webtext content=noai>", True),
        ('<meta name="tdm-reservation" content="1">', True),
        ('<meta http-equiv="Content-Signal" content="ai-train=no">', True),
        ('<meta name="robots" content="noindex, noimageai">', False),
        ('<!-- <meta name="robots" content="noai"> -->', False),
        ('<meta name="description" content="noai is a word">', False),
        ("<metadata name=robots content=noai>", False),
        ("", False),
    ],
)
def test_meta_elements(head, refused):
    for body in (head.encode(), head.encode("utf-16")):
        assert (page_wish(body) is not None) is refused
        assert (response_wish([], body) is not None) is refused


@pytest.mark.parametrize("piece", [b"<meta ", b"<!--", b"<meta a=", b"<meta a='", b"<meta x" + b" " * 1000 + b">"])
def test_hostile_heads_take_little_time(piece):
    begin = time.process_time()
    assert page_wish(piece * (65_536 // len(piece))) is None
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("body", "path", "refused"),
    [
        ('[{"location": "/", "tdm-reservation": 1}]', "/x", True),
        ('[{"location": "/*", "tdm-reservation": "1"}]', "/x", True),
        ('[{"location": "/a/*", "tdm-reservation": 1}]', "/x", False),
        ('[{"location": "/a/*", "tdm-reservation": 0}, {"location": "/*", "tdm-reservation": 1}]', "/a/x", False),
        ('[{"location": "/*", "tdm-reservation": 1}, {"location": "/a/*", "tdm-reservation": 0}]', "/b", True),
        ('[{"location": "*.html$", "tdm-reservation": 1}]', "/b.html", True),
        ('{"location": "/", "tdm-reservation": 1}', "/x", False),
        ('[1, null, {"location": 3}, []]', "/x", False),
        ("<html>404</html>", "/x", False),
        ("", "/x", False),
        ("[" * 100_000, "/x", False),
    ],
)
def test_tdmrep_files(body, path, refused):
    assert (TdmFile(body.encode()).wish(SITE + path) is not None) is refused


@pytest.mark.parametrize(
    ("pattern", "path", "want"),
    [("/a", "/ab", True), ("/a$", "/ab", False), ("/a$", "/a", True), ("*", "/", True), ("/*a*a$", "/a", False),
     ("/a*a$", "/aa", True), ("/a*$", "/abc", True), ("", "/x", True), ("b", "/b", False)],
)  # fmt: skip
def test_patterns(pattern, path, want):
    assert pattern_matches(pattern, path) is want
