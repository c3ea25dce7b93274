import contextlib
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from corpus_made import rows, write_corpus

from dags import tokens
from dags.__main__ import main
from pipeline.schema import TOKENS
from tokenizer import Tokenizer, train

NAMES = [*(f"train-{number:05d}-of-00003.arrow" for number in range(3)), "validation-00000-of-00001.arrow"]


def webtext(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def all_rows():
    return rows(120)


@pytest.fixture(scope="module")
def tokenizer(all_rows) -> Tokenizer:
    return train([row["text"] for row in all_rows], vocab_size=500)


@pytest.fixture
def root(tmp_path, all_rows, tokenizer):
    tokenizer.save(tmp_path / "root" / "vocab")
    return write_corpus(tmp_path / "root", all_rows)


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.arrow"))}


def read(path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def test_every_document_is_its_ids_and_the_end_of_text(root, all_rows, tokenizer, capsys):
    assert webtext("tokens", "--corpus", root) == 0
    assert sorted(files(root / "tokens")) == NAMES
    found = {}
    for name in NAMES:
        table = read(root / "tokens" / name)
        corpus = pa.ipc.open_file(str(root / "corpus" / "data" / name)).read_all()
        assert table.column("document").to_pylist() == corpus.column("id").to_pylist()
        found |= dict(zip(table.column("document").to_pylist(), table.column("ids").to_pylist(), strict=True))
    assert found == {row["id"]: [*tokenizer.encode(row["text"]), tokenizer.eot] for row in all_rows}
    assert sum(ids.count(tokenizer.eot) for ids in found.values()) == len(all_rows)
    out, err = (text.split() for text in capsys.readouterr())
    assert f"{len(NAMES)}/{len(NAMES)} shards" in " ".join(err)
    assert out[:4] == ["documents", "120", "tokens", f"{sum(map(len, found.values())):,}"]


def test_shards_are_of_the_contract(root, tokenizer):
    assert webtext("tokens", "--corpus", root / "corpus", "--quiet") == 0
    for name in NAMES:
        with pa.memory_map(str(root / "tokens" / name)) as file:
            before = pa.total_allocated_bytes()
            reader = pa.ipc.open_file(file)
            assert reader.schema.equals(TOKENS)
            assert reader.schema.metadata[b"tokenizer"].decode() == tokenizer.fingerprint
            assert int(reader.schema.metadata[b"n_vocab"]) == 500
            assert int(reader.schema.metadata[b"eot"]) == 499
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                assert batch.num_rows <= 1024
                batch.column("ids").flatten().to_numpy(zero_copy_only=True)
            assert pa.total_allocated_bytes() - before < 10_000  # uncompressed: mapped, not read


def test_many_rows_come_in_batches_of_1024(tmp_path, tokenizer):
    short = [{"id": f"{number:032x}", "text": f"text {number}"} for number in range(2600)]
    root = write_corpus(tmp_path, short, shards=1)
    tokenizer.save(root / "vocab")
    assert webtext("tokens", "--corpus", root, "--quiet") == 0
    reader = pa.ipc.open_file(str(root / "tokens" / "train-00000-of-00001.arrow"))
    assert [reader.get_batch(number).num_rows for number in range(reader.num_record_batches)] == [1024, 1024, 547]


def test_workers_and_places_change_no_byte(root, tmp_path):
    assert webtext("tokens", "--corpus", root, "--workers", 1, "--quiet") == 0
    other = tmp_path / "other"
    assert webtext("tokens", "--corpus", root, "--workers", 4, "--output", other, "--vocab", root / "vocab", "--quiet") == 0
    assert files(other) == files(root / "tokens")


def test_only_what_changed_is_encoded_again(root, all_rows, monkeypatch):
    written: list[str] = []
    write = tokens.write_arrow
    monkeypatch.setattr(tokens, "write_arrow", lambda path, *given, **named: written.append(path) or write(path, *given, **named))
    assert webtext("tokens", "--corpus", root, "--quiet") == 0
    assert len(written) == 4
    first = files(root / "tokens")
    assert webtext("tokens", "--corpus", root, "--quiet") == 0
    assert len(written) == 4
    write_corpus(root, [*all_rows[:-1], {**all_rows[-1], "text": "other"}])
    assert webtext("tokens", "--corpus", root, "--quiet") == 0
    assert [path.rsplit("/", 1)[1] for path in written[4:]] == ["train-00002-of-00003.arrow"]
    write_corpus(root, all_rows)
    (root / "tokens" / "train-00000-of-00003.arrow").write_bytes(first["train-00000-of-00003.arrow"][:-400])
    assert webtext("tokens", "--corpus", root, "--quiet") == 0
    assert len(written) == 7
    assert files(root / "tokens") == first


def test_another_vocabulary_encodes_everything_again(root, tokenizer, tmp_path):
    assert webtext("tokens", "--corpus", root, "--quiet") == 0
    smaller = tokenizer.truncated(300)
    smaller.save(tmp_path / "smaller")
    assert webtext("tokens", "--corpus", root, "--vocab", tmp_path / "smaller", "--quiet") == 0
    table = read(root / "tokens" / NAMES[0])
    assert table.schema.metadata[b"tokenizer"].decode() == smaller.fingerprint
    assert max(max(ids) for ids in table.column("ids").to_pylist()) == 299


def test_shards_of_a_corpus_that_was_cut_otherwise_are_gone(root, all_rows):
    assert webtext("tokens", "--corpus", root, "--quiet") == 0
    (root / "tokens" / "notes.txt").write_text("mine")
    for path in (root / "corpus" / "data").glob("train-*"):
        path.unlink()
    write_corpus(root, all_rows, shards=1)
    assert webtext("tokens", "--corpus", root, "--quiet") == 0
    assert sorted(files(root / "tokens")) == ["train-00000-of-00001.arrow", "validation-00000-of-00001.arrow"]
    assert (root / "tokens" / "notes.txt").exists()


def test_an_empty_document_is_an_end_of_text(tmp_path, tokenizer):
    root = write_corpus(tmp_path, [{"id": f"{number:032x}", "text": "" if number % 2 else "x"} for number in range(12)], shards=1)
    tokenizer.save(root / "vocab")
    assert webtext("tokens", "--corpus", root, "--quiet") == 0
    found = read(root / "tokens" / "train-00000-of-00001.arrow").column("ids").to_pylist()
    assert found == [[tokenizer.eot] if number % 2 else [*tokenizer.encode("x"), tokenizer.eot] for number in range(5, 12)]


def test_a_row_without_a_text_is_an_error(tmp_path, tokenizer, capsys):
    root = write_corpus(tmp_path, [{"id": f"{number:032x}", "text": None} for number in range(12)], shards=1)
    tokenizer.save(root / "vocab")
    assert webtext("tokens", "--corpus", root, "--quiet") == 1
    assert "rows have no text" in capsys.readouterr().err
    assert not files(root / "tokens")


def test_errors_are_sentences(root, tmp_path, capsys):
    assert webtext("tokens", "--corpus", tmp_path / "nowhere") == 1
    assert "holds no corpus" in capsys.readouterr().err
    assert webtext("tokens", "--corpus", root, "--vocab", tmp_path) == 1
    assert "Train a vocabulary with `webtext vocab`" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        webtext("tokens", "--corpus", root, "--frobnicate")
    assert stop.value.code == 2


def test_large_strings_are_read_too(root, all_rows, tokenizer):
    path = root / "corpus" / "data" / NAMES[0]
    table = pa.ipc.open_file(str(path)).read_all()
    expected = [[*tokenizer.encode(text), tokenizer.eot] for text in table.column("text").to_pylist()]
    large = table.set_column(table.schema.get_field_index("text"), "text", table.column("text").cast(pa.large_string()))
    path.unlink()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, large.schema) as writer:
        writer.write_table(large)
    assert webtext("tokens", "--corpus", root, "--quiet") == 0
    assert read(root / "tokens" / NAMES[0]).column("ids").to_pylist() == expected


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, tokenizer):
    long = [{"id": f"{number:032x}", "text": " ".join(map(str, range(number, number + 4000)))} for number in range(600)]
    root = write_corpus(tmp_path / "root", long, shards=12)
    tokenizer.save(root / "vocab")
    command = [sys.executable, "-m", "dags", "tokens", "--corpus", str(root), "--workers", "1", "--quiet", "--output"]
    subprocess.run([*command, tmp_path / "whole"], check=True, capture_output=True)
    output = tmp_path / "killed"
    killed = 0
    for shards in (1, 4, 8):
        process = subprocess.Popen([*command, output], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(list(output.glob("*.arrow"))) < shards and process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed
    done = {path: path.stat().st_mtime_ns for path in output.glob("*.arrow")}
    subprocess.run([*command, output], check=True, capture_output=True)
    assert files(output) == files(tmp_path / "whole")
    assert all(path.stat().st_mtime_ns == at for path, at in done.items())
    assert not list(output.glob("*.tmp-*"))


def test_the_stream_of_ids_decodes_to_the_corpus(root, all_rows, tokenizer):
    assert webtext("tokens", "--corpus", root, "--quiet") == 0
    ids = np.concatenate([read(root / "tokens" / name).column("ids").combine_chunks().flatten().to_numpy() for name in NAMES])
    texts = [tokenizer.decode(part[:-1]) for part in np.split(ids, np.flatnonzero(ids == tokenizer.eot) + 1)[:-1]]
    assert sorted(texts) == sorted(row["text"] for row in all_rows)
