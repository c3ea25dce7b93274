"""Training: exact after a stop, careful with bad steps, clear about what it cannot use."""

import io
import json
import math
import os
import resource
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_tokens import write_tokens

from model import checkpoint as files
from model import train as training
from model.config import SIZES, GPT2Config, ModelError
from model.guards import WINDOW, Guard
from model.journal import Journal
from model.network import GPT2
from model.optimizer import LossScale, optimizers
from model.parallel import Ranks
from model.recipe import RECIPES, Recipe, learning_rate
from model.run import Run, Signals
from model.tokens import TokensError
from model.train import Trainer, train

# 3,000 tokens are 187 windows, 20 to a step: step 10 runs across the end of the epoch.
QUICK = Recipe(n_ctx=16, batch=20, micro_batch=10, steps=14, lr=2e-3, warmup=3, dropout=0.1, precision="fp32")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return write_tokens(tmp_path_factory.mktemp("corpus") / "tokens")


@pytest.fixture
def go(tokens, tmp_path, monkeypatch):
    monkeypatch.setitem(training.SIZES, "tiny", GPT2Config(n_embd=32, n_layer=2, n_head=2))

    def trained(name="model", *, recipe=QUICK, **where):
        settings = {"tokens": tokens, "output": tmp_path / name, "eval_every": 7, "save_every": 4, "threads": 1} | where
        stream = io.StringIO()
        outcome = train(Run(**settings), recipe=recipe, size="tiny", stream=stream)
        return outcome, stream.getvalue(), settings["output"]

    return trained


def result(output: Path) -> tuple[bytes, ...]:
    """All that has to be the same to the bit at the end of a run."""
    last = files.checkpoints(output)[-1]
    state = files.read_state(last)
    kept = json.dumps({name: state[name] for name in ("step", "batch", "guard", "best", "validation_losses", "files")})
    tensors = [(last / file).read_bytes() for file in (files.WEIGHTS, files.MOMENTS)]
    return (output / "metrics.jsonl").read_bytes(), kept.encode(), *tensors


def stop_after(step, number, monkeypatch):
    """Sends ourselves a signal when a step has been recorded."""
    show = Journal.show

    def shown(self, at, **values):
        show(self, at, **values)
        if at == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Journal, "show", shown)


@pytest.mark.parametrize(("step", "number"), [(3, signal.SIGTERM), (7, signal.SIGTERM), (10, signal.SIGINT)])
def test_a_stopped_run_goes_on_to_the_same_bits(go, monkeypatch, step, number):
    straight = go("straight")
    with monkeypatch.context() as patched:
        stop_after(step, number, patched)
        outcome, _, output = go("stopped")
    assert (outcome.signal, outcome.step) == (number, step)
    assert files.checkpoints(output)[-1].name == f"step-{step:08d}"
    outcome, shown, _ = go("stopped")
    assert f"going on from step {step}" in shown
    assert outcome.signal is None
    assert result(output) == result(straight[2])


def test_a_finished_run_is_left_as_it_is(go):
    _, _, output = go()
    before = result(output)
    outcome, _, _ = go()
    assert (outcome.step, result(output)) == (14, before)


def test_the_loss_falls_and_is_drawn(go):
    outcome, shown, output = go(recipe=replace(QUICK, steps=60), eval_every=20, save_every=60)
    assert outcome.validation_loss < outcome.first_validation_loss - 1
    assert (output / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert list((output / "tensorboard").iterdir())
    assert "MFU unknown" in shown
    assert "smoothed" in shown
    records = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [each["step"] for each in records if "loss" in each] == list(range(1, 61))
    assert [each["step"] for each in records if "validation_loss" in each] == [0, 20, 40, 60]


def test_the_newest_checkpoints_and_the_best_are_kept(go, monkeypatch):
    monkeypatch.setattr(Trainer, "_validation_loss", lambda self: 1.0 + abs(self.step - 7))
    outcome, _, output = go(recipe=replace(QUICK, steps=20), keep=2)
    assert [path.name for path in files.checkpoints(output)] == ["step-00000007", "step-00000016", "step-00000020"]
    assert outcome.best == {"step": 7, "validation_loss": 1.0}
    assert files.chosen(output).name == "step-00000007"


def test_micro_batches_add_up_to_the_batch(go):
    losses = [go(f"micro{size}", recipe=replace(QUICK, micro_batch=size, dropout=0.0))[0].validation_loss for size in (20, 4)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "other",
    [
        {"optimizer": "muon"},
        {"schedule": "wsd"},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"mask_documents": True},
        {"recompute": True},
    ],
)
def test_every_way_of_training_learns_and_resumes(go, monkeypatch, other):
    recipe = replace(QUICK, steps=24, **other)
    straight = go("straight", recipe=recipe)
    assert straight[0].validation_loss < straight[0].first_validation_loss - 0.25
    with monkeypatch.context() as patched:
        stop_after(7, signal.SIGTERM, patched)
        go("stopped", recipe=recipe)
    _, _, output = go("stopped", recipe=recipe)
    assert result(output) == result(straight[2])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler looks at what torch itself warns of
def test_compiled_blocks_learn_the_same(go, caplog):
    recipe = replace(QUICK, dropout=0.0)  # whose random numbers a compiler draws in its own order
    plain, compiled = (go(name, recipe=recipe, compile=name == "compiled")[0] for name in ("plain", "compiled"))
    assert compiled.validation_loss == pytest.approx(plain.validation_loss, abs=1e-4)
    assert "recompile_limit" not in caplog.text


# ---- what is refused ----


@pytest.mark.parametrize(
    ("other", "named"),
    [({"lr": 1e-3}, r"lr 0\.002 \(here 0\.001\)"), ({"seed": 1}, r"seed 0 \(here 1\)"), ({"n_ctx": 8}, "n_ctx 16")],
)
def test_a_checkpoint_of_another_recipe_is_refused(go, other, named):
    go()
    with pytest.raises(files.CheckpointError, match=named):
        go(recipe=replace(QUICK, **other))


def test_a_checkpoint_of_other_tokens_is_refused(go, tmp_path):
    go()
    with pytest.raises(files.CheckpointError, match=r"was trained with tokens .* \(here"):
        go(tokens=write_tokens(tmp_path / "others", seed=9))


def test_a_checkpoint_of_another_corpus_manifest_is_refused(go, tmp_path):
    tokens = write_tokens(tmp_path / "root" / "tokens")
    (tmp_path / "root" / "corpus").mkdir()
    manifest = tmp_path / "root" / "corpus" / "manifest.json"
    manifest.write_text("{}")
    go(tokens=tokens)
    manifest.write_text('{"schema": 2}')
    with pytest.raises(files.CheckpointError, match="was trained with corpus"):
        go(tokens=tokens)


@pytest.mark.parametrize("file", [files.WEIGHTS, files.MOMENTS, files.STATE])
def test_a_checkpoint_cut_in_half_is_refused(go, file):
    _, _, output = go()
    path = files.checkpoints(output)[-1] / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(files.CheckpointError, match=f"{file}: .*Delete .* to go on from the checkpoint before it"):
        go()


def test_a_changed_byte_in_a_checkpoint_is_found(go):
    _, _, output = go()
    path = files.checkpoints(output)[-1] / files.WEIGHTS
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(files.CheckpointError, match="is not what was written"):
        go()


def test_a_second_trainer_is_refused(go, tmp_path):
    with files.only_trainer(tmp_path / "model"), pytest.raises(ModelError, match="another process is training here"):
        go()


def test_a_full_disk_leaves_the_last_checkpoint_whole(go, monkeypatch):
    recipe = replace(QUICK, steps=14)
    straight = go("straight", recipe=recipe)
    save = files.save

    def full(directory, **content):
        """Writes beyond 100 kB fail from the second checkpoint on, as on a disk without space."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        if files.checkpoints(directory):
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            return save(directory, **content)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with monkeypatch.context() as patched:
        patched.setattr(files, "save", full)
        with pytest.raises(files.CheckpointError, match=r"cannot be written .* The last one, step-00000004, is whole"):
            go("full", recipe=recipe)
    _, _, output = go("full", recipe=recipe)
    assert result(output) == result(straight[2])
    assert not list((output / "checkpoints").glob(".partial-*"))


def test_a_full_disk_names_the_record_that_cannot_be_written(go, tmp_path, monkeypatch):
    straight = go("straight")
    opened = Journal.open

    def full(self, **where):
        opened(self, **where)
        device = os.open("/dev/full", os.O_WRONLY)
        os.dup2(device, self._file.fileno())
        os.close(device)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "open", full)
        with pytest.raises(ModelError, match=r"full/metrics\.jsonl: cannot be written \(No space left on device\)\. Free some"):
            go("full")
    _, _, output = go("full")
    assert result(output) == result(straight[2])


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"loss": 1.0}', '{"step": "x"}', "\0\0\0", "\udcff"])
def test_a_damaged_line_of_the_record_is_left_out(go, line):
    _, _, output = go()
    path = output / "metrics.jsonl"
    before = path.read_bytes()
    lines = before.split(b"\n")
    path.write_bytes(b"\n".join([*lines[:5], line.encode(errors="surrogateescape"), *lines[5:]]))
    _, shown, _ = go()
    assert "metrics.jsonl: line 6 is damaged and was left out" in shown
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "said"), [("[]", "is no JSON object"), (f'{{"schema": "{files.SCHEMA}"}}', "step, batch, .* missing")]
)
def test_a_state_that_is_none_is_refused(go, text, said):
    _, _, output = go()
    (files.checkpoints(output)[-1] / files.STATE).write_text(text)
    with pytest.raises(files.CheckpointError, match=rf"step-00000014/state\.json: {said}"):
        go()


def test_a_copy_beside_the_checkpoints_is_a_persons(go):
    _, _, output = go(recipe=replace(QUICK, steps=4))
    copy = output / "checkpoints" / "step-00000004.bak"
    copy.mkdir()
    assert [path.name for path in files.checkpoints(output)] == ["step-00000004"]
    files.prune(output, keep=1, best=None)
    assert copy.exists()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("call", range(1, 5))  # rename away, rename in, rename for deletion, deletion
def test_a_run_killed_while_it_replaces_a_checkpoint_finds_a_whole_one(go, tmp_path, monkeypatch, call):
    _, _, output = go(recipe=replace(QUICK, steps=4))
    kept = files.load(files.checkpoints(output)[-1])
    calls, rename, rmtree = iter(range(1, 100)), Path.rename, shutil.rmtree

    def dying_rename(self, target):
        if next(calls) == call:
            raise Killed
        return rename(self, target)

    def dying_rmtree(path, **more):
        if path.exists() and next(calls) == call:
            (path / files.STATE).unlink(missing_ok=True)
            raise Killed
        rmtree(path, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", dying_rename)
        patched.setattr(shutil, "rmtree", dying_rmtree)
        with pytest.raises(Killed):
            files.save(output, weights=kept.weights, moments=kept.moments, state=kept.state | {"evaluated": 99})
    files.sweep(output)
    found = files.checkpoints(output)
    assert [files.load(path).path.name for path in found] == ["step-00000004"]
    assert [path.name for path in (output / "checkpoints").iterdir()] == ["step-00000004"]
    assert files.read_state(found[0])["evaluated"] == (4 if call < 3 else 99)


def test_a_run_killed_while_it_prunes_leaves_no_half_checkpoint(go, monkeypatch):
    _, _, output = go()

    def dying(path, **more):
        (path / files.STATE).unlink()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", dying)
        with pytest.raises(Killed):
            files.prune(output, keep=1, best=None)
    assert all(files.load(path) for path in files.checkpoints(output))
    files.sweep(output)
    assert not list((output / "checkpoints").glob(".*"))


def test_ranks_that_cannot_share_a_batch_are_refused(tokens, tmp_path):
    with pytest.raises(ModelError, match="a batch of 20 sequences cannot be shared by 3 ranks"):
        Trainer(Run(tokens, tmp_path), recipe=QUICK, size="tiny", ranks=Ranks(0, 3), signals=Signals(), stream=io.StringIO())


def test_a_batch_larger_than_the_corpus_is_refused(go):
    with pytest.raises(TokensError, match="a batch takes 200"):
        go(recipe=replace(QUICK, batch=200))


def test_a_vocabulary_of_another_tokenizer_is_refused(go, tmp_path):
    from tokenizer import Tokenizer

    Tokenizer(torch.zeros(0, 2).numpy()).save(tmp_path / "vocab")
    with pytest.raises(ModelError, match="was made with tokenizer ffffffffffff"):
        go(vocab=tmp_path / "vocab")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("batch", 0, "at least 1"),
        ("steps", 10**8, "at most 99,999,999"),
        ("seed", 10**23, "0 to 9,223,372,036,854,775,807"),
        ("seed", -1, "0 to 9,223,372,036,854,775,807"),
        ("dropout", 1.5, "from 0 to 1"),
        ("spike", "hope", "skip, rollback, off"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(field, value, said):
    with pytest.raises(ModelError, match=f"--{field} is {value}, expected .*{said}"):
        replace(QUICK, **{field: value})


# ---- bad steps ----


def bad_steps(monkeypatch, losses):
    """The given batches have the given loss, with the gradient they have."""
    gradient = Trainer._gradient

    def spoiled(self):
        loss, norm = gradient(self)
        return losses.get(self.batch, loss), math.nan if math.isnan(losses.get(self.batch, 0.0)) else norm

    monkeypatch.setattr(Trainer, "_gradient", spoiled)


def test_a_step_without_a_finite_loss_changes_nothing(go, monkeypatch):
    bad_steps(monkeypatch, {5: math.nan})
    outcome, shown, output = go()
    assert "step 6 skipped: non-finite loss" in shown
    assert math.isfinite(outcome.validation_loss)
    record = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines() if '"step": 6' in line]
    assert record == [{"step": 6, "loss": None, "skipped": "non-finite loss"}]
    assert files.read_state(files.checkpoints(output)[-1])["guard"]["skipped"] == 1


def test_ten_bad_steps_in_a_row_end_the_run_with_the_weights_before_them(go, tmp_path, monkeypatch):
    bad_steps(monkeypatch, dict.fromkeys(range(3, 99), math.inf))
    with pytest.raises(ModelError, match=r"the last 10 steps, up to step 13, .* saved are those after step 3"):
        go()
    kept = files.load(files.checkpoints(tmp_path / "model")[-1])
    assert all(tensor.isfinite().all() for tensor in kept.weights.values())


def test_a_diverged_run_that_is_repeated_keeps_its_checkpoints(go, tmp_path, monkeypatch):
    bad_steps(monkeypatch, dict.fromkeys(range(3, 99), math.inf))
    for _ in range(3):
        with pytest.raises(ModelError, match="weights saved are those after step 3"):
            go(recipe=replace(QUICK, steps=40), save_every=3, eval_every=40)
    assert [path.name for path in files.checkpoints(tmp_path / "model")] == [f"step-{step:08d}" for step in (9, 12, 13)]


@pytest.mark.parametrize(("rule", "steps_taken"), [("skip", 99), ("off", 100)])
def test_a_spike_is_skipped_by_rule(go, monkeypatch, rule, steps_taken):
    bad_steps(monkeypatch, {80: 60.0})
    _, shown, output = go(recipe=replace(QUICK, steps=100, spike=rule), eval_every=100, save_every=100)
    records = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert sum("gradient_norm" in each for each in records) == steps_taken
    assert ("step 81 skipped: loss spike" in shown) == (rule == "skip")


def test_a_spike_rolls_back_to_the_last_checkpoint_and_past_its_batches(go, monkeypatch):
    bad_steps(monkeypatch, {82: 60.0})
    recipe = replace(QUICK, steps=100, spike="rollback")
    _, shown, output = go(recipe=recipe, eval_every=50, save_every=20)
    assert "step 83: the loss jumped; back to step 80, past the batches since" in shown
    state = files.read_state(files.checkpoints(output)[-1])
    assert (state["step"], state["batch"], state["guard"]["rollbacks"]) == (100, 103, 1)
    records = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [each["step"] for each in records if "loss" in each] == list(range(1, 101))
    assert [each for each in records if "spike" in each] == [{"step": 81, "rolled_back_from": 83, "spike": 60.0, "rollbacks": 1}]


@pytest.mark.parametrize("stop", [82, 83, 90])
def test_a_rolled_back_run_that_is_stopped_ends_with_the_same_bits(go, monkeypatch, stop):
    bad_steps(monkeypatch, {82: 60.0})
    settings = {"recipe": replace(QUICK, steps=100, spike="rollback"), "eval_every": 50, "save_every": 20}
    straight = go("straight", **settings)
    with monkeypatch.context() as patched:
        stop_after(stop, signal.SIGTERM, patched)
        _, _, output = go("stopped", **settings)
    go("stopped", **settings)
    assert result(output) == result(straight[2])


def test_the_guard_knows_a_spike_from_noise():
    guard = Guard()
    for number in range(WINDOW):
        assert guard.verdict(loss=3.0 + 0.05 * (-1) ** number, norm=1.0) is None
    assert guard.verdict(loss=3.15, norm=1.0) is None
    assert guard.verdict(loss=3.6, norm=1.0) == "loss spike"
    assert guard.verdict(loss=3.0, norm=math.inf) == "non-finite gradient"


def test_the_loss_scale_halves_on_overflow_and_doubles_after_sound_steps():
    scale = LossScale.of("fp16")
    scale.update(finite=False)
    assert scale.scale == 2.0**15
    for _ in range(2000):
        scale.update(finite=True)
    assert scale.scale == 2.0**16
    assert LossScale.of("bf16").scale == 1.0


# ---- schedules and groups ----


def test_the_cosine_rises_and_falls_to_its_share():
    recipe = replace(QUICK, steps=101, warmup=10, lr=1.0, final_lr=0.1)
    rates = [learning_rate(step, recipe=recipe) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_wsd_stays_and_then_falls_straight():
    recipe = replace(QUICK, steps=100, warmup=10, lr=1.0, final_lr=0.0, schedule="wsd", decay=0.2)
    rates = [learning_rate(step, recipe=recipe) for step in range(100)]
    assert set(rates[9:79]) == {1.0}
    assert rates[89] == pytest.approx(0.5)
    assert rates[99] == 0.0


def test_only_matrices_and_embeddings_decay():
    network = GPT2(SIZES["tiny"])
    (adamw,) = optimizers(network, recipe=RECIPES["gpt2"])
    decayed = {id(each) for group in adamw.param_groups if group["weight_decay"] == 0.1 for each in group["params"]}
    assert {name for name, each in network.named_parameters() if id(each) not in decayed} == {
        name for name, _ in network.named_parameters() if name.endswith("bias") or ".ln_" in name
    }


def test_muon_takes_the_matrices_inside_blocks():
    network = GPT2(SIZES["tiny"])
    muon, adamw = optimizers(network, recipe=replace(RECIPES["tiny"], optimizer="muon"))
    assert len(muon.param_groups[0]["params"]) == 4 * 4
    assert sum(len(group["params"]) for group in adamw.param_groups) + 16 == len(list(network.parameters()))
