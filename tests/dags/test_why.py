"""Every line of the dump has a story, and it is the one that was planned."""

import json
from pathlib import Path

import pytest
from small_web import Files, Web

from dags.__main__ import main
from dags.finished_corpus import manifest_of
from dags.why import story


def told(url: str, root: Path) -> list[str]:
    return list(story(url, root=str(root), manifest=manifest_of(str(root))))


def test_every_submitted_url_is_told_as_it_was_planned(whole: tuple[Files, Path], web: Web) -> None:
    for line, fate in zip(web.lines, web.fates, strict=True):
        if fate.stage == "submissions":
            continue
        url = json.loads(line)["url"]
        if url is None:
            continue
        told_of = told(url, whole[1])
        wanted = "kept as" if fate.stage == "corpus" else f"{fate.reason}: "
        assert any(said.startswith(fate.stage) and wanted in said for said in told_of), (url[:80], fate, told_of)


def test_a_kept_page_names_its_shard_its_karma_and_its_duplicates(
    whole: tuple[Files, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "https://first3.example/?utm_medium=mail#top", "--corpus", str(whole[1])]) == 0
    said = capsys.readouterr().out
    assert "kept as " in said
    assert " in data/" in said
    assert "karma 900 from submission s1x" in said
    assert "with 2 duplicates folded into it" in said


def test_a_duplicate_names_the_document_that_is_kept(whole: tuple[Files, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "http://www.near3.example/", "--corpus", str(whole[1] / "corpus")]) == 0
    said = capsys.readouterr().out
    assert "NEAR_DUPLICATE: most of the text's phrases stand in a kept document (jaccard=0." in said
    assert "that document is kept: http://www.first3.example/" in said


def test_reposts_are_told_beside_the_page(whole: tuple[Files, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "http://site5.example/1/story-5.html", "--corpus", str(whole[1])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["links", "corpus"]
    assert "REPOST: another submission of the same page is kept (submission=s1x" in lines[0]


@pytest.mark.parametrize("url", ["http://www.never.example/", "", "not a url", "\udcff\udcfe", "http://[", "x" * 600_000])
def test_a_url_that_was_never_seen_is_exit_1(
    whole: tuple[Files, Path], capsys: pytest.CaptureFixture[str], url: str
) -> None:
    assert main(["why", url, "--corpus", str(whole[1])]) == 1
    said = capsys.readouterr()
    assert "was never seen" in said.err
    assert said.out == ""
