from pathlib import Path

import pytest
from warc_bytes import http, packed, record, redirect

from pipeline.archive import stored_record
from pipeline.archive_index import ENTRY, ArchiveIndex, Entry, Partition, index_archive, merge_partition, rows_of
from pipeline.exclude import Exclusions
from pipeline.link_rules import link_id
from pipeline.pages import Lookup, Page, archive_shard, archived_page, find_pages
from pipeline.schema import LINK, Drop, Link, Shard
from pipeline.shard_list import list_path, written_list
from pipeline.shards import read_table, table_of, write_shard
from pipeline.url import NOTHING_ALLOWED, canonical


def link(url: str) -> Link:
    page = canonical(url)
    return Link(link_id(page.key), page.key, page.fetch_url, page.domain, 5, "abc", "books", 1_400_000_000)


def index_of(folder: Path, *archives: bytes, partitions: int = 4) -> list[Shard]:
    shards = []
    for number, data in enumerate(archives):
        path = folder / f"{number}.warc.gz"
        path.write_bytes(data)
        shard = archive_shard((number, str(path)), of=len(archives))
        shards.append(index_archive(shard, root=str(folder), allow_private=()))
    listed = written_list(shards, path=list_path(str(folder), "pages", "archives"))
    return [merge_partition(Partition(n, partitions, listed), root=str(folder)) for n in range(partitions)]


def outcome(folder: Path, url: str, *archives: bytes, excluded: Exclusions | None = None) -> Page | Drop:
    index = ArchiveIndex(index_of(folder, *archives))
    return archived_page(link(url), index, allowed=NOTHING_ALLOWED, excluded=excluded or Exclusions())


def body(page: Page | Drop) -> bytes:
    assert isinstance(page, Page), page
    return stored_record(page.archive, offset=page.offset, length=page.length)


def reason(page: Page | Drop) -> str:
    assert isinstance(page, Drop), page
    return page.reason.name


def test_a_page_is_found_under_every_spelling_of_its_url(tmp_path: Path) -> None:
    archive = packed(record("http://www.a.example/x?utm_source=r#top"))
    page = outcome(tmp_path, "https://a.example/x", archive)
    assert isinstance(page, Page)
    assert page.final_url == "http://www.a.example/x?utm_source=r#top"
    assert page.fetched_utc == 1_420_070_400


def test_what_is_not_there_is_not_archived(tmp_path: Path) -> None:
    assert reason(outcome(tmp_path, "http://a.example/", packed(record("http://b.example/")))) == "NOT_ARCHIVED"
    assert reason(outcome(tmp_path, "http://a.example/", b"")) == "NOT_ARCHIVED"


def test_the_very_url_comes_before_another_spelling_and_the_earliest_first(tmp_path: Path) -> None:
    archive = packed(
        record("http://a.example/", http(b"early"), date="2010-01-01T00:00:00Z"),
        record("https://a.example/", http(b"exact late"), date="2016-01-01T00:00:00Z"),
        record("https://a.example/", http(b"exact"), date="2015-01-01T00:00:00Z"),
    )
    assert body(outcome(tmp_path, "https://a.example/", archive)) == packed(
        record("https://a.example/", http(b"exact"), date="2015-01-01T00:00:00Z")
    )
    assert b"early" not in body(outcome(tmp_path, "https://a.example/", archive))


def test_an_answer_comes_before_an_earlier_failure(tmp_path: Path) -> None:
    failed = record("http://a.example/", http(b"", status="503 Busy"), date="2010-01-01T00:00:00Z")
    page = outcome(tmp_path, "http://a.example/", packed(failed), packed(record("http://a.example/")))
    assert isinstance(page, Page)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_order_of_archives_changes_nothing(tmp_path: Path, order: tuple[int, int]) -> None:
    archives = [packed(record("http://a.example/", http(b"one"))), packed(record("http://a.example/", http(b"two")))]
    (tmp_path / "p").mkdir()
    for number, data in enumerate(archives):
        (tmp_path / f"{number}.warc.gz").write_bytes(data)
    shards = [archive_shard((place, str(tmp_path / f"{n}.warc.gz")), of=2) for place, n in enumerate(order)]
    indexed = [index_archive(shard, root=str(tmp_path / "p"), allow_private=()) for shard in shards]
    listed = written_list(indexed, path=list_path(str(tmp_path), "pages", "archives"))
    index = ArchiveIndex([merge_partition(Partition(0, 1, listed), root=str(tmp_path / "p"))])
    page = archived_page(link("http://a.example/"), index, allowed=NOTHING_ALLOWED, excluded=Exclusions())
    assert body(page) == archives[0]


def test_redirects_are_followed_inside_the_archives(tmp_path: Path) -> None:
    first = packed(redirect("http://a.example/", "https://a.example/"), redirect("https://a.example/", "/b?x=1"))
    second = packed(record("https://a.example/b?x=1", http(b"<p>goal</p>")))
    page = outcome(tmp_path, "http://a.example/", first, second)
    assert isinstance(page, Page)
    assert page.final_url == "https://a.example/b?x=1"
    assert page.url == "http://a.example/"


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([redirect("http://a.example/", "//b.example/"), redirect("http://b.example/", "//a.example/")], "REDIRECT_LOOP"),
        ([redirect("http://a.example/", "http://a.example/")], "REDIRECT_LOOP"),
        ([redirect("http://a.example/", "https://a.example/")], "NOT_ARCHIVED"),
        ([redirect("http://a.example/", "http://b.example/")], "NOT_ARCHIVED"),
        ([redirect("http://a.example/", "https://de.m.wikipedia.org/wiki/X")], "WIKIPEDIA"),
        ([redirect("http://a.example/", "http://i.imgur.com/x")], "IMAGE_HOST"),
        ([redirect("http://a.example/", "http://10.0.0.1/")], "IP_HOST"),
        ([redirect("http://a.example/", "javascript:alert(1)")], "SCHEME"),
        ([record("http://a.example/", http(b"", status="404 Not Found"))], "HTTP_STATUS"),
        ([record("http://a.example/", http(b"", status="302 Found", headers=()))], "BAD_REDIRECT"),
        ([record("http://a.example/", http(b"", status="304 Not Modified"))], "HTTP_STATUS"),
        ([record("http://a.example/", b"garbage")], "HTTP_STATUS"),
        ([record("http://a.example/", length=3)], "BROKEN_RECORD"),
        ([record("dns:a.example", b"x"), record("http://a.example/", kind="request")], "NOT_ARCHIVED"),
    ],
)
def test_why_a_link_has_no_page(tmp_path: Path, records: list[bytes], expected: str) -> None:
    assert reason(outcome(tmp_path, "http://a.example/", packed(*records))) == expected


def test_a_long_chain_is_given_up(tmp_path: Path) -> None:
    chain = [redirect(f"http://a.example/{n}", f"/{n + 1}") for n in range(9)]
    assert reason(outcome(tmp_path, "http://a.example/0", packed(*chain, record("http://a.example/9")))) == "TOO_MANY_REDIRECTS"
    assert isinstance(outcome(tmp_path, "http://a.example/4", packed(*chain, record("http://a.example/9"))), Page)


def test_a_removal_list_holds_for_where_a_redirect_leads(tmp_path: Path) -> None:
    archive = packed(redirect("http://a.example/", "http://b.example/x"), record("http://b.example/x"))
    assert reason(outcome(tmp_path, "http://a.example/", archive, excluded=Exclusions(domains=("b.example",)))) == "EXCLUDED"


REVISIT = ("WARC-Profile: http://netpreserve.org/warc/1.1/revisit/identical-payload-digest",)


@pytest.mark.parametrize(
    "fields",
    [
        ("WARC-Refers-To-Target-URI: http://b.example/", "WARC-Refers-To-Date: 2014-01-01T00:00:00Z"),
        ("WARC-Payload-Digest: sha1:SAME",),
    ],
)
@pytest.mark.parametrize("block", [b"HTTP/1.1 200 OK\r\n\r\n", b""])
def test_a_revisit_is_read_from_the_record_it_repeats(tmp_path: Path, fields: tuple[str, ...], block: bytes) -> None:
    original = record("http://b.example/", http(b"same"), date="2014-01-01T00:00:00Z", fields=("WARC-Payload-Digest: sha1:SAME",))
    later = record("http://b.example/", http(b"other"), date="2015-06-01T00:00:00Z")
    revisit = record("http://a.example/", block, kind="revisit", fields=REVISIT + fields)
    page = outcome(tmp_path, "http://a.example/", packed(original, later, revisit))
    assert body(page) == packed(original)
    assert isinstance(page, Page)
    assert page.fetched_utc == 1_420_070_400  # of the visit, not of the record it repeats


def test_a_revisit_of_what_no_archive_holds_is_not_archived(tmp_path: Path) -> None:
    revisit = record("http://a.example/", b"", kind="revisit", fields=(*REVISIT, "WARC-Refers-To-Target-URI: http://b.example/"))
    assert reason(outcome(tmp_path, "http://a.example/", packed(revisit))) == "NOT_ARCHIVED"


@pytest.mark.parametrize("partitions", [1, 2, 16])
def test_every_key_is_found_however_many_partitions(tmp_path: Path, partitions: int) -> None:
    urls = [f"http://h{n}.example/" for n in range(100)]
    index = ArchiveIndex(index_of(tmp_path, packed(*map(record, urls)), partitions=partitions))
    assert [entry.url for url in urls for entry in index.find(canonical(url).key)] == urls


@pytest.mark.parametrize("spread", [1, 1 << 20, 1 << 45])
def test_a_partition_is_cut_out_of_a_file_without_reading_it_whole(tmp_path: Path, spread: int) -> None:
    """Hashes over all of their range, over a part of it, and in one clump, as nobody's are."""
    hashes = sorted({(number * 0x9E3779B97F4A7C15) % (1 << 64) // spread for number in range(5000)})
    row = Entry(0, "key", "url", 0, "a", "d", "a.warc.gz", 0, 1, "d", 200, None, None, 0, "")
    path = str(tmp_path / "pages" / "archive.arrow")
    table = table_of([row._replace(hash=value, offset=number) for number, value in enumerate(hashes)], ENTRY)
    write_shard(path, table, stage="pages", number=0, of=1, recipe="", made_from="")
    for of in (1, 4, 64, 4096):
        found = [part.column("offset").to_pylist() for n in range(of) for part in rows_of(path, number=n, of=of)]
        assert [offset for part in found for offset in part] == list(range(len(hashes)))
    empty = str(tmp_path / "pages" / "empty.arrow")
    write_shard(empty, ENTRY.empty_table(), stage="pages", number=0, of=1, recipe="", made_from="")
    assert list(rows_of(empty, number=3, of=16)) == []


def test_links_in_are_pages_kept_and_ledger_rows(tmp_path: Path) -> None:
    links = sorted((link("http://a.example/"), link("http://b.example/"), link("http://c.example/")), key=lambda row: row.key)
    shard = write_shard(
        str(tmp_path / "links" / "l.arrow"), table_of(links, LINK), stage="links", number=0, of=1, recipe="", made_from="x"
    )
    index = index_of(tmp_path, packed(record("http://a.example/"), record("http://c.example/", http(status="500 Oh"))))
    listed = written_list(index, path=list_path(str(tmp_path), "pages", "index"))
    pages = find_pages(Lookup(shard, listed), root=str(tmp_path), allow_private=(), excluded=Exclusions())
    ledger = read_table(str(tmp_path / "ledger" / "pages-00000.arrow")).to_pylist()
    assert [row["url"] for row in read_table(pages.path).to_pylist()] == ["http://a.example/"]
    assert [(row["url"], row["reason"], row["detail"]) for row in ledger] == [
        ("http://b.example/", "NOT_ARCHIVED", ""),
        ("http://c.example/", "HTTP_STATUS", "status=500"),
    ]
    assert pages.rows + pages.dropped == len(links)
    again = Path(pages.path).stat().st_mtime_ns
    assert find_pages(Lookup(shard, listed), root=str(tmp_path), allow_private=(), excluded=Exclusions()) == pages
    assert Path(pages.path).stat().st_mtime_ns == again
