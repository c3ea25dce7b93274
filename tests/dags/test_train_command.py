"""`webtext train`, `sample`, `evaluate`, `export`, one after another, as a person runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from made_tokens import documents, write_shard

from dags.__main__ import main
from tokenizer import train as train_vocabulary

COMMANDS = ("train", "sample", "evaluate", "export")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root with tokens, vocabulary and a model of six steps."""
    root = tmp_path_factory.mktemp("root")
    texts = documents(12, sentences=10)
    vocabulary = train_vocabulary(texts, vocab_size=300)
    vocabulary.save(root / "vocab")
    rows = [[*ids.tolist(), vocabulary.eot] for ids in vocabulary.encode_batch(texts)]
    about = {"n_vocab": vocabulary.n_vocab, "eot": vocabulary.eot, "tokenizer": vocabulary.fingerprint}
    write_shard(root / "tokens/train-00000-of-00001.arrow", rows[:-2], **about)
    write_shard(root / "tokens/validation-00000-of-00001.arrow", rows[-2:], **about)
    arguments = ["--steps", "6", "--n-ctx", "32", "--batch", "8", "--warmup", "2", "--threads", "1"]
    assert main(["train", "--tokens", str(root / "tokens"), "--model", "tiny", *arguments]) == 0
    return root


def test_training_leaves_a_model_a_curve_and_samples(root):
    assert (root / "model/loss.png").exists()
    assert len(list((root / "model/samples").iterdir())) == 7
    assert (root / "model/checkpoints/step-00000006/model.safetensors").exists()


def test_training_again_says_what_is_there_and_what_to_do_next(root, capsys):
    arguments = ["--steps", "6", "--n-ctx", "32", "--batch", "8", "--warmup", "2", "--threads", "1"]
    assert main(["train", "--tokens", str(root / "tokens"), "--model", "tiny", *arguments]) == 0
    shown = capsys.readouterr()
    assert "going on from step 6" in shown.err
    assert "after 6 steps" in shown.out
    assert shown.out.rstrip().endswith(f"next: webtext sample --model {root / 'model'} --prompt 'The'")


def test_other_settings_in_the_same_folder_are_one_sentence_and_status_1(root, capsys):
    assert main(["train", "--tokens", str(root / "tokens"), "--model", "tiny"]) == 1
    assert "webtext train: " in capsys.readouterr().err


def test_missing_tokens_are_one_sentence_and_status_1(tmp_path, capsys):
    assert main(["train", "--tokens", str(tmp_path / "tokens"), "--model", "tiny"]) == 1
    assert "holds no train shards" in capsys.readouterr().err


def test_a_sample_begins_with_its_prompt_and_repeats(root, capsys):
    arguments = ["sample", "--model", str(root / "model"), "--prompt", "The judge", "--tokens", "12", "--seed", "3"]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert first.startswith("The judge")
    assert len(first) > len("The judge\n")
    assert main(arguments) == 0
    assert capsys.readouterr().out == first


def test_several_samples_are_numbered(root, capsys):
    assert main(["sample", "--model", str(root / "model"), "--prompt", "A", "--prompt", "The judge", "--tokens", "5"]) == 0
    shown = capsys.readouterr().out
    assert "---- 1 ----\nA" in shown
    assert "---- 2 ----\nThe judge" in shown


def test_evaluation_names_definitions_and_shows_the_paper(root, tmp_path, capsys):
    passages = [json.dumps({"text": f"The judge sold the {word}"}) for word in ("map", "rope")]
    (tmp_path / "lambada.jsonl").write_text("\n".join(passages))
    (tmp_path / "wiki.txt").write_text(" The judge sold two horses , near the mill . \n \n = End = \n")
    (tmp_path / "text8").write_text("the judge sold two horses")
    (tmp_path / "stops").write_text("the\na\n")
    given = {"lambada": "lambada.jsonl", "stop-words": "stops", "text8": "text8", "enwik8": "text8", "wikitext-2": "wiki.txt"}
    files = [word for flag, name in (*given.items(), ("ptb", "wiki.txt")) for word in (f"--{flag}", str(tmp_path / name))]
    assert main(["evaluate", "--model", str(root / "model"), *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "the paper's column is 117M" in lines[0]
    assert any(line.startswith("validation") and "bits per byte" in line for line in lines)
    assert sum(line.startswith("lambada acc %  ") for line in lines) == 4
    assert any("29.41" in line and "de-tokenised (100.00% of 2 lines)" in line for line in lines)
    assert any(line.startswith("text8") and "1.17" in line for line in lines)
    assert any("nobody is known to have got the paper's number again" in line for line in lines)


def test_a_file_that_is_no_utf8_is_one_sentence(root, tmp_path, capsys):
    (tmp_path / "enwik8").write_bytes(b"abc\xff")
    assert main(["evaluate", "--model", str(root / "model"), "--enwik8", str(tmp_path / "enwik8")]) == 1
    assert "byte 3 is no UTF-8" in capsys.readouterr().err


def test_an_export_writes_the_same_text(root, tmp_path, capsys):
    assert main(["export", "--model", str(root / "model"), "--output", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    texts = []
    for model in (root / "model", tmp_path / "out"):
        assert main(["sample", "--model", str(model), "--prompt", "The", "--tokens", "10"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]


def test_a_folder_without_a_model_is_one_sentence(tmp_path, capsys):
    assert main(["sample", "--model", str(tmp_path)]) == 1
    assert "holds no checkpoint" in capsys.readouterr().err


def test_help_costs_no_torch():
    code = "import sys, dags.train, dags.sample, dags.evaluate, dags.export; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_whole_and_unknown_flags_are_wrong_use(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "usage: webtext " + command in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main([command, "--no-such-flag"])
    assert ended.value.code == 2
