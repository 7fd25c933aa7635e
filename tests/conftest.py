"""Fixtures of all tests."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from stac_testbed.scenes import KEPT_SCENES

if TYPE_CHECKING:
    from xdist.scheduler import Scheduling

os.environ.pop("RUCIO_CONFIG", None)  # of a lake that somebody has in this shell

pytest_plugins = ["stac_testbed.pytest_plugin", "tests.common"]


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
