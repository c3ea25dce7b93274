import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FEARS = Path(__file__).parents[1] / "pipeline" / "documents"
sys.path.insert(0, str(FEARS))
from pages_to_fear import page, paragraphs, record  # noqa: E402

from dags import try_page  # noqa: E402
from dags.__main__ import main  # noqa: E402
from pipeline.sandbox import Killed, Sandbox  # noqa: E402


@pytest.fixture
def one_child(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Starting a child takes a second: those of a test share one."""
    made: dict[str, Sandbox] = {}

    class Shared:
        def __init__(self, task: str, config: dict, *, workers: int) -> None:
            self.box = made.setdefault(str(config), Sandbox(task, config, workers=workers))

        def answer(self, header: dict, payload: bytes) -> object:
            return self.box.answer(header, payload)

        def close(self) -> None:
            pass

    monkeypatch.setattr(try_page, "Sandbox", Shared)
    yield
    for box in made.values():
        box.close()


def test_a_good_page_is_shown_with_every_measure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "page.html"
    file.write_text(page())
    assert main(["try", str(file)]) == 0
    out = capsys.readouterr().out
    assert "\nkept\n" in out
    for shown in ("media type", "language", "TOO_SHORT", "pieces=", "REPETITIVE", "title: A page", "--text shows all"):
        assert shown in out
    assert "DROP" not in out


def test_all_reasons_against_a_page_are_shown_and_the_first_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "page.html"
    file.write_text(page("<ul>" + "".join(f"<li>Loading {n}...</li>" for n in range(20)) + "</ul>"))
    assert main(["try", str(file), "--language", "any"]) == 0
    out = capsys.readouterr().out
    assert out.count("DROP") > 2
    assert "dropped: TOO_SHORT: the text is shorter than 128 words or pieces (pieces=" in out


@pytest.mark.usefixtures("one_child")
def test_a_page_is_chosen_from_a_warc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pages.warc.gz"
    missing = record(b"<html>gone", status=404)
    first = record(page(paragraphs(10), head="<title>First</title>").encode())
    second = record(page(paragraphs(10), head="<title>Second</title>").encode())
    second = second.replace(b"WARC-Type", b"WARC-Target-URI: http://example.test/2\r\nWARC-Type", 1)
    file.write_bytes(b"".join(map(gzip.compress, (missing, first, second))))
    assert main(["try", str(file)]) == 0
    assert "title: First" in capsys.readouterr().out
    assert main(["try", str(file), "--page-url", "http://example.test/2", "--text"]) == 0
    out = capsys.readouterr().out
    assert "title: Second" in out
    assert "--text shows all" not in out
    assert main(["try", str(file), "--page-url", "http://example.test/3"]) == 1
    assert "holds no page of http://example.test/3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-file.html"], "there is no such file"),
        (["https://example.test/a"], "--contact"),
        (["https://en.wikipedia.org/wiki/Otter", "--contact", "me@example.org"], "No page is fetched for such a link"),
        (["http://127.0.0.1:9/", "--contact", "me@example.org"], "http://127.0.0.1:9/"),
        ([__file__, "--page-url", "http://x.test/"], "is none"),
        ([__file__, "--language", "english"], "--language english"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["try", *arguments]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_page_that_hangs_the_extractor_ends_in_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(try_page.Sandbox, "answer", lambda *_: Killed("TIMEOUT", "cpu_s=15"))
    file = tmp_path / "page.html"
    file.write_text(page())
    assert main(["try", str(file)]) == 0
    assert "dropped: EXTRACT_TIMEOUT: the extractor did not come to an end (cpu_s=15)" in capsys.readouterr().out


def test_a_url_is_fetched_politely_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2]))  # `examples` is part of the project, not of the installed package
    from examples.fixture_web import FixtureWeb

    with FixtureWeb() as web:
        options = ["--contact", "me@example.org", "--allow-private", "127.0.0.0/8", "--language", "any", "--rules", "none"]
        assert main(["try", web.good_urls()[0], *options]) == 0
        assert "\nkept\n" in capsys.readouterr().out
        secret = web.url(web.sites("open")[0], "/secret/page")
        assert main(["try", secret, *options]) == 1
        assert "ROBOTS_DISALLOWED" in capsys.readouterr().err


def test_it_starts_without_beam() -> None:
    code = "import sys, dags.try_page; print([m for m in ('apache_beam', 'trafilatura', 'numba') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
