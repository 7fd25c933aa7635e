"""Fixtures of all tests."""

from __future__ import annotations

import pytest

pytest_plugins = ["stac_testbed.pytest_plugin"]


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch):
    """A Rucio that does not answer is not waited for, unless a test is about that."""
    monkeypatch.setenv("STAC_RUCIO_RETRY_S", "0.5")
