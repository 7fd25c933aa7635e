"""The extent of a collection that grows item by item; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pystac.utils import datetime_to_str, str_to_datetime

_WORLD = (-180.0, -90.0, 180.0, 90.0)
# What null means in the interval of a collection: open on that side.
_BEGINNING = datetime.min.replace(tzinfo=timezone.utc)
_END = datetime.max.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Extent:
    """A box and a time span, each only where something is known."""

    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north in degrees."""
    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def of_item(cls, item: Mapping[str, Any]) -> Extent:
        """The extent of an item."""
        properties = _mapping(item.get("properties"))
        when = properties.get("datetime")
        return cls(
            _bbox(item.get("bbox")),
            _datetime(properties.get("start_datetime") or when),
            _datetime(properties.get("end_datetime") or when),
        )

    @classmethod
    def of_collection(cls, collection: Mapping[str, Any]) -> Extent:
        """The extent that a collection says it has; of several boxes, that of all."""
        extent = _mapping(collection.get("extent"))
        boxes = _mapping(extent.get("spatial")).get("bbox")
        spans = _mapping(extent.get("temporal")).get("interval")
        bbox = _bbox(boxes[0]) if isinstance(boxes, list) and boxes else None
        if not isinstance(spans, list) or not spans:
            return cls(bbox)
        start, end = spans[0]
        return cls(bbox, _datetime(start) or _BEGINNING, _datetime(end) or _END)

    def __or__(self, other: Extent) -> Extent:
        """The extent of both."""
        boxes = [box for box in (self.bbox, other.bbox) if box is not None]
        starts = [start for start in (self.start, other.start) if start is not None]
        ends = [end for end in (self.end, other.end) if end is not None]
        west, south, east, north = zip(*boxes) if boxes else ((), (), (), ())
        return Extent(
            (min(west), min(south), max(east), max(north)) if boxes else None,
            min(starts, default=None),
            max(ends, default=None),
        )

    def to_dict(self) -> dict[str, Any]:
        """The extent as a collection has it: the whole world and all times if nothing is known."""
        interval = [
            datetime_to_str(each) if each not in {None, _BEGINNING, _END} else None
            for each in (self.start, self.end)
        ]
        return {
            "spatial": {"bbox": [list(self.bbox or _WORLD)]},
            "temporal": {"interval": [interval]},
        }


def _bbox(value: object) -> tuple[float, float, float, float] | None:
    try:
        numbers = [float(number) for number in value]  # type: ignore[attr-defined]
        west, south, east, north = numbers if len(numbers) == 4 else _flat(numbers)  # noqa: PLR2004 - without heights
    except (TypeError, ValueError):
        return None
    # Across the antimeridian: all longitudes hold it, and stay a box with others.
    return (west, south, east, north) if west <= east else (-180.0, south, 180.0, north)


def _flat(numbers: list[float]) -> tuple[float, float, float, float]:
    west, south, _, east, north, _ = numbers
    return west, south, east, north


def _datetime(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = str_to_datetime(value)
        # STAC has UTC only; some leave the zone out.
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).astimezone(
            timezone.utc
        )
    except (ValueError, OverflowError):
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
