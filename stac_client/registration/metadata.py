"""Metadata of datasets and files in Rucio, from the items; optional, and never a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rucio.common.exception import InvalidMetadata

from stac_client.errors import AccessError, RequestError, StacRucioError, rucio_errors
from stac_client.patience import patiently
from stac_policy.urls import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rucio.client import Client

    from stac_client.catalogue.assets import Asset
    from stac_client.catalogue.items import ItemDict
    from stac_policy.naming import DID

_TIMES = ("datetime", "start_datetime", "end_datetime")
_TIME_LENGTH = 40  # characters; more than RFC 3339 needs
_BBOX_LENGTHS = frozenset({4, 6})
_COORDINATES = 1e9


class MetadataWarning(UserWarning):
    """Assets were registered, but not all of their metadata was written."""


def item_metadata(item: ItemDict) -> dict[str, Any]:
    """What the dataset of an item gets as metadata; pure.

    Returns:
        `stac_collection` and `stac_item` (ids), `stac_datetime`, `stac_start_datetime`
        and `stac_end_datetime` as the item has them, `stac_bbox` (a list of numbers)
        and `stac_url` (the item itself), as far as the item says something usable.
    """
    properties = item.get("properties")
    times = properties if isinstance(properties, dict) else {}
    found: dict[str, Any] = {
        "stac_collection": item.get("collection"),
        "stac_item": item.get("id"),
        **{f"stac_{name}": _time(times.get(name)) for name in _TIMES},
        "stac_bbox": _bbox(item.get("bbox")),
        "stac_url": _url(item),
    }
    return {key: value for key, value in found.items() if value}


class MetadataWriter:
    """Writes metadata, with one request for each batch; for several threads.

    Whether a server takes metadata depends on its plugins
    (`rucio.core.did_meta_plugins`): what its own plugin has no columns for needs
    another one, of which `json_meta` works on all databases but SQLite.
    """

    def __init__(self) -> None:
        self.problem: str | None = None
        """Why metadata could not be written, the first time."""
        self._refused = False

    def write(
        self, client: Client, assets: Iterable[Asset], of_datasets: Mapping[DID, dict[str, Any]]
    ) -> None:
        """Write the metadata of registered assets and of their items' datasets.

        What there is already under these keys is replaced. Nothing more is sent
        once the server has refused on principle.

        Args:
            client: A Rucio client.
            assets: The assets; of those whose item gives a SHA-256, it becomes the
                file's `sha256`.
            of_datasets: The metadata of datasets.
        """
        metadata = {asset.dataset: of_datasets[asset.dataset] for asset in assets}
        metadata |= {
            asset.did: {"sha256": asset.checksums.sha256}
            for asset in assets
            if asset.checksums.sha256
        }
        entries = [{**did._asdict(), "meta": meta} for did, meta in metadata.items()]
        if not entries or self._refused:
            return

        def send() -> None:
            with rucio_errors("writing metadata of datasets"):
                client.set_dids_metadata_bulk(entries)

        try:
            patiently(send)
        except StacRucioError as error:
            self._refused |= _is_on_principle(error)
            self.problem = self.problem or str(error)


def _is_on_principle(error: StacRucioError) -> bool:
    if isinstance(error, RequestError):
        return isinstance(error.__cause__, InvalidMetadata)
    return isinstance(error, AccessError)


def _time(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= _TIME_LENGTH else None


def _bbox(value: object) -> list[float] | None:
    if not isinstance(value, (list, tuple)) or len(value) not in _BBOX_LENGTHS:
        return None
    return [*value] if all(map(_is_coordinate, value)) else None


def _is_coordinate(value: object) -> bool:
    """Tell whether it is a number that can stand for a degree or a height; NaN is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < _COORDINATES


def _url(item: ItemDict) -> str | None:
    """The URL of an item, unless it carries a secret or is none of HTTP."""
    links = item.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "self":
            href = link.get("href")
            return href if isinstance(href, str) and not refusal(href) else None
    return None
