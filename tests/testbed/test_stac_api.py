"""The STAC API, as a real process, asked through pystac-client as users do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pystac_client
import pytest
import requests
from pystac.validation import validate_dict

from stac_testbed.processes import free_ports
from stac_testbed.scenes import Origin, make_catalogue
from stac_testbed.services import rustac_command as command

from .support import listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stac_testbed.scenes import Catalogue


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    folder = tmp_path_factory.mktemp("catalogue")
    origins = [
        Origin(folder / "first", "http://127.0.0.1:8101"),
        Origin(folder / "second", "http://127.0.0.1:8102"),
    ]
    return make_catalogue(folder / "stac", origins)


@pytest.fixture(scope="module")
def url(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API's URL while it runs."""
    port, behind = free_ports(2)
    served = command(catalogue.items_path, catalogue.collection_paths, port, bind=behind)
    front = [sys.executable, "-m", "stac_testbed._stac_api", str(port), str(behind)]
    logs = tmp_path_factory.mktemp("logs")
    with (
        listening(served, behind, logs / "rustac.log"),
        listening(front, port, logs / "stac-api.log") as running,
    ):
        yield running


@pytest.fixture
def client(url: str) -> pystac_client.Client:
    return pystac_client.Client.open(url)


def identities(items: Any) -> list[Any]:
    """Sorted, so that an item that comes twice shows."""
    return sorted((item.collection_id, item.id) for item in items)


def test_collections(client: pystac_client.Client, catalogue: Catalogue) -> None:
    """Both collections are listed with their own titles, descriptions and extents."""
    served = {each.id: each for each in client.get_collections()}
    assert list(served) == ["alpine-optical", "alpine-radar"]
    for made in catalogue.collections:
        assert served[made.id].title == made.title
        assert served[made.id].description == made.description
        assert served[made.id].extent.to_dict() == made.extent.to_dict()


def test_everything(client: pystac_client.Client, catalogue: Catalogue) -> None:
    """A search without conditions gives every item once, as it was made."""
    served = list(client.search().items())
    assert identities(served) == identities(catalogue.items)
    assert len(served) == 24
    made = {(item.collection_id, item.id): item.to_dict() for item in catalogue.items}
    for item in served:
        document = item.to_dict()
        expected = made[item.collection_id, item.id]
        assert document["assets"] == expected["assets"]
        assert document["properties"] == expected["properties"]
        assert document["bbox"] == expected["bbox"]


def test_items_are_valid(client: pystac_client.Client) -> None:
    """What the API serves is valid STAC, the links it adds included."""
    for item in client.search().items():
        assert validate_dict(item.to_dict(), extensions=[]) != []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("limit", [1, 5, 24, 100])
def test_paging(
    client: pystac_client.Client, catalogue: Catalogue, limit: int, method: Any
) -> None:
    """Every item comes exactly once, whatever the size of a page."""
    pages = list(client.search(limit=limit, method=method).pages())
    assert len(pages) == -(-24 // limit)
    assert identities(item for page in pages for item in page) == identities(catalogue.items)


def test_max_items(client: pystac_client.Client) -> None:
    """A search can end within a page."""
    assert len(list(client.search(limit=5, max_items=7).items())) == 7


def test_search_by_collection(client: pystac_client.Client, catalogue: Catalogue) -> None:
    """Only items of the asked collection come, over several pages too."""
    found = client.search(collections=["alpine-radar"], limit=5).items()
    expected = [item for item in catalogue.items if item.collection_id == "alpine-radar"]
    assert identities(found) == identities(expected)


@pytest.mark.filterwarnings("ignore::pystac_client.warnings.DoesNotConformTo")
@pytest.mark.parametrize(
    "search",
    [
        {"collections": ["alpine-radar", "alpine-optical"]},
        {"bbox": [5, 40, 15, 50]},
        {"sortby": ["-properties.datetime"], "fields": ["id", "type", "geometry", "links"]},
    ],
)
def test_lists_in_a_get(client: pystac_client.Client, search: Any) -> None:
    """A GET by lists gives what POST gives, over several pages too."""
    asked = [
        [item.id for item in client.search(**search, limit=7, method=method).items()]
        for method in ("GET", "POST")
    ]
    assert asked[0] == asked[1]
    assert len(asked[0]) == 24


def test_search_by_bbox(client: pystac_client.Client) -> None:
    """Only items whose footprint meets the box come."""
    found = client.search(bbox=[8.0, 46.4, 8.1, 46.5]).items()
    assert identities(found) == [
        ("alpine-optical", "aletsch-20250611"),
        ("alpine-radar", "aletsch-20250613"),
    ]


def test_search_by_geometry(client: pystac_client.Client) -> None:
    """Only items whose footprint holds the point come."""
    point = {"type": "Point", "coordinates": [6.865, 45.833]}
    assert identities(client.search(intersects=point).items()) == [
        ("alpine-optical", "mont-blanc-20250601"),
        ("alpine-radar", "mont-blanc-20250603"),
    ]


@pytest.mark.parametrize(
    ("datetime", "count"),
    [
        ("2025-06-01T10:16:01Z", 1),
        ("2025-06-01/2025-06-10", 4),
        ("2025-07", 12),
        ("../2025-06-03", 2),
        ("2025-07-26/..", 2),
        ("2024", 0),
    ],
)
def test_search_by_datetime(client: pystac_client.Client, datetime: str, count: int) -> None:
    """Only items of the asked time come, ends of an interval included or open."""
    assert len(list(client.search(datetime=datetime).items())) == count


def test_search_by_ids(client: pystac_client.Client) -> None:
    """Exactly the named items come, over several pages too."""
    ids = ["aletsch-20250611", "ortler-20250713"]
    assert sorted(item.id for item in client.search(ids=ids, limit=1).items()) == ids


def test_search_by_everything(client: pystac_client.Client) -> None:
    """Conditions are joined by and."""
    found = client.search(
        collections=["alpine-radar"], bbox=[8, 45, 12, 48], datetime="2025-06-01/2025-06-15"
    )
    assert identities(found.items()) == [("alpine-radar", "aletsch-20250613")]


def test_items_of_a_collection(client: pystac_client.Client, catalogue: Catalogue) -> None:
    """A collection gives its items, and one by its id; an unknown id gives none."""
    collection = client.get_collection("alpine-optical")
    assert collection is not None
    expected = [item for item in catalogue.items if item.collection_id == "alpine-optical"]
    assert identities(collection.get_items()) == identities(expected)
    item = collection.get_item("mont-blanc-20250601")
    assert item is not None
    assert item.assets["nir"].href.endswith("/mont-blanc-20250601/nir.tif?version=1")
    assert collection.get_item("nowhere-20250601") is None


def test_links(client: pystac_client.Client, url: str) -> None:
    """An item leads to its own URL and to its collection."""
    (item,) = client.search(ids=["aletsch-20250611"]).items()
    assert item.get_self_href() == f"{url}/collections/alpine-optical/items/aletsch-20250611"
    collection = item.get_collection()
    assert collection is not None
    assert collection.title == "Alpine optical scenes"


def test_web_pages(url: str) -> None:
    """A page of another host may send JSON."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-y"}
    headers = {"Origin": "https://viewer.example.org", **asked}
    answer = requests.options(f"{url}/search", headers=headers, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] in {"*", headers["Origin"]}
    methods = answer.headers["Access-Control-Allow-Methods"]
    assert methods == "*" or "POST" in methods


def test_not_installed(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without rustac the error names what to install."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="pip install rustac"):
        command(catalogue.items_path, catalogue.collection_paths, 8080)


def test_executable_beside_the_interpreter(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The rustac of the running environment is found though it is not on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    executable, verb, *_ = command(catalogue.items_path, catalogue.collection_paths, 8080)
    assert executable.startswith(sys.prefix)
    assert verb == "serve"
