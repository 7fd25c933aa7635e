"""Items from streams of every form."""

from __future__ import annotations

import gzip
import io
import json
import os
import time
from itertools import chain
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
import stac_geoparquet.arrow
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from stac_client import (
    AccessError,
    ConfigurationError,
    RequestError,
    StacRucioError,
)
from stac_client._item_files import read_values
from stac_client._items import _from_json, iter_items, read_stream
from stac_client._partition import Partition
from stac_policy.urls import link_href
from tests import origin as answers
from tests.items import many_items

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.origin import Origin


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


def geoparquet(folder: Path, count: int, **options: Any) -> Path:
    """A file of stac-geoparquet with items."""
    point = {"geometry": {"type": "Point", "coordinates": [7, 46]}, "bbox": [7, 46, 7, 46]}
    items = [item | point for item in many_items("c", count, 2)]
    table = stac_geoparquet.arrow.parse_stac_items_to_arrow(items)
    stac_geoparquet.arrow.to_parquet(table, folder / "items", **options)
    return folder / "items"


def test_geoparquet(tmp_path: Path) -> None:
    """stac-geoparquet is known by its first bytes, in a file or a stream that cannot be sought."""
    items, path = many_items("c", 3, 2), geoparquet(tmp_path, 3)
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


PACKED = {"gzip": gzip.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
@given(ITEMS, st.integers(1, 9))
def test_compressed(pack: Any, items: list[dict[str, Any]], size: int) -> None:
    """What is compressed is known by its first bytes, also where it comes in several parts."""
    lines = [json.dumps(item).encode() for item in items]
    content = b"".join(pack(line + b"\n") for line in lines) or pack(b"")
    assert read(content) == [*read_stream(cut(content, size), "x").items] == items
    assert read_stream(io.BytesIO(content), "x").as_lines


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
def test_damaged(pack: Any) -> None:
    """What is compressed and broken off, or changed, is an error; the items before it are given."""
    content = pack(b"".join(json.dumps(item).encode() + b"\n" for item in many_items("c", 9, 2)))
    for damaged in (content[:-9], content[:-9] + bytes(9)):
        with pytest.raises(ConfigurationError, match=r"^x: what is compressed in it is damaged"):
            read(damaged)


def test_compressed_geoparquet(tmp_path: Path) -> None:
    """stac-geoparquet may be compressed once more."""
    path = geoparquet(tmp_path, 3)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert len([*iter_items(path)]) == 3


# Documents that are longer than what is held of them.


def cut(content: bytes, size: int) -> Iterator[bytes]:
    """The content in pieces."""
    return (content[start : start + size] for start in range(0, len(content), size))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
VALUES = st.recursive(
    SCALARS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=7), values),
    max_leaves=9,
)
FIELDS = st.dictionaries(st.text(max_size=7), VALUES, max_size=3)
MEMBERS = st.lists(FIELDS | SCALARS | st.lists(FIELDS, max_size=2), max_size=5)


@given(FIELDS, MEMBERS, FIELDS, st.none() | st.integers(0, 2), st.integers(1, 40))
def test_long_documents(
    before: Any, members: Any, after: Any, indent: int | None, size: int
) -> None:
    """The items of a long document are those of the whole, however its bytes come."""
    document = {**before, "features": members, **after}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stac_client._item_files._WINDOW", 1)
        for value in (document, members, [document, *members, members], [[document]]):
            text = json.dumps(value, indent=indent)
            found = [*read_stream(cut(text.encode(), size), "x").items]
            assert repr(found) == repr([*_from_json(json.loads(text), "x")])


@pytest.mark.parametrize("indent", [None, 2])
def test_long_documents_are_not_held(indent: int | None) -> None:
    """An item of a long document is given before what comes later has been read."""
    items = many_items("c", 2_000, 9)
    content = json.dumps({"type": "FeatureCollection", "features": items}, indent=indent).encode()
    came = []
    pieces = (came.append(piece) or piece for piece in cut(content, 1 << 16))  # type: ignore[func-returns-value]
    found = read_stream(pieces, "x").items
    assert next(found) == items[0]
    assert sum(map(len, came)) < len(content) / 2
    assert [*found] == items[1:]


@pytest.mark.parametrize("document", [{"type": "Feature", "id": "1"}, {"type": "Catalog"}])
def test_long_documents_without_features(document: dict[str, Any]) -> None:
    """A long document that is an item, or holds none, is read to its end."""
    content = json.dumps({**document, "links": [], "x": "x" * (3 << 20)}).encode()
    assert [item["id"] for item in read(content)] == ["1"] * ("id" in document)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"features": [%s, {} {}]}', "neither a comma nor ]"),
        (b'{"features": [%s, {"a"]}', "Expecting ':'"),
        (b'{"features": [%s', "neither a comma nor ]"),
        (b'{"features": [%s]', "neither a comma nor }"),
        (b'{"features": [%s], 1: 2}', "a name of a field is missing"),
        (b'{"features": [%s], "a" 2}', "a colon is missing"),
        (b'[%s, {"features": 3}]', "is neither a STAC item nor"),
        (b"[%s, " + b"[" * 100_000, "nested too deeply"),
        (b"[%s, " + b"1" * 5_000 + b"]", "Exceeds the limit"),
    ],
)
def test_long_documents_that_are_wrong(content: bytes, said: str) -> None:
    """What is wrong behind many items is told after these, with its line."""
    items = many_items("c", 1_000, 9)
    filled = content.replace(b"%s", b",\n".join(json.dumps(item).encode() for item in items))
    found = read_stream(io.BytesIO(filled), "x").items
    assert [next(found) for _ in items] == items
    with pytest.raises(ConfigurationError) as caught:
        list(found)
    assert str(caught.value).startswith("x, line 1000")
    assert said in str(caught.value)


def test_values_in_one_line() -> None:
    """Values that share a line are each looked at once."""
    (item,) = many_items("c", 1, 0)
    content = (json.dumps(item) + " ").encode() * 3_000
    begin_s = time.process_time()
    assert len(read(content)) == 3_000
    assert time.process_time() - begin_s < 3  # 20 where each is looked for to the line's end


def test_numbers_at_the_end_of_a_piece() -> None:
    """A number is read to its end."""
    content = b'{"x": 12.5, "features": [{"a": 123}, 4567, 1e-05, -0.5]}'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stac_client._item_files._WINDOW", 1)
        members = [value.value for value in read_values(cut(content, 1), "x", Partition())]
    assert members == [{"a": 123}, 4567, 1e-05, -0.5]


@pytest.mark.parametrize("filling", [b" ", b'"x": "%b", ' % (b"x" * 50)])
def test_without_end(filling: bytes) -> None:
    """What goes on and on without an item is given up."""

    def endless() -> Iterator[bytes]:
        yield b'{"features": [{"id": "1"}], "y": 1%c' % b", "[filling == b" "]
        while True:
            yield filling * 50_000

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stac_client._item_files._MOST", 1 << 21)
        with pytest.raises(ConfigurationError, match="2,097,152 characters without an item"):
            [*read_stream(endless(), "x").items]


@pytest.mark.parametrize("value", [b'"x', b"[[],", b"{"])
def test_values_without_end(value: bytes) -> None:
    """A value that does not end, or is nothing but values, is given up before it fills memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stac_client._item_files._MOST", 1 << 22)
        with pytest.raises(ConfigurationError, match=r"^x: neither JSON nor stac-geoparquet"):
            [*read_stream(chain([b'{"a": '], iter(lambda: value * 9_999, b"")), "x").items]


# By URL.


@pytest.mark.parametrize("pack", [bytes, *PACKED.values()], ids=["plain", *PACKED])
def test_url(origin: Origin, pack: Any) -> None:
    """A URL gives its items, across an interruption, and what is relative starts there."""
    items = many_items("c", 40, 9)
    items[0]["assets"]["band-0"]["href"] = "./x.tif"
    content = pack(b"".join(json.dumps(item).encode() + b"\n" for item in items))
    url = origin.add("/a/items", content, answers.cut(len(content) // 2, content, ETag='"1"'))
    found = [*iter_items(url)]
    assert [item["id"] for item in found] == [item["id"] for item in items]
    assert link_href(found[0]) == url
    assert len(origin.seen) >= 1


def test_url_of_geoparquet(origin: Origin, tmp_path: Path) -> None:
    """A URL of stac-geoparquet gives its items."""
    url = origin.add("/items", geoparquet(tmp_path, 3).read_bytes())
    assert len([*iter_items(url)]) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (answers.status(404), RequestError, "answers 404"),
        (answers.status(403), AccessError, "answers 403"),
        (answers.Answer(b"<html>"), ConfigurationError, "neither JSON"),
        (answers.redirect("http://169.254.169.254/"), RequestError, "from where nothing"),
        (answers.redirect("file:///etc/passwd"), RequestError, "no web address|no allowed host"),
    ],
)
def test_url_that_gives_none(
    origin: Origin, answer: Any, kind: type[StacRucioError], said: str
) -> None:
    """A URL that gives no items is named, without its query."""
    url = origin.add("/items", answer)
    with pytest.raises(kind, match=said) as caught:
        [*iter_items(f"{url}?sig=S3CRET")]
    assert url in str(caught.value)
    assert "S3CRET" not in str(caught.value)


def test_url_that_breaks_off(origin: Origin) -> None:
    """What cannot be continued is an error, and nothing comes twice."""
    items = many_items("c", 400, 9)
    content = b"".join(json.dumps(item).encode() + b"\n" for item in items)
    url = origin.add("/items", content, answers.cut(len(content) // 2, content), etag=None)
    found = iter_items(url)
    with pytest.raises(RequestError, match="cannot continue it"):
        assert [next(found) for _ in items] != items
    assert len(origin.seen) == 2


@pytest.fixture
def s3(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> Origin:
    """A bucket that anybody may read."""
    for name, value in {
        "ENDPOINT_URL": origin.url,
        "ALLOW_HTTP": "1",
        "SKIP_SIGNATURE": "1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return origin


def in_bucket(handler: Any, content: bytes, etag: str) -> None:
    """Answer as S3 does."""
    send = handler.head
    modified = {"Last_Modified": "Mon, 01 Jun 2026 00:00:00 GMT"}
    handler.head = lambda code, **headers: send(code, **headers, **modified)
    answers.whole_or_part(handler, content, etag)


def test_s3(s3: Origin, tmp_path: Path) -> None:
    """Objects in S3 are read by what is installed for it; of geoparquet the parts that it needs."""
    items = many_items("c", 3, 2)
    for name, content in (
        ("items.json.gz", gzip.compress(json.dumps(items).encode())),
        ("items.parquet", geoparquet(tmp_path, 3).read_bytes()),
    ):
        s3._files[f"/b/{name}"] = (content, '"1"', iter(()), in_bucket, None)
        found = [*iter_items(f"s3://b/{name}")]
        assert [item["id"] for item in found] == [item["id"] for item in items]
    with pytest.raises(StacRucioError, match="s3://b/none"):
        [*iter_items("s3://b/none")]


def test_urls_of_fsspec() -> None:
    """So is whatever else fsspec knows; what it does not know is told."""
    items = many_items("c", 3, 2)
    with fsspec.open("memory://items.json", "wb") as file:
        file.write(json.dumps(items).encode())
    assert [*iter_items("memory://items.json")] == items
    with pytest.raises(RequestError, match="nonsense://x cannot be opened: "):
        [*iter_items("nonsense://x")]
    with fsspec.open("memory://user:S3CRET@broken", "wb") as file:
        file.write(b"{")
    for path, kind in ("broken", ConfigurationError), ("none?sig=S3CRET", RequestError):
        with pytest.raises(kind) as caught:
            [*iter_items(f"memory://user:S3CRET@{path}")]
        assert path[:4] in str(caught.value)
        assert "S3CRET" not in str(caught.value)


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
