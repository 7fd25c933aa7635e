"""Says how many hostile cases there were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


TRIED = pytest.StashKey[int]()


@pytest.fixture
def count(pytestconfig: pytest.Config) -> Callable[..., Any]:
    """Counts the cases that were tried."""

    def add(cases: Any) -> None:
        pytestconfig.stash[TRIED] = pytestconfig.stash.get(TRIED, 0) + cases

    return add


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Write the number at the end."""
    if cases := config.stash.get(TRIED, 0):
        terminalreporter.write_line(f"hostile input: {cases:,} cases")
