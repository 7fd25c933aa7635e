"""Fixtures of the tests of the client."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from stac_client._lookup import Lookups
from stac_client._results import Outcome, State, Tally
from stac_policy.http import make_session
from tests.fake_rucio import FakeRucio
from tests.items import HREF
from tests.origin import running_origin

from .files import DOWNLOAD, asset_at
from .modifying import COPY, Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests import Session

    from tests.origin import Origin


@pytest.fixture
def storage() -> Iterator[Origin]:
    """A running server of files."""
    with running_origin() as server:
        yield server


@pytest.fixture
def rucio() -> FakeRucio:
    """A Rucio that knows no file yet."""
    return FakeRucio()


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait before trying again."""
    monkeypatch.setattr("stac_policy.http._FIRST_PAUSE_S", 0.001)


@pytest.fixture
def session() -> Iterator[Session]:
    """The session that asks origins."""
    with make_session(pool_maxsize=2, pool_block=True) as made:
        yield made


@pytest.fixture
def failure(session: Session, pauses: list[float]) -> Callable[..., Any]:  # noqa: ARG001 - they take no time
    """Look an asset up, which must fail; gives the message, in which there is no secret."""

    def look_up(url: Any, probe: Any = DOWNLOAD, **fields: Any) -> str:
        asset = asset_at(f"{url}?key=SECRET", **fields)
        with ThreadPoolExecutor(1) as executor:
            looking_up = Lookups(probe, session, executor)
            pending = looking_up.begin([asset], {asset.did: Tally().expect()})
            ((outcome,),) = looking_up.found(pending)
        assert isinstance(outcome, Outcome)
        assert outcome.state is State.FAILED
        message = outcome.reason
        assert url in message
        assert "SECRET" not in message
        assert "\n" not in message
        return message

    return look_up


@pytest.fixture
def server() -> Iterator[FakeRucio]:
    """A Rucio that answers, fails or hangs as it is told."""
    made = FakeRucio(everywhere={"STAC": [HREF], "DISK": [COPY]})
    made.attributes = {"DISK": {"tier": "disk"}}
    yield made
    made.goes_on.set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the sources of replicas."""
    made = Clock()
    monkeypatch.setattr("stac_client._replica_source.monotonic", made)
    return made
