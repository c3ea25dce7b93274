"""HTML in, main text and title out.  The only file that knows trafilatura and newspaper."""

import re
import unicodedata
import warnings
from typing import NamedTuple

import lxml.html
import trafilatura
from lxml import etree
from trafilatura.utils import decode_file

# newspaper cuts text at 100,000 characters unless told otherwise; a body has at most this many.
NEWSPAPER_MAX_TEXT = 3_000_000
# What newspaper is seen to raise on pages it cannot read, besides its own ArticleException.
NEWSPAPER_ERRORS = (etree.LxmlError, ValueError, TypeError, AttributeError, LookupError, RecursionError, OSError)

MAX_TITLE_TAGS = 8  # places that are tried: a `</title>` may stand in a comment or a script
MAX_TITLE_LETTERS = 300  # of a title; longer ones are pages that forgot to close the tag

LINE_ENDS = re.compile("\r\n|[\r\x85\u2028\u2029]")
# No text needs them and Arrow, JSON or a terminal stumbles over them: controls but tab and line feed, lone surrogates,
# noncharacters, and byte order marks inside a text.
UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]")
EMPTY_LINES = re.compile("\n{3,}")


class Extraction(NamedTuple):
    text: str  # "" where nothing was found
    title: str  # "" where the page has none
    extractor: str  # the one that found the text
    too_deep: bool  # nothing was found, and the parser gave up at 255 nested elements


def extract(page: str | bytes, *, extractor: str = "trafilatura") -> Extraction:
    """The main text of a page, without navigation and comments; bytes are of a charset that nobody knows.

    Where trafilatura finds nothing, newspaper has a second try.
    """
    html = decode_file(page)
    text, used = "", extractor
    if extractor == "trafilatura":
        text = plain(_trafilatura_text(html))
    if not text:
        text = plain(_newspaper_text(html))
        used = "newspaper" if text else extractor
    return Extraction(text, title(html), used, not text and too_deep(html))


def plain(text: str) -> str:
    """Text as documents hold it: NFC, line feeds, no control characters, no space at the end of a line or around the text.

    At most one empty line in a row.  Nothing else is changed: case, quotation marks and indentation are the page's.
    """
    lines = UNWANTED.sub("", LINE_ENDS.sub("\n", text)).split("\n")
    return unicodedata.normalize("NFC", EMPTY_LINES.sub("\n\n", "\n".join(map(str.rstrip, lines)))).strip()


def title(html: str) -> str:
    """The page's `<title>`, on one line."""
    end = 0
    for _ in range(MAX_TITLE_TAGS):
        end = _find_closing_title(html, end)
        if end < 0:
            return ""
        # Parsing only what stands before it costs a tenth of parsing the page.
        found = _parsed(UNWANTED.sub("", html[:end]))
        for element in found.iter("title") if found is not None else ():
            words = " ".join(plain(element.text_content()).split())
            if words and not any(ancestor.tag == "svg" for ancestor in element.iterancestors()):
                return words[:MAX_TITLE_LETTERS].rstrip()
    return ""


def paragraphs(html: str, *, letters: int) -> str:
    """The text of the first paragraphs, wherever in the page they stand: at least `letters`, or all there are."""
    page = _parsed(html)
    found: list[str] = []
    missing = letters
    for element in page.iter("p") if page is not None else ():
        words = " ".join(element.text_content().split())
        found.append(words)
        missing -= len(words)
        if missing <= 0:
            break
    return " ".join(found)


def too_deep(html: str) -> bool:
    """Whether libxml2 refuses to read on: 255 nested elements are its limit."""
    parser = lxml.html.HTMLParser(encoding="utf-8")
    _parsed(html, parser)
    return any(entry.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for entry in parser.error_log)


def _trafilatura_text(html: str) -> str:
    # Metadata would double the time.  `deduplicate` would make a text depend on the pages before it.
    return trafilatura.extract(html, include_comments=False, deduplicate=False, with_metadata=False) or ""


def _newspaper_text(html: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in newspaper's source, met when it is first compiled
        from newspaper import Article, ArticleException

        # Without `fetch_images=False` it would connect to the page's images.  The address must not decide the text.
        article = Article("http://page.invalid/", fetch_images=False, memoize_articles=False, MAX_TEXT=NEWSPAPER_MAX_TEXT)
        try:
            article.set_html(html)
            article.parse()
        except (ArticleException, *NEWSPAPER_ERRORS):
            return ""
    return article.text


def _find_closing_title(html: str, start: int) -> int:
    found = re.compile("</title\\s*>", re.IGNORECASE).search(html, start)
    return found.end() if found else -1


def _parsed(html: str, parser: lxml.html.HTMLParser | None = None) -> lxml.html.HtmlElement | None:
    try:
        return lxml.html.document_fromstring(html.encode(errors="replace"), parser=parser or _parser())
    except etree.ParserError:  # nothing but white space or comments
        return None


def _parser() -> lxml.html.HTMLParser:
    return lxml.html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
