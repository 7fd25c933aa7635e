"""Items of a run: in a collection of its own, at an origin, and what is true of them."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass
from typing import Any

from tests.items import make_item

SHA256_MULTIHASH = "1220"
MD5_MULTIHASH = "d50110"


@dataclass(frozen=True)
class Truth:
    """What is true of an asset, whatever Rucio or the client say."""

    collection: str
    item: str
    key: str
    scope: str
    url: str
    content: bytes

    @property
    def dataset(self) -> str:
        """Name of its item's dataset."""
        return f"/{self.collection}/{self.item}"

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{self.dataset}/{self.key}.tif"

    @property
    def adler32(self) -> str:
        """Checksum."""
        return f"{zlib.adler32(self.content):08x}"

    @property
    def md5(self) -> str:
        """Checksum."""
        return hashlib.md5(self.content, usedforsecurity=False).hexdigest()

    @property
    def sha256(self) -> str:
        """Checksum."""
        return hashlib.sha256(self.content).hexdigest()


def make_items(
    folder: Any, url: Any, tag: Any, rng: Any, *, verifiable: bool = False, count: Any = None
) -> tuple[list[dict[str, Any]], dict[Any, Any]]:
    """Write files below an origin's folder; gives items of them, and their truths by name.

    What the items say of their files differs: all, a part, or nothing. If they shall be
    verifiable, it is enough to see that a file has changed.
    """
    items, truths = [], {}
    for number in range(count or rng.randint(2, 4)):
        item, assets = f"item-{number}", {}
        for band in range(rng.randint(1, 3)):
            path = f"faults/{tag}/{item}/band-{band}.tif"
            content = rng.randbytes(rng.choice((1, 700, 30_000, 200_000)))
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
            query = rng.choice(("", "", "?version=1"))
            truth = Truth(tag, item, f"band-{band}", tag, f"{url}/{path}{query}", content)
            truths[truth.name] = truth
            assets[truth.key] = {
                "href": truth.url,
                "roles": ["data"],
                **_said(truth, rng, verifiable=verifiable),
            }
        items.append(make_item(tag, item, assets))
    return items, truths


def truths_of(items: Any, scope: Any, folders: Any) -> dict[Any, Any]:
    """The truths of the data assets of a lake's own items, from the files behind their URLs."""
    truths = {}
    for item in items:
        for key, asset in item["assets"].items():
            if asset["roles"] != ["data"]:
                continue
            base = "/".join(asset["href"].split("/")[:3])
            path = asset["href"][len(base) + 1 :].partition("?")[0]
            content = (folders[base] / path).read_bytes()
            truth = Truth(item["collection"], item["id"], key, scope, asset["href"], content)
            truths[truth.name] = truth
    return truths


def _said(truth: Truth, rng: Any, *, verifiable: Any) -> Any:
    size = {"file:size": len(truth.content)}
    enough = (
        {**size, "rucio:adler32": truth.adler32},
        {**size, "file:checksum": MD5_MULTIHASH + truth.md5},
        {**size, "file:checksum": SHA256_MULTIHASH + truth.sha256},
        {"file:checksum": SHA256_MULTIHASH + truth.sha256},
    )
    return rng.choice(enough if verifiable else (*enough, size, {}))


def write(items: list[dict[str, Any]], path: Any) -> Any:
    """Write items to a file, one a line."""
    path.write_text("\n".join(map(json.dumps, items)))
    return path
