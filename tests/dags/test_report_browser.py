"""The report as people meet it: in a browser, wide and narrow, light and dark, by mouse, by keyboard and by screen reader."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from hostile_corpus import hostile_corpus
from playwright.sync_api import Browser, Page, sync_playwright
from runs import WEBTEXT

from dags.report.facts import facts_of
from dags.report.page import page as html_of

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
# No sandbox: in containers tests run as root.  The rest keeps the browser from calling home.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        said = "no chromium on this machine: the report cannot be looked at (on Debian: apt-get install chromium)"
        if os.environ.get("WEBTEXT_CI") == "1":
            pytest.fail(said)
        pytest.skip(said)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the sample in examples/, as the command leaves it, with tokens and a loss curve."""
    root = tmp_path_factory.mktemp("report") / "sample"
    web = ["--submissions", str(EXAMPLES / "submissions.ndjson.zst"), "--archive", str(EXAMPLES / "pages.warc.gz")]
    for words in (
        ["corpus", *web, "--output", str(root)],
        ["vocab", "--corpus", str(root), "--size", "1000"],
        ["tokens", "--corpus", str(root)],
    ):
        subprocess.run([str(WEBTEXT), *words, "--quiet"], check=True, capture_output=True, timeout=300)
    assert (root / "corpus" / "report.html").exists()
    (root / "model" / "samples").mkdir(parents=True)
    (root / "model" / "samples" / "step-00000020.txt").write_text("The clockmaker of the valley")
    losses = [f'{{"step": {step}, "loss": {8 - step / 10}}}' for step in range(1, 21)]
    (root / "model" / "metrics.jsonl").write_text("\n".join([*losses, '{"step": 20, "validation_loss": 6.5}', ""]))
    subprocess.run([str(WEBTEXT), "inspect", str(root), "--html"], check=True, capture_output=True, timeout=300)
    return root / "corpus" / "report.html"


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    path = folder / "report.html"
    facts = facts_of(str(hostile_corpus(folder / "root")))
    path.write_text(html_of(facts, name="</h1><script>window.owned=1</script>", written=datetime(2026, 11, 20, tzinfo=UTC)))
    return path


class Visit:
    """An open page, and all that the browser had to say about it."""

    def __init__(self, browser: Browser, path: Path, **settings: Any) -> None:
        self.context = browser.new_context(**settings)
        self.page: Page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.said.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.asked(request.url, but=path.as_uri()))
        self.page.on("requestfailed", lambda request: self.said.append(f"stopped by {request.failure}: {request.url}"))
        self.page.goto(path.as_uri())

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def asked(self, url: str, *, but: str) -> None:
        if url != but:
            self.said.append(f"request: {url}")

    def faults(self) -> list[str]:
        """Serious and critical findings of axe-core."""
        found = Axe().run(self.page).response
        assert len(found["passes"]) > 10
        return [f"{it['id']}: {it['nodes'][0]['html']}" for it in found["violations"] if it["impact"] in ("serious", "critical")]

    def evaluate(self, script: str) -> Any:
        return self.page.evaluate(script)


def visible(visit: Visit) -> list[list[str]]:
    """Cells of the rows of the sample that are shown."""
    shown = "[...document.querySelectorAll('#rows tbody tr')].filter(row => !row.hidden)"
    return visit.evaluate(f"{shown}.map(row => [...row.cells].map(cell => cell.textContent.trim()))")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_opens_without_a_complaint_and_without_a_barrier(browser: Browser, report: Path, size: str, scheme: Any) -> None:
    with Visit(browser, report, viewport=SIZES[size], color_scheme=scheme) as visit:
        assert visit.faults() == []
        visit.evaluate("document.querySelectorAll('details').forEach(it => { it.open = true })")
        assert visit.faults() == []
        width = SIZES[size]["width"]
        assert visit.evaluate("document.documentElement.scrollWidth") == width
        drawn = visit.page.locator("figure svg:visible")
        figures = visit.page.locator("figure").count()
        assert drawn.count() == figures
        assert figures >= 12
        boxes = [drawn.nth(number).bounding_box() for number in range(drawn.count())]
        assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
        heights = visit.evaluate("[...document.querySelectorAll('figure svg text')].map(it => it.getBoundingClientRect().height)")
        assert min(filter(None, heights)) > 9, "text in a chart cannot be read"
        ground = visit.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, ground.strip("rgb()").split(","))) > 380) == (scheme == "light")
        assert visit.said == []


def test_the_button_turns_light_to_dark_and_is_remembered(browser: Browser, report: Path) -> None:
    with Visit(browser, report, color_scheme="light") as visit:
        ground = "getComputedStyle(document.body).backgroundColor"
        mark = "getComputedStyle(document.querySelector('figure svg path[fill=\"var(--kept)\"]')).fill"
        light = visit.evaluate(ground), visit.evaluate(mark)
        visit.page.get_by_role("button", name="Dark page").click()
        dark = visit.evaluate(ground), visit.evaluate(mark)
        assert light[0] != dark[0]
        assert light[1] != dark[1]
        visit.page.reload()
        assert (visit.evaluate(ground), visit.evaluate(mark)) == dark
        visit.page.get_by_role("button", name="Light page").click()
        assert visit.evaluate(ground) == light[0]


@pytest.mark.parametrize("size", SIZES)
def test_the_sample_is_searched_filtered_and_shown_by_the_page(browser: Browser, report: Path, size: str) -> None:
    with Visit(browser, report, viewport=SIZES[size]) as visit:
        assert len(visible(visit)) == 25
        visit.page.get_by_role("button", name="Show more").click()
        assert len(visible(visit)) > 25
        visit.page.get_by_label("Search").fill("CLOCK valley")
        found = visible(visit)
        assert 0 < len(found) < 20
        assert all("clock" in " ".join(row).lower() and "valley" in " ".join(row).lower() for row in found)
        assert f"{len(found)} rows that match" in visit.page.get_by_role("status").inner_text()
        visit.page.get_by_label("Search").fill("no such words anywhere")
        assert visible(visit) == []
        assert visit.page.get_by_role("status").inner_text() == "Nothing in the sample matches."
        visit.page.get_by_label("Search").fill("")
        visit.page.get_by_label("Show").select_option("links/LOW_KARMA")
        assert {row[0] for row in visible(visit)} == {"LOW_KARMA"}
        visit.page.get_by_label("Show").select_option("kept")
        assert {row[0] for row in visible(visit)} == {"kept"}
        assert visit.said == []


def test_the_sample_is_sorted_by_mouse_and_by_keyboard(browser: Browser, report: Path) -> None:
    with Visit(browser, report, viewport=SIZES["desktop"]) as visit:
        karma = visit.page.get_by_role("columnheader", name="Karma")
        karma.get_by_role("button").click()
        falling = [int(row[3].replace(",", "")) for row in visible(visit)]
        assert falling == sorted(falling, reverse=True)
        assert falling[0] > falling[-1]
        assert karma.get_attribute("aria-sort") == "descending"
        visit.page.keyboard.press("Enter")
        rising = [int(row[3].replace(",", "")) for row in visible(visit)]
        assert rising == sorted(rising)
        assert karma.get_attribute("aria-sort") == "ascending"
        visit.page.get_by_role("columnheader", name="Domain").get_by_role("button").click()
        domains = [row[2] for row in visible(visit)]
        assert domains == sorted(domains, key=str.lower)
        assert karma.get_attribute("aria-sort") == "none"


def test_the_sample_is_sorted_on_a_phone(browser: Browser, report: Path) -> None:
    with Visit(browser, report, viewport=SIZES["phone"]) as visit:
        visit.page.get_by_label("Show").select_option("kept")
        visit.page.get_by_label("Sort by").select_option("words, most first")
        words = [int(row[4].replace(",", "")) for row in visible(visit)]
        assert words == sorted(words, reverse=True)


@pytest.mark.parametrize("size", SIZES)
def test_a_link_to_a_cluster_opens_it(browser: Browser, report: Path, size: str) -> None:
    with Visit(browser, report, viewport=SIZES[size]) as visit:
        visit.page.get_by_label("Search").fill("EXACT_DUPLICATE")
        link = visit.page.get_by_role("link", name="its cluster").first
        cluster = visit.page.locator(link.get_attribute("href") or "nowhere")
        assert cluster.get_attribute("open") is None
        for _ in range(2):  # the same link opens it again when it was closed
            link.click()
            assert cluster.get_attribute("open") is not None
            assert cluster.locator("li a").first.is_visible()
            assert visit.evaluate("document.activeElement.closest('details').id") == cluster.get_attribute("id")
            cluster.locator("summary").click()
        assert visit.said == []


def test_the_keyboard_reaches_the_content_first_and_the_page_works_without_script(browser: Browser, report: Path) -> None:
    with Visit(browser, report) as visit:
        visit.page.keyboard.press("Tab")
        assert visit.evaluate("document.activeElement.textContent") == "To the report"
        visit.page.keyboard.press("Enter")
        assert visit.evaluate("document.activeElement.id") == "main"
    with Visit(browser, report, java_script_enabled=False) as plain:
        assert plain.page.locator("#rows tbody tr:visible").count() > 100
        assert plain.page.locator("figure svg:visible").count() >= 12
        assert plain.page.get_by_label("Search").is_hidden()


@pytest.mark.parametrize("size", SIZES)
def test_a_hostile_corpus_is_shown_harmlessly(browser: Browser, hostile_report: Path, size: str) -> None:
    with Visit(browser, hostile_report, viewport=SIZES[size]) as visit:
        assert visit.evaluate("document.title") == "</h1><script>window.owned=1</script>: corpus report"
        visit.evaluate("document.querySelectorAll('details').forEach(it => { it.open = true })")
        visit.page.get_by_label("Search").fill("script")
        assert len(visible(visit)) > 3
        visit.page.get_by_label("Search").fill("")
        while visit.page.locator("#more").is_visible():
            visit.page.locator("#more").click()
        assert visit.evaluate("document.documentElement.scrollWidth") == SIZES[size]["width"]
        assert visit.evaluate("typeof window.owned") == "undefined"
        assert visit.page.locator("h2").first.is_visible()
        assert visit.faults() == []
        assert visit.said == []


def test_the_policy_stops_what_a_hole_would_let_in(browser: Browser, report: Path, tmp_path: Path) -> None:
    """The last wall: markup that got into the page does not run and calls no one."""
    hole = "<script>window.owned=1</script><img src=https://attacker.example/x onerror=window.owned=1>"
    hole += "<a id=h href=javascript:window.owned=1>x</a>"
    broken = tmp_path / "report.html"
    broken.write_text(report.read_text().replace("<main", hole + "<main", 1))
    with Visit(browser, broken) as visit:
        visit.page.locator("#h").click()
        assert visit.evaluate("typeof window.owned") == "undefined"
        assert any("Content Security Policy" in said for said in visit.said)
        asked = [said.partition(" ")[2] for said in visit.said if said.startswith("request: ")]
        assert asked == ["https://attacker.example/x"]
        assert all(f"stopped by csp: {url}" in visit.said for url in asked)


def test_a_barrier_is_seen(browser: Browser, report: Path, tmp_path: Path) -> None:
    """A search field without its label must fail the check that the page passes."""
    broken = tmp_path / "report.html"
    broken.write_text(report.read_text().replace("<label>Search ", "<label></label>", 1))
    with Visit(browser, broken) as visit:
        assert any(fault.startswith("label: ") for fault in visit.faults())
