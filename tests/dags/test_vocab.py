from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from corpus_made import rows, write_corpus

from dags import vocab
from dags.__main__ import main
from dags.sampling import BUCKETS, buckets, cut_for
from tokenizer import Tokenizer, train

SIZE = 600


def webtext(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def all_rows():
    return rows(120)


@pytest.fixture
def root(tmp_path, all_rows):
    return write_corpus(tmp_path / "root", all_rows)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")}


def test_the_vocabulary_is_that_of_the_train_split(root, all_rows, capsys):
    assert webtext("vocab", "--corpus", root, "--size", SIZE) == 0
    trained = train([row["text"] for row in all_rows[5:]], vocab_size=SIZE)
    assert Tokenizer.load(root / "vocab").fingerprint == trained.fingerprint
    assert sorted(files(root / "vocab")) == ["gpt2.tiktoken", "merges.txt", "tokenizer.json", "vocab.json"]
    told = capsys.readouterr()
    size = sum(len(row["text"].encode()) for row in all_rows[5:])
    assert f"{size:,} bytes of the train split" in told.out
    assert told.out.endswith(f"vocab: {root}/vocab    next: webtext tokens --corpus {root}\n")
    assert "merges     343/343" in told.err


def test_shards_workers_and_naming_change_no_byte(root, tmp_path, all_rows):
    other = write_corpus(tmp_path / "other", all_rows[:5] + all_rows[:4:-1], shards=7)
    assert webtext("vocab", "--corpus", root, "--size", SIZE, "--workers", 1, "--quiet") == 0
    output = tmp_path / "elsewhere"
    assert webtext("vocab", "--corpus", other / "corpus", "--size", SIZE, "--workers", 4, "--output", output, "--quiet") == 0
    assert files(output) == files(root / "vocab")


def test_counts_are_kept_and_only_changed_shards_counted_again(root, tmp_path, all_rows, monkeypatch):
    counted: list[int] = []
    counter = vocab.WordCounter

    class Noted(counter):
        def total(self):
            counted.append(1)
            return super().total()

    monkeypatch.setattr(vocab, "WordCounter", Noted)
    arguments = ("vocab", "--corpus", root, "--workers", 2, "--quiet", "--size")
    assert webtext(*arguments, SIZE) == 0
    assert len(counted) == 4  # three shards and their sum
    assert webtext(*arguments, 300) == 0
    assert len(counted) == 5
    assert Tokenizer.load(root / "vocab").n_vocab == 300
    write_corpus(root, [*all_rows[:-1], {**all_rows[-1], "text": "other text " * 50}])
    assert webtext(*arguments, SIZE) == 0
    assert len(counted) == 7
    cut_short = root / "vocab" / "words" / "words-00001-of-00003.arrow"
    cut_short.write_bytes(cut_short.read_bytes()[:1000])
    before = files(root / "vocab")
    assert webtext(*arguments, SIZE) == 0
    assert len(counted) == 9
    assert files(root / "vocab") == before


def test_counts_that_were_changed_are_not_believed(root, capsys):
    arguments = ("vocab", "--corpus", root, "--size", SIZE, "--quiet")
    assert webtext(*arguments) == 0
    path = root / "vocab" / "words" / "words-00001-of-00003.arrow"
    table = pa.ipc.open_file(str(path)).read_all()
    rows = table.set_column(1, "count", pc.add(table["count"], 1)).cast(table.schema)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(rows)
    assert webtext(*arguments) == 1
    assert "words-00001-of-00003.arrow: the counts are not those that were written" in capsys.readouterr().err
    path.unlink()
    assert webtext(*arguments) == 0


def test_what_a_killed_run_left_half_written_is_gone(root, monkeypatch):
    def killed(*_paths):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        assert webtext("vocab", "--corpus", root, "--size", SIZE, "--quiet") == 130
    assert list((root / "vocab").glob(".merges.txt.*"))
    assert webtext("vocab", "--corpus", root, "--size", SIZE, "--quiet") == 0
    assert {path.name for path in (root / "vocab").glob(".*")} <= {".lock", ".journal"}


def test_counts_of_a_corpus_that_was_cut_otherwise_are_gone(root, all_rows):
    assert webtext("vocab", "--corpus", root, "--size", SIZE, "--quiet") == 0
    for path in (root / "corpus" / "data").glob("train-*"):
        path.unlink()
    write_corpus(root, all_rows, shards=2)
    assert webtext("vocab", "--corpus", root, "--size", SIZE, "--quiet") == 0
    names = sorted(path.name for path in (root / "vocab" / "words").iterdir())
    assert names == ["words-00000-of-00002.arrow", "words-00001-of-00002.arrow"]


def test_a_sample_holds_no_more_than_was_asked_for(root, tmp_path, all_rows, capsys):
    other = write_corpus(tmp_path / "other", all_rows[:5] + all_rows[:4:-1], shards=5)
    for folder in (root, other):
        assert webtext("vocab", "--corpus", folder, "--size", 400, "--max-bytes", 30_000, "--quiet") == 0
    assert files(root / "vocab") == files(other / "vocab")
    told = int(capsys.readouterr().out.split()[1].replace(",", ""))
    assert 25_000 < told <= 30_000


def test_a_sample_too_small_for_a_document_is_refused(root, capsys):
    assert webtext("vocab", "--corpus", root, "--max-bytes", 10, "--quiet") == 1
    assert "--max-bytes 10 holds no document" in capsys.readouterr().err


def test_the_cut_is_the_highest_that_fits():
    sizes = [0] * BUCKETS
    sizes[3], sizes[9], sizes[10] = 5, 7, 100
    measured = [pa.array(sizes).to_numpy().tobytes()]
    assert [cut_for(measured, max_bytes=limit) for limit in (5, 11, 12, 111, 112)] == [9, 9, 10, 10, BUCKETS]


def test_buckets_are_spread():
    found = buckets(pa.array([f"{number:032x}" for number in range(5000)]))
    assert 0 <= found.min() < BUCKETS // 100 < BUCKETS - BUCKETS // 100 < found.max() < BUCKETS


def test_a_small_text_gives_a_smaller_vocabulary_and_says_so(root, capsys):
    assert webtext("vocab", "--corpus", root, "--quiet") == 0
    assert "no pair is left that was seen twice: the text gives no vocabulary of 50,257" in capsys.readouterr().out


def test_the_report_sets_bytes_per_token_beside_another_vocabulary(root, tmp_path, all_rows, capsys):
    train([row["text"] for row in all_rows], vocab_size=300).save(tmp_path / "beside")
    assert webtext("vocab", "--corpus", root, "--size", SIZE, "--quiet", "--report", "--beside", tmp_path / "beside") == 0
    out = capsys.readouterr().out
    lines = {line.split()[0] + " " + line.split()[1]: line.split() for line in out.splitlines() if len(line.split()) > 2}
    ours, other = Tokenizer.load(root / "vocab"), Tokenizer.load(tmp_path / "beside")
    texts = [row["text"] for row in all_rows[:5]]
    size = sum(len(text.encode()) for text in texts)
    per_token = [f"{size / sum(len(tokenizer.encode(text)) for text in texts):.3f}" for tokenizer in (ours, other)]
    assert lines["documents 5"][1:] == ["5", f"{size:,}", *per_token]
    german = sum(row["language"] == "de" for row in all_rows[:5])
    assert german == 0 or lines["language de"][2] == str(german)
    used = len({number for text in texts for number in ours.encode(text)})
    assert f"{used} of 600 tokens ({used / 600:.1%})" in out
    assert "longest   " in out
    assert "most used " in out


def test_a_report_needs_validation_shards_before_any_work(root, capsys):
    for path in (root / "corpus" / "data").glob("validation-*"):
        path.unlink()
    assert webtext("vocab", "--corpus", root, "--size", SIZE, "--quiet", "--report") == 1
    assert "holds no validation shards" in capsys.readouterr().err
    assert not (root / "vocab").exists()


def test_another_vocabulary_is_for_the_report(root, capsys):
    with pytest.raises(SystemExit) as stop:
        webtext("vocab", "--corpus", root, "--beside", "DIR")
    assert stop.value.code == 2
    assert "add --report" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["256", "65537", "many"])
def test_sizes_that_cannot_be_are_wrong_use(root, size):
    with pytest.raises(SystemExit) as stop:
        webtext("vocab", "--corpus", root, "--size", size)
    assert stop.value.code == 2


def test_an_unknown_flag_is_wrong_use(root):
    with pytest.raises(SystemExit) as stop:
        webtext("vocab", "--corpus", root, "--frobnicate")
    assert stop.value.code == 2


def test_errors_are_sentences(tmp_path, root, capsys):
    assert webtext("vocab", "--corpus", tmp_path / "nowhere") == 1
    assert "holds no corpus" in capsys.readouterr().err
    (root / "corpus" / "data" / "train-00001-of-00003.arrow").unlink()
    assert webtext("vocab", "--corpus", root) == 1
    assert "holds 2 train shards, their names say 3" in capsys.readouterr().err


def test_a_shard_cut_short_is_an_error(root, capsys):
    path = root / "corpus" / "data" / "train-00001-of-00003.arrow"
    path.write_bytes(path.read_bytes()[:500])
    assert webtext("vocab", "--corpus", root, "--quiet") == 1
    assert "train-00001-of-00003.arrow: is not a whole Arrow IPC file" in capsys.readouterr().err


def test_a_corpus_without_text_is_an_error(tmp_path, all_rows, capsys):
    root = write_corpus(tmp_path, [{**row, "text": ""} for row in all_rows])
    assert webtext("vocab", "--corpus", root, "--quiet") == 1
    assert "the train split holds no text" in capsys.readouterr().err
