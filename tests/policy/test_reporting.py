"""Log lines and metrics for operators."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from stac_policy import stac_api
from stac_policy.observability import PERIOD_S, Reporter, count, observe_s
from tests.clock import own_time
from tests.origin import redirect, status

from .catalogue import HREF, ITEM, ask, fails, item_json
from .server import run_with_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.origin import Origin


_SERVER = """
import logging
from prometheus_client import REGISTRY, generate_latest
from rucio.common.exception import RucioException
from rucio.common.utils import construct_non_deterministic_pfn
from stac_policy.protocol import Default

heard = []
class Handler(logging.Handler):
    def emit(self, record):
        heard.append(f"{record.levelname} {record.name} {record.getMessage()}")
logging.getLogger().addHandler(Handler())

def refused(act, *arguments):
    try:
        act(*arguments)
    except RucioException:
        return True

protocol = Default({"auth_token": None}, {"rse": "STAC", "id": "1", "deterministic": False})
failed = [refused(construct_non_deterministic_pfn, "d", "s", f"/c/i/{n}.tif") for n in range(50)]
failed += [
    refused(protocol.parse_pfns, f"https://u:S3CRET@example.net/{n}\x1b[31m?sig=S3CRET")
    for n in range(50)
]
print(json.dumps({
    "failed": failed, "heard": heard, "metrics": generate_latest(REGISTRY).decode(),
}))
"""


@pytest.fixture
def clock() -> list[Any]:
    """The time in seconds, which a test sets."""
    return [0.0]


@pytest.fixture
def warn(clock: list[Any]) -> Callable[..., None]:
    """Warns."""
    return Reporter(logging.getLogger("stac_policy.test"), lambda: clock[0]).warn


def test_one_line_a_period(
    warn: Callable[..., None], clock: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Of many warnings of a kind one is written in a period, and then how many were left out."""
    for number in range(1000):
        warn("a", "a %s", number)
    warn("b", "b")
    clock[0] = PERIOD_S
    warn("a", "a %s", "again")
    clock[0] = 3 * PERIOD_S
    warn("a", "a %s", "once more")
    assert caplog.messages == [
        *["a 0", "b", "a again (999 more like this were left out)", "a once more"],
    ]


def test_a_client_has_no_metrics() -> None:
    """In a client, which lacks Rucio's server, counting does nothing."""
    count("unresolved_assets")
    observe_s("stac_api_seconds", 1.0)


@pytest.fixture
def heard(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[pytest.LogCaptureFixture]:
    """The lines about STAC APIs, of which none has been written within the period."""
    monkeypatch.setattr(stac_api, "_REPORTER", Reporter(logging.getLogger("stac_policy.stac_api")))
    own_time(monkeypatch, "stac_policy.http", sleep=lambda _: None)
    yield caplog
    stac_api._cache.cache_clear()


def test_a_stac_api_that_is_down(origin: Origin, heard: pytest.LogCaptureFixture) -> None:
    """A STAC API that fails is named in one line, with what that means and what to look at."""
    origin.add(ITEM, b"", *[status(503)] * 8)
    for _ in range(2):
        fails(origin, api=origin.url.replace("//", "//user:S3CRET@"))
    (record,) = heard.records
    assert (record.levelname, record.name) == ("WARNING", "stac_policy.stac_api")
    assert record.getMessage().startswith(f"{origin.url}{ITEM}: HTTP 503. Items of this STAC API")
    assert "reachable from this machine?" in record.getMessage()


def test_a_stac_api_that_leads_elsewhere(origin: Origin, heard: pytest.LogCaptureFixture) -> None:
    """So is one whose redirect leads to a host that is not allowed, without what it carries."""
    elsewhere = "http://user:S3CRET@169.254.169.254/?sig=S3CRET"
    origin.add(ITEM, b"", redirect(elsewhere))
    fails(origin)
    (record,) = heard.records
    assert record.getMessage().startswith(f"{origin.url}{ITEM}: it leads to ")
    assert "which is on no allowed host. Items" in record.getMessage()
    assert "S3CRET" not in heard.text


def test_a_stac_api_that_is_slow(
    origin: Origin, heard: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes long is named, with the options that limit it."""
    monkeypatch.setattr(stac_api, "_SLOW_S", 0.0)
    origin.add(ITEM, item_json({"a": HREF}))
    ask(origin)
    (record,) = heard.records
    assert record.getMessage().startswith(f"The STAC API {origin.url} took ")
    assert "read_timeout_s" in record.getMessage()


def test_an_item_that_is_missing(origin: Origin, heard: pytest.LogCaptureFixture) -> None:
    """An item that a STAC API does not know is no fault of the API."""
    fails(origin)
    assert heard.records == []


def test_a_server(tmp_path: Path) -> None:
    """A server's log and Rucio's metrics tell what an operator can act on, without secrets."""
    told = run_with_server(_SERVER, tmp_path, stac={"scopes": "s"})
    assert told["failed"] == [True] * 100
    unresolved, refused = told["heard"]
    assert unresolved.startswith("WARNING stac_policy.non_deterministic_pfn s:/c/i/0.tif is")
    assert "name the STAC API" in unresolved
    assert refused.startswith("WARNING stac_policy.protocol RSE STAC refuses https://example.net/0")
    assert "S3CRET" not in refused
    assert refused.isprintable()
    metrics = told["metrics"].splitlines()
    assert "stac_policy_unresolved_assets_total 50.0" in metrics
    assert 'stac_policy_refused_urls_total{where="rse"} 50.0' in metrics
