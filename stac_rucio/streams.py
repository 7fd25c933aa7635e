"""Items from a stream of bytes, whatever it holds, and without holding all of them."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Item = dict[str, Any]

_PARQUET = b"PAR1"


@dataclass(frozen=True)
class ItemStream:
    """Items as they come."""

    items: Iterator[Item]
    as_lines: bool
    """Whether they came as NDJSON, one item a line."""


def read_stream(stream: IO[bytes], name: str, begin: bytes = b"") -> ItemStream:
    """Tell what a stream holds by its beginning, and give its items.

    Args:
        stream: Of an item collection, an item, NDJSON of either, or stac-geoparquet.
        name: What to call it in errors.
        begin: The first line, where that has been read already.

    Raises:
        ConfigurationError: It is none of these.
    """
    numbered = enumerate(chain([begin] if begin else [], stream), start=1)
    lines = ((number, line) for number, line in numbered if line.strip())
    first = next(lines, None)
    if first is None:
        return ItemStream(iter(()), as_lines=True)
    if first[1].startswith(_PARQUET):
        return ItemStream(_geoparquet(chain([first[1]], stream)), as_lines=False)
    try:
        begin = _loads(first[1])
    except ValueError:  # JSON that spans several lines
        return ItemStream(_whole(first[1] + stream.read(), name), as_lines=False)
    as_lines = not (isinstance(begin, dict) and "features" in begin)
    return ItemStream(_lines(begin, lines, name), as_lines)


def _lines(begin: Any, lines: Iterable[tuple[int, bytes]], name: str) -> Iterator[Item]:
    yield from _members(begin, name)
    for number, line in lines:
        try:
            value = _loads(line)
        except ValueError as error:
            raise _wrong(f"{name}, line {number}: not JSON") from error
        yield from _members(value, f"{name}, line {number}")


def _whole(content: bytes, name: str) -> Iterator[Item]:
    try:
        value = _loads(content)
    except ValueError as error:
        raise _wrong(f"{name}: neither JSON nor NDJSON nor stac-geoparquet") from error
    yield from _members(value, name)


def _members(value: Any, name: str) -> list[Item]:
    features = value.get("features", [value]) if isinstance(value, dict) else None
    if not isinstance(features, list):
        raise _wrong(f"{name}: neither an item nor an item collection")
    return features


def _geoparquet(chunks: Iterable[bytes]) -> Iterator[Item]:
    """Its table of contents is at its end: it has to be a file."""
    from stac_client.catalogue.item_files import read_items

    with tempfile.TemporaryDirectory(prefix="stac-rucio-") as folder:
        file = Path(folder, "items.parquet")
        with file.open("wb") as copy:
            copy.writelines(chunks)
        yield from (dict(item) for item in read_items(file))


def _loads(line: bytes) -> Any:
    return json.loads(line.decode("utf-8-sig"))


def _wrong(message: str) -> Exception:
    from stac_client.errors import ConfigurationError

    return ConfigurationError(message)
