"""Look-ups: a memory that is bounded, and requests that run together within a time limit."""

from __future__ import annotations

import threading
import time

import pytest

from stac_client import UnreachableError
from stac_client._replicas import Memory, run_together


def test_jobs_run_together():
    """Jobs run at the same time, as many as are allowed, and answer in their order."""
    barrier = threading.Barrier(4)
    jobs = [lambda each=each: (barrier.wait(10), each)[1] for each in range(8)]
    assert run_together(jobs, timeout_s=10) == list(range(8))
    assert run_together([], timeout_s=1) == []


def test_a_job_fails():
    """The first failure is raised at once, and jobs not yet begun stay undone."""
    done = []
    release = threading.Event()

    def fail():
        raise KeyError("x")

    jobs = [fail, *[lambda: release.wait(10)] * 4, *[lambda: done.append(1)] * 3]
    with pytest.raises(KeyError):
        run_together(jobs, timeout_s=None)
    release.set()
    assert done == []


def test_a_job_is_late():
    """What is late is left to itself, in a thread that does not hold up the end of Python."""
    release = threading.Event()
    names = []

    def hang():
        names.append(threading.current_thread().daemon)
        release.wait(10)

    started = time.monotonic()
    with pytest.raises(UnreachableError, match=r"within 0\.02 s; .*timeout_s"):
        run_together([hang, hang], timeout_s=0.02)
    release.set()
    assert names == [True, True]
    assert time.monotonic() - started < 10  # it did not wait for the jobs


def test_memory(clock):
    """A memory keeps the latest answers, each for as long as who asks accepts it."""
    memory = Memory(6, dict.fromkeys)
    memory.keep({"a": 1, "b": None})
    clock.now_s += 5
    memory.keep({"a": 4, "c": 3})
    assert memory.recall("bcad", 60) == ({"a": 4, "b": None, "c": 3}, ["d"])
    assert memory.recall("abc", 5) == ({"a": 4, "c": 3}, ["b"])
    assert memory.recall("aa", 0) == ({}, ["a"])
    memory.clear()
    assert memory.recall("ab", 60) == ({}, ["a", "b"])


def test_memory_is_bounded():
    """However many answers come, no more are kept than the size, the latest among them."""
    memory = Memory(10, dict.fromkeys)
    for number in range(100):
        memory.keep({number: number})
        found, _ = memory.recall(range(100), 60)
        assert len(found) <= 10
        assert {*found} >= {*range(max(0, number - 4), number + 1)}
