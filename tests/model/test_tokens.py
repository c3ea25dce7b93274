"""Token shards: read in place, shuffled without replacement, refused when they are not whole."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tokens import write_shard, write_tokens

from model.shuffle import permuted
from model.tokens import Batches, TokensError, TokenShards, windows_in_order


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.integers(0, 2**40), st.integers(0, 50))
def test_the_shuffle_is_a_permutation(size, seed, epoch):
    assert sorted(permuted(np.arange(size), size=size, seed=seed, epoch=epoch).tolist()) == list(range(size))


def test_the_shuffle_depends_on_seed_and_epoch():
    orders = {tuple(permuted(np.arange(100), size=100, seed=seed, epoch=epoch)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_the_shuffle_moves_neighbours_apart():
    places = permuted(np.arange(10_000), size=10_000, seed=0, epoch=0)
    assert abs(np.corrcoef(np.arange(10_000), places)[0, 1]) < 0.05
    assert np.abs(np.diff(places)).mean() == pytest.approx(10_000 / 3, rel=0.05)


@pytest.fixture
def tokens(tmp_path):
    return write_tokens(tmp_path / "tokens")


def stream(directory, split="train"):
    shards = TokenShards(directory, split=split)
    return shards, shards.read(np.array([0]), length=shards.tokens)[0]


def test_documents_follow_one_another_across_batches_and_shards(tmp_path):
    rows = [[1, 2, 9], [3, 9], [4, 5, 6, 7, 9], [8, 9]]
    write_shard(tmp_path / "train-00000-of-00002.arrow", rows[:3], n_vocab=10, eot=9, batch=2)
    write_shard(tmp_path / "train-00001-of-00002.arrow", rows[3:], n_vocab=10, eot=9)
    shards, ids = stream(tmp_path)
    assert ids.tolist() == [1, 2, 9, 3, 9, 4, 5, 6, 7, 9, 8, 9]
    assert (shards.tokens, shards.documents, shards.eot, shards.n_vocab) == (12, 4, 9, 10)
    assert shards.read(np.array([3, 10]), length=5).tolist() == [[3, 9, 4, 5, 6], [8, 9, 1, 2, 9]]


def test_an_epoch_holds_every_window_once(tokens):
    shards, ids = stream(tokens)
    batches = Batches(shards, length=16, batch=7, seed=3)
    starts = np.concatenate([batches.starts(number) for number in range(-(-batches.windows // 7))])[: batches.windows]
    assert sorted(starts.tolist()) == [16 * number for number in range(batches.windows)]
    rows = batches.rows(2)
    for row, start in zip(rows, batches.starts(2), strict=True):
        assert np.array_equal(row, np.roll(ids, -start)[:17])


def test_another_epoch_cuts_elsewhere_and_covers_as_much(tokens):
    shards, _ = stream(tokens)
    batches = Batches(shards, length=16, batch=1, seed=3)
    starts = np.array([batches.starts(number)[0] for number in range(batches.windows, 2 * batches.windows)])
    covered = ((starts[:, None] + np.arange(16)) % shards.tokens).ravel()
    assert len(np.unique(covered)) == batches.windows * 16
    assert starts.min() % 16 != 0 or starts.max() % 16 != 0


def test_a_batch_is_the_same_in_any_order_of_asking_and_for_any_number_of_ranks(tokens):
    shards, _ = stream(tokens)
    forward = [Batches(shards, length=8, batch=6, seed=1).rows(number) for number in (0, 500, 900)]
    batches = Batches(shards, length=8, batch=6, seed=1)
    for number, whole in zip((900, 0, 500), (forward[2], forward[0], forward[1]), strict=True):
        parts = [batches.rows(number, first=rank * 2, count=2) for rank in range(3)]
        assert np.array_equal(np.concatenate(parts), whole)


def test_validation_predicts_every_token_once(tokens):
    shards, ids = stream(tokens, "validation")
    arrays = list(windows_in_order(shards, length=16, batch=4, max_tokens=10**9))
    assert np.array_equal(np.concatenate([array[:, 1:].ravel() for array in arrays]), ids[1:])
    assert np.array_equal(arrays[0][0], ids[:17])
    few = list(windows_in_order(shards, length=16, batch=4, max_tokens=20))
    assert sum(array[:, 1:].size for array in few) == 20


def test_giving_pages_back_changes_nothing(tokens):
    shards, ids = stream(tokens)
    shards.forget()
    assert np.array_equal(shards.read(np.array([0]), length=shards.tokens)[0], ids)


def test_a_shard_without_documents_is_passed_over(tmp_path):
    write_shard(tmp_path / "train-00000-of-00002.arrow", [], n_vocab=10, eot=9)
    write_shard(tmp_path / "train-00001-of-00002.arrow", [[1, 9]], n_vocab=10, eot=9)
    assert stream(tmp_path)[1].tolist() == [1, 9]


def test_only_empty_shards_are_an_error(tmp_path):
    write_shard(tmp_path / "train-00000-of-00001.arrow", [], n_vocab=10, eot=9)
    with pytest.raises(TokensError, match="the train shards hold no tokens"):
        TokenShards(tmp_path, split="train")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_shard_cut_short_is_an_error(tokens, share):
    path = tokens / "train-00001-of-00002.arrow"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(TokensError, match=r"train-00001-of-00002\.arrow: is cut short"):
        TokenShards(tokens, split="train")


@pytest.mark.parametrize("seed", range(20))
def test_a_shard_with_a_damaged_footer_is_an_error(tokens, seed):
    path = tokens / "train-00001-of-00002.arrow"
    data = path.read_bytes()
    path.write_bytes(data[:-110] + np.random.default_rng(seed).bytes(100) + data[-10:])
    with pytest.raises(TokensError, match=r"train-00001-of-00002\.arrow: "):
        TokenShards(tokens, split="train")


def test_a_few_changed_bytes_in_a_footer_are_an_error_or_nothing(tmp_path):
    path = tmp_path / "train-00000-of-00001.arrow"
    write_shard(path, [[1, 2, 9]] * 20, n_vocab=10, eot=9, batch=8)
    data, draw = path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        damaged = np.frombuffer(data, dtype=np.uint8).copy()
        damaged[draw.integers(len(data) - 900, len(data), 3)] = draw.integers(256, size=3)
        path.write_bytes(damaged)
        with contextlib.suppress(TokensError):  # any other error, or the end of the process, is the defect
            TokenShards(tmp_path, split="train")


@pytest.mark.parametrize(("n_vocab", "eot"), [(10, 10), (10, -1), (0, 0), (70_000, 9)])
def test_metadata_that_no_vocabulary_has_is_an_error(tmp_path, n_vocab, eot):
    write_shard(tmp_path / "train-00000-of-00001.arrow", [[1, 9]], n_vocab=n_vocab, eot=eot)
    with pytest.raises(TokensError, match=rf"train-00000-of-00001\.arrow: its metadata says n_vocab {n_vocab:,} and eot {eot}"):
        TokenShards(tmp_path, split="train")


def test_the_largest_vocabulary_is_read(tmp_path):
    write_shard(tmp_path / "train-00000-of-00001.arrow", [[1, 2**16 - 1]], n_vocab=2**16, eot=2**16 - 1)
    assert stream(tmp_path)[1].tolist() == [1, 2**16 - 1]


def test_a_missing_shard_is_an_error(tokens):
    (tokens / "train-00000-of-00002.arrow").unlink()
    with pytest.raises(TokensError, match="holds 1 train shards, their names say 2"):
        TokenShards(tokens, split="train")


def test_no_shards_are_an_error(tmp_path):
    with pytest.raises(TokensError, match="holds no validation shards"):
        TokenShards(tmp_path, split="validation")


def test_shards_of_two_tokenizers_are_an_error(tmp_path):
    for number, name in enumerate("ab"):
        write_shard(tmp_path / f"train-{number:05d}-of-00002.arrow", [[1, 9]], n_vocab=10, eot=9, tokenizer=name * 64)
    with pytest.raises(TokensError, match="2 tokenizers"):
        TokenShards(tmp_path, split="train")


def test_an_id_outside_the_vocabulary_names_its_shard(tmp_path):
    write_shard(tmp_path / "train-00000-of-00002.arrow", [[1, 2, 9]], n_vocab=10, eot=9)
    write_shard(tmp_path / "train-00001-of-00002.arrow", [[1, 10, 9]], n_vocab=10, eot=9)
    shards = TokenShards(tmp_path, split="train")
    with pytest.raises(TokensError, match=r"train-00001-of-00002\.arrow: holds id 10, its vocabulary ends at 9"):
        shards.read(np.array([2]), length=4)


def test_fewer_tokens_than_a_batch_are_an_error(tokens):
    shards, _ = stream(tokens)
    with pytest.raises(TokensError, match="3,000 training tokens make 187 windows of 16, a batch takes 188"):
        Batches(shards, length=16, batch=188, seed=0)


def test_a_document_longer_than_the_context_is_read_in_several_windows(tmp_path):
    write_shard(tmp_path / "train-00000-of-00001.arrow", [[*range(40), 50]], n_vocab=51, eot=50)
    batches = Batches(TokenShards(tmp_path, split="train"), length=8, batch=1, seed=0)
    seen = sorted(start for number in range(batches.windows) for start in batches.starts(number).tolist())
    assert seen == [0, 8, 16, 24, 32]


def test_other_tokens_have_another_fingerprint(tmp_path):
    folders = [write_tokens(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    one, same, other = (TokenShards(folder, split="train") for folder in folders)
    assert one.fingerprint == same.fingerprint != other.fingerprint
