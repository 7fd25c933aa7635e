"""What tests of downloads need: Rucio's answers, items, and files at an origin."""

from __future__ import annotations

import hashlib
import threading
import zlib

from rucio.common.exception import RSENotFound

from stac_client.downloads.downloader import Downloader
from stac_client.results import State
from stac_policy.naming import DID, asset_name, collection_scope
from tests.items import make_item

DOWNLOADED, ALREADY_THERE = State.DOWNLOADED, State.ALREADY_THERE
SKIPPED, FAILED = State.SKIPPED, State.FAILED

BODY = bytes(range(256)) * 40
LARGE = bytes(range(255)) * 12_000  # more than two of the chunks that files are written in
OTHER = bytes(reversed(BODY))  # of the same size
HREF = "https://data.example.org/red.tif"


class Rucio:
    """Lists replicas and RSEs as Rucio's client does, of which a download needs no more."""

    def __init__(self):
        """Know no file; each RSE is a disk unless `rses` says otherwise."""
        self.files = {}
        self.rses = {}
        self.asked = []

    def add(self, body, pfns, item_id="i", key="red", *, collection="alps", href=HREF, **changed):
        """Add a file with this content and these PFNs by RSE; `changed` is what Rucio says."""
        did = DID(collection_scope(collection), asset_name(collection, item_id, key, href))
        self.files[did] = {
            **did._asdict(),
            "bytes": len(body),
            "adler32": f"{zlib.adler32(body):08x}",
            "md5": None,
            "rses": {rse: [pfn] for rse, pfn in pfns.items()},
            "states": dict.fromkeys(pfns, "AVAILABLE"),
            **changed,
        }

    def list_replicas(self, dids, **_):
        """List the replicas of the files that are known."""
        self.asked.append(len(dids))
        yield from (self.files[DID(**did)] for did in dids if DID(**did) in self.files)

    def get_rse(self, rse):
        """Describe an RSE."""
        if rse.startswith("NO-"):
            raise RSENotFound(rse)
        return {"rse_type": "DISK", "deterministic": True, "availability_read": True} | (
            self.rses.get(rse, {})
        )


def scene(item_id="i", *keys, collection="alps", href=HREF, **fields):
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
    made["links"].append(
        {"rel": "collection", "href": f"https://stac.example.org/collections/{collection}"}
    )
    return made


def download(rucio, folder, *items, workers=4, **wanted):
    """Download items, by default the one."""
    return Downloader(rucio, workers=workers).download(list(items) or [scene()], folder, **wanted)


def files_in(folder):
    """The names of all files in a folder that are no JSON and no lock, hidden ones included."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in {".json", ".lock"}
    )


def md5_multihash(body):
    """The multihash of a body by md5, in hex digits."""
    return "d50110" + hashlib.md5(body, usedforsecurity=False).hexdigest()


class Crowd:
    """An answer that counts how many requests there are at a time."""

    def __init__(self):
        """Start with none."""
        self.most = self._now = 0
        self._lock = threading.Lock()

    def __call__(self, handler, content, etag):
        """Answer slowly."""
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        threading.Event().wait(0.05)
        with self._lock:
            self._now -= 1
        handler.answer(200, content, ETag=etag)
