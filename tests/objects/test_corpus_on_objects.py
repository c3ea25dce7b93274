"""The installed command with every path on an object store: the bytes of a local run, after a kill too."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dags.__main__ import main
from pipeline import storage

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
WEBTEXT = Path(sys.executable).parent / "webtext"
TIMEOUT_S = 300
# They say how long things took; the rest of ROOT is the same to the byte.
OF_A_RUN = ("run.json", "report.html", ".journal", ".lock")


def webtext(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(WEBTEXT), *words], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def sample(output: str, folder: str = str(EXAMPLES)) -> list[str]:
    """The words of a command that builds the sample corpus."""
    inputs = ["--submissions", f"{folder}/submissions.ndjson.*", "--archive", f"{folder}/pages.warc.gz"]
    return ["corpus", *inputs, "--output", output, "--quiet", "--workers", "2"]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample corpus on the local disk."""
    root = tmp_path_factory.mktemp("local") / "root"
    webtext(*sample(str(root)))
    return root


def uploaded(bucket: str) -> str:
    """The sample's inputs in a bucket."""
    for name in ("submissions.ndjson.zst", "pages.warc.gz"):
        with storage.publish(f"{bucket}/in/{name}") as file:
            file.write((EXAMPLES / name).read_bytes())
    return f"{bucket}/in"


def contents(root: str) -> dict[str, str]:
    if storage.is_local(root):
        paths = [str(path) for path in Path(root).rglob("*") if path.is_file()]
    else:
        paths = storage.matching(f"{root}/**")
    found = {path[len(root) + 1 :]: path for path in paths}
    return {name: storage.sha256_of(path) for name, path in found.items() if not os.path.basename(name).startswith(OF_A_RUN)}


@pytest.mark.slow
def test_a_corpus_built_from_and_into_a_bucket_is_that_of_a_local_run(bucket: str, local: Path) -> None:
    root = f"{bucket}/data/sample"
    webtext(*sample(root))
    assert contents(root) == contents(str(local))
    before = contents(root)
    assert "49 documents and 65 ledger files" in webtext("verify", root).stdout
    assert webtext("inspect", root).stdout.startswith(f"{root}: 49 documents")
    url = "http://valley-herald.test/news/2016/clockmaker.html"
    assert webtext("why", url, "--corpus", f"{root}/corpus").stdout == webtext("why", url, "--corpus", str(local)).stdout
    webtext(*sample(root))
    assert contents(root) == before
    storage.write_text(f"{root}/ledger/links-00000.arrow", "damaged")
    assert "ledger/links-00000.arrow: has 7 bytes" in webtext("verify", root, status=1).stderr
    webtext(*sample(root))
    assert contents(root) == before


@pytest.mark.slow
def test_inputs_in_a_bucket_give_the_same_corpus(s3_bucket: str, local: Path, tmp_path: Path) -> None:
    webtext(*sample(str(tmp_path / "root"), uploaded(s3_bucket)))
    data, expected = contents(str(tmp_path / "root" / "corpus" / "data")), contents(str(local / "corpus" / "data"))
    assert data == expected
    assert contents(str(tmp_path / "root" / "ledger")) == contents(str(local / "ledger"))
    assert "whole" in webtext("verify", str(tmp_path / "root")).stdout


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_bytes(s3_bucket: str, local: Path) -> None:
    root, whole = f"{s3_bucket}/killed", contents(str(local))
    for share in (0.2, 0.5, 0.8):
        process = subprocess.Popen([str(WEBTEXT), *sample(root)], stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and len(storage.matching(f"{root}/**")) < share * len(whole):
            time.sleep(0.05)
        assert process.poll() is None, "it had ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert storage.exists(f"{root}/.lock")
        assert not storage.exists(f"{root}/corpus/manifest.json")
        left = contents(root)
        assert left.items() <= whole.items()  # every object that is there is whole
    webtext(*sample(root))
    assert contents(root) == whole
    assert not storage.exists(f"{root}/.lock")


@pytest.mark.slow
def test_vocabulary_tokens_and_dedup_in_a_bucket_are_those_of_local_runs(s3_bucket: str, local: Path) -> None:
    outputs = {}
    for where in (str(local.parent), s3_bucket):
        webtext("vocab", "--corpus", str(local), "--size", "600", "--output", f"{where}/vocab", "--quiet")
        webtext("tokens", "--corpus", str(local), "--vocab", f"{where}/vocab", "--output", f"{where}/tokens", "--quiet")
        data = f"{local}/corpus/data/*.arrow"
        webtext("dedup", "--input", data, "--output", f"{where}/dedup", "--dedup", "loose", "--quiet")
        outputs[where] = [contents(f"{where}/{name}") for name in ("vocab", "tokens", "dedup")]
    one, other = outputs.values()
    assert one == other
    assert [len(part) > 1 for part in one] == [True] * 3


# ---- what a person can mend, before any work ----


def failure(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said.err
    return lines[0]


NO_BUCKET = "s3://webtext-no-such-bucket: there is no such bucket. Make it, or mend the name."
DUMP, WARC = str(EXAMPLES / "submissions.ndjson.zst"), str(EXAMPLES / "pages.warc.gz")


@pytest.mark.parametrize(
    "words",
    [
        ["corpus", "--submissions", DUMP, "--archive", WARC, "--output", "s3://webtext-no-such-bucket/root"],
        ["corpus", "--submissions", "s3://webtext-no-such-bucket/*.zst", "--archive", WARC, "--output", "ROOT"],
        ["corpus", "--submissions", DUMP, "--archive", "s3://webtext-no-such-bucket/*.gz", "--output", "ROOT"],
        ["corpus", "--submissions", DUMP, "--archive", WARC, "--output", "ROOT", "--exclude", "s3://webtext-no-such-bucket/x"],
        ["corpus", "--submissions", DUMP, "--archive", WARC, "--output", "ROOT", "--against", "s3://webtext-no-such-bucket/x"],
        ["dedup", "--input", "s3://webtext-no-such-bucket/*.arrow", "--output", "ROOT"],
        ["inspect", "s3://webtext-no-such-bucket/root"],
        ["verify", "s3://webtext-no-such-bucket/root"],
        ["why", "http://a.example/", "--corpus", "s3://webtext-no-such-bucket/root"],
        ["vocab", "--corpus", "s3://webtext-no-such-bucket/root"],
        ["tokens", "--corpus", "s3://webtext-no-such-bucket/root"],
    ],
)
def test_a_bucket_that_is_not_there_is_said_before_any_work(
    words: list[str], s3_environment: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    said = failure(capsys, *(str(root) if word == "ROOT" else word for word in words))
    assert said == f"webtext {words[0]}: {NO_BUCKET}"
    assert not root.exists()


def test_credentials_that_are_not_there_are_said_before_any_work(
    s3_environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    said = failure(capsys, "corpus", "--submissions", DUMP, "--archive", WARC, "--output", "s3://bucket/root")
    assert said.startswith("webtext corpus: no AWS credentials for s3://bucket. Set AWS_ACCESS_KEY_ID and")


def test_a_bucket_one_may_not_write_to_is_said_before_any_work(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from botocore.exceptions import ClientError

    from pipeline.objects import s3

    whole = s3.client_of

    class ReadOnly:
        """The client of a person whose policy allows no PutObject: the emulator knows no policies."""

        def __init__(self, client: object) -> None:
            self._client = client

        def __getattr__(self, name: str) -> object:
            return getattr(self._client, name)

        def put_object(self, **_named: object) -> None:
            answer = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise ClientError(answer, "PutObject")

    monkeypatch.setattr(s3, "client_of", lambda options: ReadOnly(whole(options)))
    said = failure(capsys, "corpus", "--submissions", DUMP, "--archive", WARC, "--output", f"{s3_bucket}/root")
    assert said == f"webtext corpus: {s3_bucket}/root/.lock: these AWS credentials may not write there (AccessDenied)."
    assert storage.matching(f"{s3_bucket}/**") == []


# ---- a live crawl ----


@pytest.mark.slow
def test_a_crawl_that_is_killed_loses_at_most_its_open_segment(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = ROOT / "tests" / "pipeline" / "fetch"
    monkeypatch.syspath_prepend(str(fetch))
    from crawling import link_shard

    from examples.fixture_web import FixtureWeb
    from pipeline.fetch.journal import Journal
    from pipeline.shards import read_table, shard_at

    segment, settings = 20, '{"segment_exchanges": 20, "private_delay_s": 0.02}'
    root, live = f"{s3_bucket}/root", f"{s3_bucket}/root/pages/live"
    with FixtureWeb(addresses=4) as web:
        urls = [web.url(site, f"/page/{number}") for site in range(1, 5) for number in range(40)]
        links = link_shard(root, urls)  # type: ignore[arg-type]
        crawl = [sys.executable, str(fetch / "crawl_once.py"), root, links.path, settings]
        process = subprocess.Popen(crawl, stdout=subprocess.DEVNULL)
        while process.poll() is None and len(storage.matching(f"{live}/*.journal")) < 2:
            time.sleep(0.02)
        process.kill()
        process.wait()
        asked = sum(path.startswith("/page/") for path in web.log.paths())
        journal = Journal(live)
        journal.refresh()
        done = journal.find(row["id"] for row in read_table(links.path).to_pylist())
        assert 2 * segment - 8 <= len(done) < len(urls), "it was not killed in its middle"
        subprocess.run(crawl, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S, check=True)
        pages = shard_at(f"{root}/pages/pages-00000-of-00001.arrow")
        assert (pages.rows, pages.dropped) == (len(urls), 0)
        again = sum(path.startswith("/page/") for path in web.log.paths()) - len(urls)
        assert again == asked - len(done)
        assert 0 <= again <= segment + 4  # an exchange in hand a site
        for row in read_table(pages.path).to_pylist():
            with storage.open_read(row["archive"]) as file:
                stored = storage.read_range(file, offset=row["offset"], length=row["length"])
            assert hashlib.sha256(stored).hexdigest() == row["digest"]
