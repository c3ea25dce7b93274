"""The offline sample: its built files are what its sources say, and hold what docs/sample.md promises."""

import importlib.util
import re
import subprocess
import sys
import tomllib
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.dataset
import pytest
import trafilatura
import zstandard
from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from warcio.archiveiterator import ArchiveIterator
from warcio.digestverifyingreader import DigestChecker

EXAMPLES = Path(__file__).parent.parent / "examples"
WARC = EXAMPLES / "pages.warc.gz"
DUMP = EXAMPLES / "submissions.ndjson.zst"
WIKIPEDIA_GENERATOR = "MediaWiki"


class Record(NamedTuple):
    kind: str
    url: str
    status: str
    headers: dict[str, str]
    body: bytes


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("examples_build", EXAMPLES / "build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return tomllib.loads((EXAMPLES / "expected.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def crawl() -> dict[str, Any]:
    return tomllib.loads((EXAMPLES / "sites.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def archived() -> list[Record]:
    """Every record of the archive; bodies as a browser would have them."""
    found = []
    with WARC.open("rb") as file:
        for record in ArchiveIterator(file):
            http = record.http_headers
            headers = {name.lower(): value for name, value in http.headers} if http else {}
            status = http.get_statuscode() if http and record.rec_type != "request" else ""
            url = record.rec_headers.get_header("WARC-Target-URI") or ""
            found.append(Record(record.rec_type, url, status, headers, record.content_stream().read()))
    return found


@pytest.fixture(scope="module")
def pages(archived: list[Record]) -> dict[str, Record]:
    """The responses that are HTML pages by what they hold, by URL; the first capture of each."""
    found: dict[str, Record] = {}
    for record in archived:
        if record.kind == "response" and record.status == "200" and b"html" in record.body.replace(b"\0", b"")[:600].lower():
            found.setdefault(record.url, record)
    return found


@pytest.fixture(scope="module")
def submissions() -> list[bytes]:
    return zstandard.ZstdDecompressor().decompress(DUMP.read_bytes()).splitlines()


def members(data: bytes) -> Iterator[bytes]:
    while data:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        yield stream.decompress(data)
        data = stream.unused_data


def test_the_committed_files_hold_what_their_sources_say(build: ModuleType, tmp_path: Path) -> None:
    """Member by member and after decompression: another zlib may pack the same records otherwise."""
    build.build(tmp_path)
    assert list(members((tmp_path / WARC.name).read_bytes())) == list(members(WARC.read_bytes()))
    rebuilt = zstandard.ZstdDecompressor().decompress((tmp_path / DUMP.name).read_bytes())
    assert rebuilt == zstandard.ZstdDecompressor().decompress(DUMP.read_bytes())


def test_a_build_gives_the_same_bytes_every_time(build: ModuleType, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        build.build(tmp_path / name)
    for name in (WARC.name, DUMP.name):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_the_built_files_are_small() -> None:
    assert WARC.stat().st_size + DUMP.stat().st_size < 1_000_000


def test_every_source_page_is_served(crawl: dict[str, Any]) -> None:
    served = {line["file"] for line in crawl["record"] if "file" in line}
    sites = EXAMPLES / "sites"
    assert served == {path.relative_to(sites).as_posix() for path in sites.rglob("*") if path.is_file()}


def test_warcio_reads_every_record_and_finds_its_digests_right() -> None:
    kinds: Counter[str] = Counter()
    with WARC.open("rb") as file:
        for record in ArchiveIterator(file, check_digests="raise"):
            record.content_stream().read()
            assert record.rec_headers.get_header("WARC-Block-Digest")
            checker = record.digest_checker
            assert isinstance(checker, DigestChecker)
            assert not checker.problems
            kinds[record.rec_type] += 1
    assert kinds["warcinfo"] == 1
    assert kinds["revisit"] == 2
    assert kinds["request"] > 0
    assert kinds["response"] >= 85


def test_fastwarc_reads_every_record_and_finds_its_digests_right(archived: list[Record]) -> None:
    count = 0
    with WARC.open("rb") as file:
        for record in FastIterator(file, parse_http=False):
            assert record.verify_block_digest()
            count += 1
    assert count == len(archived)
    with WARC.open("rb") as file:
        for record in FastIterator(file, record_types=WarcRecordType.response):
            assert record.verify_payload_digest()


def test_every_record_is_a_gzip_member_of_its_own(archived: list[Record]) -> None:
    starts = [member[:10] for member in members(WARC.read_bytes())]
    assert starts == [b"WARC/1.1\r\n"] * len(archived)


def test_at_least_66_pages_on_22_hosts(pages: dict[str, Record]) -> None:
    hosts = {url.split("/")[2] for url in pages}
    assert len(pages) >= 66
    assert len(hosts) >= 22
    assert all(host.endswith((".example", ".test")) for host in hosts)


def test_charsets_and_their_declarations(crawl: dict[str, Any], pages: dict[str, Record]) -> None:
    by_encoding = Counter(crawl["host"].get(url.split("/")[2], {}).get("encoding", "utf-8") for url in pages)
    assert set(by_encoding) == {
        "utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "iso-8859-2", "windows-1251", "windows-1252", "shift_jis",
    }  # fmt: skip
    russian = pages["http://zapiski.example/zametki/grib.html"]
    assert "charset" not in russian.headers["content-type"]  # in a meta element only
    assert b"charset=windows-1251" in russian.body
    japanese = pages["http://kissaten.example/nikki/ame.html"]
    assert japanese.headers["content-type"].endswith("Shift_JIS")  # in the header only
    assert b"charset" not in japanese.body
    wrong = pages["https://oldpress.example/1213.html"]
    assert wrong.headers["content-type"].endswith("utf-8")
    with pytest.raises(UnicodeDecodeError):
        wrong.body.decode("utf-8")
    assert pages["http://wide.letters.example/ink"].body.startswith(b"\xff\xfe")


def test_languages(expected: dict[str, Any]) -> None:
    fates = Counter(expected["links"].values())
    assert fates["kept"] >= 40
    assert fates["documents.WRONG_LANGUAGE"] >= 10  # de, es, fr, it, ja, pl, ru


def block_texts(record: Record) -> set[str]:
    """The paragraphs of the text that an extractor finds, without the short lines that are navigation."""
    charset = re.search(r"charset=([\w-]+)", record.headers.get("content-type", ""))
    encoding = charset[1].lower() if charset else ""
    body = record.body.decode(encoding) if encoding in ("shift_jis", "iso-8859-1", "utf-16") else record.body
    text = trafilatura.extract(body) or ""
    return {line for line in text.splitlines() if len(line) >= 60}


def test_only_planted_duplicates_share_a_paragraph(pages: dict[str, Record], expected: dict[str, Any]) -> None:
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for url, record in pages.items():
        if len(record.body) < 1_000_000:
            for text in block_texts(record):
                owners[text].add(url)
    assert len(owners) > 400
    clockmaker = {url for url in pages if re.search(r"clockmaker|clock\.htm|saved/8841", url)}
    tide_table = {url for url in pages if re.search(r"tide-table|saved/9027", url)}
    assert len(clockmaker) == 4
    assert len(tide_table) == 2
    shared = [(text, urls) for text, urls in owners.items() if len(urls) > 1]
    assert tide_table in [urls for _, urls in shared]
    assert [entry for entry in shared if not (entry[1] <= clockmaker or entry[1] <= tide_table)] == []


def test_pages_to_be_kept_have_a_text_worth_keeping(pages: dict[str, Record], expected: dict[str, Any]) -> None:
    elsewhere = {  # kept through a revisit record, and through a repost under another name of the host
        "http://alice.blogs.example/2014/06/the-blue-kitchen.html": "http://alice.blogs.example/2014/06/the-blue-kitchen.html?m=1",
        "https://www.wide.letters.example/ink": "http://wide.letters.example/ink",
    }
    letters = 0
    for url, fate in expected["links"].items():
        if fate == "kept":
            text = "\n".join(block_texts(pages[elsewhere.get(url, url)]))
            assert len(text.split()) >= 250, url
            letters += len(text)
    assert 100_000 <= letters <= 250_000


def test_oddities_are_there(archived: list[Record], build: ModuleType) -> None:
    responses = {record.url: record for record in reversed(archived) if record.kind == "response"}
    assert {record.status for record in responses.values()} == {"200", "301", "302", "404", "503"}
    assert responses["http://curio.example/bells"].headers["location"].startswith("https://en.wikipedia.org/")
    assert len(responses["https://bigpages.example/tide-readings"].body) > 3_000_000
    assert responses["https://bigpages.example/tide-readings"].headers["content-encoding"] == "gzip"
    assert responses["https://dropzone.example/photo"].headers["content-type"] == "text/html"
    assert responses["https://dropzone.example/photo"].body.startswith(b"\x89PNG")
    assert "content-type" not in responses["http://railway-evenings.example/timetable.htm"].headers
    assert responses["https://lab.slowscience.example/field-notes/moth-trap.html"].headers["transfer-encoding"] == "chunked"
    mirror = responses["http://mirror-pedia.example/wiki/Tide_mill"].body.decode()
    assert WIKIPEDIA_GENERATOR in mirror
    assert "https://en.wikipedia.org/wiki/Tide_mill" in mirror
    honest = responses["http://knots.handbook.example/wiki/Bowline"].body.decode()
    assert WIKIPEDIA_GENERATOR in honest
    assert "wikipedia" not in honest.lower()


def test_submissions_are_those_of_expected_toml(submissions: list[bytes], expected: dict[str, Any]) -> None:
    assert len(submissions) == expected["counts"]["lines"] >= 150
    ids, broken = [], 0
    for line in submissions:
        try:
            ids.append(orjson.loads(line)["id"])
        except orjson.JSONDecodeError:
            broken += 1
    assert ids == list(expected["submissions"])
    assert len(set(ids)) == expected["counts"]["submissions"]
    assert broken == len(expected["lines"]) == 1


def test_submissions_look_like_those_of_their_year(submissions: list[bytes]) -> None:
    rows = [orjson.loads(line) for line in submissions if not line.endswith(b".exam")]
    assert all("author" not in row for row in rows)
    strings = [row for row in rows if isinstance(row["created_utc"], str)]
    assert strings
    assert all(1388534400 <= int(row["created_utc"]) < 1448928000 for row in strings)  # 2014-01 to 2015-11
    assert any("retrieved_on" not in row for row in rows)  # before 2012-09
    assert all(row["retrieved_on"] > int(row["created_utc"]) + 30 * 86_400 for row in rows if "retrieved_on" in row)
    urls = [row["url"] for row in rows if row["url"]]
    assert any("&amp;" in url for url in urls)
    assert not any(re.search(r"&(?!amp;|lt;|gt;)|<", url) for url in urls)
    assert {0, 1, 2, 3} <= {row["score"] for row in rows if isinstance(row["score"], int)}
    assert sum(row["score"] is None for row in rows) == 1
    assert sum(row["url"] is None for row in rows) == 1
    years = {int(row["created_utc"]) // 31_557_600 + 1970 for row in rows}
    assert years >= set(range(2012, 2018))


def test_every_fate_has_a_submission_or_a_link(expected: dict[str, Any]) -> None:
    fates = [*expected["lines"].values(), *expected["submissions"].values(), *expected["links"].values()]
    stages = {fate.partition(".")[0] for fate in fates}
    assert stages == {"link", "kept", "submissions", "links", "pages", "documents", "duplicates"}
    went_on = sum(fate == "link" for fate in expected["submissions"].values())
    assert went_on == len(expected["links"]) == expected["counts"]["links"]
    assert sum(fate == "kept" for fate in expected["links"].values()) == expected["counts"]["kept"]


@pytest.mark.slow
def test_the_command_does_with_every_line_what_expected_toml_says(expected: dict[str, Any], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dags", "corpus", "--quiet", "--submissions", str(DUMP), "--archive", str(WARC)]
    subprocess.run([*command, "--output", str(tmp_path)], cwd=EXAMPLES.parent, check=True, timeout=300)
    corpus = pyarrow.dataset.dataset(tmp_path / "corpus" / "data", format="ipc").to_table().to_pylist()
    lines: dict[str, str] = {}
    posts = dict.fromkeys(expected["submissions"], "link")
    links = {row["url"]: "kept" for row in corpus}
    for path in sorted((tmp_path / "ledger").glob("*.arrow")):
        with pa.ipc.open_file(path) as file:
            for row in file.read_all().to_pylist():
                fate = f"{row['stage']}.{row['reason']}"
                if row["stage"] == "submissions":
                    lines[re.findall(r"sha256=(\w+)", row["detail"])[0]] = fate
                elif row["stage"] == "links":
                    posts[re.findall(r"submission=(\w+)", row["detail"])[0]] = fate
                else:
                    links[row["url"]] = fate
    assert lines == expected["lines"]
    assert posts == expected["submissions"]
    assert links.keys() == expected["links"].keys()
    # `documents.*` leaves the reason open.
    wrong = {url: fate for url, fate in links.items() if not fate.startswith(expected["links"][url].rstrip("*"))}
    assert wrong == {}
