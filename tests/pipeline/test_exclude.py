"""What a removal list names, and what it covers."""

from pathlib import Path

import pytest

from pipeline.exclude import (
    NO_EXCLUSIONS,
    ExcludeError,
    Exclusions,
    exclusions,
    read_exclusions,
    read_removals,
    removal_list,
    removals_path,
)
from pipeline.link_rules import link_id
from pipeline.url import canonical

LINES = """
# a person asked
example.com                       # the whole site
https://www.News.example.org/story?utm_source=mail   # one page
shop.test/a#top
T3_x is no entry
"""


def entry(excluded: Exclusions, url: str) -> str | None:
    page = canonical(url)
    return excluded.entry(host=page.host, key=page.key, id=link_id(page.key))


def test_a_domain_covers_its_subdomains_and_a_page_every_spelling() -> None:
    excluded = exclusions(LINES.splitlines()[:-1], name="list")
    assert excluded == Exclusions(domains=("example.com",), keys=("news.example.org/story", "shop.test/a"))
    assert entry(excluded, "https://deep.www.example.com/any") == "example.com"
    assert entry(excluded, "http://news.example.org/story#x") == "news.example.org/story"
    assert entry(excluded, "http://www.shop.test/a") == "shop.test/a"
    for url in ("http://notexample.com/", "http://news.example.org/", "http://shop.test/b", "http://a.com/"):
        assert entry(excluded, url) is None


def test_ids_of_documents_and_submissions() -> None:
    document = link_id("ex.com/a")
    excluded = exclusions([document, "t3_1kqia4"], name="list")
    assert excluded.submission_set == {"1kqia4"}
    assert entry(excluded, "http://ex.com/a") == document
    assert entry(excluded, "http://ex.com/b") is None


def test_a_www_entry_is_the_site_but_never_a_whole_suffix() -> None:
    assert exclusions(["www.example.com"], name="list").domains == ("example.com",)
    assert exclusions(["www.com"], name="list").domains == ("www.com",)


@pytest.mark.parametrize("line", ["T3_x is no entry", "com", "ftp://example.com/a", "user:pw@example.com/", "127.0.0.1", "x"])
def test_a_line_that_names_nothing_is_an_error_with_its_number(line: str) -> None:
    with pytest.raises(ExcludeError, match=r"^list, line 3: "):
        exclusions(["example.com", "", line], name="list")


def test_order_repetition_and_notes_do_not_show(tmp_path: Path) -> None:
    path = tmp_path / "exclude.txt"
    path.write_text("b.com\na.com # why\r\nb.com\n")
    assert read_exclusions(str(path)) == exclusions(["a.com", "b.com"], name="other")
    assert not NO_EXCLUSIONS
    assert not exclusions(["# nothing"], name="list")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExcludeError, match="is not there"):
        read_exclusions(str(tmp_path / "none.txt"))
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExcludeError, match="is not UTF-8"):
        read_exclusions(str(tmp_path / "bad.txt"))


# ---- what was taken out of a corpus ----


def test_a_removal_list_grows_and_keeps_every_line_that_is_there() -> None:
    first = removal_list("", {"example.com": "a domain", "0" * 32: ""})
    assert first.startswith("# ")
    assert first.splitlines()[1:] == ["example.com  # a domain", "0" * 32]
    second = removal_list(first, {"example.com": "again", "1" * 32: "http://a.test/#x duplicate of 2"})
    assert second == first + "1" * 32 + "  # http://a.test/#x duplicate of 2\n"
    assert exclusions(second.splitlines(), name="x") == Exclusions(domains=("example.com",), ids=("0" * 32, "1" * 32))
    assert removal_list("by.hand.test", {"b.test": ""}) == "by.hand.test\nb.test\n"


def test_two_lists_together_name_what_either_names(tmp_path: Path) -> None:
    one, other = exclusions(["b.com", "t3_1"], name="one"), exclusions(["a.com", "b.com", "c.test/x"], name="other")
    assert one | other == exclusions(["a.com", "b.com", "c.test/x", "t3_1"], name="both")
    assert read_removals(str(tmp_path)) == NO_EXCLUSIONS
    Path(removals_path(str(tmp_path))).write_text("b.com\nt3_1\n")
    assert read_removals(str(tmp_path)) | NO_EXCLUSIONS == one
