"""Which assets of an item are meant."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import AssetsWarning, ConfigurationError, by_media_type, by_role
from stac_client._assets import registrable, select_assets
from stac_client._results import Outcome
from stac_client._selection import Wanted, named_keys, unwanted_by_default
from tests.corpus import labelled
from tests.items import HREF, make_item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stac_client._selection import AssetSelection

_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_DATA = Path(__file__).parents[1] / "data"


def lines_of(name: str) -> list[str]:
    """The lines of a file of tab-separated values, without comments."""
    lines = (_DATA / name).read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


# Assets in the shape of public catalogues.


def cases() -> Iterator[Any]:
    """Each case: the id of an item, its assets, and why some of them are not meant."""
    for case in "\n".join(lines_of("selection.tsv")).split("\n\n"):
        item_id, *lines = case.splitlines()
        assets: dict[str, dict[str, Any]] = {}
        reasons: dict[str, str] = {}
        for line in lines:
            key, roles, media_type, href, *reason = line.split("\t")
            assets[key] = {
                "href": f"https://data.example.org/{href}",
                **({"type": _COG if media_type == "COG" else media_type} if media_type else {}),
                **({"roles": roles.split(",")} if roles else {}),
            }
            reasons |= {key: "".join(reason)} if reason else {}
        yield pytest.param(item_id, assets, reasons, id=item_id)


@pytest.mark.parametrize(("item_id", "assets", "reasons"), [*cases()])
def test_data_is_meant(
    item_id: str, assets: dict[str, dict[str, Any]], reasons: dict[str, str]
) -> None:
    """What an expert calls data is meant, and of the rest it is said why it is not."""
    assert unwanted_by_default(item_id, assets) == reasons


def test_one_role_as_text() -> None:
    """A role that is no list is read as one."""
    assets = {"a": {"href": HREF, "roles": "thumbnail"}, "b": {"href": HREF, "roles": "DATA"}}
    assert unwanted_by_default("i", assets) == {"a": "not data: its role is thumbnail"}


_WORDS = ["data", "thumbnail", "metadata", "zip", ".tif", ".nc", ".xml", "image/tiff", "a", "/"]
_TEXT = st.lists(st.sampled_from(_WORDS), max_size=4).map("".join) | st.text(max_size=9)
_VALUE = _TEXT | st.none() | st.integers() | st.lists(_TEXT | st.none())
_ASSETS = st.dictionaries(
    _TEXT, st.dictionaries(st.sampled_from(["href", "type", "roles"]), _VALUE), max_size=6
)


@given(_TEXT, _ASSETS)
def test_whatever_a_catalogue_says(item_id: str, assets: dict[str, Any]) -> None:
    """Any fields are read; the order of assets is nothing; something of each group is kept."""
    unwanted = unwanted_by_default(item_id, assets)
    assert unwanted.keys() <= assets.keys()
    backwards = unwanted_by_default(item_id, dict(reversed(assets.items())))
    assert backwards.keys() == unwanted.keys()
    for key in assets.keys() - unwanted.keys():
        assert unwanted_by_default(item_id, {key: assets[key]}) == {}


# Real assets, against labels made by hand.


@pytest.mark.usefixtures("corpus")
def test_real_assets() -> None:
    """Of each catalogue, 97 % of what is data are meant, and no more than 2 % of the rest."""
    counts: Counter[tuple[str, str, bool]] = Counter()
    used = set()
    for catalogue, item, rows in labelled():
        unwanted = unwanted_by_default(item["id"], item["assets"])
        for key, row in rows.items():
            used.add(row)
            counts[catalogue, row[4], key not in unwanted] += 1
    assert {tuple(line.split("\t")[:5]) for line in lines_of("labels.tsv")} == used
    for catalogue in {catalogue for catalogue, *_ in counts}:
        data, others = (
            [counts[catalogue, label, meant] for meant in (True, False)]
            for label in ("data", "other")
        )
        assert data[0] >= 0.97 * sum(data), catalogue
        assert others[0] <= 0.02 * sum(others), catalogue


# Keys, one key, predicates, and what is none of these.


ITEM = make_item(
    "c",
    "i",
    {
        "red": {"href": HREF, "roles": ["data"], "type": "image/tiff"},
        "r": {"href": HREF, "roles": ["metadata"]},
        "thumbnail": {"href": HREF},
    },
)


def selected(selection: Any) -> list[Any]:
    """The keys of the assets that are selected."""
    found = select_assets(ITEM, selection)
    return [asset.key for asset in found if not isinstance(asset, Outcome)]


def test_a_single_key() -> None:
    """A bare text is one key, whatever keys are part of it."""
    assert selected("red") == ["red"]
    assert selected("thumbnail") == ["thumbnail"]
    assert selected("") == []
    assert named_keys("red") == {"red"}


@pytest.mark.parametrize("keys", [["r", "red"], ("red", "r"), {"r", "red"}, {"r": 1, "red": 2}])
def test_keys(keys: Any) -> None:
    """Keys come in any collection."""
    assert selected(keys) == ["red", "r"]
    assert named_keys(keys) == {"r", "red"}


def test_predicates_and_none_name_no_keys() -> None:
    """Only keys can be missed in items."""
    assert selected(by_role("metadata")) == ["r"]
    assert selected(by_media_type("IMAGE/tiff")) == ["red"]
    assert named_keys(by_role("metadata")) == named_keys(None) == set()


@pytest.mark.parametrize(
    ("given", "media_type", "meant"),
    [
        (pystac.MediaType.COG, _COG, True),
        (pystac.MediaType.COG, "image/tiff; profile=cloud-optimized ;application = GeoTIFF", True),
        (pystac.MediaType.COG, "image/tiff; application=geotiff", False),
        (pystac.MediaType.GEOTIFF, _COG, True),
        (pystac.MediaType.TIFF, _COG, True),
        ("IMAGE/tiff", "image/TIFF;", True),
        ("image/tiff", "image/tiff-fx", False),
        ("image/tiff", None, False),
    ],
)
def test_media_types(given: str, media_type: object, meant: object) -> None:
    """A media type takes assets of the same name that have the parameters that it has."""
    assert by_media_type(given)("a", {"type": media_type}) is meant


@pytest.mark.parametrize(
    ("selection", "missing"),
    [
        (["vv", "vvv"], {"vvv": "near it: vv"}),
        (["vv", "vv,vh"], {"vv,vh": "it is one key, so give several as a list"}),
        (["elevation", "vh"], {"elevation": "known: vv, vh, thumbnail, odd"}),
        (["vv", "thumbnail"], {}),
        (by_role("data", "Dataa"), {"Dataa": "near it: data"}),
        (by_role("DATA"), {}),
        (by_media_type("image/tif", "image/tiff"), {"image/tif": "near it: image/tiff"}),
        (by_media_type(pystac.MediaType.COG), {}),
        (lambda key, _: key == "vv", {}),
        (None, {}),
    ],
)
def test_names_that_no_item_has(selection: AssetSelection, missing: dict[str, str]) -> None:
    """What no item has is told with what comes near."""
    wanted = Wanted(selection)
    assert [*wanted.of(NAMED)] == NAMED
    assert {each.key: each.reason.rpartition("; ")[2] for each in wanted.missing()} == missing


@pytest.mark.parametrize(
    ("keys", "missing"),
    [
        (["s3"], {}),
        (["https", "s3"], {"https": "known: s3, gs"}),
        ("S3", {"S3": "near it: s3"}),
        ("s3,gs", {"s3,gs": "it is one alternate, so give several as a list"}),
    ],
)
def test_alternates_that_no_item_has(keys: str | list[str], missing: dict[str, str]) -> None:
    """An alternate that no asset has is told, and one that some have is not."""
    wanted = Wanted(None, alternate_assets=keys)
    assert [*wanted.of(NAMED)] == NAMED
    assert {each.key: each.reason.rpartition("; ")[2] for each in wanted.missing()} == missing


@pytest.mark.parametrize("keys", [5, ["s3", 5], [""], {"s3"}, b"s3"])
def test_what_are_no_alternates(keys: Any) -> None:
    """What is no list of keys is an error that says what to give."""
    with pytest.raises(ConfigurationError, match=r"alternate_assets is .*; give the key of an"):
        Wanted(None, alternate_assets=keys)


_ALTERNATES = {"s3": {"href": "s3://b/vv.tif"}, "gs": {"href": "gs://b/vv.tif"}}
NAMED = [
    make_item(
        assets={
            "vv": {"href": HREF, "roles": ["data"], "type": _COG, "alternate": _ALTERNATES},
            "vh": {"alternate": ["odd"]},
        }
    ),
    make_item(assets={"thumbnail": {}, "odd": None}),
]


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ("vv,vh", "vv,vh: it is one key, so give several as a list"),
        (["vvv"], "vvv: no item has an asset with this key; near it: vv"),
        ([], "keys known: vv, vh, thumbnail, odd"),
        (by_role("none"), "none: no item has an asset with this role; known: data"),
        (by_media_type("image/png"), "image/png: no item .*; near it: image/tiff"),
        (lambda *_: False, "keys known: vv, vh, thumbnail, odd"),
    ],
)
def test_nothing_is_selected(selection: AssetSelection, said: str) -> None:
    """Where no asset of any item is meant, that is an error, and no success without a word."""
    wanted = Wanted(selection)
    assert [*wanted.of(NAMED)] == NAMED
    with pytest.raises(ConfigurationError, match=f"^no asset is selected: {said}$"):
        wanted.missing()


def test_no_items() -> None:
    """Where there are no items, nothing is said of keys."""
    keys = Wanted("red")
    assert not [*keys.of([])]
    assert not keys.missing()


def test_keys_that_only_a_warning_can_name() -> None:
    """Where no outcomes are returned, a warning names the key, and shows no control characters."""
    items = [make_item(assets={"red": {"href": HREF}})]
    with pytest.warns(AssetsWarning, match=r"^asset re\\x1b: no item has .*; near it: red$"):
        assert [each.key for each in registrable(items, ["re\x1b", "red"], None)] == ["red"]


@pytest.mark.parametrize("selection", [5, ["red", 5], iter(["red"]), [None], b"red"])
def test_what_is_no_selection(selection: Any) -> None:
    """What is neither keys nor a predicate is an error that says what to give."""
    with pytest.raises(ConfigurationError, match="give the key of an asset"):
        selected(selection)


@pytest.mark.parametrize("select", [by_role, by_media_type])
@pytest.mark.parametrize("given", [(), ("",), (["data"],), (None,)])
def test_predicates_of_nothing(
    select: Callable[..., Callable[..., bool]], given: tuple[Any, ...]
) -> None:
    """A role or media type that is none, or missing, is an error and not an empty selection."""
    with pytest.raises(ConfigurationError, match=f"{select.__name__} needs one or more texts"):
        select(*given)
