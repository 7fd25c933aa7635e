"""Says how many hostile cases there were."""

from __future__ import annotations

import pytest

TRIED = pytest.StashKey[int]()


@pytest.fixture
def count(pytestconfig):
    """Counts the cases that were tried."""

    def add(cases):
        pytestconfig.stash[TRIED] = pytestconfig.stash.get(TRIED, 0) + cases

    return add


def pytest_terminal_summary(terminalreporter, config):
    """Write the number at the end."""
    if cases := config.stash.get(TRIED, 0):
        terminalreporter.write_line(f"hostile input: {cases:,} cases")
