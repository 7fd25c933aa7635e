"""What the modifier remembers of Rucio; with a stand-in."""

from __future__ import annotations

import threading
import warnings

from stac_client import Modifier, StacClient
from stac_client._replicas import Cache

from .modifying import COPY, Clock, is_modified, page


def test_the_second_pass_costs_nothing(server, clock):
    """What has just been asked is not asked again, nor by a modifier made from this one."""
    modifier = Modifier(server)
    modifier(page())
    for other in (modifier, modifier(prefer="DISK")):
        found = page()
        other(found)
        assert is_modified(found)
    assert server.asked == [1]
    clock.now_s += 31
    modifier(page())
    assert server.asked == [1, 1]


def test_unknown_assets_are_remembered_too(server):
    """That Rucio does not know an asset is remembered as well."""
    server.told["list_replicas"] = []
    modifier = Modifier(server)
    for _ in range(2):
        found = page()
        modifier(found)
        assert not is_modified(found)
    assert server.asked == [1]


def test_forgetting(server):
    """The memory can be cleared, or not be used at all."""
    modifier = Modifier(server)
    for _ in range(2):
        modifier(page())
        modifier.clear()
    for _ in range(2):
        modifier(cache_s=0)(page())
    assert server.asked == [1] * 4


def test_the_modifier_of_a_client_is_one_object_with_its_memory(server):
    """Each use of `StacClient.modifier` is the same modifier, which remembers."""
    client = StacClient(server)
    for _ in range(2):
        client.modifier(page())
    assert server.asked == [1]


def test_a_cache_is_bounded():
    """A cache keeps the latest answers, and none for longer than is asked for."""
    clock = Clock()
    cache: Cache[str, int | None] = Cache(3, clock)
    cache.put({"a": 1, "b": None})
    clock.now_s += 5
    cache.put({"c": 3, "a": 4, "d": 5})
    assert cache.get("abcde", 60) == {"a": 4, "c": 3, "d": 5}
    clock.now_s += 5
    cache.put({"e": None})
    assert cache.get("abcde", 5) == {"e": None}
    assert cache.get("abcde", 0) == {}
    cache.clear()
    assert cache.get("abcde", 60) == {}


def test_many_threads(server):
    """Any number of threads may use a modifier at the same time."""
    modifier = Modifier(server, prefer=["tier=disk"])
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
