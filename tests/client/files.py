"""A file at an origin, and what is known of it."""

from __future__ import annotations

import base64
import hashlib
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from stac_client._assets import Asset, select_assets
from stac_client._lookup import Lookups, Probe
from stac_client._results import Tally
from tests.items import make_item
from tests.origin import Answer

if TYPE_CHECKING:
    from threading import Event

    from requests import Session

    from stac_client import Outcome
    from stac_client._results import FileTally


BODY = bytes(range(256)) * 40
SIZE = len(BODY)
ADLER32 = f"{zlib.adler32(BODY):08x}"
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
MD5_BASE64 = base64.b64encode(bytes.fromhex(MD5)).decode()
SHA256 = "1220" + hashlib.sha256(BODY).hexdigest()
WRONG_SHA256 = "1220" + hashlib.sha256(b"another file").hexdigest()
WHOLE = Answer(BODY, headers={"Content-Type": "image/tiff"})
LOGIN = Answer(b"<html>Log in</html>", headers={"Content-Type": "text/html; charset=utf-8"})

ITEM, HEAD, DOWNLOAD = Probe.ITEM, Probe.HEAD, Probe.DOWNLOAD


def only(asset: dict[Any, Any], **fields: Any) -> Asset | Outcome:
    """What becomes of an item's only asset that is asked for, with other fields of it changed."""
    (found,) = select_assets(make_item(assets={"a": asset}) | fields, ["a"])
    return found


def asset_at(url: Any, **fields: Any) -> Asset:
    """The asset of an item with this URL, which the item says this of."""
    asset = only({"href": url, **fields})
    assert isinstance(asset, Asset), asset
    return asset


def known(asset: Asset) -> tuple[Any, Any, Any]:
    """What is known of an asset, without the multihash."""
    return asset.size_bytes, asset.checksums.adler32, asset.checksums.md5


def complete(
    asset: Asset,
    probe: Any,
    session: Session,
    tally: FileTally | None = None,
    stop: Event | None = None,
) -> Asset:
    """An asset with what can be found out of it."""
    with ThreadPoolExecutor(1) as executor:
        return Lookups(probe, session, executor, stop).look_up(asset, tally or Tally().expect())
