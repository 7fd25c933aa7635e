"""Items from files: item collections, NDJSON and stac-geoparquet, without holding them all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stac_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


_BUFFER_BYTES = 2**20  # lines are often longer than the 8 KiB that would be read at a time


def read_items(path: Path) -> Iterator[Mapping[str, Any]]:
    """Give the items of a file one by one.

    Args:
        path: `*.ndjson` or `*.jsonl` with an item on each line, `*.parquet`
            (stac-geoparquet), or anything else: JSON of an item or an item
            collection.

    Raises:
        ConfigurationError: There is no such file, or it is not what its name says.
    """
    try:
        if path.suffix in {".ndjson", ".jsonl"}:
            yield from _lines(path)
        elif path.suffix == ".parquet":
            yield from _geoparquet(path)
        else:
            yield from _json(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    # As bytes, so that a line that is not UTF-8 is told by its number.
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        for number, line in enumerate(file, start=1):
            if line.isspace():
                continue
            try:
                item = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ConfigurationError(f"{path}, line {number}: not JSON") from error
            yield item


def _json(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not JSON") from error
    features = content.get("features", [content]) if isinstance(content, dict) else None
    if not isinstance(features, list):
        raise ConfigurationError(f"{path}: neither an item nor an item collection")
    yield from features


def _geoparquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow.parquet
        from stac_geoparquet.arrow import stac_table_to_items
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{path}: reading stac-geoparquet needs pip install 'stac-rucio[geoparquet]'"
        ) from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from stac_table_to_items(pyarrow.Table.from_batches([batch]))
    except pyarrow.ArrowInvalid as error:
        raise ConfigurationError(f"{path}: not stac-geoparquet") from error
