"""A running lake as a pytest fixture, for the tests of this project and of its users.

# conftest.py
pytest_plugins = ["stac_testbed.pytest_plugin"]

# test_something.py
def test_it(stac_lake):
    client = stac_lake.client()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .lake import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .lake import Lake


@pytest.fixture(scope="session")
def stac_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake that runs as long as the test session and is stopped with it."""
    with running(tmp_path_factory.mktemp("lake") / "lake") as lake:
        yield lake
