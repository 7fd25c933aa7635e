"""What runs where users are: items, pages, journals, alternates, mounts, downloads, links."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stac_client._alternates import item_views, restore_original_href, with_replicas
from stac_client._assets import Asset, select_assets
from stac_client._checksums import checksums_of, digests_of
from stac_client._item_completion import Completion
from stac_client._items import iter_items
from stac_client._journal import Journal, entry_of
from stac_client._local_catalogue import Places
from stac_client._parts import Part
from stac_client._replicas import Mounts
from stac_client.errors import ConfigurationError, RequestError
from stac_policy.naming import DID, asset_name
from stac_policy.urls import refusal

from .campaign import target
from .material import SECRET

if TYPE_CHECKING:
    from .material import Material


def _offline(made: Material) -> Completion:
    return Completion(None, made.choice([None, "https://b.example.org/"]), offline=True)


@target(8_000)
def items(made: Material) -> object:
    """Of an item come assets with URLs that may be registered, and reasons for the others."""
    found = list(select_assets(made.item(), source_rse=made.choice([None, "STAC"])))
    for each in found:
        if isinstance(each, Asset):
            assert refusal(each.url) is None
            assert SECRET not in each.url
    return found


@target(2_000, ConfigurationError, RequestError)
def pages(made: Material) -> object:
    """Whatever is given as items gives items, or an error that says what it is."""
    thing = made.choice([made.page, made.value, made.deep])()
    thing = thing if isinstance(thing, dict) else {"features": thing}  # texts are places
    return [
        type(each)
        for item in iter_items(made.choice([thing, [thing]]), _offline(made))
        for each in select_assets(item)
    ]


@target(2_000, ConfigurationError)
def files_of_items(made: Material) -> object:
    """Any bytes in a file of items are items, or an error that names the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / made.choice(["x.json", "x.ndjson"])
        path.write_bytes(made.bytes())
        found = iter_items(path, _offline(made))
        return [type(each) for item in found for each in select_assets(item)]


@target(3_000)
def alternates(made: Material) -> None:
    """A page with replicas keeps every URL it had, and doing it again changes nothing."""
    page = made.page()
    for item in item_views(page) if isinstance(page, dict) else ():
        for key, asset in list(item.assets.items()):
            pfns = {"DISK-A": [made.url()], "DISK-B": [made.url(), made.url()]}
            prefer = made.choice([[], ["DISK-B"]])
            href = asset["href"]
            fields = with_replicas(asset, pfns, prefer)
            assert with_replicas(fields, pfns, prefer) == fields
            alternate = fields.get("alternate", {})
            hrefs = [one.get("href") for one in alternate.values() if isinstance(one, dict)]
            assert href in [fields["href"], *hrefs]
            restore_original_href(fields, made.choice([None, "STAC"]))
            item.write(key, fields)
        item.declare("x")
        item.write_property("x", 1)


@target(1_000)
def journals(made: Material) -> None:
    """Every item has an entry, and equal items have equal ones."""
    item = made.item()
    assert entry_of(item) == entry_of(dict(reversed(item.items())))
    assert len(entry_of({"id": made.value(), "assets": made.deep()}).version) == 16


@target(300, ConfigurationError)
def journal_files(made: Material) -> None:
    """Any file is a journal, or is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        if made.random() < 0.5:
            path.write_bytes(made.bytes())
        with Journal(path, "test") as journal:
            journal.add([(entry_of(made.item()), 1)])


@target(6_000)
def checksums(made: Material) -> object:
    """Checksums are hex digits, or there are none."""
    fields = ["file:checksum", "rucio:adler32", "rucio:md5", "rucio:config"]
    asset = {field: made.choice([made.value(), made.randbytes(18).hex()]) for field in fields}
    headers = {
        name: made.choice([made.text(), f"adler=:{made.text()}:", "md5=:AAAA:", "adler32=1"])
        for name in ("Digest", "Repr-Digest", "Content-Digest", "Content-MD5", "x-goog-hash")
    }
    for found in (checksums_of(asset), digests_of(headers)):
        for text, length in ((found.adler32, 8), (found.md5, 32)):
            assert text is None or (len(text) == length and int(text, 16) >= 0)
    return None


@target(4_000)
def mounts(made: Material) -> None:
    """No PFN leads out of the folder where its storage is mounted."""
    below = "/".join(made.choice(["..", "%2e%2e", "a", "", ".", made.text()]) for _ in range(3))
    prefix = made.choice(["davs://h:443/rucio/", "root://h//", "https://h/"])
    path = Mounts({prefix: "/eos/rucio"}).path(prefix + below)
    if path is not None:
        parts = path.split("/")
        assert parts[:3] == ["", "eos", "rucio"]
        assert len(parts) > 3
        assert not {"", ".", ".."} & set(parts[3:])
        assert "\0" not in path


@target(4_000, ConfigurationError, ValueError)
def downloads(made: Material) -> None:
    """No file of a download lies outside its folder, or is one of the catalogue's."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        (folder / "link").symlink_to("/")
        texts = [made.choice([made.text(), "..", "link", "catalog.json"]) for _ in range(3)]
        collection, item, key = (text.replace(SECRET, "x") for text in texts)
        name = asset_name(collection, item, key, made.choice([made.url(), None]))
        target = Places(folder)(DID("s", name))
        part = Part(target)
        for path in (target, part.path):
            assert folder in path.parents
            assert path.parent.parent.parent == folder
            assert not {"..", ".", ""} & set(path.relative_to(folder).parts)
        assert target.parts[-3].lower() != "catalog.json"
        assert not target.name.startswith(".")
        assert part.path.name.startswith(".")
        assert target.parts[-3] != "link"
