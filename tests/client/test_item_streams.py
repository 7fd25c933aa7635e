"""Items from streams of every form."""

from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import stac_geoparquet.arrow
from hypothesis import given
from hypothesis import strategies as st

from stac_client import ConfigurationError
from stac_client._items import iter_items, read_stream
from tests.items import many_items

if TYPE_CHECKING:
    from pathlib import Path


ITEMS = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("Feature"), "id": st.text(min_size=1), "assets": st.just({})}
    ),
    max_size=4,
)


def read(content: bytes, name: str = "x") -> list[Any]:
    return [*read_stream(io.BytesIO(content), name).items]


@given(ITEMS)
def test_ndjson(items: list[dict[str, Any]]) -> None:
    """An item on each line, with empty lines between."""
    content = "\n\n".join(json.dumps(item) for item in items).encode()
    stream = read_stream(io.BytesIO(content), "x")
    assert stream.as_lines
    assert [*stream.items] == items


@pytest.mark.parametrize("indent", [None, 2])
@given(ITEMS)
def test_item_collection(indent: int | None, items: list[dict[str, Any]]) -> None:
    """An item collection in one line or many."""
    collection = {"type": "FeatureCollection", "features": items}
    stream = read_stream(io.BytesIO(json.dumps(collection, indent=indent).encode()), "x")
    assert not stream.as_lines
    assert [*stream.items] == items


@pytest.mark.parametrize("indent", [None, 2])
def test_one_item(indent: int | None) -> None:
    """One item in one line or many, after a byte order mark."""
    (item,) = many_items("c", 1, 1)
    assert read(json.dumps(item, indent=indent).encode("utf-8-sig")) == [item]


@pytest.mark.parametrize("indent", [None, 2])
@given(ITEMS)
def test_array(indent: int | None, items: list[dict[str, Any]]) -> None:
    """An array of items, and of item collections, in one line or many."""
    collection = {"type": "FeatureCollection", "features": items}
    stream = read_stream(io.BytesIO(json.dumps([*items, collection], indent=indent).encode()), "x")
    assert not stream.as_lines
    assert [*stream.items] == items * 2


def test_pages_in_lines() -> None:
    """NDJSON of pages gives the items of all of them."""
    items = many_items("c", 4, 1)
    pages = [{"type": "FeatureCollection", "features": items[:2]}, {"features": items[2:]}]
    assert read("\n".join(map(json.dumps, pages)).encode()) == items
    assert read(f"{json.dumps(pages)}\n{json.dumps(items)}".encode()) == items * 2


def test_geoparquet(tmp_path: Path) -> None:
    """stac-geoparquet is known by its first bytes, in a file or a stream that cannot be sought."""
    items = [item | {"geometry": {"type": "Point", "coordinates": [7, 46]}, "bbox": [7, 46, 7, 46]}
             for item in many_items("c", 3, 2)]  # fmt: skip
    path = tmp_path / "items"
    table = stac_geoparquet.arrow.parse_stac_items_to_arrow(items)
    stac_geoparquet.arrow.to_parquet(table, path)
    read_end, write_end = os.pipe()
    with open(write_end, "wb") as pipe:  # noqa: PTH123 - a descriptor
        pipe.write(path.read_bytes())
    with open(read_end, "rb") as stream:  # noqa: PTH123
        found = [*read_stream(stream, "x").items]
    assert found == [*iter_items(path)]
    assert [item["id"] for item in found] == [item["id"] for item in items]
    assert found[0]["assets"]["band-0"]["href"] == items[0]["assets"]["band-0"]["href"]


def test_ndjson_is_not_held() -> None:
    """Of NDJSON an item is given before the next one has come."""
    read_end, write_end = os.pipe()
    with open(write_end, "wb", buffering=0) as pipe, open(read_end, "rb") as stream:  # noqa: PTH123
        pipe.write(b'{"id": 1}\n')
        items = read_stream(stream, "x").items
        assert next(items) == {"id": 1}
        pipe.write(b'{"id": 2}\n')
        assert next(items) == {"id": 2}


def test_nothing() -> None:
    """An empty stream has no items."""
    assert read(b"") == read(b"\n \n") == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "x: neither JSON"),
        (b"\xff\xfe\n", "x: neither JSON"),
        (b'"text"', "x is neither a STAC item nor"),
        (b'{\n"a": 1}', "x is neither a STAC item nor"),
        (b'{"features": 3}', "x is neither a STAC item nor"),
        (b'{"id": 1}\n{"features": 3}', "x, line 2 is neither a STAC item nor"),
        (b'{"id": 1}\n{"id"', "x, line 2: neither JSON"),
        (b'{"id": 1}\n\n[', "x, line 3: neither JSON"),
    ],
)
def test_what_is_no_items_is_told(content: bytes, said: str) -> None:
    """The error names the file and the line."""
    with pytest.raises(ConfigurationError, match=said):
        read(content)
