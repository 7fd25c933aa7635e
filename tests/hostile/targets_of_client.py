"""What runs where users are: items, pages, journals, alternates, mounts, downloads, links."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stac_client._alternates import editable_items, with_original, with_replicas
from stac_client._assets import Asset, select_assets
from stac_client._checksums import checksums_of, digests_of
from stac_client._downloads import Part
from stac_client._items import iter_items
from stac_client._journal import Journal, entry_of
from stac_client._local_catalogue import place
from stac_client._preference import Mounts
from stac_client.errors import ConfigurationError, RequestError
from stac_policy.naming import DID, asset_name
from stac_policy.urls import refusal
from stac_rucio.serve._pages import Links, Preference, Refusal, dumps, loads, split_query
from stac_rucio.serve._upstream import of_modified, returned, sent

from .campaign import target
from .material import SECRET

if TYPE_CHECKING:
    from .material import Material

API = "https://data.example.org/v1"
ROOT = "http://127.0.0.1:8080"


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
    return [
        type(each)
        for item in iter_items(made.choice([thing, [thing]]))
        for each in select_assets(item)
    ]


@target(2_000, ConfigurationError)
def files_of_items(made: Material) -> object:
    """Any bytes in a file of items are items, or an error that names the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / made.choice(["x.json", "x.ndjson"])
        path.write_bytes(made.bytes())
        return [type(each) for item in iter_items(path) for each in select_assets(item)]


@target(3_000)
def alternates(made: Material) -> None:
    """A page with replicas keeps every URL it had, and doing it again changes nothing."""
    page = made.page()
    for item in editable_items(page):
        for key, asset in list(item.assets.items()):
            pfns = {"DISK-A": [made.url()], "DISK-B": [made.url(), made.url()]}
            prefer = made.choice([[], ["DISK-B"]])
            href = asset["href"]
            fields = with_replicas(asset, pfns, prefer)
            assert with_replicas(fields, pfns, prefer) == fields
            alternate = fields.get("alternate", {})
            hrefs = [one.get("href") for one in alternate.values() if isinstance(one, dict)]
            assert href in [fields["href"], *hrefs]
            with_original(fields, made.choice([None, "STAC"]))
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
            journal.add([entry_of(made.item())])


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
        ids = [text.replace(SECRET, "x") for text in texts]
        target = place(folder, DID("s", asset_name(*ids, made.choice([made.url(), None]))))
        part = Part(target)
        for path in (target, part.path):
            assert folder in path.parents
            assert path.parent.parent.parent == folder
            assert not {"..", ".", ""} & set(path.relative_to(folder).parts)
        assert target.parts[-3].lower() != "catalog.json"
        assert not target.name.startswith(".")
        assert part.path.name.startswith(".")
        assert target.parts[-3] != "link"


@target(4_000)
def served_links(made: Material) -> None:
    """Links of any document lead here or stay, and hrefs of assets are not touched."""
    page: Any = made.page()
    if not isinstance(page, dict):
        page = {"links": [page]}
    page["links"] = [{"rel": made.choice(["next", 1, None]), "href": made.url()}, made.value()]
    before = json.dumps(page.get("features"), default=str)
    Links(API).body(page, ROOT, Preference(("DISK-A",)))
    for link in page["links"]:
        if isinstance(link, dict) and isinstance(link.get("href"), str):
            assert link["href"].startswith(ROOT) or not link["href"].startswith(API + "/")
    assert _assets(json.loads(before)) == _assets(json.loads(json.dumps(page.get("features"))))


def _assets(features: Any) -> list[str]:
    listed = features if isinstance(features, list) else []
    return [json.dumps(each.get("assets")) for each in listed if isinstance(each, dict)]


@target(4_000, Refusal)
def served_queries(made: Material) -> object:
    """A query is passed on without `prefer`; what is preferred is printable."""
    parts = [made.choice(["prefer=", "x=", "%70refer=", "sig="]) + made.text() for _ in range(3)]
    query = "&".join(parts).encode("utf-8", "surrogatepass")
    _, preference = split_query(query)
    assert all(one.isprintable() and one.isascii() for one in preference.wanted)
    carried = preference.carried_by(made.choice(["/search", "/search?x=1#y"]))
    assert carried.isascii()
    return None


@target(4_000)
def served_headers(made: Material) -> None:
    """Cookies, and what is said of Rucio or of proxies, pass in neither direction."""
    names = [b"cookie", b"set-cookie", b"x-rucio-auth-token", b"x-forwarded-host", b"link", b"etag"]
    names += [b"connection", b"location", b"authorization", b"content-type"]
    headers = [(made.choice(names), made.text().encode("utf-8", "ignore")) for _ in range(4)]
    gone = {b"cookie", b"x-rucio-auth-token", b"x-forwarded-host", b"connection"}
    assert not gone & {name for name, _ in sent(headers, b"data.example.org")}
    links = Links(API)
    back = returned(
        headers,
        lambda href: links.href(href, ROOT),
        lambda value: links.header(value, ROOT, Preference()),
    )
    assert not {b"set-cookie", b"connection"} & {name for name, _ in back}
    of_modified(back, holds_items=made.random() < 0.5)


@target(4_000, ValueError, RecursionError)
def served_json(made: Material) -> None:
    """JSON comes out as it went in."""
    content = made.bytes()
    before = json.loads(content.decode("utf-8-sig"), parse_constant=str)
    assert json.loads(dumps(loads(content)), parse_constant=str) == before
