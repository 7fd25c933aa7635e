"""Where the copies of items are, as a GeoDataFrame, and the recorded progress of rules."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import Availability, ItemStatus, StacRucioError
from stac_client._history import History, Moment, to_geodataframe
from stac_policy.naming import item_name, split_name
from tests.items import make_item

from .test_tables import rule

BOX = {"type": "Polygon", "coordinates": [[[6, 45], [7, 45], [7, 46], [6, 46], [6, 45]]]}
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=8,
)


def item(name: str, geometry: object = BOX, **properties: object) -> dict[str, object]:
    """An item."""
    return make_item("alps", name, {}, geometry=geometry, properties=properties)


def available(name: str, rse: str, there: int = 2, coming: int = 0) -> Availability:
    """How much of an item of two assets is at an RSE."""
    return Availability("alps", name, rse, there, coming, 2)


def status(name: str, state: str, collection: str = "alps") -> ItemStatus:
    """How far a rule has come with an item."""
    return ItemStatus("0123", state, collection, name, "A", 0, 0, ())


ITEMS = [item("a"), item("b"), item("c"), item("d")]
AVAILABILITY = [
    available("a", "B"),
    available("a", "A"),
    available("b", "A"),
    available("b", "B", 0, 1),
    available("c", "B", 1),
    available("d", "A", 0),
    available("other", "A"),
]


def test_where_copies_are() -> None:
    """A row has the RSEs that have all and those that have some of its item."""
    frame = to_geodataframe(ITEMS, availability=AVAILABILITY)
    assert isinstance(frame, gpd.GeoDataFrame)
    assert frame.crs == "EPSG:4326"
    assert frame["item"].tolist() == ["a", "b", "c", "d"]
    assert frame["complete"].tolist() == ["A, B", "A", "", ""]
    assert frame["partly"].tolist() == ["", "B", "B", ""]
    assert frame["copies"].tolist() == ["A, B", "A; partly B", "partly B", "nowhere"]
    assert frame.total_bounds.tolist() == [6, 45, 7, 46]


def test_states_of_rules() -> None:
    """A row has the states of all rules over its item."""
    rows = [status("a", "OK"), status("a", "STUCK"), status("b", "OK"), status("b", "OK")]
    frame = to_geodataframe(ITEMS[:3], status=rows)
    assert frame["rule_state"].tolist() == ["OK, STUCK", "OK", ""]


def test_states_where_the_name_is_shortened() -> None:
    """An item is found again whose name in Rucio is a shortened one."""
    name = "x y" * 100
    _, shortened = split_name(item_name("alps", name))
    frame = to_geodataframe([item(name)], status=[status(shortened, "OK")])
    assert frame["rule_state"].tolist() == ["OK"]


def test_times() -> None:
    """A time is that of the item, or its begin; what is no time is none."""
    rows = [
        item("a", datetime="2025-06-01T10:00:00Z"),
        item("b", datetime=None, start_datetime="2025-06-01T12:00:00.5+02:00"),
        item("c", datetime="yesterday"),
        item("d", datetime=5),
        item("e"),
    ]
    times = to_geodataframe(rows)["datetime"]
    assert times[0] == pd.Timestamp("2025-06-01T10:00:00Z")
    assert times[1] == pd.Timestamp("2025-06-01T10:00:00.5Z")
    assert times[2:].isna().all()


@given(geometry=JSON | st.fixed_dictionaries({"type": st.just("Polygon"), "coordinates": JSON}))
def test_a_footprint_that_cannot_be_read(geometry: Any) -> None:
    """Whatever a catalogue gives as a footprint, there is a row, with a footprint or none."""
    frame = to_geodataframe([item("a", geometry), item("b")])
    assert frame["item"].tolist() == ["a", "b"]
    assert frame.geometry.notna()[1]


def test_items_without_ids() -> None:
    """An item without ids or properties is a row, too."""
    frame = to_geodataframe([{"type": "Feature", "properties": None}])
    assert frame["item"].tolist() == [""]
    assert frame.geometry.isna().all()


def test_no_items() -> None:
    """A search that found nothing gives an empty frame with all columns."""
    frame = to_geodataframe([])
    assert len(frame) == 0
    assert {"item", "copies", "geometry"} <= set(frame.columns)


def test_what_is_no_item() -> None:
    """What holds no items is refused as everywhere else."""
    with pytest.raises(StacRucioError, match="neither a STAC item"):
        to_geodataframe([5])


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without geopandas the error says what to install."""
    monkeypatch.setitem(sys.modules, "geopandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"stac-rucio\[notebook\]"):
        to_geodataframe(ITEMS)


BEGIN = datetime(2025, 6, 1, tzinfo=timezone.utc)


@pytest.fixture
def history() -> History:
    """A history for which a minute goes by each time that Rucio is asked."""
    minutes = count()
    return History(now=lambda: at(next(minutes)))


def at(minute: int) -> datetime:
    """A time."""
    return BEGIN + timedelta(minutes=minute)


def test_rules_are_counted_together(history: History) -> None:
    """A moment has the copies of all rules, by state."""
    history([rule("STUCK", 1, 2, 3), rule("OK", 4, 0)])
    assert history.moments == [Moment(BEGIN, 5, 2, 3)]


def test_a_standstill_takes_no_space(history: History) -> None:
    """Of moments that are equal the first and the last are kept, so that none is invented."""
    for ok in [0, 0, 0, 0, 1, 1, 2, 2, 2, 0]:
        history([rule("REPLICATING", ok, 2 - ok)])
    minutes = [
        (moment.ok, (moment.time - BEGIN) // timedelta(minutes=1)) for moment in history.moments
    ]
    assert minutes == [(0, 0), (0, 3), (1, 4), (1, 5), (2, 6), (2, 8), (0, 9)]


def test_the_time_is_known(history: History) -> None:
    """By default a moment has the time of now, in UTC."""
    before = datetime.now(timezone.utc)
    history = History()
    history([rule("OK", 1, 0)])
    assert before <= history.moments[0].time <= datetime.now(timezone.utc)
