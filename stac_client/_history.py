"""How rules came along over time, written down while they are followed.

history = History()
rucio.wait(rules, on_update=history)
history.plot()
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from stac_client._items import iter_items
from stac_client._rules import readable
from stac_client._tables import Table, import_extra
from stac_policy.naming import item_name, split_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stac_client._items import ItemDict, ItemsLike
    from stac_client._rules import Availability, ItemStatus

    Key = tuple[str, ...]
    from collections.abc import Callable, Sequence

    from stac_client._rules import Rule


# What all our figures have in common: they can be read on light and on dark pages.


# Told apart with every kind of colour vision, on white and on black (Okabe and Ito).
GREEN, BLUE, RED = "#009E73", "#56B4E9", "#D55E00"
COLOURS = (GREEN, BLUE, "#E69F00", "#CC79A7", "#0072B2", RED, "#B8A900")
GREY = "#808080"
# A shade darker: where all ticks are light, or none is, notebooks lay a background of
# the opposite under a transparent figure, which is then a block on the other theme.
_DARKER_GREY = "#7F7F7F"


def new_axes(width: float, height: float) -> Any:
    """Make the axes of a new figure of matplotlib.

    Args:
        width: Of the figure, in inches.
        height: Of the figure, in inches.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    pyplot = import_extra("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    axes.tick_params(axis="x", colors=GREY)
    axes.tick_params(axis="y", colors=_DARKER_GREY)
    for edge, spine in axes.spines.items():
        spine.set_color(GREY)
        spine.set_visible(edge in {"left", "bottom"})
    return axes


def add_legend(axes: Any, handles: Any) -> None:
    """Put a legend beside axes, where it hides nothing."""
    axes.legend(
        handles=handles, labelcolor=GREY, frameon=False, loc="upper left", bbox_to_anchor=(1, 1)
    )


# Where the copies of items are, on the map.


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


@dataclass(frozen=True)
class Moment:
    """How many copies were where, of all rules together."""

    time: datetime
    """In UTC."""
    ok: int
    """Copies that were there."""
    replicating: int
    """Copies on their way."""
    stuck: int


class History:
    """Writes down how rules come along; for `on_update` of `StacClient.wait`.

    It grows with what changes, not with how often Rucio is asked.
    """

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
        """Make one.

        Args:
            now: Gives the time.
        """
        self._now = now
        self._moments: list[Moment] = []

    def __call__(self, rules: Sequence[Rule]) -> None:
        """Write down how the rules are now."""
        latest = Moment(
            self._now(),
            ok=sum(rule.locks_ok for rule in rules),
            replicating=sum(rule.locks_replicating for rule in rules),
            stuck=sum(rule.locks_stuck for rule in rules),
        )
        unchanged = [replace(moment, time=latest.time) for moment in self._moments[-2:]]
        if unchanged == [latest, latest]:  # a standstill is its first and its last moment
            self._moments.pop()
        self._moments.append(latest)

    @property
    def moments(self) -> Table[Moment]:
        """What was written down, in its order."""
        return Table(self._moments)

    def plot(self, *, ax: Any = None) -> Any:
        """Draw the copies over time, by state.

        Args:
            ax: The axes of matplotlib to draw into; by default new ones.

        Returns:
            The axes.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        axes = new_axes(8, 2.8) if ax is None else ax
        layers = axes.stackplot(
            [moment.time for moment in self._moments],
            [moment.ok for moment in self._moments],
            [moment.replicating for moment in self._moments],
            [moment.stuck for moment in self._moments],
            labels=["there", "on their way", "stuck"],
            colors=[GREEN, BLUE, RED],
        )
        axes.set_ylabel("copies", color=GREY)
        axes.set_xlabel("UTC", color=GREY)
        axes.margins(0)
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.xaxis.set_major_formatter(_clock(axes.xaxis.get_major_locator()))
        axes.xaxis.get_offset_text().set_color(GREY)
        add_legend(axes, layers)
        return axes


def _clock(locator: Any) -> Any:
    return import_extra("matplotlib.dates").ConciseDateFormatter(locator, tz=timezone.utc)
