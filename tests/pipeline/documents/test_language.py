from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.documents import language as module
from pipeline.documents.language import SAMPLE_LETTERS, declared_language, language

ENGLISH = "The committee will meet on Thursday to decide whether the old bridge should be repaired or replaced. "
GERMAN = "Der Ausschuss trifft sich am Donnerstag und entscheidet, ob die alte Brücke repariert oder ersetzt werden soll. "


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("Le comité se réunira jeudi pour décider si le vieux pont doit être réparé ou remplacé.", "fr"),
        ("El comité se reunirá el jueves para decidir si el viejo puente debe repararse o reemplazarse.", "es"),
        ("Комитет соберётся в четверг, чтобы решить, нужно ли чинить старый мост.", "ru"),
        ("委員会は木曜日に集まり、古い橋を修理するか建て替えるかを決めます。", "ja"),
        ("委员会将于星期四开会，决定是修理还是更换这座旧桥。", "zh"),
    ],
)
def test_a_sentence_is_enough(text: str, code: str) -> None:
    found = language(text)
    assert found.code == code
    assert 0.9 <= found.score <= 1


def test_scores_have_two_places() -> None:
    for text in ("", "1 2 3", "x", "Hello world", ENGLISH[:15]):
        score = language(text).score
        assert score == round(score, 2)
        assert 0 <= score <= 1


def test_only_the_beginning_counts() -> None:
    start = (ENGLISH * 50)[:SAMPLE_LETTERS]
    assert language(start + GERMAN * 500) == language(start)


def test_labels_are_iso_639_1() -> None:
    pidgin = "Di ogbonge musician don tok say im go do show for Lagos next week and pipol dey happy well well."
    assert len(language(pidgin).code) == 2


@pytest.mark.parametrize(
    ("html", "code"),
    [
        ('<!DOCTYPE html><html lang="de-AT"><head>', "de"),
        ("<HTML LANG=FR>", "fr"),
        ("<html class='a' xml:lang = 'pt_BR' >", "pt"),
        ('<html\n\tlang="en"\n>', "en"),
        ('<html data-lang="de">', None),
        ('<html lang="">', None),
        ('<html lang="german">', None),
        ('<html><p lang="de">', None),
        ("<p>no such tag", None),
        ("<html " * 500_000, None),
        ("<html " + "lang " * 500_000, None),
    ],
)
def test_the_declared_language(html: str, code: str | None) -> None:
    assert declared_language(html) == code


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    module._identifier.cache_clear()
    yield tmp_path / "webtext"
    module._identifier.cache_clear()


def test_the_model_is_unpacked_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = language(GERMAN)
    (kept,) = cache.iterdir()
    monkeypatch.setattr(module, "_packed_parts", lambda: pytest.fail("unpacked again"))
    module._identifier.cache_clear()
    assert language(GERMAN) == unpacked
    monkeypatch.undo()
    assert kept.suffix == ".npz"


@pytest.mark.parametrize("harm", [b"", b"PK\x03\x04 cut short"])
def test_a_broken_copy_of_the_model_is_made_anew(cache: Path, harm: bytes) -> None:
    unpacked = language(GERMAN)
    (kept,) = cache.iterdir()
    whole = kept.stat().st_size
    kept.write_bytes(harm)
    module._identifier.cache_clear()
    assert language(GERMAN) == unpacked
    assert kept.stat().st_size == whole


def test_a_home_that_cannot_be_written_is_no_error(cache: Path) -> None:
    cache.write_text("a file where the folder would be")
    assert language(GERMAN).code == "de"
