import socket
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages_to_fear import page, paragraphs, sentences

from pipeline.documents import extract as module
from pipeline.documents.extract import extract, plain, title, too_deep
from pipeline.documents.extract import paragraphs as first_paragraphs

ARTICLE = page(
    "<nav><ul><li><a href=/>Home</a></li><li><a href=/about>About this site</a></li></ul></nav>"
    f"<article><h1>The harbour</h1>{paragraphs(8)}</article>"
    "<div class='comments' id='comments'><div class='comment'><p>First! I never read the article above.</p></div></div>",
    head="<title> The harbour\n | Example </title>",
)


def test_the_article_stays_and_navigation_and_comments_go() -> None:
    found = extract(ARTICLE)
    for sentence in sentences(32):
        assert sentence in found.text
    assert "About this site" not in found.text
    assert "First!" not in found.text
    assert found.title == "The harbour | Example"
    assert found.extractor == "trafilatura"
    assert not found.too_deep


def test_newspaper_reads_the_article_too_and_never_calls_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("newspaper opened a connection")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    head = (
        "<meta property='og:image' content='http://pictures.invalid/a.png'>"
        "<meta http-equiv=refresh content='0;url=http://elsewhere.invalid/'><title>"
    )
    html = ARTICLE.replace("<title>", head).replace("<h1>", "<img src='http://pictures.invalid/b.png'><h1>")
    found = extract(html, extractor="newspaper")
    assert found.extractor == "newspaper"
    assert sentences(1)[0] in found.text


def test_newspaper_does_not_cut_at_100_000_letters() -> None:
    found = extract(page(f"<article>{paragraphs(400)}</article>"), extractor="newspaper")
    assert len(found.text) > 150_000


def test_newspaper_has_a_second_try_where_trafilatura_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_trafilatura_text", lambda html: "")
    found = extract(ARTICLE)
    assert found.extractor == "newspaper"
    assert sentences(1)[0] in found.text


def test_nothing_is_nothing_by_either() -> None:
    for html in ("<html><body></body></html>", "", "<", "<!-- only a comment -->", "\0"):
        for extractor in ("trafilatura", "newspaper"):
            assert extract(html, extractor=extractor) == ("", "", extractor, False)


def test_a_text_does_not_depend_on_the_pages_before_it() -> None:
    pages = [page(paragraphs(5, seed=seed)) for seed in range(4)] * 3
    forward = [extract(html).text for html in pages]
    backward = [extract(html).text for html in reversed(pages)]
    assert forward == backward[::-1]
    assert len(set(forward)) == 4


@pytest.mark.parametrize(("depth", "deep"), [(200, False), (300, True), (5_000, True)])
def test_depth_is_told_from_emptiness(depth: int, deep: bool) -> None:
    html = page("<div>" * depth + paragraphs(4))
    assert too_deep(html) == deep
    assert extract(html).too_deep == deep
    assert bool(extract(html).text) != deep


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("<title>One &amp; two</title>", "One & two"),
        ("<TITLE\n lang=en>A\n  b</TITLE >", "A b"),
        ("<!-- <title>No</title> --><title>Yes</title>", "Yes"),
        ("<script>var t = '<title>No</title>'</script><title>Yes</title>", "Yes"),
        ("<body><svg><title>Icon</title></svg><p>Words</p>", ""),
        ("<svg><title>Icon</title></svg><title>Page</title>", "Page"),
        ("<title></title><title>Second</title>", "Second"),
        ("<title>Never closed", ""),
        ("<p>None</p>", ""),
        ("<title>e\u0301\x00\x07</title>", "é"),
        ("<title>" + "long " * 500 + "</title>", ("long " * 60).strip()),
        ("</title>" * 100_000, ""),
    ],
)
def test_the_title(html: str, found: str) -> None:
    assert title(html) == found


def test_the_first_paragraphs_wherever_they_stand() -> None:
    html = page("<div><p>One <b>two</b>\n three.</p><span>no</span><p></p></div><footer><p>Four.</p></footer>")
    assert first_paragraphs(html, letters=1000).split() == ["One", "two", "three.", "Four."]
    assert first_paragraphs(html, letters=3) == "One two three."
    assert first_paragraphs("", letters=3) == first_paragraphs("<!-- x -->", letters=3) == ""


def test_plain_text_changes_no_more_than_it_says() -> None:
    assert plain("a\r\nb\rc\u2028d\x85e") == "a\nb\nc\nd\ne"
    assert plain("e\u0301 \x00\x07\ufeff\ud800\ufffe!") == "é !"
    assert plain("  a  \n\n\n\n    indented\t\n b \n") == "a\n\n    indented\n b"


@given(st.text(st.characters(exclude_categories=())))
def test_plain_text_is_clean_and_stable(text: str) -> None:
    made = plain(text)
    made.encode()
    assert plain(made) == made
    assert unicodedata.is_normalized("NFC", made)
    assert not any(unicodedata.category(letter) == "Cc" and letter not in "\t\n" for letter in made)
    assert "\n\n\n" not in made
    assert not any(line != line.rstrip() for line in made.split("\n"))
