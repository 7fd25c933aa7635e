"""STAC Browser in Chromium, in front of the served API: a viewer that no one here wrote.

`make browser` builds it and runs this; it is not among the tests of `make test`, since
building it takes minutes and the npm registry.
"""

from __future__ import annotations

import http.server
import json
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from playwright.sync_api import expect, sync_playwright

from tests.serving.copies import COPIED, DISK_A, DISK_B, copy_items
from tests.serving.proxy import running_proxy
from tests.threads import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_testbed.lake import Lake


BUILT = Path(sys.prefix) / "stac-browser" / "dist"
WAIT_MS = 60_000


class _Files(http.server.SimpleHTTPRequestHandler):
    """Gives the files of STAC Browser."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, directory=BUILT)

    def log_message(self, *_: Any) -> None:
        """Keep the output of the tests clean."""


@contextmanager
def running_files() -> Iterator[str]:
    """The URL of STAC Browser."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(scope="module")
def near(stac_lake: Lake) -> Iterator[str]:
    """URL of the served API."""
    client = copy_items(stac_lake)
    with running_proxy(stac_lake.stac_url, client.modifier.with_options(strict=True)) as front:
        yield front.url


@pytest.fixture(scope="module")
def viewer() -> Iterator[str]:
    """URL of STAC Browser."""
    assert BUILT.is_dir(), "STAC Browser is not built; `make browser` does that"
    with running_files() as url:
        yield url


@pytest.fixture
def page(near: str) -> Iterator[Any]:
    """A page of Chromium for STAC Browser to show the served API; `asked` are its requests."""
    config = {
        "catalogUrl": f"{near}/",
        "historyMode": "hash",
        "detectLocaleFromBrowser": False,
        "itemsPerPage": 5,
    }
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = chromium.new_page(viewport={"width": 1400, "height": 1400})
        page.set_default_timeout(WAIT_MS)
        page.add_init_script(f"window.STAC_BROWSER_CONFIG = {json.dumps(config)}")
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        yield page
        chromium.close()


def test_an_item_shows_its_copies(page: Any, viewer: str, stac_lake: Lake) -> None:
    """An asset has a tab for each RSE that has it, which leads to the bytes there."""
    page.goto(f"{viewer}/#/collections/alpine-optical/items/{COPIED[0]}")
    page.locator("[aria-controls=asset-red]").click()
    asset = page.locator("#asset-red")
    rses = ["STAC", DISK_A, DISK_B]
    expect(asset.get_by_role("tab")).to_have_text(rses, timeout=WAIT_MS)
    hrefs = []
    for rse in rses:
        asset.get_by_role("tab", name=rse).click()
        link = asset.get_by_role("tabpanel", name=rse).get_by_role("link", name="Download")
        hrefs.append(link.get_attribute("href"))
    assert len(set(hrefs)) == 3
    assert len({requests.get(href, timeout=10).content for href in hrefs}) == 1
    assert not [url for url in page.asked if url.startswith(stac_lake.stac_url)]


def test_walking_through_pages(page: Any, viewer: str, near: str, stac_lake: Lake) -> None:
    """From page to page of a collection, the viewer never leaves the served API."""
    page.goto(f"{viewer}/#/collections/alpine-optical")
    titles = page.locator(".items .card-title a")
    expect(titles).to_have_count(5, timeout=WAIT_MS)
    seen = titles.all_inner_texts()
    page.get_by_role("button", name="Next").first.click()
    expect(titles.first).not_to_have_text(seen[0], timeout=WAIT_MS)
    expect(titles).to_have_count(5, timeout=WAIT_MS)
    assert not set(seen) & set(titles.all_inner_texts())
    assert [url for url in page.asked if url.startswith(near) and "skip=5" in url]
    assert not [url for url in page.asked if url.startswith(stac_lake.stac_url)]
