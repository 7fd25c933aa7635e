"""Who may do what: each cell of the table in docs/access.md, tried over REST."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from rucio.common.exception import AccessDenied

from . import table
from .world import ACCOUNTS, DISK, SOURCE, World, refusal_of

if TYPE_CHECKING:
    from stac_testbed.lake import Lake
    from tests.access.rows import Row


PAGE = Path(__file__).parent.parent.parent / "docs" / "access.md"


@pytest.fixture(scope="module")
def world(stac_lake: Lake) -> World:
    """The lake with the accounts of the table."""
    return World(stac_lake)


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("row", table.rows(), ids=lambda row: row.what)
def test_cell(world: World, row: Row, account: str) -> None:
    """An account does what the table says it may, and is refused, without effect, all else."""
    attempt, has_effect = row.prepare(world.cell(account))
    refusal = refusal_of(attempt)
    may = ACCOUNTS[account] in row.may
    assert has_effect() is may
    if may:
        assert refusal is None
    elif ACCOUNTS[account] in row.blocked:
        assert refusal is not None
    else:
        assert isinstance(refusal, AccessDenied)


def test_the_page_shows_the_table() -> None:
    """The page has the table as it is tested (`python -m tests.access.table` prints it)."""
    assert table.markdown() in PAGE.read_text()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/dids/alpine-optical/dids/search"),
        ("POST", "/replicas/list"),
        ("POST", "/replicas"),
        ("POST", "/dids"),
        ("GET", f"/rses/{SOURCE}"),
        ("GET", f"/rses/{DISK}/attr/"),
        ("POST", "/rules/"),
        ("GET", "/accounts/"),
        ("GET", "/scopes/"),
    ],
)
@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 400), ({"X-Rucio-Auth-Token": "root-root-unknown-0123456789abcdef"}, 401)],
    ids=["none", "invented"],
)
def test_nobody(
    stac_lake: Lake, method: str, path: str, headers: dict[Any, Any], status: int
) -> None:
    """Without a token of Rucio, or with an invented one, nothing is read or changed."""
    url = stac_lake.rucio_url + path
    answer = requests.request(method, url, headers=headers, json=[], timeout=60)
    assert answer.status_code == status
    assert answer.json()["ExceptionMessage"] in {
        "Token must be set.",
        "Cannot authenticate with given credentials",
    }
