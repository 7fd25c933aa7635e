"""Parts of items: each item is in one, wherever the items come from."""

from __future__ import annotations

import io
import json
import pickle
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pyarrow.parquet
import pystac
import pytest
import stac_geoparquet.arrow
from hypothesis import given
from hypothesis import strategies as st
from pystac_client import ItemSearch

from stac_client import AssetsWarning, ConfigurationError, Outcome, Plan, StacClient, State
from stac_client._items import iter_items, read_items
from stac_client._journal import Journal, registration_purpose
from stac_client._partition import Partition
from stac_client._selection import Wanted
from stac_client._stac_api import cut
from tests.fake_rucio import FakeRucio
from tests.items import make_item, many_items

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ITEMS = many_items("c", 40, 1)
IDS = sorted(str(item["id"]) for item in ITEMS)


@given(st.lists(st.text(), unique=True), st.integers(1, 20))
def test_each_item_is_in_one_part(names: list[str], count: int) -> None:
    """The parts have all items, and no item twice."""
    items = [{"id": name} for name in names]
    parts = [Partition(number, count) for number in range(1, count + 1)]
    taken = [item["id"] for part in parts for item in part.take(items)]
    assert sorted(taken) == sorted(names)


def test_parts_stay_as_they_are() -> None:
    """Which items are in a part is the same in each release and on each machine."""
    parts = {"S2B_32TPS_20250601_0_L2A": 6, "a": 16, "\xfc": 8, "\ud800": 9}
    for name, number in parts.items():
        assert [*Partition(number, 16).take([{"id": name}])]


@pytest.mark.parametrize(
    "text", ["", "3", "0/16", "17/16", "-1/2", "1/0", "a/b", "1/2/3", 3, "\uff11/2"]
)
def test_wrong_parts(text: Any) -> None:
    """What names no part is told, with what to write."""
    with pytest.raises(ConfigurationError, match="the third of sixteen is 3/16"):
        Partition.of(text)


HOLDERS: dict[str, Callable[[], Any]] = {
    "a list": lambda: ITEMS,
    "objects": lambda: map(pystac.Item.from_dict, ITEMS),
    "a page": lambda: {"features": ITEMS},
    "an item collection": lambda: pystac.ItemCollection(map(pystac.Item.from_dict, ITEMS)),
    "NDJSON": lambda: io.BytesIO("\n".join(map(json.dumps, ITEMS)).encode()),
    "JSON": lambda: io.BytesIO(json.dumps(ITEMS).encode()),
    "several": lambda: [ITEMS[:9], {"features": ITEMS[9:20]}, *ITEMS[20:]],
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_sources(hold: Callable[[], Any]) -> None:
    """From any source, the parts have each item once, and each is some of them."""
    parts = [[each["id"] for each in iter_items(hold(), part=Partition(n, 3))] for n in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == IDS
    assert all(5 < len(part) < 25 for part in parts)


class Counting(io.BytesIO):
    """Counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read."""
        found = super().read(size)
        self.count += len(found)
        return found


@pytest.mark.parametrize("count", [4, 8, 9])
def test_row_groups(count: int) -> None:
    """Of stac-geoparquet whole row groups are taken, or items, where it has too few of them."""
    point = {"geometry": {"type": "Point", "coordinates": [7, 46]}, "bbox": [7, 46, 7, 46]}
    items = [item | point for item in many_items("c", 800, 9)]
    content = io.BytesIO()
    table = stac_geoparquet.arrow.parse_stac_items_to_arrow(items).read_all()
    pyarrow.parquet.write_table(table, content, row_group_size=100, compression="none")
    parts, read = [], []
    for number in range(1, count + 1):
        file = Counting(content.getvalue())
        parts.append([item["id"] for item in read_items(file, Partition(number, count))])
        read.append(file.count)
    assert sorted(name for part in parts for name in part) == sorted(item["id"] for item in items)
    assert (max(read) < len(content.getvalue()) / 2) == (count <= 8)


def test_intervals() -> None:
    """A search within an interval asks for a part of it; others ask for all."""

    def asked(part: Partition, **search: Any) -> str:
        found, _ = cut(ItemSearch("https://stac.example.org", **search), part)
        return str(found._parameters.get("datetime"))

    interval = "2025-01-01T00:00:00Z/2025-01-05T00:00:00Z"
    assert asked(Partition(2, 4), datetime=interval) == (
        "2025-01-02T00:00:00.000000Z/2025-01-03T00:00:00.000000Z"
    )
    for search in (
        {"datetime": "2025-01-01T00:00:00Z/.."},
        {"datetime": "2025-01-01T00:00:00Z"},
        {"datetime": interval, "max_items": 9},
        {},
    ):
        assert asked(Partition(2, 4), **search) == asked(Partition(), **search)


BEGIN, HOURS = datetime(2025, 1, 1, tzinfo=timezone.utc), st.integers(-30, 30)
TIMES = st.tuples(HOURS, st.integers(0, 9), st.integers(0, 9), st.booleans(), st.booleans())


@given(st.lists(TIMES), st.integers(1, 12), st.booleans())
def test_items_of_intervals(times: list[Any], count: int, by_interval: bool) -> None:
    """The parts have all items that the whole interval finds, those on its cuts once, too."""
    items = []
    for number, (hour, length, later, is_long, has_datetime) in enumerate(times):
        begin, end = BEGIN + timedelta(hours=hour), BEGIN + timedelta(hours=hour + length)
        middle = BEGIN + timedelta(hours=hour + min(later, length))
        said: dict[str, Any] = {"datetime": middle.isoformat() if has_datetime else None}
        if is_long or not has_datetime:
            said |= {"start_datetime": begin.isoformat(), "end_datetime": end.isoformat()}
        items.append(make_item("c", str(number), properties=said))

    def found(interval: str) -> list[Any]:
        """What an API finds, by `datetime` first or by the interval first."""
        low, high = map(datetime.fromisoformat, interval.replace("Z", "+00:00").split("/"))
        names = [("start_datetime", "end_datetime"), ("datetime", "datetime")]
        names = names if by_interval else names[::-1]
        result = []
        for item in items:
            said = item["properties"]
            begin, end = next(pair for pair in names if said.get(pair[0]))
            if (
                datetime.fromisoformat(said[begin]) <= high
                and datetime.fromisoformat(said[end]) >= low
            ):
                result.append(item)
        return result

    whole = "2025-01-01T00:00:00Z/2025-01-01T12:00:00Z"
    taken: Counter[str] = Counter()
    for number in range(1, count + 1):
        search = ItemSearch("https://stac.example.org", datetime=whole)
        narrow, take = cut(search, Partition(number, count))
        taken.update(item["id"] for item in take(found(str(narrow._parameters["datetime"]))))
    assert taken == Counter(item["id"] for item in found(whole))


def test_journals_of_parts(tmp_path: Path) -> None:
    """The journal of one part is none of another one, nor of the whole."""
    purposes = [registration_purpose("STAC", "host", part) for part in
                (Partition(1, 2), Partition(2, 2), Partition())]  # fmt: skip
    Journal(tmp_path / "journal", purposes[0]).close()
    for purpose in purposes[1:]:
        with pytest.raises(ConfigurationError, match="partition 1/2; give"):
            Journal(tmp_path / "journal", purpose)


def test_keys_that_no_item_of_a_part_has() -> None:
    """A part whose items lack a key says nothing, as others may have it."""
    for is_part in (False, True):
        keys = Wanted(["b", "band-0"], is_part=is_part)
        assert len([*keys.of(ITEMS)]) == len(ITEMS)
        assert bool(keys.missing()) is not is_part
    keys = Wanted(["b"], is_part=True)
    assert len([*keys.of(ITEMS)]) == len(ITEMS)
    with pytest.warns(AssetsWarning, match="no asset of this part is selected"):
        assert not keys.missing()


def test_plans_add_up() -> None:
    """The plans of two parts are that of both, whatever stands in them."""
    one = Plan(items=2, files=3, size_bytes=10, hosts=Counter(a=3), verified_by_md5=["S3"])
    two = Plan(items=1, files=1, hosts=Counter(a=1, b=2), verified_by_md5=["A", "S3"])
    two.no_head["b"] = "why"
    for plan, names in ((one, "ab"), (two, "cde")):
        for name in names:
            plan.reject(Outcome("c", name, "k", State.SKIPPED, "why"))
    both = sum([one, two], Plan())
    assert (both.items, both.files, both.size_bytes) == (3, 4, 10)
    assert both.hosts == Counter(a=4, b=2)
    assert both.verified_by_md5 == ["A", "S3"]
    assert both.no_head == {"b": "why"}
    assert both.rejected == Counter(why=5)
    assert both.examples == {"why": ["c/a asset k", "c/b asset k", "c/c asset k"]}
    assert both.looked_up
    assert not (both + Plan(looked_up=False)).looked_up


def test_methods_are_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that was pickled has a client made anew, and no token of Rucio went along."""
    made, secret = [], "S3CRET"

    def make(account: str | None, config: str | None) -> FakeRucio:
        made.append((account, config))
        client = FakeRucio()
        client.attributes["DISK"] = {"site": "ALPS"}
        vars(client)["auth_token"] = secret
        return client

    monkeypatch.setattr("stac_client.client.make_client", make)
    stac = StacClient(account="alice", scope="user.alice", site="ALPS")
    packed = pickle.dumps(stac.plan)
    assert b"S3CRET" not in packed
    plan = pickle.loads(packed)  # noqa: S301 - our own
    assert made == [("alice", None)] * 2
    assert plan.__self__._scope == "user.alice"
    assert plan.__self__._site == "ALPS"
