"""One request a host, a rest after each, and nobody waits for a slow stranger."""

import itertools
import threading
import time

import pytest

from pipeline.fetch.deadline import Stopped
from pipeline.fetch.turns import Turns


@pytest.fixture
def turns():
    made = Turns(threads=4, visits=1000)
    yield made
    made.close()


class Ends:
    """Waits for visits to end."""

    def __init__(self):
        self.errors = []
        self.changed = threading.Condition()

    def __call__(self, error):
        with self.changed:
            self.errors.append(error)
            self.changed.notify()

    def wait(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.errors) >= count, timeout=10)
        return self.errors


def test_a_host_is_asked_by_one_at_a_time_and_rests(turns):
    log, lock, ends = [], threading.Lock(), Ends()

    def visit():
        for _ in range(3):
            turn = yield "host"
            begin = time.monotonic()
            time.sleep(0.01)
            turn.rest_s = 0.03
            with lock:
                log.append((begin, time.monotonic()))

    for _ in range(4):
        turns.add(visit(), ends)
    assert ends.wait(4) == [None] * 4
    log.sort()
    assert len(log) == 12
    assert all(b[0] - a[1] >= 0.029 for a, b in itertools.pairwise(log))


def test_slow_hosts_hold_up_nobody(turns):
    done, ends = [], Ends()

    def slow(name):
        for _ in range(2):
            turn = yield name
            turn.rest_s = 1.0

    def quick(name):
        yield name
        done.append(name)

    for number in range(50):  # many more than threads
        turns.add(slow(f"slow-{number}"), ends)
    begin = time.monotonic()
    for number in range(50):
        turns.add(quick(f"quick-{number}"), ends)
    while len(done) < 50:
        assert time.monotonic() - begin < 0.9
        time.sleep(0.005)
    ends.wait(100)
    assert time.monotonic() - begin < 5


def test_an_error_ends_its_own_visit_only(turns):
    ends = Ends()

    def bad():
        yield "host"
        raise ValueError("ours")

    def good():
        yield "host"
        yield "host"

    turns.add(bad(), ends)
    turns.add(good(), ends)
    errors = ends.wait(2)
    assert sorted(type(error).__name__ for error in errors) == ["NoneType", "ValueError"]


def test_a_stop_ends_those_that_wait(turns):
    ends, closed = Ends(), []

    def visit():
        try:
            turn = yield "host"
            turn.rest_s = 60
            yield "host"
        finally:
            closed.append(True)

    for _ in range(5):
        turns.add(visit(), ends)
    time.sleep(0.05)
    turns.stop()
    assert all(isinstance(error, Stopped) for error in ends.wait(5))


def test_hosts_are_forgotten_when_nobody_waits_for_them(turns):
    ends = Ends()

    def visit(name):
        turn = yield name
        turn.rest_s = 0.05

    for number in range(200):
        turns.add(visit(f"host-{number}"), ends)
    ends.wait(200)
    deadline = time.monotonic() + 2
    while turns.hosts_active and time.monotonic() < deadline:
        time.sleep(0.01)
    assert turns.hosts_active == 0
