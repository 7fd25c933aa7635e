"""From the DID of a STAC asset to its URL, in clients and on servers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from rucio.common.exception import ReplicaNotFound

from stac_policy.naming import DID, asset_name, collection_scope
from stac_policy.non_deterministic_pfn import non_deterministic_pfn, original_url
from stac_policy.stac_api import _cache
from stac_policy.urls import refusal
from tests.items import assets_of, make_item
from tests.origin import redirect, status

from .catalogue import item_json, item_path
from .server import run_with_server
from .support import configured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.origin import Origin


HREF = "https://data.example.org/x/B04.tif"
TRIED_RSES = "source RSEs: only the Rucio server can look there"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("urllib3.util.retry.time.sleep", lambda _: None)
    yield
    _cache.cache_clear()


@pytest.fixture
def api(origin: Origin) -> Iterator[Origin]:
    """A client's configuration with a STAC API."""
    with configured(api=origin.url):
        yield origin


def error_of(name: str, scope: str = "c") -> str:
    """Give the message with which a DID is not resolved, whose beginning says which DID."""
    with pytest.raises(ReplicaNotFound) as caught:
        original_url(DID(scope, name))
    assert caught.value.__cause__ is caught.value.__context__ is None
    beginning = f"{scope}:{name} is a STAC asset without a known URL. Tried "
    _, _, message = str(caught.value).partition(beginning)
    assert message
    return message


# Clients


def test_client(api: Origin) -> None:
    """A client asks the STAC API, once for all assets of an item."""
    assets = {"B04": HREF, "B08": "./B08.jp2", "thumbnail": "https://t.example.org/tiles?x=1"}
    api.add(item_path(), item_json(assets, links=[{"rel": "self", "href": "https://s.org/c/i"}]))
    assert [
        non_deterministic_pfn("dataset", "c", f"/c/i/{asset}")
        for asset in ("B04.tif", "B08.jp2", "thumbnail")
    ] == [HREF, "https://s.org/c/B08.jp2", assets["thumbnail"]]
    assert len(api.seen) == 1


def test_items_of_catalogues(origin: Origin, catalogue_items: list[dict[str, Any]]) -> None:
    """Every asset of catalogues that can be registered has its own URL again."""
    items = {(item.get("collection"), item["id"]): item for item in catalogue_items}
    for (collection, item_id), document in items.items():
        path = item_path(quote(collection or "", safe=""), quote(item_id, safe=""))
        origin.add(path, json.dumps(document).encode())
    resolved = []
    with configured(api=origin.url):
        for collection, item, key, href, siblings in assets_of([*items.values()]):
            if refusal(href or "") is None:
                name = asset_name(collection, item, key, href, siblings)
                assert original_url(DID(collection_scope(collection), name)) == href
                resolved.append((collection, item))
    assert len(resolved) > 35
    assert len(origin.seen) == len(set(resolved))


def test_keys_that_meet(api: Origin) -> None:
    """Of two keys that differ in the suffix alone each has its own URL, even without an href."""
    api.add(item_path(), item_json({"B04": HREF, "B04.tif": "https://data.example.org/other.tif"}))
    assert original_url(DID("c", "/c/i/B04")) == HREF
    assert original_url(DID("c", "/c/i/B04.tif")) == "https://data.example.org/other.tif"
    api.add(item_path(item="j"), item_json({"B04": HREF, "B04.tif": None}, "j"))
    assert original_url(DID("c", "/c/j/B04")) == HREF
    assert error_of("/c/j/B04.tif") == (
        f"{TRIED_RSES}; STAC API: asset 'B04.tif' of item 'j' of collection 'c' at {api.url} "
        "has no href"
    )


def test_suffixes_of_local_paths(api: Origin) -> None:
    """An href without a suffix is found by the name that the client gives it."""
    url = "https://download.example.org/odata/v1/Products(0c6f1b1e)/$value"
    asset = {"href": url, "file:local_path": "S2A.SAFE/x.zip"}
    odd = {"href": url + "?odd", "file:local_path": ["x.zip"]}
    api.add(item_path(), json.dumps(make_item(None, "i", {"a": asset, "odd": odd})).encode())
    assert original_url(DID("c", "/c/i/a.zip")) == url
    assert original_url(DID("c", "/c/i/odd")) == url + "?odd"
    assert "no asset of this name" in error_of("/c/i/a")


def test_escaped_ids(api: Origin) -> None:
    """Ids and keys are asked for as the catalogue has them."""
    collection, item, key = "urn:eop:VITO", "a b/c", "2025/04/é"
    api.add("/collections/urn%3Aeop%3AVITO/items/a%20b%2Fc", item_json({key: HREF}, item))
    did = DID(collection_scope(collection), asset_name(collection, item, key, HREF))
    assert original_url(did) == HREF


def test_a_shortened_key(api: Origin) -> None:
    """A key that was too long for its name is found among those of the item."""
    keys = ["k" * 300 + last for last in "ab"]
    api.add(item_path(), item_json({key: f"{HREF}?{key[-1]}" for key in keys}))
    names = [asset_name("c", "i", key, HREF, keys) for key in keys]
    assert [original_url(DID("c", name)) for name in names] == [f"{HREF}?a", f"{HREF}?b"]


@pytest.mark.parametrize(("collection", "item"), [("c" * 300, "i"), ("c", "i" * 300)])
def test_shortened_ids(origin: Origin, collection: str, item: str) -> None:
    """An item whose id was too long for its name cannot be asked for."""
    scope = "s"
    with configured(scopes=f"s={origin.url}"):
        message = error_of(asset_name(collection, item, "k", HREF), scope)
    assert message == (
        f"{TRIED_RSES}; STAC API: {origin.url} cannot be asked, "
        "because the name holds a shortened id"
    )
    assert origin.seen == []


def test_the_api_of_a_scope(origin: Origin, other_origin: Origin) -> None:
    """A fixed scope has an API of its own; without one it has none, not the general one."""
    origin.add(item_path(), item_json({"k": HREF}))
    other_origin.add(item_path(), item_json({"k": HREF + "?other"}))
    with configured(api=origin.url, scopes=f"user.alice, other={other_origin.url}"):
        assert original_url(DID("c", "/c/i/k.tif")) == HREF
        assert original_url(DID("other", "/c/i/k.tif")) == HREF + "?other"
        assert error_of("/c/i/k.tif", "user.alice") == (
            f"{TRIED_RSES}; STAC API: none is configured for scope user.alice ([stac] api, scopes)"
        )


def test_no_api() -> None:
    """Without any STAC API the error says so."""
    assert error_of("/c/i/k.tif") == (
        f"{TRIED_RSES}; STAC API: none is configured for scope c ([stac] api, scopes)"
    )


def test_missing_asset(api: Origin) -> None:
    """An item without an asset of this name is an error that says so."""
    api.add(item_path(), item_json({"k": HREF}))
    for name in ("/c/i/other", "/c/i/k", "/c/i/K.tif"):
        assert error_of(name) == (
            f"{TRIED_RSES}; STAC API: item 'i' of collection 'c' at {api.url} "
            "has no asset of this name"
        )


def test_failing_api(api: Origin) -> None:
    """What the STAC API answered is part of the error."""
    assert error_of("/c/i/k") == f"{TRIED_RSES}; STAC API: {api.url}{item_path()}: HTTP 404"
    api.add(item_path(), b"", *[status(503)] * 4)
    assert error_of("/c/i/k").endswith("HTTP 503")


@pytest.mark.parametrize(
    ("href", "reason"),
    [
        ("https://data.example.org/k?sv=1&sig=s3cr3t", "the URL is signed (parameter sig)"),
        ("https://name:s3cr3t@data.example.org/k", "the URL carries credentials"),
        ("s3://bucket/k", "s3 scheme where http or https is needed"),
        ("https://data.example.org/a b", "characters that must be percent-escaped"),
        ("https://data.example.org/\ud800", "characters that must be percent-escaped"),
        ("http://[", "cannot be parsed"),
        ("https://elsewhere.example.net/k", "elsewhere.example.net is not in allowed_hosts"),
    ],
)
def test_refused_urls(origin: Origin, href: str, reason: str) -> None:
    """A URL that may not be registered is not given either, and its secrets are not shown."""
    origin.add(item_path(), item_json({"k": href, "good": HREF}))
    with configured(api=origin.url, allowed_hosts="data.example.org"):
        assert original_url(DID("c", "/c/i/good.tif")) == HREF
        message = error_of("/c/i/k")
    assert message.startswith(f"{TRIED_RSES}; STAC API: asset 'k' at ")
    assert reason in message
    assert "s3cr3t" not in message
    assert message.isascii()


def test_secrets_of_the_api(origin: Origin) -> None:
    """Neither the API's password nor the signature of a redirect is shown."""
    origin.add(item_path(), b"", redirect("https://elsewhere.example.net/?sig=s3cr3t"))
    origin.add(item_path(item="j"), item_json({}, "j"))
    with configured(api=origin.url.replace("//", "//name:s3cr3t@")):
        messages = [error_of("/c/i/k"), error_of("/c/j/k"), error_of("/c/none/k")]
    with configured(scopes=f"s={origin.url.replace('//', '//name:s3cr3t@')}"):
        messages.append(error_of(asset_name("c", "i" * 300, "k", None), "s"))
    assert not re.search("s3cr3t", "".join(messages))


# Servers

_SERVER = """
from rucio.common.exception import RucioException
from rucio.common.types import InternalAccount, InternalScope
from rucio.common.utils import construct_non_deterministic_pfn
from rucio.core import account, replica, rse, scope
from rucio.db.sqla.constants import AccountType
from sqlalchemy import event
from stac_policy.settings import settings

root, c = InternalAccount("root"), InternalScope("c")
SOURCE, STOCK = "stac_policy.protocol.Default", "rucio.rse.protocols.webdav.Default"

def add_rse(name, impl, schemes, db):
    rse_id = rse.add_rse(name, deterministic=False, session=db)
    on = {"read": 1, "write": 1, "delete": None}
    for scheme in schemes:
        rse.add_protocol(rse_id, {
            "scheme": scheme, "hostname": "data.example.org", "port": 443, "prefix": "/",
            "impl": impl, "extended_attributes": None, "domains": {"lan": on, "wan": on},
        }, session=db)
    return rse_id

def register(rse_id, name, url):
    with write() as db:
        replica.add_replicas(rse_id, [
            {"scope": c, "name": name, "bytes": 1, "adler32": "00000001", "pfn": url}
        ], root, session=db)

with write() as db:
    account.add_account(root, AccountType.SERVICE, None, session=db)
    scope.add_scope(c, root, session=db)
    stac = add_rse("STAC", SOURCE, ["https", "http"], db)
    other = add_rse("OTHER", SOURCE, ["https"], db)
    stock = add_rse("STOCK", STOCK, ["https"], db)
register(stac, "/c/r/registered.tif", "https://data.example.org/registered.tif")
register(other, "/c/r/registered.tif", "https://data.example.org/registered.tif")
register(stock, "/c/r/registered.tif", "https://data.example.org:443/wrong.tif")
register(stock, "/c/i/elsewhere.tif", "https://data.example.org:443/elsewhere.tif")

statements = []
event.listen(
    session.get_engine(), "before_cursor_execute",
    lambda _connection, _cursor, statement, *_: statements.append(statement),
)

def ask(name):
    statements.clear()
    try:
        return construct_non_deterministic_pfn("/c/i", "c", name), len(statements)
    except RucioException as error:
        return f"{type(error).__name__} {error}", len(statements)

settings()
names = ["/c/r/registered.tif", "/c/i/elsewhere.tif", "/c/i/missing.tif", "no/stac.name"]
print(json.dumps([ask(name) for name in names]))
"""


def test_server(origin: Origin, tmp_path: Path) -> None:
    """A server asks its own database with one query, then the API, and then gives up."""
    elsewhere = "https://data.example.org/elsewhere.tif"
    origin.add(item_path(), item_json({"elsewhere": elsewhere}))
    registered, catalogued, missing, other = run_with_server(
        _SERVER,
        tmp_path,
        # Rucio would ask the config table for what is not in its file, again and again.
        common={"multi_vo": "False"},
        stac={"api": origin.url},
    )
    assert registered == ["https://data.example.org/registered.tif", 1]
    assert catalogued == [elsewhere, 1]
    message, queries = missing
    assert queries == 1
    assert "ReplicaNotFound" in message
    assert "c:/c/i/missing.tif is a STAC asset without a known URL. Tried source RSEs" in message
    assert f"STAC API: item 'i' of collection 'c' at {origin.url} has no asset" in message
    assert other == ["/other//c/i/no/stac.name", 0]
    # Of the first item, whose asset is registered, nobody asks the API.
    assert [request.path for request in origin.seen] == [item_path()]
