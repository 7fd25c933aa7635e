"""Where the copies of items are, on the map.

availability = rucio.replication_availability(items)
footprints = to_geodataframe(items, availability=availability)
plot_map(footprints)
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from stac_client.catalogue.items import iter_items
from stac_client.replication.status import readable
from stac_policy.naming import item_name, split_name

from .extras import import_extra
from .figures import COLOURS, GREY, add_legend, new_axes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stac_client.catalogue.items import ItemDict, ItemsLike
    from stac_client.replication.availability import Availability
    from stac_client.replication.status import ItemStatus

    Key = tuple[str, ...]

_NOWHERE = "nowhere"
_OPACITY = 0.7  # of footprints, which may lie on others
_LONGITUDE_LATITUDE = "EPSG:4326"


def to_geodataframe(
    items: ItemsLike,
    *,
    availability: Iterable[Availability] = (),
    status: Iterable[ItemStatus] = (),
) -> Any:
    """Give the footprints of items with where their copies are, as a GeoDataFrame.

    Its columns are: `collection`, `item`, `datetime` (its begin, if the item has
    but that), `complete` and `partly` (the RSEs that have all or some of what was
    asked for, joined by commas), `copies` (both in words, to colour a map by),
    `rule_state` (the states of the rules over the item, joined by commas) and
    `geometry` (none where an item has no footprint that can be read).

    Args:
        items: The items.
        availability: Of these items, from `replication_availability`; leave RSEs
            out to have them left out of the map.
        status: Of rules over these items, from `rule_status`.

    Raises:
        ModuleNotFoundError: geopandas is not installed.
        StacRucioError: The items can not be read.
    """
    geopandas, pandas = import_extra("geopandas"), import_extra("pandas")
    complete, partly, states = _sets(), _sets(), _sets()
    for row in availability:
        if row.complete:
            complete[row.collection, row.item].add(row.rse)
        elif row.available or row.coming:
            partly[row.collection, row.item].add(row.rse)
    for of_rule in status:
        states[of_rule.collection, of_rule.item].add(of_rule.rule_state)
    rows = []
    for item in iter_items(items):
        collection, item_id = str(item.get("collection") or ""), str(item.get("id") or "")
        all_at = ", ".join(sorted(complete[collection, item_id]))
        some_at = ", ".join(sorted(partly[collection, item_id]))
        rows.append(
            {
                "collection": collection,
                "item": item_id,
                "datetime": _datetime(item),
                "complete": all_at,
                "partly": some_at,
                "copies": "; ".join(filter(None, [all_at, some_at and f"partly {some_at}"]))
                or _NOWHERE,
                "rule_state": ", ".join(sorted(states[_key_in_status(collection, item_id)])),
                "geometry": _footprint(item),
            }
        )
    columns = ["collection", "item", "datetime", "complete", "partly", "copies", "rule_state"]
    frame = pandas.DataFrame(rows, columns=[*columns, "geometry"])
    frame["datetime"] = pandas.to_datetime(
        frame["datetime"], utc=True, format="ISO8601", errors="coerce"
    )
    return geopandas.GeoDataFrame(frame, geometry="geometry", crs=_LONGITUDE_LATITUDE)


def plot_map(footprints: Any, *, ax: Any = None) -> Any:
    """Draw footprints, coloured by where their copies are; needs no network.

    Args:
        footprints: As `to_geodataframe` gives them.
        ax: The axes of matplotlib to draw into; by default new ones.

    Returns:
        The axes.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    axes = new_axes(8, 4.5) if ax is None else ax
    patch = import_extra("matplotlib.patches").Patch
    drawn = footprints[footprints.geometry.notna()]
    places = sorted(set(drawn["copies"]) - {_NOWHERE})
    colours = {place: COLOURS[index % len(COLOURS)] for index, place in enumerate(places)}
    handles = []
    for place, colour in {**colours, _NOWHERE: GREY}.items():
        there = drawn[drawn["copies"] == place]
        if len(there):
            there.plot(ax=axes, color=colour, alpha=_OPACITY)
            handles.append(patch(color=colour, alpha=_OPACITY, label=f"{place} ({len(there):,})"))
    axes.set_xlabel("degrees east", color=GREY)
    axes.set_ylabel("degrees north", color=GREY)
    axes.grid(color=GREY, alpha=0.3, linewidth=0.5)
    axes.set_axisbelow(True)
    add_legend(axes, handles)
    return axes


def _sets() -> defaultdict[Key, set[str]]:
    return defaultdict(set)


def _key_in_status(collection: str, item: str) -> Key:
    """How a status calls an item: by what can be read in its name."""
    try:
        return tuple(map(readable, split_name(item_name(collection, item))))
    except ValueError:  # without an id there is no name
        return (collection, item)


def _datetime(item: ItemDict) -> object:
    properties = item.get("properties")
    if not isinstance(properties, dict):
        return None
    begin = properties.get("datetime") or properties.get("start_datetime")
    return begin if isinstance(begin, str) else None


def _footprint(item: ItemDict) -> Any:
    shapely = import_extra("shapely")
    try:
        footprint = shapely.geometry.shape(item["geometry"])
    except (
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        shapely.errors.ShapelyError,
    ):
        return None
    return None if footprint.is_empty else footprint
