"""Jobs that run together, and are waited for no longer than a time limit."""

from __future__ import annotations

import threading
import time

import pytest

from stac_client._replicas import TimeLimitError, run_together


def test_jobs_run_together():
    """Jobs run at the same time, as many as are allowed, and answer in their order."""
    barrier = threading.Barrier(3)
    jobs = [lambda each=each: (barrier.wait(10), each)[1] for each in range(6)]
    assert run_together(jobs, timeout_s=10, workers=3) == list(range(6))
    assert run_together([], timeout_s=1, workers=3) == []


def test_a_job_fails():
    """The first failure is raised at once, and jobs not yet begun stay undone."""
    done = []
    release = threading.Event()

    def fail():
        raise KeyError("x")

    jobs = [fail, lambda: release.wait(10), *[lambda: done.append(1)] * 3]
    with pytest.raises(KeyError):
        run_together(jobs, timeout_s=None, workers=1)
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
    with pytest.raises(TimeLimitError):
        run_together([hang, hang], timeout_s=0.02, workers=2)
    release.set()
    assert names == [True, True]
    assert time.monotonic() - started < 10  # it did not wait for the jobs
