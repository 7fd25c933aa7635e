"""How many requests are on their way at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rucio.common import exception

from stac_client._in_flight import InFlight
from stac_client._rucio_errors import is_busy
from tests.clock import own_time

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sends a request that takes a time, in seconds of a clock of its own, and may fail."""
    now_s = [0.0]
    own_time(monkeypatch, "stac_client._in_flight", monotonic=lambda: now_s[0])

    def asked(in_flight: InFlight, took_s: float, error: Exception | None = None) -> None:
        now_s[0] += 0.001
        with in_flight.request("kind"):
            now_s[0] += took_s
            if error:
                raise error

    return asked


@pytest.mark.parametrize("most", [1, 3])
def test_the_most_at_a_time(most: int) -> None:
    """As many requests as may be are on their way at a time, and no more."""
    in_flight = InFlight(most)
    all_there = threading.Barrier(most)
    now: list[int] = []
    seen: list[int] = []

    def request(_: int) -> None:
        with in_flight.request("kind"):
            now.append(1)
            seen.append(len(now))
            all_there.wait(20)
            now.pop()

    with ThreadPoolExecutor(9) as executor:
        [*executor.map(request, range(6 * most))]
    assert max(seen) == most


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (exception.RucioException("no error information passed (http status code: 429)"), 4),
        (exception.RucioException("no error information passed (http status code: 503)"), 4),
        (exception.ResourceTemporaryUnavailable(), 4),
        (exception.RucioException("no error information passed (http status code: 500)"), 8),
        (exception.DuplicateContent("x (http status code: 503)"), 8),
    ],
)
def test_busy(ask: Callable[..., None], error: Exception, limit: int) -> None:
    """After an answer that says that there are too many there are half as many, down to one."""
    in_flight = InFlight(8, is_busy)
    for expected in (limit, {4: 2, 8: 8}[limit], {4: 1, 8: 8}[limit], {4: 1, 8: 8}[limit]):
        with pytest.raises(type(error)):
            ask(in_flight, 0.1, error)
        assert in_flight.limit == expected


def test_busy_answers_to_requests_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several answers to requests that were on their way together count once."""
    own_time(monkeypatch, "stac_client._in_flight", monotonic=iter(range(99)).__next__)
    in_flight = InFlight(8, lambda _: True)

    def refused() -> None:
        with in_flight.request("kind"), in_flight.request("kind"), in_flight.request("kind"):
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        refused()
    assert in_flight.limit == 4


def test_slow(ask: Callable[..., None]) -> None:
    """When answers slow down there are fewer, and as many as before when that has passed."""
    in_flight = InFlight(4)
    for _ in range(5):
        ask(in_flight, 2.0)
    assert in_flight.limit == 4
    for _ in range(9):
        ask(in_flight, 16.0)
    assert in_flight.limit <= 2
    for _ in range(20):
        ask(in_flight, 2.0)
    assert in_flight.limit == 4
    for _ in range(9):  # as slow as two at a time are, where one alone is
        ask(in_flight, 3.9)
    assert in_flight.limit == 4


def test_readers_recover() -> None:
    """Where all only read, whose time says nothing, there are soon as many as before."""
    in_flight = InFlight(4, lambda _: True)
    for _ in range(3):
        with pytest.raises(ValueError, match=r"^$"), in_flight.request(None):
            raise ValueError
    assert in_flight.limit == 1
    for _ in range(20):
        with in_flight.request(None):
            pass
    assert in_flight.limit == 4


@given(st.lists(st.floats(0, 100) | st.just(-1.0)), st.integers(1, 20))
def test_limits(times_s: list[float], most: int) -> None:
    """However it goes, there are one to the most at a time."""
    with pytest.MonkeyPatch.context() as patch:
        now_s = [0.0]
        own_time(patch, "stac_client._in_flight", monotonic=lambda: now_s[0])
        in_flight = InFlight(most, lambda _: True)
        for took_s in times_s:
            now_s[0] += 0.001
            with suppress(ZeroDivisionError), in_flight.request("kind"):
                now_s[0] += abs(took_s)
                assert 1 / (took_s + 1)
            assert 1 <= in_flight.limit <= most
