"""Patience with a busy server: what may pass is asked again, and nothing else."""

from __future__ import annotations

from json import JSONDecodeError

import pytest
from rucio.common.exception import DatabaseException, InvalidObject, RucioException

from stac_client import RequestError
from stac_client._rucio import Sender, patiently
from stac_client.errors import rucio_errors

LOCKED = DatabaseException("(sqlite3.OperationalError) database is locked\n[SQL: INSERT …]")


@pytest.fixture
def pauses(monkeypatch):
    """The pauses in seconds, which take no time."""
    taken = []
    monkeypatch.setattr("stac_client._rucio.time.sleep", taken.append)
    return taken


TOO_LONG = RucioException("no error information passed (http status code: 504)")


class Server:
    """Refuses with each of these errors in turn, then takes everything."""

    def __init__(self, *errors):
        """Take the errors."""
        self.errors = [*errors]
        self.sizes = []

    def request(self, values=()):
        """Take a request, or refuse it as Rucio's client does."""
        self.sizes.append(len(values))
        with rucio_errors("sending"):
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
            for status in (429, 500, 502, 503)
        ),
        JSONDecodeError("Unterminated string", '{"na', 1),
    ],
)
def test_what_may_pass(pauses, error):
    """A busy database or server is asked again after pauses that become longer."""
    assert patiently(Server(error, error, error).request) == "taken"
    assert len(pauses) == 3
    assert 0 < pauses[0] < pauses[1] < pauses[2] <= 1


@pytest.mark.parametrize(
    "error",
    [
        DatabaseException("(sqlite3.OperationalError) too many SQL variables"),
        DatabaseException("(sqlite3.OperationalError) x [SQL: …] [parameters: ('deadlock',)]"),
        InvalidObject("deadlock-valley is bad"),
        RucioException("no error information passed (http status code: 413)"),
        TOO_LONG,
    ],
)
def test_what_does_not_pass(pauses, error):
    """What lies in the request is raised at once, even if it is named like something else."""
    server = Server(error)
    with pytest.raises(RequestError):
        patiently(server.request)
    assert (len(server.sizes), pauses) == (1, [])


def test_patience_ends(pauses):
    """A database that stays busy is an error in the end, after some seconds."""
    with pytest.raises(RequestError, match="database is locked"):
        patiently(Server(*[LOCKED] * 99).request)
    assert 5 < sum(pauses) < 20


def test_a_busy_database_takes_large_requests(pauses):
    """That a database is busy says nothing of how much it takes in one request."""
    server = Server(LOCKED, LOCKED)
    sender = Sender()
    assert sender.send([*range(1000)], server.request) == []
    assert sender.send([*range(1000)], server.request) == []
    assert server.sizes == [1000] * 4
    assert len(pauses) == 2


@pytest.mark.parametrize(
    "error",
    [LOCKED, RucioException("no error information passed (http status code: 503)")],
)
def test_a_server_that_stays_busy_is_not_asked_in_halves(pauses, error):
    """What the server is too busy for is refused as a whole."""
    server = Server(*[error] * 99)
    refused = Sender().send([*range(1000)], server.request)
    assert [value for value, _ in refused] == [*range(1000)]
    assert set(server.sizes) == {1000}
    assert len(pauses) == len(server.sizes) - 1


class SlowServer:
    """Behind a proxy that waits for so many values and no more."""

    def __init__(self, most):
        """Take the most values that it is quick enough for."""
        self.most = most
        self.sizes = []
        self.taken = []

    def request(self, values):
        """Take a request, or let the proxy end it."""
        self.sizes.append(len(values))
        with rucio_errors("sending"):
            if len(values) > self.most:
                raise TOO_LONG
        self.taken += values


@pytest.mark.parametrize("most", [999, 300, 64, 50])
def test_a_proxy_that_does_not_wait_for_large_requests(most):
    """What takes longer than a proxy waits is sent in halves, and their size is remembered."""
    server = SlowServer(most)
    sender = Sender()
    assert sender.send([*range(1000)], server.request) == []
    assert sorted(server.taken) == [*range(1000)]
    server.sizes.clear()
    assert sender.send([*range(1000)], server.request) == []
    assert max(server.sizes) <= most


@pytest.mark.parametrize("count", [1, 3, 1000, 5000])
def test_a_server_that_is_too_slow_for_anything(pauses, count):
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


def test_what_was_taken_before_it_became_too_slow():
    """What a server has taken before it became too slow is not refused."""
    server = SlowServer(1000)

    def request(values):
        server.request(values)
        server.most = 0

    refused = Sender().send([*range(3000)], request)
    assert len(server.taken) == 1000
    assert sorted([*server.taken, *(value for value, _ in refused)]) == [*range(3000)]


def test_a_refusal_that_reads_like_a_proxys():
    """What Rucio refuses is searched for in halves, whatever names are in its message."""
    server = Server(*[InvalidObject(str(TOO_LONG))] * 2)
    ((value, _),) = Sender().send([1, 2], server.request)
    assert value == 2
    assert server.sizes == [2, 1, 1]
