"""The archive of a crawl: written, cut off anywhere, repaired, full disks."""

import os
import resource
import shutil
import threading
import time
from pathlib import Path

import pytest
from crawling import link_of

from pipeline.archive import records
from pipeline.fetch.journal import CLOSED, JOURNAL, OPEN, Journal, entries_in
from pipeline.fetch.segments import Segments, Verdict, repair
from pipeline.fetch.transport import Exchange
from pipeline.schema import PipelineError

LINKS = [link_of(f"http://site{n}.example/page") for n in range(6)]
PAGE = Verdict("", "", "http://final.example/", page=True)
FAILED = Verdict("HTTP_STATUS", "status=404", "http://final.example/", page=False)


def exchange(url: str, body: bytes = b"<p>a page</p>") -> Exchange:
    return Exchange(
        url=url, request=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        response=b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
        status=200, headers=[], body=body, cut=False, started=1_700_000_000.25, latency_s=0.1, address="192.0.2.1", listed=False,
        fault=None, refused=False,
    )  # fmt: skip


def segments(folder: Path, *, max_exchanges: int = 1000) -> Segments:
    return Segments(str(folder), shard=3, max_exchanges=max_exchanges, about={"operator": "test"})


def written(folder: Path, **options: int) -> tuple[Segments, list]:
    archive = segments(folder, **options)
    entries = []
    for number, link in enumerate(LINKS):
        robots = [exchange("http://site.example/robots.txt")] if number % 2 else []
        verdict = FAILED if number == 4 else PAGE
        entries.append(archive.append(link, [*robots, exchange(link.url, b"<p>%d</p>" % number)], verdict))
    return archive, entries


def test_what_is_appended_is_found_again(tmp_path):
    archive, entries = written(tmp_path)
    assert list(tmp_path.glob("*.warc.gz")) == []  # nothing is visible before it is immutable
    archive.close()
    journal = Journal(str(tmp_path))
    journal.refresh()
    assert journal.find(link.id for link in LINKS) == {entry.id: entry for entry in entries}
    [path] = tmp_path.glob("*.warc.gz")
    kinds = [record.headers["warc-type"] for record in records(str(path))]
    assert kinds[:4] == ["warcinfo", "response", "request", "metadata"]
    places = {(record.offset, record.length, record.digest) for record in records(str(path))}
    assert {(entry.offset, entry.length, entry.digest) for entry in entries if not entry.reason} < places


def test_segments_end_at_their_number_of_exchanges(tmp_path):
    archive, entries = written(tmp_path, max_exchanges=3)
    archive.close()
    assert len(list(tmp_path.glob("*.warc.gz"))) == 3
    journal = Journal(str(tmp_path))
    journal.refresh()
    assert journal.find(link.id for link in LINKS) == {entry.id: entry for entry in entries}


def test_a_segment_cut_anywhere_keeps_every_whole_outcome(tmp_path):
    live = tmp_path / "live"
    archive, entries = written(live)
    [whole] = live.glob("*" + OPEN)
    journal = whole.with_name(whole.name.removesuffix(OPEN) + JOURNAL)
    data, lines = whole.read_bytes(), journal.read_bytes()
    ends = [record.offset + record.length for record in records(str(whole)) if record.headers["warc-type"] == "metadata"]
    for cut in sorted({0, 1, 40, *range(0, len(data), 397), *ends, *(end - 1 for end in ends)}):
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        (folder / whole.name).write_bytes(data[:cut])
        (folder / journal.name).write_bytes(lines[: cut // 3])  # a journal may be behind
        closed = repair(str(folder))
        found = Journal(str(folder))
        found.refresh()
        kept = [entry for entry, end in zip(entries, ends, strict=True) if end <= cut]
        assert found.find(link.id for link in LINKS) == {entry.id: entry for entry in kept}
        assert len(closed) == bool(kept)
        assert all(not record.damage for name in closed for record in records(str(folder / name)))
        assert not list(folder.glob("*" + OPEN))
        shutil.rmtree(folder)
    archive.close()


def test_a_journal_cut_short_is_made_again(tmp_path):
    archive, entries = written(tmp_path)
    archive.close()
    [journal] = tmp_path.glob("*" + JOURNAL)
    assert journal.read_bytes().endswith(CLOSED)
    journal.write_bytes(journal.read_bytes()[:-30])
    found = Journal(str(tmp_path))
    found.refresh()
    assert found.find([entries[5].id]) == {entries[5].id: entries[5]}
    assert journal.read_bytes().endswith(CLOSED)


def test_the_newest_outcome_counts(tmp_path):
    for verdict in (FAILED, PAGE):
        archive = segments(tmp_path)
        archive.append(LINKS[0], [exchange(LINKS[0].url)], verdict)
        archive.close()
        time.sleep(0.002)  # names tell the time to the millisecond
    journal = Journal(str(tmp_path))
    journal.refresh()
    assert journal.find([LINKS[0].id])[LINKS[0].id].reason == ""
    assert Journal(str(tmp_path)).find([LINKS[0].id], and_of_shard=3)[LINKS[0].id].reason == ""
    assert Journal(str(tmp_path)).find([LINKS[0].id], and_of_shard=4) == {}


def test_a_segment_that_is_being_written_is_left_alone(tmp_path):
    archive, entries = written(tmp_path)
    assert repair(str(tmp_path)) == []
    more = archive.append(link_of("http://late.example/"), [], Verdict("ROBOTS_DISALLOWED", "", "", page=False))
    archive.close()
    journal = Journal(str(tmp_path))
    journal.refresh()
    assert journal.find([entries[0].id, more.id]) == {entries[0].id: entries[0], more.id: more}


def test_a_full_disk_is_said_plainly_and_leaves_a_whole_segment(tmp_path):
    archive, entries = written(tmp_path)
    [path] = tmp_path.glob("*" + OPEN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 500, limits[1]))
    try:
        with pytest.raises(PipelineError, match=r"cannot write .*warc\.gz: .*run the same command again"):
            archive.append(link_of("http://big.example/"), [exchange("http://big.example/", os.urandom(5000))], PAGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    more = archive.append(link_of("http://small.example/"), [exchange("http://small.example/")], PAGE)
    archive.close()
    [closed] = tmp_path.glob("*.warc.gz")
    assert all(not record.damage for record in records(str(closed)))
    assert [entry.id for entry in entries_in(str(closed), archive=closed.name)[0]] == [*(e.id for e in entries), more.id]


def test_many_threads_write_one_archive(tmp_path):
    archive = segments(tmp_path, max_exchanges=7)
    links = [link_of(f"http://site{n}.example/") for n in range(80)]

    def append(part: list) -> None:
        for link in part:
            archive.append(link, [exchange(link.url)], PAGE)

    threads = [threading.Thread(target=append, args=(links[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    archive.close()
    journal = Journal(str(tmp_path))
    journal.refresh()
    assert len(journal.find(link.id for link in links)) == 80
    assert len(list(tmp_path.glob("*.warc.gz"))) == 12
