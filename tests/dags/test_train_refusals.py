"""`webtext train` with what it cannot use: one sentence on stderr, status 1, and no traceback."""

import os

import pytest
from made_tokens import write_tokens

from dags.__main__ import main


@pytest.fixture
def refusal(tmp_path, capsys):
    tokens = write_tokens(tmp_path / "tokens")

    def said(*flags):
        assert main(["train", "--tokens", str(tokens), "--model", "tiny", *map(str, flags)]) == 1
        shown = capsys.readouterr().err
        assert shown.count("webtext train: ") == shown.count("\n") == 1
        return shown

    return said


def test_a_missing_vocabulary(refusal, tmp_path):
    assert f"{tmp_path / 'none'}: holds neither" in refusal("--vocab", tmp_path / "none")


def test_a_vocabulary_that_is_no_text(refusal, tmp_path):
    (tmp_path / "vocab").mkdir()
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / "vocab" / name).write_bytes(b"\xff\xfe\x00")
    assert "merges.txt: is not text in UTF-8" in refusal()


@pytest.mark.parametrize("seed", [-1, 2**63, 99999999999999999999999])
def test_a_seed_that_is_too_large_or_negative(refusal, seed):
    assert f"--seed is {seed}, expected 0 to 9,223,372,036,854,775,807" in refusal("--seed", seed)


def test_more_threads_than_processors_can_use(refusal):
    most = 4 * os.cpu_count()
    assert f"--threads is 5,000, expected at most {most:,}" in refusal("--threads", 5000)
