"""For tests of the modifier: modifiers, a clock, and pages."""

from __future__ import annotations

from typing import Any

from stac_client import Modifier, ModifierOptions
from tests.items import HREF, make_item

COPY = "https://disk.example.org/c/i/x.tif"


def modifier_of(rucio: Any, **options: Any) -> Modifier:
    """A modifier with options."""
    return Modifier(rucio, ModifierOptions(**options))


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now_s


def page(number: int = 0, assets: int = 1) -> dict[Any, Any]:
    """A page of one item."""
    found = {f"a{each}": {"href": HREF} for each in range(assets)}
    return {"type": "FeatureCollection", "features": [make_item("c", f"i{number}", found)]}


def is_modified(found: dict[Any, Any]) -> bool:
    """Whether every asset of a page has its copies, or none has."""
    assets = [asset for each in found["features"] for asset in each["assets"].values()]
    modified = {"alternate" in asset for asset in assets}
    assert len(modified) == 1
    return modified.pop()
