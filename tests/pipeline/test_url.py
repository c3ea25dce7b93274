"""What counts as one page, what counts as two, and what is no address at all."""

import ada_url
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.url import MAX_CHARS, PLAIN, Allowed, UrlDefect, UrlError, canonical, registrable_domain


def key(url: str) -> str:
    return canonical(url).key


# docs/links.md prints this table, with the projects that get each pair wrong.
SAME = [
    ("http://ex.com/a", "https://ex.com/a"),
    ("https://ex.com/a", "https://www.ex.com/a"),
    ("https://EX.com/a", "https://ex.com/a"),
    ("https://ex.com/a", "https://ex.com/a?utm_source=reddit"),
    ("https://ex.com/a?id=1", "https://ex.com/a?id=1&utm_source=x"),
    ("https://ex.com/a?id=1", "https://ex.com/a?fbclid=x&id=1&UTM_Medium=y"),
    ("https://ex.com/a", "https://ex.com/a#c"),
    ("https://ex.com/a", "https://ex.com/a?"),
    ("http://ex.com:80/a", "http://ex.com/a"),
    ("https://ex.com:443/a", "http://ex.com/a"),
    ("http://ex.com./a", "http://ex.com/a"),
    ("http://müller.de/", "http://xn--mller-kva.de/"),
    ("http://ex.com/a/../b/./c", "http://ex.com/b/c"),
    ("http://ex.com", "http://ex.com/"),
    ("http:\\\\ex.com\\a", "http://ex.com/a"),
    (" http://ex.com/a\n", "http://ex.com/a"),
    ("http://www.www.ex.com/", "http://ex.com/"),
]
DIFFERENT = [
    ("http://ex.com/v?id=1", "http://ex.com/v?id=2"),
    ("http://ex.com/p?refid=42", "http://ex.com/p?refid=43"),
    ("http://ex.com/#!/route", "http://ex.com/"),
    ("http://ex.com/#!/item/5", "http://ex.com/#!/item/6"),
    ("http://ex.com/?cid=123", "http://ex.com/"),
    ("http://ex.com/?eid=77", "http://ex.com/"),
    ("http://ex.com/?uid=9", "http://ex.com/"),
    ("http://ex.com/?source=abc", "http://ex.com/"),
    ("http://ex.com/?keyword=gpt", "http://ex.com/"),
    ("http://ex.com/?ga=1", "http://ex.com/"),
    ("http://ex.com/Path", "http://ex.com/path"),
    ("http://ex.com/a%2Fb", "http://ex.com/a/b"),
    ("http://ex.com//a///b", "http://ex.com/a/b"),
    ("http://ex.com/?b=1&b=2&a=", "http://ex.com/?b=1&b=2"),
    # policy: a missed merge is found by its text
    ("http://ex.com/a/", "http://ex.com/a"),
    ("http://ex.com/?x=1&y=2", "http://ex.com/?y=2&x=1"),
    ("http://m.ex.com/", "http://ex.com/"),
    ("http://www.com/", "http://com.com/"),
    ("http://me.blogspot.com/", "http://you.blogspot.com/"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same_page(one: str, other: str) -> None:
    assert key(one) == key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_page(one: str, other: str) -> None:
    assert key(one) != key(other)


def test_the_fetch_url_stays_near_the_source() -> None:
    url = canonical("HTTP://WWW.Example.COM:80/a/../b/./c?b=2&a=1&utm_source=x#frag")
    assert url.fetch_url == "http://www.example.com/b/c?b=2&a=1&utm_source=x"
    assert url.key == "example.com/b/c?b=2&a=1"
    assert (url.host, url.domain, url.path) == ("www.example.com", "example.com", "b/c")
    assert canonical("https://ex.com/#!/item/5").fetch_url == "https://ex.com/#!/item/5"


@pytest.mark.parametrize(
    ("url", "defect"),
    [
        ("", UrlDefect.UNPARSABLE),
        ("ex.com/a", UrlDefect.UNPARSABLE),
        ("//ex.com/a", UrlDefect.UNPARSABLE),
        ("http://", UrlDefect.UNPARSABLE),
        ("http://1.2.3.4.5/", UrlDefect.UNPARSABLE),
        ("http://ex.com/\ud800", UrlDefect.UNPARSABLE),
        ("ftp://ex.com/a", UrlDefect.SCHEME),
        ("javascript:alert(1)", UrlDefect.SCHEME),
        ("mailto:a@ex.com", UrlDefect.SCHEME),
        ("data:text/html,<p>", UrlDefect.SCHEME),
        ("http://ex.com/" + "a" * MAX_CHARS, UrlDefect.TOO_LONG),
        ("http://ex.com/?" + "é" * 511_870, UrlDefect.TOO_LONG),
        ("http://user:pw@ex.com/", UrlDefect.USERINFO),
        ("http://ex.com@evil.example/", UrlDefect.USERINFO),
        ("http://localhost/", UrlDefect.BAD_HOST),
        ("http://intranet.corp/", UrlDefect.BAD_HOST),
        ("http://com/", UrlDefect.BAD_HOST),
        ("http://a..com/", UrlDefect.BAD_HOST),
        ("http://" + "a" * 64 + ".com/", UrlDefect.BAD_HOST),
        ("http://" + "a." * 126 + "com/", UrlDefect.BAD_HOST),
        ("http://ex!.com/", UrlDefect.BAD_HOST),
        ("http://127.0.0.1/", UrlDefect.IP_HOST),
        ("http://0x7f.1/", UrlDefect.IP_HOST),
        ("http://2130706433/", UrlDefect.IP_HOST),
        ("http://１２７.0.0.1/", UrlDefect.IP_HOST),
        ("http://[::1]/", UrlDefect.IP_HOST),
        ("http://ex.com:8080/", UrlDefect.PORT),
    ],
)
def test_a_defect_is_named(url: str, defect: UrlDefect) -> None:
    with pytest.raises(UrlError) as raised:
        canonical(url)
    assert raised.value.defect is defect


def test_the_longest_url_that_is_kept() -> None:
    assert canonical("http://ex.com/".ljust(MAX_CHARS, "a")).fetch_url.endswith("a")


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("a.b.example.co.uk", "example.co.uk"),
        ("me.blogspot.com", "me.blogspot.com"),
        ("deep.me.blogspot.com", "me.blogspot.com"),
        ("blogspot.com", "blogspot.com"),  # a suffix, and a site of its own
        ("WWW.Example.COM.", "example.com"),
        ("a.b.site.test", "site.test"),
        ("www.harbour-notes.example", "harbour-notes.example"),
        ("com", ""),
        ("localhost", ""),
        ("127.0.0.1", ""),
        ("", ""),
    ],
)
def test_registrable_domain(host: str, domain: str) -> None:
    assert registrable_domain(host) == domain


def test_allowed_hosts_are_exempt_from_host_ip_and_port_rules() -> None:
    allowed = Allowed.parse(["127.0.0.1:8080", "localhost:9000", "[::1]:8081", "10.0.0.0/8"])
    assert canonical("http://127.0.0.1:8080/a", allowed=allowed).key == "127.0.0.1:8080/a"
    assert canonical("http://localhost:9000/", allowed=allowed).domain == "localhost"
    assert canonical("http://[::1]:8081/", allowed=allowed).key == "[::1]:8081/"
    assert canonical("http://10.1.2.3:5/", allowed=allowed).host == "10.1.2.3"
    for url in ("http://127.0.0.1:8081/", "http://localhost/", "http://11.0.0.1/", "http://u:p@127.0.0.1:8080/"):
        with pytest.raises(UrlError):
            canonical(url, allowed=allowed)


@pytest.mark.parametrize("entry", ["localhost", "http://localhost:80", "10.0.0.0/99", ":80", "a:b"])
def test_an_entry_that_allows_nothing_is_an_error(entry: str) -> None:
    with pytest.raises(ValueError, match="neither HOST:PORT nor a network"):
        Allowed.parse([entry])


PIECES = ["a", "B", ".", "..", "/", "//", "?", "#", "#!", "&", "=", "utm_source", "id", "%2e", "%7E", ":", "@", "www.", "ex.com",
          "xn--mller-kva.de", "ü", " ", "{", "\\", "80", "443", "'", "|", "-", "_", "co.uk", "blogspot.com", "0x1f"]
urls = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map(lambda parts: "http://ex.com/" + "".join(parts)),
    st.lists(st.sampled_from(PIECES), max_size=12).map(lambda parts: "https://" + "".join(parts)),
    st.text(max_size=30).map(lambda text: "http://www.ex.com/" + text),
)


@settings(deadline=None)
@given(urls)
def test_key_and_fetch_url_are_fixed_points(url: str) -> None:
    try:
        first = canonical(url)
    except UrlError:
        return
    again = canonical(first.fetch_url)
    assert again == first
    assert canonical("http://" + first.key).key == first.key
    assert registrable_domain(first.key.partition("/")[0].partition(":")[0]) == first.domain


@settings(deadline=None)
@given(urls)
def test_the_short_cut_agrees_with_the_parser(url: str) -> None:
    if "/." not in url and PLAIN.fullmatch(url):
        assert ada_url.normalize_url(url) == url


hosts_of_any_kind = st.text("abx0-.ngo_", min_size=1, max_size=12)


@settings(deadline=None)
@given(hosts_of_any_kind, st.text("aZ0%_~!$&()*+,;=:@/.?-", max_size=12))
def test_the_short_cut_agrees_with_the_parser_on_odd_hosts(host: str, rest: str) -> None:
    url = f"http://{host}.com/{rest}"
    if "/." not in url and PLAIN.fullmatch(url):
        assert ada_url.normalize_url(url) == url
