"""Where items come from: a STAC API, files, or standard input."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .stac_errors import stac_errors
from .streams import read_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .streams import Item, ItemStream

STDIN = "-"
_TIMEOUT_S = 60
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class ItemSource:
    """Items that a command line names; iterating reads them, from the start each time."""

    api: str | None
    """URL of a STAC API."""
    search: Mapping[str, Any]
    """What is searched there, in the words of pystac-client."""
    headers: Mapping[str, str] = field(repr=False)
    """Sent with every request to the STAC API; they may hold credentials."""
    files: tuple[str, ...]
    """Files; `-` is standard input."""

    def __post_init__(self) -> None:
        if self.api and self.files:
            raise click.UsageError(f"give --api or files, not both ({self.files[0]!r} is a file)")
        if not self.api and (self.search or self.headers):
            option = f"--{next(iter(self.search), 'headers')}".replace("_", "-")
            raise click.UsageError(f"{option} is about a search, which needs --api")
        if not self.api and not self.files:
            raise click.UsageError(
                "no items: give --api URL, files of items, or - for standard input"
            )
        if self.files.count(STDIN) > 1:
            raise click.UsageError("standard input can be read only once")

    @property
    def from_stdin(self) -> bool:
        """Whether any of it can be read only once."""
        return STDIN in self.files

    @property
    def name(self) -> str:
        """A name for it, without what is searched."""
        return self.api or " ".join(
            file if file == STDIN else str(Path(file).resolve()) for file in self.files
        )

    def __iter__(self) -> Iterator[Item]:
        return self.items()

    def items(self, on_read: Callable[[int, int | None], None] | None = None) -> Iterator[Item]:
        """Give the items.

        Args:
            on_read: Called with the number of items read so far, and of all if
                that is known.
        """
        found = self._searched(on_read) if self.api else self._read()
        for count, item in enumerate(found, start=1):
            yield item
            if on_read and not self.api:
                on_read(count, None)

    def streams(self) -> Iterator[ItemStream]:
        """Give the items of each file, with the form that it has.

        Raises:
            ConfigurationError: A file can not be read.
        """
        for file in self.files:
            try:
                with click.open_file(file, "rb") as stream:
                    yield read_stream(stream, "standard input" if file == STDIN else file)
            except OSError as error:
                raise click.UsageError(f"{file}: {error.strerror or error}") from error

    def _read(self) -> Iterator[Item]:
        for stream in self.streams():
            yield from stream.items

    def _searched(self, on_read: Callable[[int, int | None], None] | None) -> Iterator[Item]:
        from pystac import STACError
        from pystac_client import Client

        from .api_io import ApiIO

        assert self.api  # noqa: S101 - the caller has looked
        _LOGGER.info("searching %s", self.api)
        with stac_errors(self.api):
            catalogue = Client.open(self.api, stac_io=ApiIO(self.api, self.headers, _TIMEOUT_S))
        try:
            search = catalogue.search(**self.search)
        except STACError as error:  # it asks for the API's root once more
            with stac_errors(self.api):
                raise error.__cause__ or error from None
        except Exception as error:  # pystac-client raises all kinds, down to Exception itself
            raise click.UsageError(f"pystac-client can not search for this: {error}") from error
        count = 0
        pages = search.pages_as_dicts()
        while True:
            with stac_errors(self.api):
                page = next(pages, None)
            if page is None:
                return
            total = _matched(page, self.search.get("max_items"))
            for item in page.get("features", []):
                yield item
                count += 1
                if on_read:
                    on_read(count, total)


def read_intersects(value: str) -> dict[str, Any]:
    """Give the geometry that `--intersects` names: GeoJSON, or a file of it.

    Raises:
        ValueError: It is neither.
    """
    if not value.lstrip().startswith("{"):
        value = Path(value).read_text(encoding="utf-8")
    found = json.loads(value)
    if isinstance(found, dict) and found.get("type") == "FeatureCollection":
        found = next(iter(found.get("features") or []), None)
    if isinstance(found, dict) and found.get("type") == "Feature":
        found = found.get("geometry")
    if not isinstance(found, dict):
        raise ValueError("neither a geometry nor a feature")  # noqa: TRY004 - as of bad JSON
    return found


def _matched(page: Mapping[str, Any], max_items: int | None) -> int | None:
    context = page.get("context")
    matched = page.get("numberMatched") or (
        context.get("matched") if isinstance(context, dict) else None
    )
    if not isinstance(matched, int):
        return None
    return min(matched, max_items) if max_items else matched
