"""The installed command on the fixture web, delays as for strangers: live, again, and replayed from its own archive."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset
import pytest
from crawling import ROOT

from examples.fixture_web import BAD, GOOD_PAGES, KINDS, FixtureWeb
from pipeline.archive import microseconds, records

pytestmark = pytest.mark.slow

GOOD_KINDS = ("open", "html", "huge", "bom", "forbidden", "moved", "lost")


def corpus(*arguments: str) -> str:
    command = [sys.executable, "-m", "dags", "corpus", "--allow-private", "127.0.0.0/8", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def documents(root: Path) -> dict[str, tuple]:
    rows = pyarrow.dataset.dataset(root / "corpus" / "data", format="arrow").to_table().to_pylist()
    return {row["url"]: (row["id"], row["text"], row["title"], row["karma"], row["cluster_size"]) for row in rows}


def ledger(root: Path) -> dict[str, str]:
    files = sorted(str(path) for path in (root / "ledger").glob("*.arrow"))
    rows = pyarrow.dataset.dataset(files, format="arrow").to_table().to_pylist()
    return {row["url"]: row["reason"] for row in rows}


def shortest_gap_s(root: Path) -> float:
    """Seconds between the beginnings of two requests to one host, by the dates in the archive."""
    begun: dict[str, list[int]] = {}
    for path in (root / "pages" / "live").glob("*.warc.gz"):
        for record in records(str(path)):
            if record.headers["warc-type"] == "request":
                host = record.headers["warc-target-uri"].split("/")[2]
                begun.setdefault(host, []).append(microseconds(record.headers["warc-date"]))
    gaps = [after - before for times in begun.values() for before, after in itertools.pairwise(sorted(times))]
    return min(gaps) / 1e6


def test_live_again_and_replayed(tmp_path):
    dump, live, replayed = tmp_path / "dump.ndjson", tmp_path / "live", tmp_path / "replayed"
    with FixtureWeb() as web:
        bad = [web.url(1, f"/bad/{name}") for name in BAD if name != "503-later"]
        secret = [web.url(site, "/secret/1") for site in web.sites("open")]
        dead = [f"http://127.0.0.1:1/{number}" for number in range(20)]
        urls = [*web.good_urls(), *bad, *secret, *dead]
        assert len(web.good_urls()) >= 300
        with open(dump, "w") as file:
            for number, url in enumerate(urls):
                post = {"id": f"a{number:04}", "url": url, "score": 5, "created_utc": 1_370_000_000 + number}
                more = {"subreddit": "test", "is_self": False, "over_18": False, "retrieved_on": 1_380_000_000}
                file.write(json.dumps({**post, **more}) + "\n")
        where = ("--submissions", str(dump), "--contact", "test@webtext.example")
        corpus(*where, "--output", str(live))

        assert not web.log.overlaps()
        for site in {entry["site"] for entry in web.log.requests}:
            begins = sorted(entry["begin"] for entry in web.log.requests if entry["site"] == site)
            assert begins[-1] - begins[0] >= 0.99 * (len(begins) - 1)  # a single gap may look shorter to a busy server
        assert shortest_gap_s(live) >= 1.0
        asked = {(entry["site"], entry["path"]) for entry in web.log.requests}
        allowed = {f"127.0.0.{site}" for kind in ("html", "forbidden", "lost") for site in web.sites(kind)}
        assert not [path for site, path in asked if path.startswith("/secret/") and site not in allowed]
        good = {web.url(site, f"/page/{n}") for kind in GOOD_KINDS for site in web.sites(kind) for n in range(GOOD_PAGES)}
        found, dropped = documents(live), ledger(live)
        assert good <= found.keys()
        assert found.keys() | dropped.keys() >= set(urls)
        chains = (f"chain-{step}" for step in range(6))  # one text, so one of them is kept
        fine = {web.url(1, f"/bad/{name}") for name in (*chains, "cookies", "wrong-charset", "to-html-site")}
        assert not found.keys() & (set(bad) - fine)
        kinds = {kind: {dropped[web.url(site, "/page/0")] for site in web.sites(kind)} for kind in set(KINDS) - set(GOOD_KINDS)}
        assert kinds == {
            "closed": {"ROBOTS_DISALLOWED"},
            "error": {"ROBOTS_UNREACHABLE"},
            "opt-out": {"TRAINING_OPT_OUT"},
            "signal": {"TRAINING_OPT_OUT"},
            "tdm": {"TRAINING_OPT_OUT"},
        }
        assert {dropped[url] for url in dead} == {"CONNECTION_REFUSED"}

        count = len(web.log.requests)
        corpus(*where, "--output", str(live))
        assert len(web.log.requests) == count  # nothing is deferred, so nothing is asked for
        assert documents(live) == found
    corpus("--submissions", str(dump), "--archive", str(live / "pages" / "live" / "*.warc.gz"), "--output", str(replayed))
    assert documents(replayed) == found
