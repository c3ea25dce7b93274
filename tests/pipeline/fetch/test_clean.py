"""What was taken out of a corpus goes from our own archive too, and the rest of it can be read as before."""

import hashlib
from pathlib import Path

import pytest
from crawling import LOOPBACK, Crawl, link_of
from test_segments import FAILED, LINKS, PAGE, exchange, segments

from examples.fixture_web import FixtureWeb
from pipeline.archive import records, stored_record
from pipeline.exclude import exclusions
from pipeline.fetch.journal import JOURNAL, entries_in, journal_lines
from pipeline.fetch.segments import clean
from pipeline.purge import purged
from pipeline.schema import PAGE as PAGE_SCHEMA
from pipeline.shards import finished, read_table, shard_path, table_of, write_shard


def archived(folder: Path) -> str:
    """A segment: six links, one of them led on to a page of site9; and an exchange for a link that has come to nothing yet."""
    archive = segments(folder)
    for number, link in enumerate(LINKS):
        led_on = [exchange("http://site9.example/other", b"<p>elsewhere</p>")] if number == 3 else []
        archive.append(link, [exchange(link.url, b"<p>%d</p>" % number), *led_on], FAILED if number == 4 else PAGE)
    archive.keep([exchange(f"http://site{number}.example/later", b"<p>later</p>") for number in (2, 5)])
    archive.close()
    (path,) = folder.glob("*.warc.gz")
    return str(path)


def targets(path: str) -> list[str]:
    return [record.target for record in records(path) if record.target]


def test_every_record_of_a_link_goes_and_the_others_keep_their_bytes(tmp_path: Path) -> None:
    path = archived(tmp_path)
    before = {record.digest for record in records(path)}
    gone = clean(path, is_named=lambda url: "site2." in url or "site9." in url)
    assert gone == 4  # two of site2, and two of the link that led to site9
    assert not [target for target in targets(path) if "site2." in target or "site9." in target or "site3." in target]
    after = list(records(path))
    assert {record.digest for record in after} < before
    assert not any(record.damage for record in after)
    assert "http://site5.example/later" in targets(path)
    entries = [entry for _, entry in journal_lines(path)]
    assert [entry.id for entry in entries] == [LINKS[number].id for number in (0, 1, 4, 5)]
    assert entries == entries_in(path, archive=Path(path).name)[0]
    for entry in entries:
        if not entry.reason:
            record = stored_record(path, offset=entry.offset, length=entry.length)
            assert hashlib.sha256(record).hexdigest() == entry.digest


def test_a_kill_between_segment_and_journal_leaves_no_wrong_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archived(tmp_path)

    def die(_path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.fetch.segments.rebuild", die)
    with pytest.raises(KeyboardInterrupt):
        clean(path, is_named=lambda url: "site0." in url)
    assert not Path(path + JOURNAL).exists()
    assert [entry for _, entry in journal_lines(path)] == entries_in(path, archive=Path(path).name)[0]


def page_shard(root: Path, path: str, number: int) -> str:
    found = {entry.id: entry for _, entry in journal_lines(path)}
    link = LINKS[number]
    entry = found[link.id]
    row = (*link, entry.final_url, entry.fetched_utc, path, entry.offset, entry.length, entry.digest)
    shard = shard_path(str(root), "pages", number, 6)
    write_shard(
        shard, table_of([row], PAGE_SCHEMA), stage="pages", number=number, of=6, recipe="r", made_from="m",
    )  # fmt: skip
    return shard


def test_purge_cleans_our_archive_and_makes_stale_what_points_into_it(tmp_path: Path) -> None:
    path = archived(tmp_path / "pages" / "live")
    shards = [page_shard(tmp_path, path, number) for number in (0, 1, 2)]
    elsewhere = shard_path(str(tmp_path), "pages", 5, 6)
    row = read_table(shards[0]).to_pylist()[0] | {"archive": "/another/archive.warc.gz", "id": "f" * 32, "key": "x.example/"}
    write_shard(
        elsewhere, table_of([tuple(row.values())], PAGE_SCHEMA), stage="pages", number=5, of=6, recipe="r", made_from="m"
    )
    gone = purged(str(tmp_path), exclusions(["site2.example", LINKS[1].id], name="list"))
    assert (gone.exchanges, gone.pages) == (3, 2)
    assert not [target for target in targets(path) if "site1." in target or "site2." in target]
    assert read_table(shards[1]).num_rows == read_table(shards[2]).num_rows == 0
    assert read_table(shards[0]).num_rows == 1
    assert all(finished(shard, "m") is None for shard in shards)  # places have moved: the next run looks again
    assert finished(elsewhere, "m") is not None
    assert not any(purged(str(tmp_path), exclusions(["site2.example", LINKS[1].id], name="list")))


def test_an_archive_without_anything_named_keeps_every_byte(tmp_path: Path) -> None:
    path = archived(tmp_path / "pages" / "live")
    before = Path(path).read_bytes(), Path(path + JOURNAL).read_bytes()
    assert not any(purged(str(tmp_path), exclusions(["never.example", link_of("http://never.example/").id], name="list")))
    assert (Path(path).read_bytes(), Path(path + JOURNAL).read_bytes()) == before


def test_after_a_purge_a_crawl_goes_on_and_fetches_nothing_again(tmp_path: Path) -> None:
    crawl = Crawl(tmp_path)
    with FixtureWeb() as web:
        urls = [*web.good_urls()[:12], web.url(1, "/bad/404")]
        first = crawl(urls)
        assert list(first.values()).count("page") == 12
        asked = len(web.log.requests)
        gone, rest = urls[3], [url for url in urls if url != urls[3]]
        cleaned = purged(str(tmp_path), exclusions([link_of(gone).id], name="list"), allow_private=LOOPBACK)
        assert cleaned.pages == 1
        assert cleaned.exchanges in (1, 3)  # with robots.txt and tdmrep.json, if it was the first of its host
        assert not [path for path in crawl.archives() if gone in targets(str(path))]
        assert gone.encode() not in b"".join(path.read_bytes() for path in (tmp_path / "pages" / "live").glob("*.journal"))
        assert crawl(rest) == {url: outcome for url, outcome in first.items() if url != gone}
        assert len(web.log.requests) == asked
    for row in crawl.pages():  # where the places have moved to
        record = stored_record(row["archive"], offset=row["offset"], length=row["length"])
        assert hashlib.sha256(record).hexdigest() == row["digest"]
