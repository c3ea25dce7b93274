"""One changed byte anywhere in the product is found, and the file is named."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_web import Files

from dags.__main__ import main
from pipeline.link_rules import link_id


def verified(root: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status and what was said."""
    capsys.readouterr()
    status = main(["verify", str(root)])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return status, said.out + said.err


def change_byte(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x21
    path.write_bytes(data)


def changed_manifest(root: Path, change: Callable[[dict], object]) -> None:
    path = root / "corpus" / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def test_a_whole_corpus_is_said_to_be_whole(whole: tuple[Files, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for path in (whole[1], whole[1] / "corpus", f"{whole[1]}/"):
        status, said = verified(Path(path), capsys)
        assert status == 0
        assert "whole. " in said
        assert "in every stage records in = kept + dropped" in said


@pytest.mark.parametrize("pattern", ["corpus/data/train-*", "corpus/data/validation-*", "ledger/pages-*", "ledger/duplicates-*"])
def test_one_changed_byte_in_a_file_names_the_file(root: Path, capsys: pytest.CaptureFixture[str], pattern: str) -> None:
    chance = random.Random(pattern)
    path = chance.choice(sorted(root.glob(pattern)))
    whole = path.read_bytes()
    for place in (0, len(whole) - 1, *chance.sample(range(len(whole)), 6)):
        change_byte(path, place)
        status, said = verified(root, capsys)
        assert status == 1
        assert f"{path}: SHA-256 is " in said
        path.write_bytes(whole)
    assert verified(root, capsys)[0] == 0


def test_one_changed_byte_in_the_manifest_is_found_wherever_it_speaks_of_the_corpus(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not found: letters of a library's version or of an input that is gone, and white space between words."""
    path = root / "corpus" / "manifest.json"
    whole = path.read_bytes()
    end = whole.index(b'"versions"')
    inputs = range(whole.index(b'"inputs"'), whole.index(b'"ledger"'))
    places = [n for n in range(end) if whole[n : n + 1].isalnum() and n not in inputs]
    missed = []
    for place in random.Random(1).sample(places, 60):
        change_byte(path, place)
        if verified(root, capsys)[0] == 0:
            missed.append(whole[place - 30 : place + 30])
        path.write_bytes(whole)
    assert missed == []


@pytest.mark.parametrize("pattern", ["corpus/data/train-00001-*", "ledger/links-00002*", "corpus/README.md"])
def test_a_missing_file_is_named(root: Path, capsys: pytest.CaptureFixture[str], pattern: str) -> None:
    path = next(root.glob(pattern))
    path.unlink()
    status, said = verified(root, capsys)
    assert status == 1
    assert f"{path}: is missing" in said


@pytest.mark.parametrize("folder", ["corpus/data", "ledger"])
def test_a_file_too_many_is_named(root: Path, capsys: pytest.CaptureFixture[str], folder: str) -> None:
    shutil.copy(next((root / folder).iterdir()), root / folder / "more.arrow")
    status, said = verified(root, capsys)
    assert status == 1
    assert f"{root}/{folder}/more.arrow: is not in the manifest" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda manifest: manifest["stages"][2].update(kept=1), "do not add up"),
        (lambda manifest: manifest["stages"][2]["dropped"].update(NOT_ARCHIVED=1), "do not add up"),
        (lambda manifest: manifest["stages"].pop(1), "kept 318, but pages took in"),
        (lambda manifest: manifest["shards"].pop(), "rows, but 244 documents were kept"),
        (lambda manifest: manifest["config"].update(min_karma=4), "config.json: is another configuration"),
        (lambda manifest: manifest.update(schema="webtext-corpus/9"), "this version reads webtext-corpus/1"),
        (lambda manifest: manifest.pop("ledger"), "is not the manifest that was written there"),
        (lambda manifest: manifest["shards"][0].update(rows="6"), "is not the manifest that was written there"),
        (lambda manifest: manifest["ledger"][0].update(rows=999), "rows, the manifest says 999"),
        (lambda manifest: manifest["inputs"][0].update(size=1), "the manifest says 1"),
    ],
)
def test_a_manifest_that_says_something_else_is_found(
    root: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict], object], said: str
) -> None:
    changed_manifest(root, change)
    status, told = verified(root, capsys)
    assert status == 1
    assert said in told


def test_an_input_that_is_gone_is_told_and_no_error(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed_manifest(root, lambda manifest: manifest["inputs"][0].update(path="/nowhere/dump.zst"))
    status, said = verified(root, capsys)
    assert status == 0
    assert "/nowhere/dump.zst: this input is not here any more" in said


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema": "webtext-corpus/1"}'])
@pytest.mark.parametrize("command", [["verify"], ["inspect"], ["why", "http://a.example/", "--corpus"]])
def test_a_manifest_that_is_none_ends_in_one_sentence(
    root: Path, capsys: pytest.CaptureFixture[str], content: bytes, command: list[str]
) -> None:
    (root / "corpus" / "manifest.json").write_bytes(content)
    assert main([*command, str(root)]) == 1
    said = capsys.readouterr().err
    assert "corpus/manifest.json: is not the" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", [["verify"], ["inspect"], ["why", "http://a.example/", "--corpus"]])
def test_a_folder_without_a_corpus_ends_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main([*command, str(tmp_path)]) == 1
    assert "holds no corpus" in capsys.readouterr().err
    (tmp_path / "config.json").write_text("{}")
    assert main([*command, str(tmp_path)]) == 1
    assert "not finished" in capsys.readouterr().err


def test_a_document_that_should_be_left_out_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in ("first3.example", "http://www.first3.example/#top", link_id("first3.example/")):
        (root / "exclude.txt").write_text(f"never.example\n{line}\n")
        status, said = verified(root, capsys)
        assert status == 1
        assert f"holds {link_id('first3.example/')}, which {root}/exclude.txt names" in said
    (root / "exclude.txt").write_text("never.example\ncopy3.example\n")  # a duplicate: no document of the corpus
    assert verified(root, capsys)[0] == 0


def test_the_folder_one_stands_in(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(root / "corpus")
    assert verified(Path("."), capsys)[0] == 0
    assert verified(Path(".."), capsys)[0] == 0


def test_a_folder_for_a_removal_list_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--submissions", "examples/submissions.ndjson.zst", "--archive", "examples/pages.warc.gz"]
    assert main(["corpus", *words, "--output", str(tmp_path / "out"), "--exclude", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.strip().count("\n") == 0
    assert f"{tmp_path}: Is a directory" in said
