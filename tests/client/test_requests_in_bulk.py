"""Bulk requests: nothing is sent twice, nothing is forgotten, one bad value spoils no other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rucio.common.exception import DatabaseException, InvalidObject

from stac_client import (
    AccessError,
    ConfigurationError,
    RequestError,
    StacRucioError,
    UnreachableError,
)
from stac_client._rucio import REQUEST_DIDS, Sender, batched, grouped
from stac_client.errors import rucio_errors


class Server:
    """Takes all values of a request or none: none if there are too many, or a bad one."""

    def __init__(self, bad=(), most=REQUEST_DIDS, error=InvalidObject):
        """Say what is refused."""
        self.bad = frozenset(bad)
        self.most = most
        self.error = error
        self.sizes = []
        self.taken = []

    def request(self, values):
        """Take a request, or refuse it as Rucio's client does."""
        self.sizes.append(len(values))
        with rucio_errors("sending"):
            if len(values) > self.most:
                raise DatabaseException("too many SQL variables")
            if wrong := sorted(self.bad.intersection(values)):
                raise self.error(f"{wrong[0]} is bad")
        self.taken += values


# Lists of a size, and by a key.


@given(st.lists(st.integers(), max_size=30), st.integers(1, 12))
def test_batched(values, size):
    """Batches hold all values in their order, and are full but for the last."""
    batches = list(batched(iter(values), size))
    assert [value for batch in batches for value in batch] == values
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(0 < len(batch) <= size for batch in batches)


def test_batched_does_not_read_ahead():
    """Only the values of a batch are taken when it is asked for."""
    values = iter(range(10))
    batches = batched(values, 3)
    assert next(batches) == [0, 1, 2]
    assert next(values) == 3


def test_batches_are_as_large_as_rucio_takes():
    """By default a batch has as many values as Rucio takes DIDs."""
    assert [len(batch) for batch in batched(range(2001))] == [1000, 1000, 1]


@given(st.lists(st.integers()), st.integers(1, 5))
def test_grouped(values, modulus):
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
def test_every_value_is_sent_once_or_refused(count_and_bad, most, error):
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
def test_all_kinds_of_errors(kinds, data):
    """Whatever errors come, every value is taken exactly once or refused with a reason."""
    values = list(enumerate(kinds))
    values = data.draw(st.permutations(values))
    taken = []

    def request(part):
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


def test_nothing():
    """Nothing to send is no request."""
    server = Server()
    assert Sender().send([], server.request) == []
    assert server.sizes == []


def test_the_values_are_not_changed():
    """The list that is sent stays as it is."""
    values = list(range(100))
    Sender().send(values, Server(bad=[50]).request)
    assert values == list(range(100))


def test_one_bad_value_costs_few_requests():
    """One bad value among 1,000 is found by halving."""
    server = Server(bad=[777])
    ((value, reason),) = Sender().send(list(range(1000)), server.request)
    assert (value, str(reason)) == (777, "sending: 777 is bad")
    assert len(server.taken) == 999
    assert len(server.sizes) <= 22


@pytest.mark.parametrize("error", [AccessError, ConfigurationError, UnreachableError])
def test_what_is_not_the_values_fault(error):
    """What no smaller request would change is not tried in halves; it concerns all in it."""
    sizes = []

    def request(part):
        sizes.append(len(part))
        raise error("not you")

    refused = Sender().send(list(range(1500)), request)
    assert sorted(sizes) == [500, 1000]
    assert sorted(value for value, _ in refused) == list(range(1500))
    assert all(type(reason) is error for _, reason in refused)


def test_errors_of_others_are_not_swallowed():
    """What is no error of this package ends the sending."""

    def request(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Sender().send([1, 2], request)


# What it remembers.


def test_it_remembers_what_the_database_took():
    """A size that the database refused is not tried again."""
    server = Server(most=300)
    sender = Sender()
    for _ in range(3):
        assert sender.send(list(range(1000)), server.request) == []
    assert server.sizes.count(1000) == 1
    assert server.sizes.count(500) <= 2
    assert all(size <= 250 for size in server.sizes[-4:])
    assert len(server.taken) == 3000


def test_it_remembers_nothing_else():
    """A bad value says nothing of the size of requests."""
    sender = Sender()
    sender.send(list(range(1000)), Server(bad=[3]).request)
    server = Server()
    sender.send(list(range(1000)), server.request)
    assert server.sizes == [1000]


def test_a_size_once_learnt_does_not_grow():
    """What was cut before the database refused it makes later requests no larger again."""
    sender = Sender()
    sender.send(list(range(2000)), Server(most=250).request)
    server = Server(most=250)
    sender.send(list(range(1000)), server.request)
    assert server.sizes == [250] * 4


def test_requests_do_not_become_tiny():
    """A single value that the database refuses does not make all later requests tiny."""
    sender = Sender()
    bad = Server(bad=[3], error=DatabaseException)
    ((value, _),) = sender.send(list(range(1000)), bad.request)
    assert value == 3
    server = Server()
    sender.send(list(range(1000)), server.request)
    assert server.sizes == [50] * 20


def test_senders_do_not_share():
    """What one sender learnt of its server is not true for another."""
    Sender().send(list(range(1000)), Server(most=100).request)
    server = Server()
    Sender().send(list(range(1000)), server.request)
    assert server.sizes == [1000]


def test_reasons_are_errors_of_this_package():
    """A reason is an error that keeps what Rucio said as its cause."""
    ((_, reason),) = Sender().send([1], Server(bad=[1]).request)
    assert isinstance(reason, StacRucioError)
    assert isinstance(reason.__cause__, InvalidObject)
