"""The modifier when Rucio is slow, down or denies, and what it remembers; with a stand-in."""

from __future__ import annotations

import copy
import threading
import time
import warnings

import pytest
import requests
from rucio.common.exception import AccessDenied, DatabaseException, InvalidRSEExpression

from stac_client import (
    AccessError,
    AlternatesWarning,
    ConfigurationError,
    Modifier,
    RequestError,
    StacClient,
    UnreachableError,
)
from stac_client.modifier.replica_cache import Cache
from stac_client.modifier.replica_source import PAUSE_S
from stac_client.modifier.time_limit import TimeLimitError, run_together

from .items import item

HREF = "https://origin.example.org/x.tif"
COPY = "https://disk.example.org/c/i/x.tif"


class Server:
    """A Rucio that answers, fails or hangs as it is told; copies of it are the same."""

    def __init__(self):
        self.state = {"error": None, "entries": None}
        self.hang = threading.Event()
        self.hang.set()
        self.requests = []
        self.timeout = 600

    def __copy__(self):
        other = Server()
        vars(other).update(vars(self))
        return other

    def list_replicas(self, dids, **_):
        """Answer as told."""
        self.requests.append(len(dids))
        assert self.hang.wait(10)
        if self.state["error"]:
            raise self.state["error"]
        if self.state["entries"] is not None:
            return iter(self.state["entries"])
        rses = {"STAC": [HREF], "DISK": [COPY]}
        return iter([{**did, "bytes": 1, "rses": rses} for did in dids])

    def list_rses(self, expression):
        """Answer with one RSE, with none, or with an error."""
        self.requests.append(expression)
        if expression == "tier=none":
            raise InvalidRSEExpression("RSE Expression resulted in an empty set.")
        if expression == "((":
            raise InvalidRSEExpression("Problem with parentheses.")
        return iter([{"rse": "DISK"}])


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        """Give the time."""
        return self.now_s


@pytest.fixture
def server():
    """The stand-in."""
    made = Server()
    yield made
    made.hang.set()


@pytest.fixture
def clock(monkeypatch):
    """The clock of the sources of replicas."""
    made = Clock()
    monkeypatch.setattr(
        "stac_client.modifier.replica_source.ReplicaSource.__init__.__defaults__", (made,)
    )
    return made


def page(number=0, assets=1):
    """A page of one item."""
    found = {f"a{each}": {"href": HREF} for each in range(assets)}
    return {"type": "FeatureCollection", "features": [item("c", f"i{number}", found)]}


def is_modified(found):
    """Whether every asset of a page has its copies, or none has."""
    assets = [asset for each in found["features"] for asset in each["assets"].values()]
    modified = {"alternate" in asset for asset in assets}
    assert len(modified) == 1
    return modified.pop()


FAILURES = [
    (DatabaseException("database is locked"), RequestError, "database is locked"),
    (AccessDenied("no"), AccessError, "ask an administrator"),
    (requests.ConnectionError("gone"), UnreachableError, "does not answer"),
    (ValueError("not JSON"), RequestError, "rucio_host"),
]


@pytest.mark.parametrize(("error", "kind", "message"), FAILURES)
def test_one_warning_a_search(server, clock, error, kind, message):
    """Items come through unchanged, and one warning says why, however many pages there are."""
    server.state["error"] = error
    modifier = Modifier(server)
    pages = [page(number, assets=3) for number in range(4)]
    before = copy.deepcopy(pages)
    with pytest.warns(AlternatesWarning, match=message) as caught:
        modifier(pages[0])
    assert len(caught) == 1
    for each in pages[1:]:
        clock.now_s += PAUSE_S
        assert modifier(each) is None  # a warning would be an error here
    assert len(server.requests) == len(pages)
    assert pages == before
    with pytest.raises(kind, match=message):
        modifier(strict=True)(pages[0])
    assert pages == before


def test_after_a_failure_rucio_is_left_alone(server, clock):
    """After a failure no look-up is made for a while; then Rucio is asked again."""
    server.state["error"] = DatabaseException("database is locked")
    modifier = Modifier(server)
    with pytest.warns(AlternatesWarning):
        modifier(page())
    clock.now_s += PAUSE_S - 1
    modifier(page())
    assert server.requests == [1]
    server.state["error"] = None
    clock.now_s += 1
    found = page()
    modifier(found)
    assert is_modified(found)
    assert server.requests == [1, 1]


def test_warned_again_after_a_success(server, clock):
    """Once Rucio has answered, its next failure is worth another warning."""
    modifier = Modifier(server, cache_s=0)
    for _ in range(2):
        server.state["error"] = DatabaseException("locked")
        clock.now_s += PAUSE_S
        with pytest.warns(AlternatesWarning):
            modifier(page())
        server.state["error"] = None
        clock.now_s += PAUSE_S
        modifier(page())


def test_strict_leaves_rucio_alone_too(server):
    """A strict modifier says that it waits a while before it asks again; `clear` ends that."""
    modifier = Modifier(server, strict=True)
    server.state["error"] = DatabaseException("locked")
    with pytest.raises(RequestError, match=r"locked$"):
        modifier(page())
    server.state["error"] = None
    with pytest.raises(RequestError, match=r"locked \(Rucio is asked again 15 s after that\)$"):
        modifier(page())
    modifier.clear()
    found = page()
    modifier(found)
    assert is_modified(found)
    assert server.requests == [1, 1]


def test_explaining_insists(server):
    """Who asks for an explanation wants it now."""
    modifier = Modifier(server)
    server.state["error"] = DatabaseException("locked")
    with pytest.warns(AlternatesWarning):
        modifier(page())
    server.state["error"] = None
    (explanation,) = modifier.explain(page())
    assert [each.key for each in explanation.candidates] == ["DISK", "STAC"]


def test_slow(server):
    """A Rucio that does not answer in time holds nobody up longer than that."""
    server.hang.clear()
    modifier = Modifier(server, timeout_s=0.05)
    found = page()
    with pytest.warns(AlternatesWarning, match=r"within 0\.05 s; .*timeout_s"):
        modifier(found)
    assert not is_modified(found)
    with pytest.raises(UnreachableError):
        modifier(strict=True)(found)
    server.hang.set()
    modifier.clear()
    modifier(timeout_s=10)(found)
    assert is_modified(found)


def test_the_limit_is_for_the_modifier_alone(server):
    """The Rucio client that was given keeps its own time limit."""
    seen = []
    list_replicas = Server.list_replicas

    def look(self, dids, **options):
        seen.append(self.timeout)
        return list_replicas(self, dids, **options)

    Server.list_replicas = look
    try:
        Modifier(server, timeout_s=7)(page())
        Modifier(server, timeout_s=None)(page())
    finally:
        Server.list_replicas = list_replicas
    assert seen == [7, 600]
    assert server.timeout == 600


@pytest.mark.parametrize("entries", [["<html>"], [{}], [{"rses": None}], [None], [5]])
def test_nonsense(server, entries):
    """An answer that is not Rucio's leaves the items as they are."""
    server.state["entries"] = entries
    found = page()
    with pytest.warns(AlternatesWarning, match="rucio_host"):
        Modifier(server)(found)
    assert not is_modified(found)


def test_no_half_modified_page(server):
    """Where one of several requests fails, or a function does, the whole page stays."""
    found = page(assets=2500)
    list_replicas = Server.list_replicas

    def fail(self, dids, **options):
        if len(dids) < 1000:
            raise DatabaseException("locked")
        return list_replicas(self, dids, **options)

    Server.list_replicas = fail
    try:
        with pytest.warns(AlternatesWarning):
            Modifier(server)(found)
    finally:
        Server.list_replicas = list_replicas
    assert not is_modified(found)
    calls = []

    def choose(copies):
        calls.append(copies)
        if len(calls) == 5:
            raise KeyError("a bug of the user's")
        return "DISK"

    with pytest.raises(KeyError, match="a bug"):
        Modifier(server, prefer=choose)(found)
    assert not is_modified(found)


# RSE expressions.


def test_expressions(server, clock):
    """An expression is resolved once in minutes; plain names and schemes cost nothing."""
    modifier = Modifier(server, prefer=["DISK-X", "tier=none", "tier=disk"], exclude="tier=none")
    for number in range(3):
        found = page(number)
        modifier(found)
        assert found["features"][0]["assets"]["a0"]["href"] == COPY
        clock.now_s += 100
    assert sorted(server.requests, key=str) == [1, 1, 1, "tier=disk", "tier=none"]


def test_a_wrong_expression(server):
    """A wrong expression is reported, and stops no other modifier."""
    modifier = Modifier(server)
    found = page()
    with pytest.warns(AlternatesWarning, match="parentheses"):
        modifier(prefer="((")(found)
    assert not is_modified(found)
    with pytest.raises(ConfigurationError, match=r"'\(\('.*rucio rse list"):
        modifier(prefer="((", strict=True)(found)
    modifier(found)
    assert is_modified(found)


# What is remembered.


def test_the_second_pass_costs_nothing(server, clock):
    """What has just been asked is not asked again, nor by a modifier made from this one."""
    modifier = Modifier(server)
    modifier(page())
    for other in (modifier, modifier(prefer="DISK")):
        found = page()
        other(found)
        assert is_modified(found)
    assert server.requests == [1]
    clock.now_s += 31
    modifier(page())
    assert server.requests == [1, 1]


def test_unknown_assets_are_remembered_too(server):
    """That Rucio does not know an asset is remembered as well."""
    server.state["entries"] = []
    modifier = Modifier(server)
    for _ in range(2):
        found = page()
        modifier(found)
        assert not is_modified(found)
    assert server.requests == [1]


def test_forgetting(server):
    """The memory can be cleared, or not be used at all."""
    modifier = Modifier(server)
    for _ in range(2):
        modifier(page())
        modifier.clear()
    for _ in range(2):
        modifier(cache_s=0)(page())
    assert server.requests == [1] * 4


def test_modifiers_of_a_client_have_their_own_memory(server):
    """A new modifier of the client asks Rucio anew."""
    client = StacClient(server)
    for _ in range(2):
        client.modifier(page())
    assert server.requests == [1, 1]


def test_a_cache_is_bounded():
    """A cache keeps the latest answers, and none for longer than is asked for."""
    clock = Clock()
    cache = Cache(3, clock)
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


# Jobs together.


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


# Other modifiers before and after.


def sign(thing):
    """Append a signature to hrefs, as planetary_computer.sign_inplace does."""
    for feature in thing["features"]:
        for asset in feature["assets"].values():
            if "sig=" not in asset["href"]:
                asset["href"] += "?se=2030&sig=SECRET"


@pytest.mark.parametrize("prefer", [(), ("DISK",), ("STAC",)])
@pytest.mark.parametrize("order", ["before", "after", "both"])
def test_signed(server, prefer, order):
    """Signing before or after the modifier neither hides copies nor loses a URL."""
    modifier = Modifier(server, prefer=prefer)
    chain = {"before": [sign, modifier], "after": [modifier, sign], "both": [sign, modifier, sign]}
    found = page()
    for _ in range(2):
        for step in chain[order]:
            step(found)
        asset = found["features"][0]["assets"]["a0"]
        ways = [asset["href"], *(each["href"] for each in asset["alternate"].values())]
        assert {way.partition("?")[0] for way in ways} == {HREF, COPY}
        wanted = COPY if prefer == ("DISK",) else HREF
        assert asset["href"].partition("?")[0] == wanted
    assert server.requests == [1]
