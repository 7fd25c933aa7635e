"""Fixtures of the tests of the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hypothesis
import pytest

from stac_client._lookup import LookupFailedError, complete, make_session
from tests.fake_rucio import FakeRucio
from tests.items import HREF
from tests.policy.origin import running_origin as running_storage

from .files import DOWNLOAD, asset_at
from .modifying import COPY, Clock
from .origin import running_origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.policy.origin import Origin as Storage

# The machine may be busy; how long an example takes says nothing here.
hypothesis.settings.register_profile(
    "client", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("client")


@pytest.fixture
def origin():
    """A running origin."""
    with running_origin() as server:
        yield server


@pytest.fixture
def other_origin():
    """Another running origin."""
    with running_origin() as server:
        yield server


@pytest.fixture
def storage() -> Iterator[Storage]:
    """A running server of files."""
    with running_storage() as server:
        yield server


@pytest.fixture
def rucio():
    """A Rucio that knows no file yet."""
    return FakeRucio()


@pytest.fixture
def _no_pauses(monkeypatch):
    """Do not wait before trying again."""
    monkeypatch.setattr("stac_client._downloads._FIRST_PAUSE_S", 0.001)


@pytest.fixture
def session():
    """The session that asks origins."""
    with make_session(2) as made:
        yield made


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts in seconds, which take no time."""
    taken: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", taken.append)
    return taken


@pytest.fixture
def failure(session):
    """Look an asset up, which must fail; gives the message, in which there is no secret."""

    def look_up(url, learn_from=DOWNLOAD, **fields):
        with pytest.raises(LookupFailedError) as caught:
            complete(asset_at(f"{url}?key=SECRET", **fields), learn_from, session)
        message = str(caught.value)
        assert url in message
        assert "SECRET" not in message
        assert "\n" not in message
        return message

    return look_up


@pytest.fixture
def server():
    """A Rucio that answers, fails or hangs as it is told."""
    made = FakeRucio(everywhere={"STAC": [HREF], "DISK": [COPY]})
    made.attributes = {"DISK": {"tier": "disk"}}
    yield made
    made.goes_on.set()


@pytest.fixture
def clock(monkeypatch):
    """The clock of the sources of replicas."""
    made = Clock()
    monkeypatch.setattr("stac_client._replicas.ReplicaSource.__init__.__defaults__", (made,))
    return made
