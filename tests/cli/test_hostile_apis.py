"""STAC APIs that are made to break, hold up, fill or rob the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.client.hostile_apis import (
    HEADERS,
    LINKS,
    PAGES,
    SECRET,
    behind,
    link,
    page,
    serve,
)
from tests.items import make_asset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result
    from rucio.client import Client

    from tests.serving.upstream import Upstream


__all__ = ["behind"]


@pytest.fixture
def fails(run: Callable[..., Result], behind: Upstream, tmp_path: Path) -> Callable[..., Any]:
    """Run a verb on the API: one line says what is wrong, and no secret is told or kept."""

    def attempt(verb: Any) -> None:
        options = [f"--headers={name}={value}" for name, value in HEADERS.items()]
        check(run(verb, "--api", behind.url, "--rse", "STAC", *options))
        for file in tmp_path.rglob("*"):
            assert not file.is_file() or SECRET not in file.read_text(errors="replace")

    return attempt


def check(result: Result) -> None:
    """One line says what is wrong, and no secret is told."""
    assert result.exit_code in {1, 3, 4, 5}, result.stderr
    (error,) = [line for line in result.stderr.splitlines() if not line.startswith("Journal: ")]
    assert error.startswith("Error: ")
    assert SECRET not in result.output


@pytest.mark.parametrize("kind", LINKS)
def test_links(fails: Callable[..., Any], behind: Upstream, collection: str, kind: str) -> None:
    """A link to a next page that leads nowhere, elsewhere or in circles is an error."""
    answered = serve(behind, page(collection, link(behind, kind)))
    fails("sync")
    assert len(answered) <= 3
    assert {one.method for one in behind.seen} <= {"GET", "POST"}


@pytest.mark.parametrize("kind", PAGES)
def test_pages(fails: Callable[..., Any], behind: Upstream, kind: str) -> None:
    """What is no page, or none that can be read, is an error."""
    serve(behind, PAGES[kind])
    fails("register")


def test_secrets(
    run: Callable[..., Result], rucio: Client, behind: Upstream, collection: str, tmp_path: Path
) -> None:
    """Secrets in hrefs are told to nobody: not to Rucio, the journal, or the screen."""
    hrefs = [
        f"https://user:{SECRET}@data.example.org/a.tif",
        f"https://data.example.org/b.tif?sig={SECRET}",
        f"https://data.example.org/c.tif#access_token={SECRET}",
    ]
    assets = {str(number): make_asset(href) for number, href in enumerate(hrefs)}
    assets["good"] = make_asset("https://data.example.org/good.tif")
    serve(behind, page(collection, assets=assets))
    result = run("sync", "--api", behind.url, "--rse", "STAC")
    assert result.exit_code == 0, result.stderr
    assert SECRET not in result.output
    names = list(rucio.list_dids(collection, [{}], did_type="file"))
    assert names == [f"/{collection}/i/good.tif"]
    journals = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert journals
    for file in journals:
        assert SECRET not in file.read_text(errors="replace")
