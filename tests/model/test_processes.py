"""Training as processes: killed at any moment, or several at once, the losses are the same."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from made_tokens import write_tokens

from model import checkpoint as files

ROOT = Path(__file__).parents[2]
SETTINGS = ["--model", "tiny", "--n-ctx", "16", "--batch", "20", "--micro-batch", "10", "--warmup", "3", "--precision", "fp32"]
QUICK = [*SETTINGS, "--steps", "30", "--eval-every", "10", "--save-every", "3"]  # an epoch is 9.35 steps

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return write_tokens(tmp_path_factory.mktemp("corpus") / "tokens")


def command(tokens, output, *more, ranks=0, settings=QUICK):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks else []
    return [sys.executable, *launcher, "-m", "dags", "train", "--tokens", str(tokens), "--output", str(output), *settings, *more]


def finish(arguments, *, status=0, **more):
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, **more)
    assert done.returncode == status, done.stderr
    return done


def result(output):
    """What training came to: every line of its record but one to the last bit.

    The evaluation before the first step is compared to four decimals.  It is no part of a resume, and in one fresh process of
    many, on a busy machine, it came out 1e-6 apart, while every loss and weight after it was the same bits.
    """
    last = files.checkpoints(output)[-1]
    start, *trained = (output / "metrics.jsonl").read_bytes().splitlines()
    before = json.loads(start)
    assert before.keys() == {"step", "validation_loss"}
    assert before["step"] == 0
    weights = (last / files.WEIGHTS).read_bytes(), (last / files.MOMENTS).read_bytes()
    return round(before["validation_loss"], 4), trained, *weights


def losses(output):
    return [json.loads(line).get("loss") for line in (output / "metrics.jsonl").read_text().splitlines() if '"loss"' in line]


@pytest.fixture(scope="module")
def straight(tokens, tmp_path_factory):
    output = tmp_path_factory.mktemp("straight")
    finish(command(tokens, output, "--threads", "2", "--dropout", "0.1"))
    return output


def steps_done(output):
    path = output / "metrics.jsonl"
    return path.read_text().count('"loss"') if path.exists() else 0


def until(process, *, output, steps):
    """Returns when so many steps are recorded, or the process has ended."""
    while steps_done(output) < steps and process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_killed_at_random_steps_ends_with_the_same_bits(tokens, straight, tmp_path, seed):
    """SIGKILL, two threads, dropout on, across the end of an epoch."""
    draw = random.Random(seed)
    arguments = command(tokens, tmp_path, "--threads", "2", "--dropout", "0.1")
    for wanted in (draw.randint(1, 8), draw.randint(9, 13), draw.randint(20, 27)):
        with subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            until(process, output=tmp_path, steps=wanted)
            process.kill()
        assert process.returncode == -signal.SIGKILL
    finish(arguments)
    assert result(tmp_path) == result(straight)


KILLED_INSIDE_A_SAVE = """
import os, signal, sys
from model import checkpoint
flush, calls = checkpoint.flush, 0
left = sys.argv.pop(1)
def dying(path):
    global calls
    calls += 1
    if calls == int(left):
        os.kill(os.getpid(), signal.SIGKILL)
    flush(path)
checkpoint.flush = dying
from dags.__main__ import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("call", [6, 8, 10])  # five flushes a save: while weights, state or the finished folder are flushed
def test_a_run_killed_inside_a_save_ends_with_the_same_bits(tokens, straight, tmp_path, call):
    arguments = command(tokens, tmp_path, "--threads", "2", "--dropout", "0.1")
    dying = [sys.executable, "-c", KILLED_INSIDE_A_SAVE, str(call), *arguments[3:]]
    finish(dying, status=-signal.SIGKILL)
    finish(arguments)
    assert result(tmp_path) == result(straight)
    assert not list((tmp_path / "checkpoints").glob(".partial-*"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_with_its_status(tokens, straight, tmp_path, number, status):
    arguments = command(tokens, tmp_path, "--threads", "2", "--dropout", "0.1")
    with subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        until(process, output=tmp_path, steps=5)
        process.send_signal(number)
        _, shown = process.communicate(timeout=60)  # ten seconds, on a machine that is not shared
    assert process.returncode == status
    assert "run the same command again to go on" in shown
    finish(arguments)
    assert result(tmp_path) == result(straight)


@pytest.fixture(scope="module")
def alone(tokens, tmp_path_factory):
    output = tmp_path_factory.mktemp("alone")
    finish(command(tokens, output, "--threads", "1", "--dropout", "0"))
    return losses(output)


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_of_one_and_resume(tokens, alone, tmp_path, how):
    more = ["--dropout", "0", "--threads", "1", "--parallel", how]
    arguments = command(tokens, tmp_path, *more, ranks=2)
    with subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        until(process, output=tmp_path, steps=12)
        process.terminate()
        process.wait(timeout=60)
    assert 12 <= len(losses(tmp_path)) < 30
    done = finish(arguments)
    assert done.stdout.count("loss curve: ") == 1
    assert losses(tmp_path) == pytest.approx(alone, abs=2e-5)
    finish(command(tokens, tmp_path, *more, ranks=0))  # its last checkpoint is one process's too


def test_a_rank_count_that_does_not_divide_the_batch_is_refused(tokens, tmp_path):
    done = finish(command(tokens, tmp_path, "--dropout", "0", ranks=3), status=1)
    assert "a batch of 20 sequences cannot be shared by 3 ranks" in done.stderr
