"""Look-ups: what is remembered, and requests that run together within a time limit."""

from __future__ import annotations

import threading
import time
import warnings
from typing import TYPE_CHECKING

import pytest
from rucio.client.downloadclient import detect_client_location

from stac_client import (
    ConfigurationError,
    Modifier,
    ModifierOptions,
    StacClient,
    UnreachableError,
)
from stac_client._replica_source import Memory, run_together, site_expression, site_here

from .modifying import COPY, is_modified, modifier_of, page

if TYPE_CHECKING:
    from tests.client.modifying import Clock
    from tests.fake_rucio import FakeRucio


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SITE_NAME": "CERN", "OSG_SITE_NAME": "x"},
        {"ATLAS_SITE_NAME": "CERN"},
        {"OSG_SITE_NAME": "a b"},
        {"SITE_NAME": "ROAMING", "ATLAS_SITE_NAME": "x"},
    ],
    ids=str,
)
def test_the_site_here(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """It is the one that Rucio's own clients find."""
    for name in ("SITE_NAME", "ATLAS_SITE_NAME", "OSG_SITE_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = detect_client_location()["site"]
    assert (site_here() or "ROAMING") == found
    assert site_expression("ALPS") == "site=ALPS"
    if found == "CERN":
        assert site_expression(None) == "site=CERN"
    else:
        with pytest.raises(ConfigurationError, match=r"near to; give site=|cannot stand in"):
            ModifierOptions(prefer=["DISK", "nearest"])


def test_jobs_run_together() -> None:
    """Jobs run at the same time, as many as are allowed, and answer in their order."""
    barrier = threading.Barrier(4)
    jobs = [lambda each=each: (barrier.wait(10), each)[1] for each in range(8)]
    assert run_together(jobs, timeout_s=10) == list(range(8))
    assert run_together([], timeout_s=1) == []


def test_a_job_fails() -> None:
    """The first failure is raised at once, and jobs not yet begun stay undone."""
    done = []
    release = threading.Event()

    def fail() -> None:
        raise KeyError("x")

    jobs = [fail, *[lambda: release.wait(10)] * 4, *[lambda: done.append(1)] * 3]
    with pytest.raises(KeyError):
        run_together(jobs, timeout_s=None)
    release.set()
    assert done == []


def test_a_job_is_late() -> None:
    """What is late is left to itself, in a thread that does not hold up the end of Python."""
    release = threading.Event()
    names = []

    def hang() -> None:
        names.append(threading.current_thread().daemon)
        release.wait(10)

    started = time.monotonic()
    with pytest.raises(UnreachableError, match=r"within 0\.02 s; .*timeout_s"):
        run_together([hang, hang], timeout_s=0.02)
    release.set()
    assert names == [True, True]
    assert time.monotonic() - started < 10  # it did not wait for the jobs


def test_memory(clock: Clock) -> None:
    """A memory keeps the latest answers, each for as long as who asks accepts it."""
    memory = Memory(6)
    memory.keep({"a": 1, "b": None})
    clock.now_s += 5
    memory.keep({"a": 4, "c": 3})
    assert memory.recall("bcad", 60) == ({"a": 4, "b": None, "c": 3}, ["d"])
    assert memory.recall("abc", 5) == ({"a": 4, "c": 3}, ["b"])
    assert memory.recall("aa", 0) == ({}, ["a"])
    memory.clear()
    assert memory.recall("ab", 60) == ({}, ["a", "b"])


def test_memory_is_bounded() -> None:
    """However many answers come, no more are kept than the size, the latest among them."""
    memory = Memory(10)
    for number in range(100):
        memory.keep({number: number})
        found, _ = memory.recall(range(100), 60)
        assert len(found) <= 10
        assert {*found} >= {*range(max(0, number - 4), number + 1)}


def test_the_second_pass_costs_nothing(server: FakeRucio, clock: Clock) -> None:
    """What has just been asked is not asked again, nor by a modifier made from this one."""
    modifier = Modifier(server)
    modifier(page())
    for other in (modifier, modifier.with_options(prefer="DISK")):
        found = page()
        other(found)
        assert is_modified(found)
    assert server.asked == [1]
    clock.now_s += 31
    modifier(page())
    assert server.asked == [1, 1]


def test_unknown_assets_are_remembered_too(server: FakeRucio) -> None:
    """That Rucio does not know an asset is remembered as well."""
    server.told["list_replicas"] = []
    modifier = Modifier(server)
    for _ in range(2):
        found = page()
        modifier(found)
        assert not is_modified(found)
    assert server.asked == [1]


def test_forgetting(server: FakeRucio) -> None:
    """The memory can be cleared, or not be used at all."""
    modifier = Modifier(server)
    for _ in range(2):
        modifier(page())
        modifier.clear()
    for _ in range(2):
        modifier.with_options(cache_s=0)(page())
    assert server.asked == [1] * 4


def test_the_modifier_of_a_client_is_one_object_with_its_memory(server: FakeRucio) -> None:
    """Each use of `StacClient.modifier` is the same modifier, which remembers."""
    client = StacClient(server)
    for _ in range(2):
        client.modifier(page())
    assert server.asked == [1]


def test_many_threads(server: FakeRucio) -> None:
    """Any number of threads may use a modifier at the same time."""
    modifier = modifier_of(server, prefer=["tier=disk"])
    pages = [page(number % 5, assets=50) for number in range(40)]
    threads = [threading.Thread(target=modifier, args=(each,)) for each in pages]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for each in pages:
        assert is_modified(each)
        assert {a["href"] for a in each["features"][0]["assets"].values()} == {COPY}
