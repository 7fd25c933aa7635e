"""What tests of downloads need: items, and files at an origin."""

from __future__ import annotations

import hashlib
import threading
import zlib
from typing import TYPE_CHECKING, Any

from stac_client import _downloads
from stac_client._results import State
from stac_client._rucio import Rucio
from tests.fake_rucio import RED_HREF
from tests.items import make_item

if TYPE_CHECKING:
    from pathlib import Path

    from stac_client._results import Downloads


DOWNLOADED, ALREADY_THERE = State.DOWNLOADED, State.ALREADY_THERE
SKIPPED, FAILED = State.SKIPPED, State.FAILED

BODY = bytes(range(256)) * 40
LARGE = bytes(range(255)) * 12_000  # more than two of the chunks that files are written in
OTHER = bytes(reversed(BODY))  # of the same size


def scene(
    item_id: str = "i",
    *keys: Any,
    collection: str | None = "alps",
    href: Any = RED_HREF,
    **fields: Any,
) -> dict[str, Any]:
    """An item with data assets of these keys, by default only `red`."""
    assets = {key: {"href": href, "roles": ["data"], **fields} for key in keys or ("red",)}
    self_link = f"https://stac.example.org/collections/{collection}/items/{item_id}"
    made = make_item(
        collection,
        item_id,
        assets,
        self_link=self_link,
        geometry={"type": "Point", "coordinates": [7, 46]},
        bbox=[7, 46, 7, 46],
    )
    if collection is not None:
        url = f"https://stac.example.org/collections/{collection}"
        made["links"].append({"rel": "collection", "href": url})
    return made


def download(rucio: Any, folder: Any, *items: Any, workers: int = 4, **wanted: Any) -> Downloads:
    """Download items, by default the one."""
    found = list(items) or [scene()]
    return _downloads.download(Rucio.of(rucio), found, folder, workers=workers, **wanted)


def files_in(folder: Path) -> list[Any]:
    """The names of all files in a folder that are no JSON and no lock, hidden ones included."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in {".json", ".lock"}
    )


def adler32(body: bytes) -> str:
    """The adler32 of a body, as items and Rucio have it."""
    return f"{zlib.adler32(body):08x}"


def md5_multihash(body: bytes) -> str:
    """The multihash of a body by md5, in hex digits."""
    return "d50110" + hashlib.md5(body, usedforsecurity=False).hexdigest()


class Crowd:
    """An answer that counts how many requests there are at a time."""

    def __init__(self) -> None:
        """Start with none."""
        self.most = self._now = 0
        self._lock = threading.Lock()

    def __call__(self, handler: Any, content: Any, etag: Any) -> None:
        """Answer slowly."""
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        threading.Event().wait(0.05)
        with self._lock:
            self._now -= 1
        handler.answer(200, content, ETag=etag)
