"""STAC APIs whose pages are made to break, hold up, fill or rob the command line."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from pystac_client import Client

from stac_client import _items as api_io
from stac_client.errors import StacRucioError
from stac_rucio.errors import stac_errors
from tests.items import make_asset, make_item
from tests.serving.behind import running_behind

SECRET = "S3CRET"  # noqa: S105 - no output may hold it
HEADERS = {"Authorization": f"Bearer {SECRET}", "X-Key": SECRET}
ITEMS = {"Content-Type": "application/geo+json"}
MOST_PAGES = 30


@pytest.fixture
def behind():
    """An API with a landing page and a search that finds what a test puts there."""
    with running_behind() as server:
        links = [{"rel": rel, "href": server.url} for rel in ("self", "root")]
        for method in ("POST", "GET"):
            search = {"rel": "search", "href": f"{server.url}/search", "method": method}
            links.append({**search, "type": "application/geo+json"})
        core = "https://api.stacspec.org/v1.0.0"
        landing = {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "x",
            "description": "x",
            "conformsTo": [f"{core}/core", f"{core}/item-search"],
            "links": links,
        }
        server.add("", landing)
        server.answers["/v1/"] = server.answers["/v1"]
        yield server


def page(collection, following=None, assets=None, **fields):
    """A page with an item, and perhaps a link to the next one."""
    assets = assets or {"a": make_asset("https://data.example.org/a.tif")}
    made = {"type": "FeatureCollection", "features": [make_item(collection, "i", assets)]}
    links = [{"rel": "next", **following}] if following else []
    return {**made, "links": links, **fields}


def serve(server, body):
    """Let the search find a page, but not for ever."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    answered = []

    def act(handler):
        answered.append(1)
        handler.give(body if len(answered) <= MOST_PAGES else b"{}", ITEMS.items())

    server.add("/search", act=act)
    return answered


LINKS: dict[str, Any] = {
    "a circle": {"href": "{api}/search?page=2"},
    "a circle of POSTs": {"href": "{api}/search", "method": "POST", "body": {"token": "x"}},
    "another method": {"href": "{api}/search", "method": "DELETE"},
    "no method": {"href": "{api}/search", "method": {"a": 1}},
    "no body": {"href": "{api}/search", "method": "POST", "body": 7, "merge": True},
    "no href": {"title": "more"},
    "a number": {"href": 7},
    "a file": {"href": "file:///etc/passwd"},
    "a path": {"href": "/etc/passwd"},
    "metadata": {"href": f"http://169.254.169.254/latest?sig={SECRET}"},
    "nobody": {"href": f"http://user:{SECRET}@127.0.0.1:1/x?sig={SECRET}"},
    "no port": {"href": f"http://user:{SECRET}@127.0.0.1:x/?sig={SECRET}"},
}
PAGES: dict[str, Any] = {
    "no page": [1],
    "null": None,
    "features of no list": {"type": "FeatureCollection", "features": 7, "links": []},
    "features of an object": {"features": {"a": 1}, "links": []},
    "features of no items": {"features": [7, None, [1], "x"], "links": []},
    "links of no list": {"features": [{}], "links": 7},
    "links of nothing": {"features": [{}], "links": None},
    "links of no objects": {"features": [{}], "links": [7]},
    "depth": b'{"features": ' + b"[" * 100_000,
    "no text": b"\xff\xfe\0",
    "not a number": b'{"features": [{"id": NaN}]}',
    "half of a pair": b'{"features": [{"id": "\\ud800"}], "links": []}',
}


@pytest.fixture
def fails(run, behind, tmp_path):
    """Run a verb on the API: one line says what is wrong, and no secret is told or kept."""

    def attempt(verb):
        options = [f"--headers={name}={value}" for name, value in HEADERS.items()]
        check(run(verb, "--api", behind.url, "--rse", "STAC", *options))
        for file in tmp_path.rglob("*"):
            assert not file.is_file() or SECRET not in file.read_text(errors="replace")

    return attempt


def check(result):
    """One line says what is wrong, and no secret is told."""
    assert result.exit_code in {1, 3, 4, 5}, result.stderr
    (error,) = [line for line in result.stderr.splitlines() if not line.startswith("Journal: ")]
    assert error.startswith("Error: ")
    assert SECRET not in result.output


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("verb", ["register", "sync"])
def test_links(fails, behind, collection, kind, verb):
    """A link to a next page that leads nowhere, elsewhere or in circles is an error."""
    following = {
        name: value.replace("{api}", behind.url) if isinstance(value, str) else value
        for name, value in LINKS[kind].items()
    }
    answered = serve(behind, page(collection, following))
    fails(verb)
    assert len(answered) <= 3
    assert {one.method for one in behind.seen} <= {"GET", "POST"}


@pytest.mark.parametrize("kind", PAGES)
def test_pages(fails, behind, kind):
    """What is no page, or none that can be read, is an error."""
    serve(behind, PAGES[kind])
    fails("register")


def test_secrets(run, rucio, behind, collection, tmp_path):
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


def found(server):
    """Search as the command line does."""
    with stac_errors(server.url):
        opened = Client.open(server.url, stac_io=api_io.ApiIO(server.url, HEADERS, 10))
        return list(opened.search().pages_as_dicts())


def test_all_pages(behind):
    """Pages are followed to their end, with the user's headers."""
    behind.add("/search", page("c", {"href": f"{behind.url}/2"}))
    behind.add("/2", page("c", {"href": f"{behind.url}/3"}))
    behind.add("/3", page("c"))
    assert len(found(behind)) == 3
    assert all(one.header("x-key") == SECRET for one in behind.seen)


@pytest.mark.parametrize("by", ["link", "redirect"])
def test_headers_for_one_host(behind, by):
    """The user's headers go to the API's host, and not where it sends us."""
    with running_behind() as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost") + "/2"
        other.add("/2", page("c"))
        if by == "link":
            behind.add("/search", page("c", {"href": elsewhere}))
        else:
            behind.add("/search", b"", {"Location": elsewhere}, 303)
        assert found(behind)
        (seen,) = other.seen
        assert SECRET not in str(seen.headers)
        assert SECRET in str(behind.seen[-1].headers)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("unit", "told"), [(b" " * 65_536, "bytes"), (b"[]," * 9_000, "values")])
def test_size(behind, monkeypatch, packed, unit, told):
    """A page that is too large, or has too many values, is not read to its end."""
    monkeypatch.setattr(api_io, "_PAGE_BYTES", 400_000)
    body = b'{"features": [' + unit * (10 if told == "values" else 1_000)
    coding = {"Content-Encoding": "gzip"} if packed else {}
    behind.add("/search", gzip.compress(body) if packed else body, {**ITEMS, **coding})
    with pytest.raises(StacRucioError, match=f"a page of more than [0-9]+ {told}"):
        found(behind)
