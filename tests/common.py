"""Fixtures of all tests that need no lake; the tests with the oldest dependencies have them too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.catalogues import ITEMS
from tests.clock import own_time
from tests.corpus import ABSENT, IS_GIVEN, needs_corpus, real_items
from tests.origin import running_origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.origin import Origin

# The machine may be busy: how long an example takes says nothing here. The examples are the same
# in each run, so that a change fails for what it changed; `make properties` looks for others.
hypothesis.settings.register_profile(
    "same",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("same")
hypothesis.settings.register_profile("others", derandomize=False, max_examples=2_000)


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Rucio that does not answer is not waited for, unless a test is about that."""
    monkeypatch.setenv("STAC_RUCIO_RETRY_S", "0.5")


@pytest.fixture(scope="session")
def corpus() -> list[dict[str, Any]]:
    """Real items of public catalogues."""
    return real_items()


@pytest.fixture(scope="session", params=["own", "real"])
def catalogue_items(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Items of public catalogues: those of our own with every odd case, then real ones."""
    return ITEMS if request.param == "own" else request.getfixturevalue("corpus")


@pytest.fixture
def origin() -> Iterator[Origin]:
    """A running origin."""
    with running_origin() as running:
        yield running


@pytest.fixture
def other_origin() -> Iterator[Origin]:
    """Another running origin."""
    with running_origin() as running:
        yield running


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts in seconds, which take no time, and are the longest ones."""
    taken: list[float] = []
    monkeypatch.setattr("stac_policy.http.random.uniform", lambda _, longest: longest)
    own_time(monkeypatch, "stac_policy.http", sleep=taken.append)
    return taken


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests over real items where there are none."""
    if IS_GIVEN:
        return
    left_out = [test for test in items if needs_corpus(test)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [test for test in items if test not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report that they were left out, in one line that nobody overlooks."""
    if not IS_GIVEN:
        terminalreporter.write_sep("=", ABSENT, yellow=True)
