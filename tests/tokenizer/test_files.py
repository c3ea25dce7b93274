import hashlib
import json

import awkward_text
import pytest
import tiktoken
import tokenizers
import transformers
from tiktoken.load import load_tiktoken_bpe

from tokenizer import Tokenizer, TokenizerError, train
from tokenizer.pattern import PATTERN

TEXTS = [*awkward_text.texts(300, seed=1), awkward_text.prose(2000, seed=2)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train(TEXTS, vocab_size=1000)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocab")
    tokenizer.save(folder)
    return folder


def test_what_is_saved_is_loaded(tokenizer, folder):
    assert sorted(path.name for path in folder.iterdir()) == ["gpt2.tiktoken", "merges.txt", "tokenizer.json", "vocab.json"]
    loaded = Tokenizer.load(folder)
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.tokens == tokenizer.tokens


def test_saving_again_gives_the_same_bytes(tokenizer, folder, tmp_path):
    Tokenizer.load(folder).save(tmp_path / "again")
    for path in folder.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_tokenizers_gives_the_same_ids(tokenizer, folder):
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert theirs.get_vocab_size() == 1000
    assert theirs.token_to_id("<|endoftext|>") == tokenizer.eot
    for text in TEXTS:
        assert theirs.encode(text).ids == tokenizer.encode(text)
        assert theirs.decode(tokenizer.encode(text)) == text
    assert theirs.encode("a<|endoftext|>b").ids == tokenizer.encode("a<|endoftext|>b", allow_special=True)


def test_transformers_gives_the_same_ids(tokenizer, folder):
    from_folder = transformers.GPT2TokenizerFast.from_pretrained(str(folder))
    from_file = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    for theirs in (from_folder, from_file):
        assert len(theirs) == 1000
        for text in TEXTS:
            assert theirs(text)["input_ids"] == tokenizer.encode(text)


def test_tiktoken_gives_the_same_ids(tokenizer, folder):
    ranks = load_tiktoken_bpe(str(folder / "gpt2.tiktoken"))
    assert len(ranks) == 999
    theirs = tiktoken.Encoding("ours", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": tokenizer.eot})
    for text in TEXTS:
        assert theirs.encode_ordinary(text) == tokenizer.encode(text)


def test_gpt2s_own_names_are_known(tokenizer, folder, tmp_path):
    (tmp_path / "encoder.json").write_bytes((folder / "vocab.json").read_bytes())
    (tmp_path / "vocab.bpe").write_bytes((folder / "merges.txt").read_bytes())
    assert Tokenizer.load(tmp_path).fingerprint == tokenizer.fingerprint


def test_gpt2s_own_files_are_written_as_they_were_read(shared, tmp_path):
    gpt2 = Tokenizer.load(shared / "gpt2")
    assert (gpt2.n_vocab, gpt2.eot) == (50257, 50256)
    gpt2.save(tmp_path)
    assert (tmp_path / "merges.txt").read_bytes() == (shared / "gpt2" / "vocab.bpe").read_bytes()
    assert (tmp_path / "vocab.json").read_bytes() == (shared / "gpt2" / "encoder.json").read_bytes()
    # Pinned in tiktoken_ext/openai_public.py: r50k_base.
    digest = hashlib.sha256((tmp_path / "gpt2.tiktoken").read_bytes()).hexdigest()
    assert digest == "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TokenizerError, match=r"holds neither merges\.txt nor vocab\.bpe"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("abc", "line 3 is 'abc'"),
        ("a b c", "line 3 is 'a b c'"),
        ("zq qz", "line 3 is 'zq qz'"),
        ("中 a", "line 3 is '中 a'"),
        ("", "line 3 is ''"),
    ],
)
def test_a_broken_line_is_named(folder, tmp_path, line, told):
    lines = (folder / "merges.txt").read_text().split("\n")
    lines[2] = line
    (tmp_path / "merges.txt").write_text("\n".join(lines))
    (tmp_path / "vocab.json").write_bytes((folder / "vocab.json").read_bytes())
    with pytest.raises(TokenizerError, match=told):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("merges.txt", b"\xe6\x00\xff" * 60, "merges.txt: is not text in UTF-8"),
        ("vocab.json", b"\xe6\x00\xff" * 60, "vocab.json: is not text in UTF-8"),
        ("vocab.json", b"[" * 200_000, "vocab.json: is not JSON"),
    ],
)
def test_files_of_something_else_are_named(folder, tmp_path, name, content, told):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TokenizerError, match=told):
        Tokenizer.load(tmp_path)


def test_two_merges_to_one_token_are_refused(tmp_path):
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\nb c\na bc\nab c\n")
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(TokenizerError, match="line 5 makes a token that is there already"):
        Tokenizer.load(tmp_path)


def test_files_that_do_not_belong_together_are_refused(tokenizer, folder, tmp_path):
    vocabulary = json.loads((folder / "vocab.json").read_text())
    (tmp_path / "merges.txt").write_bytes((folder / "merges.txt").read_bytes())
    for broken in ({**vocabulary, "a": 65}, {**vocabulary, "other": 1000}, {}, []):
        (tmp_path / "vocab.json").write_text(json.dumps(broken))
        with pytest.raises(TokenizerError, match="does not belong to"):
            Tokenizer.load(tmp_path)
    (tmp_path / "vocab.json").write_text("{")
    with pytest.raises(TokenizerError, match="is not JSON"):
        Tokenizer.load(tmp_path)
