"""The sample catalogue: what is on disk, and that the STAC tells the truth about it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pystac
import pytest
import rasterio
from pystac.validation import validate_dict
from rasterio.warp import transform_bounds

from stac_testbed.scenes import (
    FILE_EXTENSION,
    KEPT_SCENES,
    PROJECTION_EXTENSION,
    Origin,
    make_catalogue,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_testbed.scenes import Catalogue


COG = "image/tiff; application=geotiff; profile=cloud-optimized"
PER_COLLECTION = 13  # one more than there are places
KEYS = {"alpine-optical": ("red", "nir"), "alpine-radar": ("vv", "vh")}


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_kept() -> Iterator[None]:
    """Make every file here, whatever other tests keep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(KEPT_SCENES, raising=False)
        yield


@pytest.fixture(scope="module")
def origins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Origin, Origin]:
    folder = tmp_path_factory.mktemp("origins")
    return (
        Origin(folder / "first", "http://127.0.0.1:8101"),
        Origin(folder / "second", "http://127.0.0.1:8102/archive/"),
    )


@pytest.fixture(scope="module")
def catalogue(
    tmp_path_factory: pytest.TempPathFactory, origins: tuple[Origin, Origin]
) -> Catalogue:
    return make_catalogue(tmp_path_factory.mktemp("stac"), origins, PER_COLLECTION)


def assets(catalogue: Catalogue) -> list[Any]:
    """Every asset with its item and its key."""
    return [(item, key, asset) for item in catalogue.items for key, asset in item.assets.items()]


def path_of(asset: Any, origins: tuple[Origin, Origin]) -> Path:
    """The file that an asset's URL leads to."""
    (origin,) = [each for each in origins if asset.href.startswith(each.url.rstrip("/") + "/")]
    served_at = urlsplit(origin.url).path.rstrip("/")
    return origin.folder / unquote(urlsplit(asset.href).path).removeprefix(f"{served_at}/")


def test_contents(catalogue: Catalogue) -> None:
    """Each collection has as many items as asked for, each with two bands and a thumbnail."""
    assert [each.id for each in catalogue.collections] == list(KEYS)
    for collection in catalogue.collections:
        items = [item for item in catalogue.items if item.collection_id == collection.id]
        assert len(items) == PER_COLLECTION
        for item in items:
            assert tuple(item.assets) == (*KEYS[collection.id], "thumbnail")


def test_identity(catalogue: Catalogue) -> None:
    """No two items share an id or a datetime, though places come again."""
    assert len({item.id for item in catalogue.items}) == len(catalogue.items)
    assert len({item.datetime for item in catalogue.items}) == len(catalogue.items)


def test_descriptions(catalogue: Catalogue) -> None:
    """Collections, items and assets have titles; assets have roles and media types."""
    assert all(each.title for each in catalogue.collections)
    assert all(item.properties["title"] for item in catalogue.items)
    for _, key, asset in assets(catalogue):
        picture = key == "thumbnail"
        assert asset.title
        assert asset.roles == (["thumbnail"] if picture else ["data"])
        assert asset.media_type == ("image/png" if picture else COG)


def test_valid(catalogue: Catalogue) -> None:
    """All items and collections are valid STAC 1.1.0 (core schemas: pystac has them offline)."""
    for each in (*catalogue.items, *catalogue.collections):
        document = each.to_dict()
        assert document["stac_version"] == "1.1.0"
        assert validate_dict(document, extensions=[]) != []


def test_extensions(catalogue: Catalogue) -> None:
    """Every item declares the extensions whose fields its assets use."""
    for item in catalogue.items:
        assert item.stac_extensions == [FILE_EXTENSION, PROJECTION_EXTENSION]


def test_extents(catalogue: Catalogue) -> None:
    """A collection's extent holds all its items."""
    for collection in catalogue.collections:
        (west, south, east, north) = collection.extent.spatial.bboxes[0]
        (begin, end) = collection.extent.temporal.intervals[0]
        for item in catalogue.items:
            if item.collection_id == collection.id:
                assert item.bbox is not None
                assert west <= item.bbox[0] <= item.bbox[2] <= east
                assert south <= item.bbox[1] <= item.bbox[3] <= north
                assert begin is not None
                assert end is not None
                assert item.datetime is not None
                assert begin <= item.datetime <= end


def test_cogs(catalogue: Catalogue, origins: tuple[Origin, Origin]) -> None:
    """Every band is a tiled Cloud-Optimized GeoTIFF with overviews, of a few hundred kB."""
    bands = [asset for _, key, asset in assets(catalogue) if key != "thumbnail"]
    assert len(bands) == 4 * PER_COLLECTION
    for asset in bands:
        path = path_of(asset, origins)
        assert 100_000 < path.stat().st_size < 350_000
        with rasterio.open(path) as file:
            assert file.profile["tiled"]
            assert file.block_shapes == [(256, 256)]
            assert file.overviews(1) == [2]
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_georeference(catalogue: Catalogue, origins: tuple[Origin, Origin]) -> None:
    """Footprint, bbox and projection fields are those of the raster."""
    for item, key, asset in assets(catalogue):
        if key == "thumbnail":
            continue
        with rasterio.open(path_of(asset, origins)) as file:
            assert item.properties["proj:code"] == str(file.crs) == "EPSG:32632"
            assert asset.extra_fields["proj:shape"] == list(file.shape)
            assert asset.extra_fields["proj:transform"] == list(file.transform)
            bounds = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
        assert item.bbox == pytest.approx(bounds, abs=1e-4)  # half a pixel of 20 m
        ring = item.geometry["coordinates"][0]
        assert ring[0] == ring[-1]
        assert [*map(min, zip(*ring, strict=True)), *map(max, zip(*ring, strict=True))] == item.bbox


def test_over_the_alps(catalogue: Catalogue) -> None:
    """Every footprint lies in the Alps, within UTM zone 32N."""
    for item in catalogue.items:
        assert item.bbox is not None
        west, south, east, north = item.bbox
        assert 6 < west < east < 12
        assert 45 < south < north < 48


def test_thumbnails(catalogue: Catalogue, origins: tuple[Origin, Origin]) -> None:
    """Thumbnails are small PNGs that show something."""
    for _, key, asset in assets(catalogue):
        if key == "thumbnail":
            path = path_of(asset, origins)
            assert path.read_bytes().startswith(b"\x89PNG")
            with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
                file = rasterio.open(path)
            with file:
                assert (file.count, *file.shape) == (3, 128, 128)
                assert all(band.std() > 5 for band in file.read())


def test_sizes(catalogue: Catalogue, origins: tuple[Origin, Origin]) -> None:
    """Every size is that of the file; exactly one asset gives none."""
    silent = []
    for item, key, asset in assets(catalogue):
        size_bytes = asset.extra_fields.get("file:size")
        if size_bytes is None:
            silent.append((item.collection_id, item.id, key))
        else:
            assert size_bytes == path_of(asset, origins).stat().st_size
    first_radar = catalogue.items[PER_COLLECTION]
    assert silent == [("alpine-radar", first_radar.id, "thumbnail")]


def test_checksums(catalogue: Catalogue, origins: tuple[Origin, Origin]) -> None:
    """Optical assets carry the md5 of their bytes as a multihash, radar assets no checksum."""
    for item, _, asset in assets(catalogue):
        if item.collection_id == "alpine-radar":
            assert "file:checksum" not in asset.extra_fields
            continue
        low, high, length, *digest = bytes.fromhex(asset.extra_fields["file:checksum"])
        assert low & 0x7F | high << 7 == 0xD5  # a varint, least significant seven bits first
        assert length == len(digest)
        expected = hashlib.md5(path_of(asset, origins).read_bytes(), usedforsecurity=False)
        assert bytes(digest) == expected.digest()


def test_origins(catalogue: Catalogue) -> None:
    """The assets of every item lie on both origins."""
    for item in catalogue.items:
        hosts = {urlsplit(asset.href).netloc for asset in item.assets.values()}
        assert hosts == {"127.0.0.1:8101", "127.0.0.1:8102"}


def test_every_file_has_an_asset(catalogue: Catalogue, origins: tuple[Origin, Origin]) -> None:
    """The origins hold the files of the assets and nothing else."""
    written = {path for each in origins for path in each.folder.rglob("*") if path.is_file()}
    assert written == {path_of(asset, origins) for _, _, asset in assets(catalogue)}


def test_fragile_urls(catalogue: Catalogue) -> None:
    """Some URLs have a percent-escape, exactly one a query string, none a double slash."""
    hrefs = [asset.href for _, _, asset in assets(catalogue)]
    assert len(set(hrefs)) == len(hrefs)
    assert sum("%20" in href for href in hrefs) == PER_COLLECTION
    assert [urlsplit(href).query for href in hrefs if "?" in href] == ["version=1"]
    assert not any("//" in urlsplit(href).path for href in hrefs)


def test_files_of_stac(catalogue: Catalogue) -> None:
    """The JSON on disk says the same as the objects, but for the links an API adds itself."""
    written = json.loads(catalogue.items_path.read_text(encoding="utf-8"))
    assert written["type"] == "FeatureCollection"
    expected = [{**item.to_dict(), "links": []} for item in catalogue.items]
    assert written["features"] == json.loads(json.dumps(expected))
    for collection, path in zip(catalogue.collections, catalogue.collection_paths, strict=True):
        assert path.parent == catalogue.items_path.parent
        document = pystac.Collection.from_file(str(path)).to_dict(include_self_link=False)
        assert document["title"] == collection.title
        assert document["extent"] == collection.extent.to_dict()


def written(folder: Path, count: int) -> dict[Any, Any]:
    """The files of a catalogue, and what is in them."""
    origin = Origin(folder / "origin", "http://127.0.0.1:8101")
    make_catalogue(folder / "stac", [origin], count)
    files = [path for path in origin.folder.rglob("*") if path.is_file()]
    return {path.relative_to(origin.folder): path.read_bytes() for path in files}


def test_same_again(tmp_path: Path) -> None:
    """The same call writes the same bytes, and more items leave the others as they were."""
    first, again = written(tmp_path / "first", 2), written(tmp_path / "again", 2)
    more = written(tmp_path / "more", 3)
    assert len(first) == 12
    assert first == again
    assert first.items() <= more.items()


def test_files_that_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are kept are copied, with the same bytes as those that are made."""
    made = written(tmp_path / "made", 1)
    monkeypatch.setenv(KEPT_SCENES, str(tmp_path / "kept"))
    assert written(tmp_path / "first", 1) == made
    monkeypatch.setattr("stac_testbed.scenes.make_scene", None)
    assert written(tmp_path / "second", 1) == made


def test_no_origin(tmp_path: Path) -> None:
    """Without an origin there is nowhere to write to, and it says so."""
    with pytest.raises(ValueError, match="origin"):
        make_catalogue(tmp_path, [])


def test_no_items(tmp_path: Path) -> None:
    """A catalogue without items is refused before anything is written."""
    origin = Origin(tmp_path / "origin", "http://127.0.0.1:8101")
    with pytest.raises(ValueError, match="at least one item"):
        make_catalogue(tmp_path / "stac", [origin], 0)
    assert list(Path(tmp_path).iterdir()) == []
