"""Every line of the dump has a story, and it is the one that was planned."""

import json
import re
import shutil
from pathlib import Path

import pytest
from runs import corpus, rows
from small_web import Files, Web

from dags.__main__ import main
from dags.finished_corpus import manifest_of
from dags.why import story


def told(url: str, root: Path) -> list[str]:
    return list(story(url, root=str(root), manifest=manifest_of(str(root))))


@pytest.mark.parametrize("each", [pytest.param(True, marks=pytest.mark.slow, id="each"), pytest.param(False, id="one-a-fate")])
def test_every_submitted_url_is_told_as_it_was_planned(whole: tuple[Files, Path], web: Web, each: bool) -> None:
    told_fates = set()
    for line, fate in zip(web.lines, web.fates, strict=True):
        if fate.stage == "submissions" or (fate[1:] in told_fates and not each):
            continue
        told_fates.add(fate[1:])
        url = json.loads(line)["url"]
        if url is None:
            continue
        told_of = told(url, whole[1])
        wanted = "kept as" if fate.stage == "corpus" else f"{fate.reason}: "
        assert any(said.startswith(fate.stage) and wanted in said for said in told_of), (url[:80], fate, told_of)
        assert ("is in the corpus." in told_of[0]) == any("kept as" in said for said in told_of)
    assert len(told_fates) > 30


def test_a_kept_page_names_its_shard_its_karma_and_its_duplicates(
    whole: tuple[Files, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "https://first3.example/?utm_medium=mail#top", "--corpus", str(whole[1])]) == 0
    said = capsys.readouterr().out
    assert "kept as " in said
    assert " in data/" in said
    assert "karma 900 from submission s1x" in said
    assert "with 2 duplicates folded into it" in said
    assert "folded into it: http://www.copy3.example/ (EXACT_DUPLICATE jaccard=1.00)" in said
    assert "folded into it: http://www.near3.example/ (NEAR_DUPLICATE jaccard=0." in said


def test_a_duplicate_names_the_document_that_is_kept(whole: tuple[Files, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "http://www.near3.example/", "--corpus", str(whole[1] / "corpus")]) == 0
    said = capsys.readouterr().out
    assert "NEAR_DUPLICATE: most of the text's phrases stand in a kept document (jaccard=0." in said
    assert "that document is kept: http://www.first3.example/" in said


def test_reposts_are_told_beside_the_page(whole: tuple[Files, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "http://site5.example/1/story-5.html", "--corpus", str(whole[1])]) == 0
    verdict, *lines = capsys.readouterr().out.splitlines()
    assert verdict.strip() == "http://site5.example/1/story-5.html is in the corpus."
    assert [line.split()[0] for line in lines] == ["links", "links", "pages", "documents", "corpus"]
    assert lines[0].split(maxsplit=1)[1].startswith("Submission s1x5 in r/r5, posted on 2013-09-24 21:")
    assert "REPOST: another submission of the same page is kept (submission=s1x" in lines[1]
    assert " behind a redirect" not in lines[2]
    assert "The page is as it was on 2014-03-" in lines[2]
    assert "trafilatura found " in lines[3]
    assert "titled 'Story 5'" in lines[3]


def test_a_row_lies_where_it_is_said_to_lie(whole: tuple[Files, Path]) -> None:
    for document in corpus(whole[1])[::40]:
        (said,) = [line for line in told(document["url"], whole[1]) if line.startswith("corpus")]
        path, row = re.search(r" in (data/\S+), row (\d+):", said).groups()  # type: ignore[union-attr]
        assert rows(whole[1] / "corpus" / path)[int(row)]["id"] == document["id"]


def test_a_redirect_is_told_from_both_ends(whole: tuple[Files, Path]) -> None:
    before = told("http://www.short.example/2", whole[1])
    assert any("behind a redirect to http://www.long.example/moved-2" in line for line in before)
    behind = told("http://www.long.example/moved-2", whole[1])
    assert behind[0].strip() == "No submission links to http://www.long.example/moved-2, but one links to a page that led there."
    assert behind[1:] == before


def test_without_work_folders_the_ledger_and_the_corpus_still_tell(root: Path) -> None:
    for folder in ("links", "pages", "documents", "duplicates"):
        shutil.rmtree(root / folder)
    assert [line.split()[0] for line in told("http://site5.example/1/story-5.html", root)[1:]] == ["links", "corpus"]
    assert told("http://www.near3.example/", root)[-1].endswith("that document is kept: http://www.first3.example/")


def test_a_removed_page_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["remove", "--corpus", str(root), "--url", "http://www.first3.example/"]) == 0
    assert main(["why", "http://www.first3.example/", "--corpus", str(root)]) == 0
    said = capsys.readouterr().out
    assert "is not in the corpus: its story ends in the stage corpus" in said
    assert "REMOVED_ON_REQUEST: the document was in the corpus" in said
    assert told("http://www.near3.example/", root)[-1].endswith("that document is not in this corpus")


@pytest.mark.parametrize("url", ["http://www.never.example/", "", "not a url", "\udcff\udcfe", "http://[", "x" * 600_000])
def test_a_url_that_was_never_seen_is_exit_1(
    whole: tuple[Files, Path], capsys: pytest.CaptureFixture[str], url: str
) -> None:
    assert main(["why", url, "--corpus", str(whole[1])]) == 1
    said = capsys.readouterr()
    assert "was never seen" in said.err
    assert said.out == ""
