import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.sandbox import Killed, Limits, Sandbox, sandbox
from pipeline.schema import PipelineError

TASK = "sandbox_tasks:behave"


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    made = Sandbox(TASK, {"suffix": "!"}, workers=2, limits=Limits(cpu_s=0.3, wall_s=2.0, memory_bytes=1 << 30, requests=50))
    yield made
    made.close()


def test_answers_come_in_order_and_carry_the_config(pool: Sandbox) -> None:
    answers = list(pool.map(({"kind": "echo"}, b"x" * n) for n in range(200)))
    assert [answer["length"] for answer in answers if isinstance(answer, dict)] == list(range(200))
    assert {answer["suffix"] for answer in answers if isinstance(answer, dict)} == {"!"}


def test_children_are_replaced_after_so_many_requests(pool: Sandbox) -> None:
    pids = {answer["pid"] for answer in pool.map([({"kind": "echo"}, b"")] * 120) if isinstance(answer, dict)}
    assert len(pids) >= 3


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("loop", "TIMEOUT"),
        ("loop in C", "TIMEOUT"),
        ("wait", "TIMEOUT"),
        ("allocate", "MEMORY"),
        ("segfault", "CRASH"),
        ("raise", "CRASH"),
        ("exit", "CRASH"),
    ],
)
def test_the_request_that_ends_a_child_is_named_and_the_next_is_answered(pool: Sandbox, kind: str, reason: str) -> None:
    requests = [({"kind": "echo"}, b"a"), ({"kind": kind}, b""), ({"kind": "echo"}, b"abc")]
    first, killed, last = pool.map(requests)
    assert isinstance(first, dict)
    assert first["length"] == 1
    assert isinstance(killed, Killed)
    assert killed.reason == reason
    assert isinstance(last, dict)
    assert last["length"] == 3


def test_what_a_library_prints_stays_out_of_the_answers(pool: Sandbox) -> None:
    assert list(pool.map([({"kind": "print"}, b"")])) == [{"fine": True}]


def test_a_task_that_cannot_be_imported_is_a_clear_error() -> None:
    with pytest.raises(PipelineError, match="did not start"):
        Sandbox("no_such_module:task", {}).answer({}, b"")


def test_one_pool_a_process() -> None:
    assert sandbox("json:loads", {"a": 1}, workers=1) is sandbox("json:loads", {"a": 1}, workers=1)
    assert sandbox("json:loads", {"a": 1}, workers=1) is not sandbox("json:loads", {"a": 2}, workers=1)


def test_no_child_outlives_a_killed_parent() -> None:
    script = (
        "from pipeline.sandbox import Sandbox\nimport time\n"
        f"pool = Sandbox({TASK!r}, {{'suffix': ''}}, workers=2)\n"
        "list(pool.map([({'kind': 'echo'}, b'')] * 8))\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert children
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 10
    _, alive = psutil.wait_procs(children, timeout=deadline - time.monotonic())
    assert alive == []
