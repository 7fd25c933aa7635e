"""Fixtures of all tests."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from stac_testbed.scenes import KEPT_SCENES

from .catalogues import ITEMS
from .corpus import ABSENT, IS_GIVEN, needs_corpus, real_items

if TYPE_CHECKING:
    from xdist.scheduler import Scheduling

pytest_plugins = ["stac_testbed.pytest_plugin"]


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


def pytest_configure(config: pytest.Config) -> None:
    """Make the files of scenes once in a run, whatever process starts a lake."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As in the background of a shell; what a test starts and interrupts would ignore it, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if KEPT_SCENES not in os.environ:
        os.environ[KEPT_SCENES] = tempfile.mkdtemp(prefix="stac-testbed-scenes-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(KEPT_SCENES)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """Order the files of a parallel run."""
    if config.getoption("dist") != "loadfile":
        return None
    from .scheduling import LakesFirst

    return LakesFirst(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests over real items where there are none."""
    if IS_GIVEN:
        return
    left_out = [test for test in items if needs_corpus(test)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [test for test in items if test not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say that they were left out, in one line that nobody overlooks."""
    if not IS_GIVEN:
        terminalreporter.write_sep("=", ABSENT, yellow=True)
