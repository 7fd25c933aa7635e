"""Where the copies of items are, and how replication rules progress, as data to plot.

history = History()
rucio.wait(rules, on_update=history)
history.moments.to_dicts()
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from stac_client._item_completion import Completion
from stac_client._items import iter_items
from stac_client._status import readable
from stac_client._tables import Table, import_extra
from stac_policy.naming import item_name, split_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stac_client._items import ItemDict, ItemsLike
    from stac_client._rules import Rule
    from stac_client._status import Availability, ItemStatus

_COLUMNS = ("collection", "item", "datetime", "complete", "partly", "copies", "rule_state")


def to_geodataframe(
    items: ItemsLike,
    *,
    availability: Iterable[Availability] = (),
    status: Iterable[ItemStatus] = (),
    collection: str | None = None,
) -> Any:
    """Return the footprints of items and where their copies are, as a GeoDataFrame.

    Its columns are: `collection`, `item`, `datetime` (the start, if the item has
    only that), `complete` and `partly` (the RSEs that have all or some of what was
    asked for, joined by commas), `copies` (both in words, to colour a map by),
    `rule_state` (the states of the rules over the item, joined by commas) and
    `geometry` (none where an item has no footprint that can be read).

    Args:
        items: The items.
        availability: Of these items, from `replication_availability`; leave RSEs
            out to have them left out of the map.
        status: Of rules over these items, from `rule_status(…, by_item=True)`.
        collection: As in `StacClient`.

    Raises:
        ModuleNotFoundError: geopandas is not installed.
        StacRucioError: The items cannot be read.
    """
    geopandas, pandas = import_extra("geopandas"), import_extra("pandas")
    complete, partly, states = (defaultdict[tuple[str, ...], set[str]](set) for _ in range(3))
    for row in availability:
        if row.available or row.coming:
            (complete if row.complete else partly)[row.collection, row.item].add(row.rse)
    for of_rule in status:
        states[of_rule.collection, of_rule.item].add(of_rule.rule_state)
    rows = []
    for item in iter_items(items, Completion(collection)):
        key = of, item_id = str(item.get("collection") or ""), str(item.get("id") or "")
        all_at, some_at = (", ".join(sorted(rses[key])) for rses in (complete, partly))
        copies = "; ".join(filter(None, [all_at, some_at and f"partly {some_at}"])) or "nowhere"
        state = ", ".join(sorted(states[_key_in_status(of, item_id)]))
        rows.append((*key, _start(item), all_at, some_at, copies, state, _footprint(item)))
    frame = pandas.DataFrame(rows, columns=[*_COLUMNS, "geometry"])
    frame["datetime"] = pandas.to_datetime(
        frame["datetime"], utc=True, format="ISO8601", errors="coerce"
    )
    return geopandas.GeoDataFrame(frame, geometry="geometry", crs="EPSG:4326")


def _key_in_status(collection: str, item: str) -> tuple[str, ...]:
    """Collection and item as a status names them: by what can be read in a name in Rucio."""
    try:
        return tuple(map(readable, split_name(item_name(collection, item))))
    except ValueError:  # without an id there is no name
        return (collection, item)


def _start(item: ItemDict) -> str | None:
    properties = item.get("properties")
    known = properties if isinstance(properties, dict) else {}
    start = known.get("datetime") or known.get("start_datetime")
    return start if isinstance(start, str) else None


def _footprint(item: ItemDict) -> Any:
    shapely = import_extra("shapely")
    try:
        footprint = shapely.geometry.shape(item["geometry"])
    except (AttributeError, LookupError, TypeError, ValueError, shapely.errors.ShapelyError):
        return None
    return None if footprint.is_empty else footprint


@dataclass(frozen=True)
class Moment:
    """The number of copies in each state at one time, of all rules together."""

    time: datetime
    """In UTC."""
    ok: int
    """Copies that were there."""
    replicating: int
    """Copies on their way."""
    stuck: int


class History:
    """Records the progress of rules while waiting for them; for `on_update` of `StacClient.wait`.

    What it records is shown, too, as without it. It grows with what changes, not with how often
    Rucio is asked.

    Examples:
        >>> stac.wait(rules, on_update=history)
        >>> history.moments.to_dataframe()
    """

    def __init__(self, *, now: Callable[[], datetime] | None = None) -> None:
        """Start with nothing recorded.

        Args:
            now: Returns the time of a moment; by default the time in UTC.
        """
        self._now = now
        self._moments: list[Moment] = []

    def __call__(self, rules: Sequence[Rule]) -> None:
        """Record the state of the rules."""
        latest = Moment(
            self._now() if self._now else datetime.now(timezone.utc),
            ok=sum(rule.locks_ok for rule in rules),
            replicating=sum(rule.locks_replicating for rule in rules),
            stuck=sum(rule.locks_stuck for rule in rules),
        )
        unchanged = [replace(moment, time=latest.time) for moment in self._moments[-2:]]
        if unchanged == [latest, latest]:  # a standstill is its first and its last moment
            self._moments.pop()
        self._moments.append(latest)

    def beside(self, shown: Callable[[Any], None]) -> Callable[[Sequence[Rule]], None]:
        """Return what records the state of rules and shows them, too."""

        def update(rules: Sequence[Rule]) -> None:
            self(rules)
            shown(rules)

        return update

    @property
    def moments(self) -> Table[Moment]:
        """What was recorded, in its order."""
        return Table(self._moments)
