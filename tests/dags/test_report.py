"""What the report says is what the files say; nothing from outside becomes more than text; the file is bounded."""

import base64
import hashlib
import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import lxml.html
import pyarrow as pa
import pytest
from corpus_made import rows, write_corpus
from hostile_corpus import ATTACKS, hostile_corpus
from lxml.html import HtmlElement
from runs import arguments, built, clear_error, ledger, webtext
from small_web import Files

from dags.__main__ import main
from dags.finished_corpus import manifest_of
from dags.report import page as pages
from dags.report.facts import Facts, facts_of, run_of
from dags.report.page import page
from dags.report.token_facts import token_facts
from dags.report.training_facts import Point, training_facts
from dags.report.writing import write_report
from pipeline.manifest import SCHEMA
from pipeline.schema import TOKENS
from pipeline.shards import write_arrow
from tokenizer import train

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def facts(whole: tuple[Files, Path]) -> Facts:
    return facts_of(str(whole[1]))


@pytest.fixture(scope="module")
def html(facts: Facts) -> str:
    return page(facts, name="small web", written=NOW)


@pytest.fixture(scope="module")
def document(html: str) -> HtmlElement:
    return lxml.html.document_fromstring(html)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_corpus(tmp_path_factory.mktemp("hostile") / "<script>alert(1)</script>".replace("/", "_"))


@pytest.fixture(scope="module")
def hostile_html(hostile: Path) -> str:
    return page(facts_of(str(hostile)), name="<script>alert(1)</script>", written=NOW)


def table(document: HtmlElement, label: str) -> list[list[str]]:
    """Rows of the table under this label, as text."""
    [region] = document.xpath(f'//div[@role="region"][@aria-label="{label}"]')
    return [[cell.text_content().strip() for cell in row.xpath("./th|./td")] for row in region.xpath(".//tbody/tr")]


# ---- numbers ----


def test_every_reason_stands_on_the_page_with_its_count(whole: tuple[Files, Path], document: HtmlElement) -> None:
    counted = Counter((row["stage"], row["reason"]) for row in ledger(whole[1]))
    told, stage = Counter[tuple[str, str]](), ""
    for name, count, _ in table(document, "Every reason, stage by stage"):
        first = name.split()[0]
        if first.islower():
            stage = first
        else:
            told[stage, first] = int(count.replace(",", ""))
    assert told == counted


def test_the_funnel_the_domains_and_the_tiles_are_the_manifests(whole: tuple[Files, Path], document: HtmlElement) -> None:
    manifest = manifest_of(str(whole[1]))
    funnel = [[int(cell.replace(",", "")) for cell in row[1:]] for row in table(document, "From lines to documents")]
    assert funnel == [[stage["in"], stage["kept"], stage["in"] - stage["kept"]] for stage in manifest["stages"]]
    tiles = {tile.findtext("dt"): tile.findtext("dd") for tile in document.xpath("//dl[@class='tiles']/div")}
    assert (tiles["documents"], tiles["duplicates folded"]) == ("244", "12")
    kept = table(document, "Domains kept")
    assert sum(int(count) for _, count, _ in kept) == 244 or len(kept) == 100
    dropped = {name: int(count) for name, count, *_ in table(document, "Domains dropped")}
    hosts = [(row["url"] or "").partition("://")[2].partition("/")[0] for row in ledger(whole[1])]
    assert dropped["wikipedia.org"] == sum(host.endswith("wikipedia.org") for host in hosts) > 0


def test_distributions_hold_every_document_once(document: HtmlElement) -> None:
    for label in ("Karma", "Length", "When they were submitted"):
        assert sum(int(row[1].replace(",", "")) for row in table(document, label)) == 244, label


def test_clusters_name_every_member(whole: tuple[Files, Path], facts: Facts, document: HtmlElement) -> None:
    folded = Counter(row["kept"] for row in ledger(whole[1]) if row["stage"] == "duplicates")
    assert {row.id: row.cluster_size - 1 for row in facts.corpus.clusters} == dict(folded)
    for cluster in document.xpath("//details[@class='cluster']"):
        assert len(cluster.xpath(".//li")) == folded[cluster.get("id").removeprefix("cluster-")]
    for link in document.xpath("//table[@id='rows']//a[starts-with(@href, '#')]"):
        assert document.xpath(f"//details[@id='{link.get('href')[1:]}']")


def test_times_of_the_last_run_are_told(whole: tuple[Files, Path], document: HtmlElement) -> None:
    run = json.loads((whole[1] / "run.json").read_text())
    told = table(document, "Time by stage of the last run")
    assert [(row[0], int(row[3].replace(",", ""))) for row in told] == [(name, it["kept"]) for name, it in run["stages"].items()]


def test_every_chart_is_an_image_with_a_sentence_and_a_table(document: HtmlElement) -> None:
    figures = document.xpath("//figure")
    assert len(figures) >= 10
    for figure in figures:
        assert len(figure.xpath(".//*[name()='svg'][@role='img'][string-length(@aria-label) > 10]")) == 2
        assert figure.xpath(".//details//table//tbody/tr")
        assert figure.xpath(".//h3/text()")
    ids = document.xpath("//@id")
    assert len(ids) == len(set(ids))


# ---- the sample ----


def made_corpus(root: Path, *, shards: int, reverse: bool = False) -> Facts:
    """A corpus of 900 rows cut into so many shards."""
    made = rows(900)
    write_corpus(root, made[::-1] if reverse else made, shards=shards)
    listed = sorted((root / "corpus" / "data").iterdir(), reverse=reverse)
    manifest = {
        "schema": SCHEMA, "config": {}, "inputs": [], "ledger": [], "versions": {"python": "3", "webtext": "0"},
        "stages": [{"name": "corpus", "in": 900, "kept": 900, "dropped": {}}],
        "shards": [{"path": f"data/{path.name}", "split": "train", "rows": 0, "bytes": 0, "sha256": ""} for path in listed],
    }  # fmt: skip
    (root / "corpus" / "manifest.json").write_text(json.dumps(manifest))
    return facts_of(str(root))


def test_the_sample_is_the_same_however_shards_are_cut(tmp_path: Path) -> None:
    one, other = made_corpus(tmp_path / "one", shards=1), made_corpus(tmp_path / "two", shards=7, reverse=True)
    assert len(one.corpus.sample) == 500
    assert one.corpus.sample == other.corpus.sample
    assert all(row.excerpt for row in one.corpus.sample)
    written = {row["id"]: str(row["text"]) for row in rows(900)}
    assert all(" ".join(written[row.id].split()).startswith(row.excerpt.removesuffix("…")) for row in one.corpus.sample)
    page(one, name="x", written=NOW)  # a corpus without drops, clusters, times and tokens


def test_a_reason_gives_twenty_records_at_most_and_each_reason_gives_some(whole: tuple[Files, Path], facts: Facts) -> None:
    counted = Counter((row["stage"], row["reason"]) for row in ledger(whole[1]))
    shown = Counter((row.stage, row.reason) for row in facts.ledger.sample)
    assert shown == Counter({key: min(count, 20) for key, count in counted.items()})


def test_a_file_that_grows_too_large_shows_half_the_sample_and_says_so(
    facts: Facts, html: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(html.encode()) < pages.MAX_BYTES
    assert "thinned" not in html
    monkeypatch.setattr(pages, "MAX_BYTES", len(html.encode()) - 1)
    less = page(facts, name="small web", written=NOW)
    assert "thinned so that this file stays below 5 MB" in less
    count = '<tr role="row" data-outcome'
    assert less.count(count) == (html.count(count) + 1) // 2


# ---- tokens and training ----


def encoded(root: Path) -> None:
    """ROOT/vocab and ROOT/tokens of the corpus there."""
    data = {path.name: pa.ipc.open_file(path).read_all() for path in (root / "corpus" / "data").iterdir()}
    tokenizer = train([text for part in data.values() for text in part["text"].to_pylist()], vocab_size=300)
    tokenizer.save(str(root / "vocab"))
    for name, part in data.items():
        metadata = {"tokenizer": tokenizer.fingerprint, "n_vocab": str(tokenizer.n_vocab), "eot": str(tokenizer.eot)}
        encoded = [[*tokenizer.encode(text), tokenizer.eot] for text in part["text"].to_pylist()]
        batches = [
            pa.record_batch([encoded[at : at + 1024], part["id"].to_pylist()[at : at + 1024]], schema=TOKENS)
            for at in range(0, len(encoded), 1024)
        ]
        write_arrow(str(root / "tokens" / name), TOKENS.with_metadata(metadata), batches, compression=None)


@pytest.mark.filterwarnings("ignore::tokenizer.SmallTextWarning")
def test_compression_is_counted_by_language_and_split(tmp_path: Path) -> None:
    made_corpus(tmp_path, shards=2)
    manifest = manifest_of(str(tmp_path))
    assert token_facts(str(tmp_path), manifest) is None
    encoded(tmp_path)
    found = token_facts(str(tmp_path), manifest)
    assert found is not None
    assert not isinstance(found, str)
    for language in ("en", "de"):
        sizes = [len(str(row["text"]).encode()) for row in rows(900) if row["language"] == language]
        assert found.languages[language][:2] == (len(sizes), sum(sizes))
    assert sum(part.tokens for part in found.languages.values()) == sum(part.tokens for part in found.splits.values())
    assert 1 < found.languages["en"].bytes_per_token < 6
    assert len(found.most_used) == 12
    html = page(facts_of(str(tmp_path)), name="x", written=NOW)
    assert f"{found.languages['en'].bytes_per_token:.3f}" in html


@pytest.mark.filterwarnings("ignore::tokenizer.SmallTextWarning")
def test_tokens_of_another_corpus_are_not_told_of(tmp_path: Path) -> None:
    made_corpus(tmp_path, shards=2)
    encoded(tmp_path)
    shard, other = sorted((tmp_path / "tokens").glob("train*"))
    other.write_bytes(shard.read_bytes())
    manifest = manifest_of(str(tmp_path))
    assert "run `webtext tokens` again" in str(token_facts(str(tmp_path), manifest))
    other.write_bytes(b"ARROW1")
    assert "run `webtext tokens` again" in str(token_facts(str(tmp_path), manifest))
    other.unlink()
    assert "not those of this corpus" in str(token_facts(str(tmp_path), manifest))
    shard.unlink()
    (tmp_path / "tokens" / "validation-00000-of-00001.arrow").unlink()
    assert "not encoded yet" in str(token_facts(str(tmp_path), manifest))
    assert "not encoded yet" in page(facts_of(str(tmp_path)), name="x", written=NOW)


def test_a_long_loss_curve_is_averaged_and_half_a_line_is_left_out(tmp_path: Path) -> None:
    assert training_facts(str(tmp_path)) is None
    (tmp_path / "model").mkdir()
    lines = [json.dumps({"step": step, "loss": float(step)}) for step in range(1, 1001)]
    lines += ['{"step": 1000, "validation_loss": 2.5, "validation_bits_per_byte": 1.25}']
    lines += ['{"step": 1001, "loss": null, "skipped": "x"}']
    (tmp_path / "model" / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 1002, "lo')
    found = training_facts(str(tmp_path))
    assert found is not None
    assert (len(found.training), found.steps_a_point, found.skipped, found.step) == (200, 5, 1, 1001)
    assert found.training[0] == Point(5, 3.0)
    assert (found.validation, found.bits_per_byte) == ([Point(1000, 2.5)], 1.25)


# ---- nothing from outside is trusted ----


def test_the_policy_names_the_only_style_and_the_only_script(document: HtmlElement, html: str) -> None:
    [policy] = document.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts["default-src"] == "'none'"
    assert "unsafe" not in policy
    for name in ("script", "style"):
        [element] = document.xpath(f"//{name}")
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert parts[f"{name}-src"] == f"'sha256-{digest}'"
        assert not element.attrib
    assert html.index("Content-Security-Policy") < html.index("<style>")


def check_nothing_active(html: str) -> None:
    document = lxml.html.document_fromstring(html)
    assert len(document.xpath("//script")) == len(document.xpath("//style")) == 1
    assert document.xpath("//iframe|//img|//object|//embed|//base|//link|//form[@action]|//*[@src]|//*[@style]") == []
    assert document.xpath("//@*[starts-with(name(), 'on')]") == []
    for target in document.xpath("//@href|//@*[name()='xlink:href']"):
        assert re.match(r"https?://|#", target), target
    for link in document.xpath("//a[starts-with(@href, 'http')]"):
        assert link.get("rel") == "noopener noreferrer nofollow"
    assert len(document.xpath("//meta[@http-equiv]")) == 1


def test_the_page_asks_for_nothing(html: str) -> None:
    check_nothing_active(html)


def test_hostile_text_is_only_text(hostile_html: str) -> None:
    check_nothing_active(hostile_html)
    hidden = re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]", hostile_html)
    assert hidden == []
    assert "⟨U+202E⟩gnp.exe" in hostile_html
    assert "(1,000,000 characters)" in hostile_html
    assert "W" * 300 not in hostile_html
    assert "\u0301\u0489\u20dd\u0301" not in hostile_html
    assert "1337" not in hostile_html  # 7 * 191: no template in a text was filled
    assert "<h1><bdi>&lt;script&gt;" in hostile_html
    assert len(hostile_html.encode()) < pages.MAX_BYTES
    text = lxml.html.document_fromstring(hostile_html).text_content()
    for attack in ATTACKS[:11]:
        assert attack[:60] in text


# ---- the commands ----


def test_inspect_writes_the_report_where_it_is_told(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "corpus" / "report.html").unlink(missing_ok=True)
    assert main(["inspect", str(root), "--html"]) == 0
    assert (root / "corpus" / "report.html").read_text().startswith("<!doctype html>")
    assert main(["inspect", str(root / "corpus"), "--html", str(tmp_path / "other.html")]) == 0
    assert (tmp_path / "other.html").exists()
    assert str(tmp_path / "other.html") in capsys.readouterr().out
    assert main(["verify", str(root)]) == 0


def test_a_run_writes_it_and_verify_does_not_mind_what_it_holds(root: Path) -> None:
    report = root / "corpus" / "report.html"
    assert report.exists()
    report.write_text("changed")
    assert main(["verify", str(root)]) == 0


def test_a_report_that_cannot_be_written_ends_in_one_sentence(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = root / "corpus" / "report.html"
    report.unlink()
    report.mkdir()
    assert main(["inspect", str(root), "--html"]) == 1
    said = capsys.readouterr().err
    assert f"the corpus in {root} is finished, but not its report: cannot write {report}" in said
    assert said.count("\n") == 1
    assert main(["verify", str(root)]) == 0


@pytest.mark.slow
def test_a_run_whose_report_fails_says_that_the_corpus_is_whole(whole: tuple[Files, Path], root: Path) -> None:
    report = root / "corpus" / "report.html"
    report.unlink()
    report.mkdir()
    done = webtext(*arguments(whole[0], root))
    assert f"the corpus in {root} is finished, but not its report: cannot write" in clear_error(done)
    assert done.stdout.splitlines()[-1].split()[:2] == ["kept", "244"]
    assert main(["verify", str(root)]) == 0
    report.rmdir()
    done = built(*arguments(whole[0], root))
    assert done.stdout.splitlines()[-2:][0] == f"report: {report}"
    assert report.read_text().startswith("<!doctype html>")


def test_a_damaged_shard_and_a_missing_corpus_end_in_one_sentence(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = next((root / "corpus" / "data").glob("train-00002-*"))
    shard.write_bytes(shard.read_bytes()[:-3_000])
    assert main(["inspect", str(root), "--html"]) == 1
    assert f"{shard}: is not a whole Arrow IPC file" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "nothing"), "--html"]) == 1


def test_without_times_the_report_says_that_it_knows_none(root: Path) -> None:
    assert run_of(str(root))["stages"]["links"]["kept"] == 287
    whole = json.loads((root / "run.json").read_text())
    for broken in ("[]", json.dumps(whole | {"stages": {"links": {}}}), json.dumps(whole | {"seconds": "3"}), "{"):
        (root / "run.json").write_text(broken)
        assert run_of(str(root)) == {}
    assert "There is no run.json" in Path(write_report(str(root))).read_text()
