"""One class for every request to Rucio: errors, retries, bulk requests, threads and processes."""

from __future__ import annotations

import copy
import itertools
import os
import pickle
import threading
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from rucio.common.exception import DatabaseException, InvalidObject, RucioException

from stac_client import (
    AccessError,
    ConfigurationError,
    RequestError,
    StacRucioError,
    UnreachableError,
    _rucio,
)
from stac_client._rucio import REQUEST_DIDS, RETRY_S, Rucio, batched, grouped

if TYPE_CHECKING:
    from collections.abc import Callable


LOCKED = DatabaseException("(sqlite3.OperationalError) database is locked\n[SQL: INSERT …]")
TOO_LONG = RucioException("no error information passed (http status code: 504)")
AWAY = requests.ConnectionError("[Errno 111] Connection refused")


_numbers = itertools.count()


class FakeClient:
    """A client that has nothing to ask."""

    timeout: float

    account = "root"
    host = "https://rucio.example.org"

    def __init__(self) -> None:
        self.session = requests.Session()


class Sender(Rucio):
    """Sends what does not look at its client."""

    def __init__(self, host: str | None = None) -> None:
        client = FakeClient()
        client.host = host or f"https://rucio-{next(_numbers)}.example.org"
        super().__init__(client)

    def send(self, values: Any, request: Any) -> list[tuple[Any, StacRucioError]]:  # type: ignore[override]  # it says itself what it does
        """Send all values."""
        return super().send("sending", values, lambda part, _: request(part))


def ask(request: Callable[..., Any]) -> Any:
    """Ask once, and again where that may help."""
    return Rucio(FakeClient()).ask("sending", lambda _: request())


class Clock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        """The time in seconds."""
        return self.now

    def sleep(self, seconds: Any) -> None:
        """Let time pass."""
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses in seconds, which take no time."""
    clock = Clock()
    monkeypatch.setattr(_rucio, "time", clock)
    monkeypatch.delenv("STAC_RUCIO_RETRY_S", raising=False)
    return clock.pauses


# Asking again.


class BusyServer:
    """Refuses with each of these errors in turn, then takes everything."""

    def __init__(self, *errors: Any) -> None:
        """Take the errors."""
        self.errors = [*errors]
        self.sizes: list[int] = []

    def request(self, values: Any = ()) -> str:
        """Take a request, or refuse it as Rucio's client does."""
        self.sizes.append(len(values))
        if self.errors:
            raise self.errors.pop(0)
        return "taken"


@pytest.mark.parametrize(
    "error",
    [
        LOCKED,
        DatabaseException("(psycopg.errors.DeadlockDetected) deadlock detected"),
        DatabaseException("(pymysql.err.OperationalError) (1205, 'Lock wait timeout exceeded')"),
        DatabaseException("ORA-00060: deadlock detected while waiting for resource"),
        DatabaseException("QueuePool limit of size 5 overflow 10 reached"),
        RucioException("('(sqlite3.OperationalError) database is locked',)"),
        *(
            RucioException(f"no error information passed (http status code: {status})")
            for status in (408, 425, 429, 500, 502, 503, 504)
        ),
        AWAY,
        requests.ReadTimeout("read timed out"),
        JSONDecodeError("Unterminated string", '{"na', 1),
    ],
)
def test_what_may_pass(pauses: list[float], error: Any) -> None:
    """A busy database or server is asked again after pauses that become longer."""
    assert ask(BusyServer(error, error, error).request) == "taken"
    assert len(pauses) == 3
    assert 0 < pauses[0] < pauses[1] < pauses[2] <= 1


@pytest.mark.parametrize(
    "error",
    [
        DatabaseException("(sqlite3.OperationalError) too many SQL variables"),
        DatabaseException("(sqlite3.OperationalError) x [SQL: …] [parameters: ('deadlock',)]"),
        InvalidObject("deadlock-valley is bad"),
        RucioException("no error information passed (http status code: 413)"),
        KeyError("rse"),
    ],
)
def test_what_does_not_pass(pauses: list[float], error: Any) -> None:
    """What lies in the request is raised at once, even if it is named like something else."""
    server = BusyServer(error)
    with pytest.raises(RequestError):
        ask(server.request)
    assert (len(server.sizes), pauses) == (1, [])


@pytest.mark.parametrize(("error", "kind"), [(LOCKED, RequestError), (AWAY, UnreachableError)])
def test_patience_ends(
    pauses: list[float], error: Any, kind: type[RequestError | UnreachableError]
) -> None:
    """What does not pass is an error in the end, and no server is given up for a minute."""
    with pytest.raises(kind) as caught:
        ask(BusyServer(*[error] * 99).request)
    assert caught.value.transient
    assert 60 < sum(pauses) <= RETRY_S
    assert max(pauses) <= 8


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("NameResolutionError: Failed to resolve 'rucio.example.org'"),
        requests.exceptions.SSLError("certificate verify failed"),
        requests.exceptions.InvalidURL("no host"),
    ],
)
def test_where_asking_again_changes_nothing(pauses: list[float], error: Any) -> None:
    """A name that leads nowhere, a certificate or a URL is as wrong a minute later."""
    with pytest.raises(UnreachableError, match="rucio_host"):
        ask(BusyServer(error).request)
    assert pauses == []


def test_no_patience_where_none_is_wanted(pauses: list[float]) -> None:
    """`retry_s=0` asks once."""
    rucio = Rucio(FakeClient(), retry_s=0)
    with pytest.raises(UnreachableError):
        rucio.ask("sending", lambda _: BusyServer(AWAY).request())
    assert pauses == []


def test_the_environment_has_the_default(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`STAC_RUCIO_RETRY_S` is what is not said in the call; nonsense is told."""
    monkeypatch.setenv("STAC_RUCIO_RETRY_S", "2")
    with pytest.raises(UnreachableError):
        ask(BusyServer(*[AWAY] * 99).request)
    assert sum(pauses) == pytest.approx(2)
    monkeypatch.setenv("STAC_RUCIO_RETRY_S", "soon")
    with pytest.raises(ConfigurationError, match="STAC_RUCIO_RETRY_S"):
        Rucio(FakeClient())


def test_hints_are_apart_from_messages() -> None:
    """An error says what to do, and that can be left away."""
    with pytest.raises(UnreachableError) as caught:
        Rucio(FakeClient(), retry_s=0).ask("sending", lambda _: BusyServer(AWAY).request())
    assert caught.value.message == "sending: the Rucio server does not answer"
    assert str(caught.value) == f"{caught.value.message}; {caught.value.hint}"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301


def test_a_busy_database_takes_large_requests(pauses: list[float]) -> None:
    """That a database is busy says nothing of how much it takes in one request."""
    server = BusyServer(LOCKED, LOCKED)
    sender = Sender()
    assert sender.send([*range(1000)], server.request) == []
    assert sender.send([*range(1000)], server.request) == []
    assert server.sizes == [1000] * 4
    assert len(pauses) == 2


@pytest.mark.parametrize(
    "error",
    [LOCKED, RucioException("no error information passed (http status code: 503)")],
)
def test_a_server_that_stays_busy_is_not_asked_in_halves(pauses: list[float], error: Any) -> None:
    """What the server is too busy for is refused as a whole."""
    server = BusyServer(*[error] * 99)
    refused = Sender().send([*range(1000)], server.request)
    assert [value for value, _ in refused] == [*range(1000)]
    assert set(server.sizes) == {1000}
    assert len(pauses) == len(server.sizes) - 1


class SlowServer:
    """Behind a proxy that waits for so many values and no more."""

    def __init__(self, most: Any) -> None:
        """Take the most values that it is quick enough for."""
        self.most = most
        self.sizes: list[int] = []
        self.taken: list[int] = []

    def request(self, values: Any) -> None:
        """Take a request, or let the proxy end it."""
        self.sizes.append(len(values))
        if len(values) > self.most:
            raise TOO_LONG
        self.taken += values


@pytest.mark.parametrize("most", [999, 300, 64, 50])
def test_a_proxy_that_does_not_wait_for_large_requests(most: int) -> None:
    """What takes longer than a proxy waits is sent in halves, and their size is remembered."""
    server = SlowServer(most)
    sender = Sender()
    assert sender.send([*range(1000)], server.request) == []
    assert sorted(server.taken) == [*range(1000)]
    server.sizes.clear()
    assert sender.send([*range(1000)], server.request) == []
    assert max(server.sizes) <= most


@pytest.mark.parametrize("count", [1, 3, 1000, 5000])
def test_a_server_that_is_too_slow_for_anything(pauses: list[float], count: int) -> None:
    """A server that is too slow even for few files is left alone after a handful of requests."""
    server = SlowServer(0)
    refused = Sender().send([*range(count)], server.request)
    assert sorted(value for value, _ in refused) == [*range(count)]
    assert len(server.sizes) <= 6
    assert pauses == []
    reasons = {str(reason) for _, reason in refused}
    assert len(reasons) == 1
    assert "504" in min(reasons)
    assert f"even for {server.sizes[-1]} at a time; raise its time limit" in min(reasons)


def test_what_was_taken_before_it_became_too_slow() -> None:
    """What a server has taken before it became too slow is not refused."""
    server = SlowServer(1000)

    def request(values: Any) -> None:
        server.request(values)
        server.most = 0

    refused = Sender().send([*range(3000)], request)
    assert len(server.taken) == 1000
    assert sorted([*server.taken, *(value for value, _ in refused)]) == [*range(3000)]


def test_a_refusal_that_reads_like_a_proxys() -> None:
    """What Rucio refuses is searched for in halves, whatever names are in its message."""
    server = BusyServer(*[InvalidObject(str(TOO_LONG))] * 2)
    ((value, _),) = Sender().send([1, 2], server.request)
    assert value == 2
    assert server.sizes == [2, 1, 1]


# Bulk requests.


class Server:
    """Takes all values of a request or none: none if there are too many, or a bad one."""

    def __init__(self, bad: Any = (), most: Any = REQUEST_DIDS, error: Any = InvalidObject) -> None:
        """Keep what is refused."""
        self.bad = frozenset(bad)
        self.most = most
        self.error = error
        self.sizes: list[int] = []
        self.taken: list[int] = []

    def request(self, values: Any) -> None:
        """Take a request, or refuse it as Rucio's client does."""
        self.sizes.append(len(values))
        if len(values) > self.most:
            raise DatabaseException("too many SQL variables")
        if wrong := sorted(self.bad.intersection(values)):
            raise self.error(f"{wrong[0]} is bad")
        self.taken += values


# Lists of a size, and by a key.


@given(st.lists(st.integers(), max_size=30), st.integers(1, 12))
def test_batched(values: list[Any], size: int) -> None:
    """Batches hold all values in their order, and are full but for the last."""
    batches = list(batched(iter(values), size))
    assert [value for batch in batches for value in batch] == values
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(0 < len(batch) <= size for batch in batches)


def test_batched_does_not_read_ahead() -> None:
    """Only the values of a batch are taken when it is asked for."""
    values = iter(range(10))
    batches = batched(values, 3)
    assert next(batches) == [0, 1, 2]
    assert next(values) == 3


def test_batches_are_as_large_as_rucio_takes() -> None:
    """By default a batch has as many values as Rucio takes DIDs."""
    assert [len(batch) for batch in batched(range(2001))] == [1000, 1000, 1]


@given(st.lists(st.integers()), st.integers(1, 5))
def test_grouped(values: list[Any], modulus: int) -> None:
    """Groups hold all values in their order, by their keys in the order of their first."""
    groups = grouped(values, lambda value: value % modulus)
    assert list(groups) == list(dict.fromkeys(value % modulus for value in values))
    for key, members in groups.items():
        assert members == [value for value in values if value % modulus == key]


# Sending.


@given(
    st.integers(0, 2500).flatmap(
        lambda count: st.tuples(
            st.just(count), st.sets(st.integers(0, max(count - 1, 0)), max_size=6)
        )
    ),
    st.integers(1, 1200),
    st.sampled_from([InvalidObject, DatabaseException]),
)
def test_every_value_is_sent_once_or_refused(count_and_bad: Any, most: int, error: Any) -> None:
    """Every value is taken exactly once, or refused with its own reason; whatever was bad."""
    count, bad = count_and_bad
    server = Server(bad, most, error)
    refused = Sender().send(list(range(count)), server.request)
    assert sorted([*server.taken, *(value for value, _ in refused)]) == list(range(count))
    assert {value for value, _ in refused} == {value for value in bad if value < count}
    for value, reason in refused:
        assert isinstance(reason, RequestError)
        assert f"{value} is bad" in str(reason)


@given(st.lists(st.sampled_from(["ok", "bad", "denied", "gone"]), max_size=60), st.data())
def test_all_kinds_of_errors(kinds: list[Any], data: st.DataObject) -> None:
    """Whatever errors come, every value is taken exactly once or refused with a reason."""
    values = list(enumerate(kinds))
    values = data.draw(st.permutations(values))
    taken = []

    def request(part: Any) -> None:
        found = {kind for _, kind in part}
        for kind, error in (("gone", UnreachableError), ("denied", AccessError)):
            if kind in found:
                raise error(kind)
        if "bad" in found:
            raise RequestError("bad")
        taken.extend(part)

    refused = Sender().send(values, request)
    assert sorted([*taken, *(value for value, _ in refused)]) == sorted(values)
    if not {"denied", "gone"} & set(kinds):
        assert {kind for (_, kind), _ in refused} <= {"bad"}


def test_nothing() -> None:
    """Nothing to send is no request."""
    server = Server()
    assert Sender().send([], server.request) == []
    assert server.sizes == []


def test_the_values_are_not_changed() -> None:
    """The list that is sent stays as it is."""
    values = list(range(100))
    Sender().send(values, Server(bad=[50]).request)
    assert values == list(range(100))


def test_one_bad_value_costs_few_requests() -> None:
    """One bad value among 1,000 is found by halving."""
    server = Server(bad=[777])
    ((value, reason),) = Sender().send(list(range(1000)), server.request)
    assert (value, str(reason)) == (777, "sending: 777 is bad")
    assert len(server.taken) == 999
    assert len(server.sizes) <= 22


@pytest.mark.parametrize("error", [AccessError, ConfigurationError, UnreachableError])
def test_what_is_not_the_values_fault(error: Any) -> None:
    """What no smaller request would change is not tried in halves; it concerns all in it."""
    sizes = []

    def request(part: Any) -> None:
        sizes.append(len(part))
        raise error("not you")

    refused = Sender().send(list(range(1500)), request)
    assert sorted(sizes) == [500, 1000]
    assert sorted(value for value, _ in refused) == list(range(1500))
    assert all(type(reason) is error for _, reason in refused)


def test_errors_of_others_are_not_swallowed() -> None:
    """What is no error of this package ends the sending."""

    def request(_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Sender().send([1, 2], request)


# What it remembers.


def test_it_remembers_what_the_database_took() -> None:
    """A size that the database refused is not tried again."""
    server = Server(most=300)
    sender = Sender()
    for _ in range(3):
        assert sender.send(list(range(1000)), server.request) == []
    assert server.sizes.count(1000) == 1
    assert server.sizes.count(500) <= 2
    assert all(size <= 250 for size in server.sizes[-4:])
    assert len(server.taken) == 3000
    server.sizes.clear()
    Sender(sender.host).send(list(range(1000)), server.request)  # as another client knows
    assert server.sizes == [250] * 4
    Sender().send([*range(1000)], server.request)  # of another server nothing is known
    assert server.sizes[4] == 1000


def test_it_remembers_nothing_else() -> None:
    """A bad value says nothing of the size of requests."""
    sender = Sender()
    sender.send(list(range(1000)), Server(bad=[3]).request)
    server = Server()
    sender.send(list(range(1000)), server.request)
    assert server.sizes == [1000]


def test_a_size_once_learnt_does_not_grow() -> None:
    """What was cut before the database refused it makes later requests no larger again."""
    sender = Sender()
    sender.send(list(range(2000)), Server(most=250).request)
    server = Server(most=250)
    sender.send(list(range(1000)), server.request)
    assert server.sizes == [250] * 4


def test_requests_do_not_become_tiny() -> None:
    """A single value that the database refuses does not make all later requests tiny."""
    sender = Sender()
    bad = Server(bad=[3], error=DatabaseException)
    ((value, _),) = sender.send(list(range(1000)), bad.request)
    assert value == 3
    server = Server()
    sender.send(list(range(1000)), server.request)
    assert server.sizes == [50] * 20


def test_senders_do_not_share() -> None:
    """What one sender learnt of its server is not true for another."""
    Sender().send(list(range(1000)), Server(most=100).request)
    server = Server()
    Sender().send(list(range(1000)), server.request)
    assert server.sizes == [1000]


def test_reasons_are_errors_of_this_package() -> None:
    """A reason is an error that keeps what Rucio said as its cause."""
    ((_, reason),) = Sender().send([1], Server(bad=[1]).request)
    assert isinstance(reason, StacRucioError)
    assert isinstance(reason.__cause__, InvalidObject)


# Threads, processes, copies.


def test_each_thread_has_a_client_of_its_own() -> None:
    """Requests at the same time have different clients and connections; later ones have those."""
    rucio = Rucio(FakeClient())
    both = threading.Barrier(2)
    used = []

    def request(client: Any) -> None:
        used.append(client)
        both.wait(10)

    for _ in range(2):
        threads = [threading.Thread(target=rucio.ask, args=("asking", request)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({id(client) for client in used}) == 2
    assert len({id(client.session) for client in used}) == 2


def test_a_child_has_connections_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fork no connection of the parent is used."""
    rucio = Rucio(FakeClient())
    before = rucio.ask("asking", lambda client: client.session)
    assert rucio.ask("asking", lambda client: client.session) is before
    pid = os.getpid()
    monkeypatch.setattr("stac_client._rucio.os.getpid", lambda: pid + 1)
    child = rucio.ask("asking", lambda client: client.session)
    assert child is not before
    assert rucio.ask("asking", lambda client: client.session) is child


def test_pickled_and_copied() -> None:
    """A pickled one asks with connections of its own; a copy is the same."""
    rucio = Rucio(FakeClient(), retry_s=3)
    assert copy.deepcopy(rucio) is rucio
    copied = pickle.loads(pickle.dumps(rucio))  # noqa: S301
    assert copied.account == "root"
    ours, other = (each.ask("asking", lambda client: client.session) for each in (rucio, copied))
    assert ours is not other


def test_a_time_limit_is_for_its_requests_alone() -> None:
    """Nobody else who uses the client gets the limit."""
    client = FakeClient()
    client.timeout = 600
    limited = Rucio(client).limited(2.5)
    assert limited.ask("asking", lambda given: given.timeout) == 2.5
    assert client.timeout == 600
