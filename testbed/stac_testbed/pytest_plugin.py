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

from . import xrootd
from .lake import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .lake import Lake


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests be run on other parts of a lake."""
    group = parser.getgroup("stac_testbed")
    group.addoption(
        "--lake-database",
        metavar="URL",
        help="PostgreSQL database of the lake's Rucio server, or `postgresql` to start one; "
        "by default it is an SQLite file",
    )
    group.addoption(
        "--lake-storage",
        choices=[xrootd.NAME],
        help="server of the lake's first storage; by default it is one of WebDAV",
    )


@pytest.fixture(scope="session")
def stac_lake(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Lake]:
    """A lake that runs as long as the test session and is stopped with it."""
    with (
        running(
            tmp_path_factory.mktemp("lake") / "lake",
            database=pytestconfig.getoption("--lake-database"),
            storage=pytestconfig.getoption("--lake-storage"),
        ) as lake,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in lake.layout.trust.items():
            patch.setenv(name, value)
        yield lake
    lake.remove_outside()
