import pytest

from pipeline.documents.charset import decoded, once, web_codec
from pipeline.documents.extract import extract

GERMAN = "Die Straße über den Fluß führt nach Köln – „schön“."
RUSSIAN = "Сегодня в городе открылась новая библиотека для детей."
JAPANESE = "今日は新しい図書館が町に開きました。子供たちは喜んでいます。"
FRENCH = "L’été dernier, Zoé a mangé des crêpes à la crème brûlée."


def html(text: str, *, head: str = "") -> str:
    return f"<html><head>{head}</head><body><p>{text}</p></body></html>"


def header(charset: str) -> list[tuple[str, str]]:
    return [("Content-Type", f"text/html; charset={charset}")]


def meta(charset: str) -> str:
    return f'<meta http-equiv="Content-Type" content="text/html; charset={charset}">'


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (html(GERMAN).encode(), [], GERMAN),
        (html(GERMAN).encode("utf-8-sig"), [], GERMAN),
        (html(GERMAN).encode("utf-16"), [], GERMAN),
        (html(GERMAN).encode("utf-16-le"), [], GERMAN),
        (html(GERMAN).encode("utf-16-be"), [], GERMAN),
        (html(GERMAN).encode("utf-16-le"), header("utf-16le"), GERMAN),
        (html(GERMAN).encode(), header("iso-8859-1"), GERMAN),  # valid UTF-8 beats a wrong declaration
        (html(GERMAN).encode("cp1252"), header("ISO-8859-1"), GERMAN),  # which browsers read as windows-1252
        (html(GERMAN, head=meta("windows-1252")).encode("cp1252"), [], GERMAN),
        (html(RUSSIAN).encode("koi8-r"), header('"koi8-r"'), RUSSIAN),
        (html(RUSSIAN, head='<meta charset="windows-1251">').encode("cp1251"), header("utf-8"), RUSSIAN),
        (html(JAPANESE).encode("shift_jis"), header("Shift_JIS"), JAPANESE),
        (html(JAPANESE).encode("shift_jis"), header("x-sjis"), JAPANESE),
        (html(JAPANESE).encode("euc_jp"), header("euc-jp"), JAPANESE),
        (html(JAPANESE).encode("iso2022_jp"), header("iso-2022-jp"), JAPANESE),
        (f"<?xml version='1.0' encoding='shift_jis'?>{html(JAPANESE)}".encode("shift_jis"), [], JAPANESE),
        (html("漢字和假名", head=meta("gb2312")).encode("gb18030"), [], "漢字和假名"),
        (html(GERMAN, head="<!-- " + meta("koi8-r") + " -->" + meta("latin1")).encode("cp1252"), [], GERMAN),
        (html(RUSSIAN, head=meta("koi8-r")).encode("cp1251"), header("windows-1251"), RUSSIAN),  # the header is first
    ],
)
def test_a_charset_that_can_be_known_is_known(body: bytes, headers: list[tuple[str, str]], words: str) -> None:
    text = decoded(body, headers)
    assert text is not None
    assert words in text


def test_a_page_cut_inside_a_letter_is_still_utf_8() -> None:
    body = html(FRENCH * 3).encode()
    cut = body[: body.rindex("û".encode()) + 1]
    text = decoded(cut, header("iso-8859-1"))
    assert text is not None
    assert text.startswith(html(FRENCH * 3)[:100])
    assert text.endswith("\ufffd")


def test_cp1251_under_declared_utf_8_is_left_to_statistics() -> None:
    body = html(RUSSIAN * 20).encode("cp1251")
    assert decoded(body, header("utf-8")) is None
    assert RUSSIAN in extract(body).text


@pytest.mark.parametrize("label", ["martian-7", "utf-7", "zlib", "idna", "unicode_escape", "rot13", "\udc80", "x" * 500, ""])
def test_an_unknown_charset_is_no_charset(label: str) -> None:
    assert web_codec(label) is None
    assert decoded(html(GERMAN * 9).encode("cp1252"), header(label)) is None
    assert decoded(html(GERMAN).encode(), header(label)) == html(GERMAN)


def test_text_encoded_twice_is_decoded_twice() -> None:
    for reading in ("latin-1", "cp1252"):
        twice = html(FRENCH).encode().decode(reading, errors="replace").encode()
        assert decoded(twice) == html(FRENCH), reading


@pytest.mark.parametrize(
    "text", [GERMAN, RUSSIAN, JAPANESE, FRENCH, "MAÇÃ\xa0DO CAMPO", "Ã©", "Â£5 and Ä“", "naïve café — “yes”"]
)
def test_text_encoded_once_is_left_alone(text: str) -> None:
    assert once(text) == text
    assert decoded(html(text).encode()) == html(text)
