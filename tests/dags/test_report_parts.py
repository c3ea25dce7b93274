"""The small parts of the report, each by itself."""

from collections import Counter
from typing import Any
from xml.etree import ElementTree

import pytest

from dags.reasons import REASONS
from dags.report import charts, failures
from dags.report.drawing import ReportError, picture, plain
from dags.report.ledger_facts import NO_HOST, domain_of, host_of
from dags.report.outside_text import cut, harmless, link_target
from dags.report.page import is_figure, told_value
from dags.report.tallies import Bin, Lowest, Tally, binned, quantile, top
from dags.report.words import duration, plural, share


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nin lines", "plain\ttext\nin lines"),
        ("a\u202egnp.exe", "a⟨U+202E⟩gnp.exe"),
        ("\x00\x1b[31m\x9b", "⟨U+0000⟩⟨U+001B⟩[31m⟨U+009B⟩"),
        ("\u200b\ufeff\u2066\U000e0041", "⟨U+200B⟩⟨U+FEFF⟩⟨U+2066⟩⟨U+E0041⟩"),
        ("می\u200cخواهم 👩\u200d🚀 co\u00adop", "می\u200cخواهم 👩\u200d🚀 co\u00adop"),  # joiners spell, soft hyphens do no harm
        ("Z" + "\u0301" * 9 + "algo a\u0301\u0302\u0303", "Z" + "\u0301" * 3 + "algo a\u0301\u0302\u0303"),
    ],
)
def test_characters_that_no_one_sees_are_written_out(text: str, shown: str) -> None:
    assert harmless(text) == shown
    assert harmless(shown) == shown


@pytest.mark.parametrize(
    ("text", "characters", "shown"),
    [
        (None, 9, ""),
        ("  two \n words ", 9, "two words"),
        ("two words more", 9, "two words…"),
        ("x " * 30, 9, "x x x x x…"),
        ("w" * 1_000_000, 5, "wwwww… (1,000,000 characters)"),
        (" " * 1_000 + "late", 9, "…"),
    ],
)
def test_a_long_text_is_cut_and_says_so(text: str | None, characters: int, shown: str) -> None:
    assert cut(text, characters=characters) == shown


@pytest.mark.parametrize(
    ("url", "leads"),
    [
        ("https://a.example/?q=<b>", True),
        ("HTTP://A.EXAMPLE", True),
        ("javascript://a.example/%0aalert(1)", False),
        (" javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//a.example/", False),
        ("https://a.example/\u202egnp", False),
        ("https://a.example/\njavascript:x", False),
        ("https://a.example/" + "a" * 2048, False),
        ("", False),
        (None, False),
    ],
)
def test_only_plain_web_addresses_become_links(url: str | None, leads: bool) -> None:
    assert link_target(url) == (url if leads else None)


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("http://www.News.example.co.uk:80/a", "example.co.uk"),
        ("https://user:pass@me.blogspot.com/", "me.blogspot.com"),
        ("http://printer/queue", NO_HOST),
        ("http://192.0.2.44/", "192.0.2.44"),
        ("magnet:?xt=urn", NO_HOST),
        ("http://<script>/", NO_HOST),
        ("http://" + "a." * 200 + "com/", NO_HOST),
    ],
)
def test_hosts_go_to_who_holds_them(url: str, domain: str) -> None:
    assert domain_of(host_of(url)) == domain


def test_bins_hold_every_value_and_no_empty_end() -> None:
    found = binned(Counter({-4: 1, 5: 2, 6: 3, 99: 4, 100: 5, 70_000: 6}), (0, 3, 5, 10, 50, 100, 1_000, 10_000))
    assert found == [
        Bin(0, 2, 1), Bin(3, 4, 0), Bin(5, 9, 5), Bin(10, 49, 0), Bin(50, 99, 4), Bin(100, 999, 5), Bin(1_000, 9_999, 0),
        Bin(10_000, None, 6),
    ]  # fmt: skip
    assert [bin_.label for bin_ in found[::7]] == ["0–2", "10,000+"]
    assert binned({}, (0, 3)) == []
    assert Bin(3, 3, 1).label == "3"


def test_a_quantile_is_the_least_value_that_covers_its_share() -> None:
    values = Counter({1: 50, 2: 40, 9: 10})
    assert [quantile(values, part) for part in (0, 0.1, 0.5, 0.51, 0.9, 0.91, 1)] == [1, 1, 1, 2, 2, 9, 9]
    assert quantile({}, 0.5) == 0


def test_a_tally_that_is_full_forgets_the_rarest_and_says_how_rare() -> None:
    tally: Tally[str] = Tally(most=3)
    tally.add({"a": 5, "b": 2, "c": 1})
    assert tally.forgotten == 0
    tally.add({"d": 9})
    assert (tally.counts, tally.forgotten) == (Counter({"d": 9, "a": 5, "b": 2}), 1)
    tally.add({"e": 1, "f": 2})
    assert (tally.counts, tally.forgotten) == (Counter({"d": 9, "a": 5}), 2)
    assert top({"b": 1, "a": 1, "c": 2}) == [("c", 2), ("a", 1), ("b", 1)]


def test_the_lowest_hashes_are_a_sample_that_no_order_changes() -> None:
    def sample(keys: list[str]) -> list[str]:
        lowest: Lowest[str] = Lowest(20)
        for key in keys:
            if (rank := lowest.rank(key)) is not None:
                lowest.put(rank, key, key)
        return lowest.items()

    keys = [str(number) for number in range(1_000)]
    assert sample(keys) == sample(keys[::-1]) == sample(keys[500:] + keys[:500])
    assert sample(keys) != keys[:20]
    assert sorted(sample(keys[:7])) == keys[:7]


def test_every_reason_has_a_kind_of_failure() -> None:
    for stage, kinds in (("pages", failures.PAGES), ("documents", failures.DOCUMENTS)):
        every = {reason.name: 1 for enum in REASONS[stage] for reason in enum}
        found = failures.by_kind(every, kinds)
        assert sum(found.values()) == len(every)
        assert set(found) == set(kinds)
    found = failures.by_kind({"TOO_LARGE": 2, "NOT_HTML": 1, "SHORT_WORDS": 4, "OF_ANOTHER_VERSION": 1}, failures.DOCUMENTS)
    assert found == {"no HTML page": 3, "text, but not prose": 5}


def test_a_chart_keeps_known_elements_and_attributes_alone() -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>x</script><a href="javascript:x"><path d="M0"/></a>'
    svg += '<g onclick="x" style="y" class="z"><path id="p" clip-path="url(#c)" d="M0,0" role="graphics-symbol"'
    svg += ' aria-label="&lt;b&gt;"/></g></svg>'
    root = ElementTree.fromstring(svg)
    plain(root, "name-")
    text = ElementTree.tostring(root, encoding="unicode")
    assert text == (
        '<svg xmlns="http://www.w3.org/2000/svg"><g><path id="name-p" clip-path="url(#name-c)" d="M0,0">'
        "<title>&lt;b&gt;</title></path></g></svg>"
    )


def test_a_chart_that_cannot_be_drawn_is_an_error_of_one_sentence() -> None:
    with pytest.raises(ReportError, match=r"a chart of the report cannot be drawn: .+"):
        picture({"mark": {"type": "no such mark"}}, name="x", label="x")


def test_bars_say_how_many_are_left_out_and_never_hide_what_is_there() -> None:
    counts = {f"host{number}.example": number for number in range(1, 131)} | {"x" * 60: 100_000, "x" * 61: 1}
    chart = charts.bars(counts, title="Hosts", sentence="All.", noun="host", of="record")
    assert chart.sentence.startswith("All. 117 more hosts with ")
    assert chart.sentence.endswith("The table holds the first 100.")
    assert len(chart.rows) == 100
    assert chart.rows[0] == ("x" * 60, 100_000, "92.2%")
    assert charts.seen(1, 100_000) > 600
    assert charts.seen(0, 100_000) == 0
    assert 'aria-label="Hosts. All.' in chart.narrow


@pytest.mark.parametrize(
    ("value", "figure"),
    [(3, True), (2.5, True), ("1,234.5%", True), ("-", True), ("2.77.0", False), ("en", False), (None, False)],
)
def test_figures_are_told_from_words(value: Any, figure: bool) -> None:
    assert is_figure(value) == figure


def test_numbers_in_words() -> None:
    assert [plural(1, "stage"), plural(1_000, "stage"), share(1, 3), share(1, 0)] == ["1 stage", "1,000 stages", "33.3%", "-"]
    assert [duration(3.14), duration(59.6), duration(250), duration(7_500)] == ["3.1 s", "1 min 0 s", "4 min 10 s", "2 h 5 min"]
    assert [told_value(value) for value in ([], None, True, ["a", 1], 0.005)] == ["none", "none", "yes", "a, 1", "0.005"]
