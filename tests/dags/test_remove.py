"""Documents go on request, and everything else stays as it was: at once, after a kill, and in the next build."""

import contextlib
import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pytest
from runs import arguments, built, corpus, differences, ledger, product, rows, temporaries, unconserved, webtext
from small_web import Files, Web

from dags.__main__ import main
from dags.remove import matches
from pipeline import storage
from pipeline.exclude import exclusions
from pipeline.link_rules import entry_against, link_id
from pipeline.shards import write_arrow
from pipeline.url import canonical

FIRST = link_id("first3.example/")  # stands for two more: copy3 and near3
FOLDED = {link_id("copy3.example/"), link_id("near3.example/")}


@pytest.fixture(autouse=True)
def quick_report(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A report takes seconds to draw and holds times; one test has a real one."""
    if "real_report" not in request.fixturenames:
        monkeypatch.setattr("dags.remove.write_report", lambda root: storage.write_text(f"{root}/corpus/report.html", "a report"))


@pytest.fixture
def real_report() -> None: ...


def removed(root: Path, *words: str) -> int:
    return main(["remove", "--corpus", str(root), *words])


def whole_again(root: Path, capsys: pytest.CaptureFixture[str]) -> bool:
    capsys.readouterr()
    status = main(["verify", str(root)])
    return status == 0 and "whole. " in capsys.readouterr().out


def shard_bytes(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "corpus" / "data").iterdir())}


def ids_of_validation(root: Path) -> list[str]:
    return [row["id"] for path in sorted((root / "corpus" / "data").glob("validation-*")) for row in rows(path)]


def shard_of(root: Path, id_: str) -> str:
    return next(path.name for path in (root / "corpus" / "data").iterdir() if any(row["id"] == id_ for row in rows(path)))


def test_one_page_goes_and_only_its_shard_changes(root: Path, web: Web, capsys: pytest.CaptureFixture[str]) -> None:
    touched, before, documents = shard_of(root, FIRST), shard_bytes(root), corpus(root)
    assert removed(root, "--url", "https://first3.example/?utm_source=mail#top") == 0
    said = capsys.readouterr().out
    assert "removed     1 document from 1 shard of" in said
    assert "http://www.first3.example/" in said
    after = shard_bytes(root)
    assert {name for name in before if after[name] != before[name]} == {touched}
    assert corpus(root) == [row for row in documents if row["id"] != FIRST]
    (row,) = [row for row in ledger(root) if row["stage"] == "corpus"]
    assert (row["reason"], row["key"], row["url"]) == ("REMOVED_ON_REQUEST", "first3.example/", "http://www.first3.example/")
    manifest = json.loads((root / "corpus" / "manifest.json").read_text())
    last = manifest["stages"][-1]
    assert (last["in"], last["kept"], last["dropped"]) == (244, 243, {"REMOVED_ON_REQUEST": 1})
    assert "REMOVED_ON_REQUEST 1" in (root / "corpus" / "README.md").read_text()
    assert whole_again(root, capsys)
    planned = {f"the keeper {FIRST} is not in the corpus"}  # it is the one that was removed
    assert {breach for breach in unconserved(root, web) if "corpus" not in breach or FIRST in breach} >= planned


def test_what_is_removed_is_remembered_with_what_was_folded_into_it(root: Path) -> None:
    assert removed(root, "--id", FIRST) == 0
    excluded = exclusions((root / "exclude.txt").read_text().splitlines(), name="exclude.txt")
    assert set(excluded.ids) == {FIRST, *FOLDED}
    recorded = hashlib.sha256((root / "exclude.txt").read_bytes()).hexdigest()
    assert json.loads((root / "config.json").read_text())["removed"] == recorded
    assert json.loads((root / "corpus" / "manifest.json").read_text())["config"]["removed"] == recorded


def test_a_domain_goes_with_its_subdomains_from_every_shard(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = [row for row in corpus(root) if row["domain"] in ("site1.example", "site11.example")]
    gone = {row["id"] for row in there if row["domain"] == "site1.example"}
    assert len(gone) > 3
    assert len(gone) < len(there)
    assert removed(root, "--domain", "WWW.Site1.example", "--domain", "copy0.example") == 0
    left = {row["id"] for row in corpus(root)}
    assert not gone & left
    assert {row["id"] for row in there} - gone <= left
    said = capsys.readouterr().out
    assert "http://www.copy0.example/ is much the same as http://www.first0.example/" in said  # which stays, and is said
    assert link_id("first0.example/") in left
    lines = (root / "exclude.txt").read_text().splitlines()
    assert sum(not line.startswith("#") for line in lines) == 2  # no line for each document of a domain
    assert whole_again(root, capsys)


def test_a_page_behind_a_redirect_goes_by_the_url_it_lay_under(root: Path) -> None:
    short = {link_id(f"short.example/{n}") for n in range(4)}
    assert short <= {row["id"] for row in corpus(root)}
    assert removed(root, "--url", "http://long.example/moved-2") == 0
    assert {row["id"] for row in corpus(root)} & short == short - {link_id("short.example/2")}
    assert removed(root, "--domain", "long.example") == 0
    assert not {row["id"] for row in corpus(root)} & short


def test_removals_add_up(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [row["id"] for row in corpus(root)]
    for n, id_ in enumerate(ids[:6]):  # some of them from the same shard
        assert removed(root, "--id", id_) == 0
        assert len([row for row in ledger(root) if row["stage"] == "corpus"]) == n + 1
    assert removed(root, *(word for id_ in ids[6:30] for word in ("--id", id_))) == 0
    assert [row["id"] for row in corpus(root)] == ids[30:]
    assert whole_again(root, capsys)
    manifest = json.loads((root / "corpus" / "manifest.json").read_text())
    assert manifest["stages"][-1]["dropped"] == {"REMOVED_ON_REQUEST": 30}


def test_one_removal_of_many_and_many_of_one_leave_the_same_rows(whole: tuple[Files, Path], tmp_path: Path) -> None:
    ids = [row["id"] for row in corpus(whole[1])][40:50]
    for name, groups in (("one", [ids]), ("many", [[id_] for id_ in reversed(ids)])):
        shutil.copytree(whole[1], tmp_path / name)
        for group in groups:
            assert removed(tmp_path / name, *(word for id_ in group for word in ("--id", id_))) == 0
    assert corpus(tmp_path / "one") == corpus(tmp_path / "many")
    assert sorted(map(str, ledger(tmp_path / "one"))) == sorted(map(str, ledger(tmp_path / "many")))


def test_an_emptied_validation_split_takes_the_first_train_document(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = corpus(root)
    validation = set(ids_of_validation(root))
    first = min(row["id"] for row in documents if row["id"] not in validation)
    assert removed(root, *(word for id_ in sorted(validation) for word in ("--id", id_))) == 0
    assert ids_of_validation(root) == [first]
    assert sorted(row["id"] for row in corpus(root)) == sorted(row["id"] for row in documents if row["id"] not in validation)
    assert whole_again(root, capsys)


def test_everything_can_be_removed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [row["id"] for row in corpus(root)]
    assert removed(root, *(word for id_ in ids for word in ("--id", id_))) == 0
    assert corpus(root) == []
    assert whole_again(root, capsys)
    assert main(["inspect", str(root)]) == 0
    assert "0 documents" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("domain", "gone"),
    [
        ("example.com", {"www.example.com", "a.b.example.com", "news.example.com"}),
        ("news.example.com", {"news.example.com"}),
        ("blogspot.com", {"blogspot.com", "me.blogspot.com", "you.blogspot.com"}), ("me.blogspot.com", {"me.blogspot.com"}),
        ("example.co.uk", {"www.example.co.uk"}),
    ],
)  # fmt: skip
def test_a_domain_covers_what_the_removal_list_covers(tmp_path: Path, domain: str, gone: set[str]) -> None:
    hosts = [
        "www.example.com", "a.b.example.com", "news.example.com", "notexample.com", "blogspot.com", "me.blogspot.com",
        "you.blogspot.com", "www.example.co.uk",
    ]  # fmt: skip
    pages = {host: canonical(f"http://{host}/") for host in hosts}
    rows = [{"id": link_id(page.key), "url": page.fetch_url, "domain": page.domain} for page in pages.values()]
    write_arrow(f"{tmp_path}/corpus/data/train-0.arrow", (table := pa.Table.from_pylist(rows)).schema, table.to_batches())
    manifest = {"shards": [{"path": "data/train-0.arrow"}], "ledger": [], "config": {}}
    request = exclusions([domain], name="request")
    found = matches(request, root=str(tmp_path), manifest=manifest)
    assert set(found.urls.values()) == {pages[host].fetch_url for host in gone}
    assert set(found.urls) == {link_id(page.key) for page in pages.values() if entry_against(page.key, excluded=request)}


# ---- stopped at any moment ----


class Killed(BaseException):
    """Nothing runs behind it but the test."""


@contextlib.contextmanager
def killed_before_change(number: int, patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every change of a file is one moment; before this one, the process is gone."""
    changes: list[str] = []
    publish, remove = storage.publish, storage.remove

    def moment(path: str) -> None:
        if len(changes) == number:
            raise Killed
        changes.append(path)

    @contextlib.contextmanager
    def publish_or_die(path: str) -> Iterator[BinaryIO]:
        moment(path)
        with publish(path) as file:
            yield file

    def remove_or_die(paths: Any) -> None:
        for path in paths:
            if Path(path).exists():
                moment(path)
                remove([path])

    with patch.context() as patched:
        patched.setattr(storage, "publish", publish_or_die)
        patched.setattr(storage, "remove", remove_or_die)
        yield changes


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 11])
def test_killed_at_any_moment_the_same_command_ends_it(
    whole: tuple[Files, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], every: int
) -> None:
    some = [*ids_of_validation(whole[1]), FIRST, *(row["id"] for row in corpus(whole[1])[60:63])]
    words = ["--domain", "site4.example", *(word for id_ in some for word in ("--id", id_)), "--purge"]
    undisturbed = Path(shutil.copytree(whole[1], tmp_path / "undisturbed"))
    with killed_before_change(-1, monkeypatch) as changes:
        assert removed(undisturbed, *words) == 0
    assert len(changes) > 40
    torn = 0
    for number in range(1, len(changes), every):
        root = Path(shutil.copytree(whole[1], tmp_path / "root"))
        with killed_before_change(number, monkeypatch), pytest.raises(Killed):
            removed(root, *words)
        if (root / "corpus" / "manifest.json").exists():  # then it speaks the truth
            assert whole_again(root, capsys), changes[number]
        else:
            torn += 1
            assert main(["inspect", str(root)]) == 1
            assert "a removal was stopped here" in capsys.readouterr().err
        assert removed(root, *words) == 0, changes[number]
        assert differences(root, undisturbed) == [], changes[number]
        assert work(root) == work(undisturbed), changes[number]
        shutil.rmtree(root)
    assert torn


def work(root: Path) -> dict[str, str]:
    """Every other file, by its hash."""
    paths = [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.slow
def test_a_build_after_a_removal_that_was_stopped_leaves_it_out(
    whole: tuple[Files, Path], root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with killed_before_change(2, monkeypatch), pytest.raises(Killed):
        removed(root, "--id", FIRST)
    assert not (root / "exclude.txt").exists()
    assert not (root / "corpus" / "manifest.json").exists()
    built(*arguments(whole[0], root))
    assert FIRST not in {row["id"] for row in corpus(root)}
    assert not (root / "removal.json").exists()
    assert whole_again(root, capsys)


def test_a_corpus_that_changed_since_a_removal_was_stopped_is_left_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with killed_before_change(5, monkeypatch), pytest.raises(Killed):
        removed(root, "--id", FIRST)
    file = next((root / "ledger").glob("links-*"))
    file.write_bytes(file.read_bytes()[:-1])
    assert removed(root, "--id", FIRST) == 1
    assert f"{file}: changed after a removal was stopped here" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("shim", ["die-in-a-shard", "die-in-the-card", "die-in-the-manifest", "die-in-a-removal"])
def test_a_real_kill_in_the_middle_of_a_write_does_no_harm(
    whole: tuple[Files, Path], tmp_path: Path, shim: str, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed, root = (Path(shutil.copytree(whole[1], tmp_path / name)) for name in ("undisturbed", "root"))
    words = ("--domain", "site4.example")
    assert removed(undisturbed, *words) == 0
    assert webtext("remove", "--corpus", str(root), *words, shim=shim).returncode == -9
    built("remove", "--corpus", str(root), *words)
    assert differences(root, undisturbed) == []
    assert temporaries(root) == []
    assert whole_again(root, capsys)


# ---- the next build ----


@pytest.mark.slow
@pytest.mark.parametrize("purge", [[], ["--purge"]], ids=["", "purged"])
def test_a_rebuild_neither_brings_the_text_back_nor_keeps_a_duplicate_instead(
    whole: tuple[Files, Path], root: Path, purge: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = whole[0]
    assert removed(root, "--id", FIRST, "--domain", "site5.example", "--domain", "long.example", *purge) == 0
    left = corpus(root)
    built(*arguments(files, root))
    assert sorted(corpus(root), key=lambda row: row["id"]) == sorted(left, key=lambda row: row["id"])
    assert whole_again(root, capsys)
    excluded = [row for row in ledger(root) if row["reason"] == "EXCLUDED"]
    assert {link_id(row["key"]) for row in excluded} >= {FIRST, *FOLDED}
    # The same command in an empty directory, with the list that this one keeps, gives the same rows.
    built(*arguments(files, tmp_path / "fresh"), "--exclude", str(root / "exclude.txt"))
    assert corpus(tmp_path / "fresh") == corpus(root)
    assert sorted(map(str, ledger(tmp_path / "fresh"))) == sorted(map(str, ledger(root)))


def test_purge_leaves_no_row_of_it_in_any_work_folder(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = {FIRST, *FOLDED, *(row["id"] for row in corpus(root) if row["domain"] == "site5.example")}
    archives = {path: path.read_bytes() for path in (root.parent / "web").rglob("*.warc.gz")}

    def holding() -> list[str]:
        paths = [path for folder in ("links", "pages", "documents", "duplicates") for path in (root / folder).glob("*.arrow")]
        wanted = [path for path in paths if not path.name.startswith(("index-", "archive-", "list-", "sizes-"))]
        return [path.name for path in wanted for row in rows(path) if {row.get("id"), row.get("kept")} & gone]

    assert removed(root, "--id", FIRST, "--domain", "site5.example") == 0
    assert len(holding()) > len(gone)
    capsys.readouterr()
    assert removed(root, "--purge") == 0
    assert "documents" in capsys.readouterr().out
    assert holding() == []
    assert whole_again(root, capsys)
    assert all(path.read_bytes() == data for path, data in archives.items())
    assert removed(root, "--purge") == 0
    assert "purged      nothing" in capsys.readouterr().out


# ---- what is not there, and what is no request ----


def test_the_same_request_again_is_served_already(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert removed(root, "--id", FIRST) == 0
    before = product(root)
    assert removed(root, "--id", FIRST) == 0
    assert "removed     nothing more" in capsys.readouterr().out
    assert product(root) == before


@pytest.mark.parametrize("words", [["--url", "http://never.example/"], ["--domain", "never.example"], ["--id", "0" * 32]])
def test_what_was_never_in_the_corpus_is_exit_1_and_changes_nothing(
    root: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = product(root)
    assert removed(root, *words) == 1
    said = capsys.readouterr()
    assert "no document of" in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert product(root) == before
    assert not (root / "exclude.txt").exists()


@pytest.mark.parametrize(
    "words",
    [
        [], ["--domain", "com"], ["--domain", "http://site1.example/a"], ["--id", "xyz"], ["--url", "not a url"], ["--url", "ftp://a.com/"],
        ["--domain", ""], ["--what", "x"],
    ],
)  # fmt: skip
def test_a_request_that_names_nothing_is_wrong_use(root: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        removed(root, *words)
    assert stopped.value.code == 2
    assert "webtext remove: error: " in capsys.readouterr().err


def test_a_directory_in_use_is_left_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open(root / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert removed(root, "--id", FIRST) == 1
    assert "is in use by another process" in capsys.readouterr().err


def test_a_damaged_shard_ends_in_one_sentence_and_is_not_written_over(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "corpus" / "data" / shard_of(root, FIRST)
    path.write_bytes(path.read_bytes()[:-400])
    assert removed(root, "--id", FIRST) == 1
    assert f"{path}: is not a whole Arrow IPC file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["corpus/data", "config.json"])
def test_what_is_not_as_the_manifest_says_is_found_before_anything_is_touched(
    root: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / name if name == "config.json" else root / name / shard_of(root, FIRST)
    data = bytearray(path.read_bytes())
    place = data.index(b'"recipe"') + 14 if name != "config.json" else 0  # a letter of a shard's metadata
    data[place] ^= 1
    path.write_bytes(data)
    before = work(root)
    assert removed(root, "--id", FIRST) == 1
    said = capsys.readouterr().err
    assert str(path) in said
    assert said.count("\n") == 1
    assert work(root) == before


def test_of_several_requests_those_that_name_nothing_are_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert removed(root, "--domain", "never.example", "--id", "0" * 32, "--url", "http://first3.example/") == 0
    said = capsys.readouterr().out
    missing = said[said.index("not found") : said.index("remembered")].split()[-2:]
    assert missing == ["0" * 32, "never.example"]
    listed = exclusions((root / "exclude.txt").read_text().splitlines(), name="exclude.txt")
    assert listed.domains == ("never.example",)
    assert "0" * 32 in listed.ids


def test_a_list_that_someone_spoilt_is_named_with_its_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "exclude.txt").write_text("site1.example\nwhat is this\n")
    assert removed(root, "--id", FIRST) == 1
    assert "exclude.txt, line 2" in capsys.readouterr().err


def test_what_still_holds_the_text_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("tokens", "vocab", "model"):
        (root / name / "inside").mkdir(parents=True)
        (root / name / "inside" / "file").touch()
    assert removed(root, "--id", FIRST) == 0
    said = capsys.readouterr().out
    assert all(f"webtext {name} --corpus {root}" in said for name in ("tokens", "vocab"))
    assert "only training it anew" in said
    assert "--archive: they are yours" in said


@pytest.mark.usefixtures("real_report")
def test_the_report_is_drawn_anew_without_the_document(root: Path) -> None:
    report = root / "corpus" / "report.html"
    main(["inspect", str(root), "--html"])
    assert "http://www.first3.example/" in report.read_text()
    assert removed(root, "--domain", "first3.example") == 0
    assert "REMOVED_ON_REQUEST" in report.read_text()


def test_a_folder_with_brackets_is_no_glob(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beside, bracketed = Path(shutil.copytree(root, tmp_path / "x1")), Path(shutil.copytree(root, tmp_path / "x[1]"))
    before = {path: path.read_bytes() for path in beside.rglob("*") if path.is_file()}
    assert removed(bracketed, "--url", "http://www.first3.example/", "--purge") == 0
    assert whole_again(bracketed, capsys)
    assert {path: path.read_bytes() for path in beside.rglob("*") if path.is_file()} == before
    held = [row["id"] for path in (bracketed / "documents").glob("documents-*") for row in rows(path)]
    assert held
    assert FIRST not in held


@pytest.mark.parametrize(
    "harm",
    ["", "[]", '{"manifest": {}, "removals": "", "rewrites": []}',
     '{"manifest": {"stages": [], "shards": [], "ledger": [], "config": {}}, "removals": "", "rewrites": []}'],
)  # fmt: skip
def test_a_damaged_plan_is_one_sentence(root: Path, harm: str, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "corpus" / "manifest.json").unlink()
    (root / "removal.json").write_text(harm)
    assert removed(root, "--url", "http://www.first3.example/") == 1
    assert "is not the plan written there" in capsys.readouterr().err
    assert not (root / "exclude.txt").exists()
