"""From the DID of a STAC asset to its URL, in clients and on servers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from rucio.common.exception import ReplicaNotFound

from stac_policy.naming import DID, asset_name
from stac_policy.non_deterministic_pfn import non_deterministic_pfn, original_url
from stac_policy.stac_api import _cache
from stac_policy.urls import refusal
from tests.clock import own_time
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
    own_time(monkeypatch, "stac_policy.http", sleep=lambda _: None)
    yield
    _cache.cache_clear()


@pytest.fixture
def api(origin: Origin) -> Iterator[Origin]:
    """A client's configuration with a scope and its STAC API."""
    with configured(scopes=f"c={origin.url}"):
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
    with configured(scopes=f"earth={origin.url}"):
        for collection, item, key, href, siblings in assets_of([*items.values()]):
            if refusal(href or "") is None:
                local_path = items[collection, item]["assets"][key].get("file:local_path")
                name = asset_name(collection, item, key, href, siblings, local_path)
                assert original_url(DID("earth", name)) == href
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
    did = DID("c", asset_name(collection, item, key, HREF))
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
    """A fixed scope has an API of its own, or none; the general one is not asked for it."""
    origin.add(item_path(), item_json({"k": HREF}))
    other_origin.add(item_path(), item_json({"k": HREF + "?other"}))
    with configured(api=origin.url, scopes=f"user.alice, other={other_origin.url}"):
        assert original_url(DID("other", "/c/i/k.tif")) == HREF + "?other"
        assert error_of("/c/i/k.tif", "user.alice") == (
            f"{TRIED_RSES}; STAC API: none is configured for scope user.alice ([stac] api, scopes)"
        )


def test_no_api() -> None:
    """Without any STAC API the error says so."""
    with configured(scopes="c"):
        assert error_of("/c/i/k.tif") == (
            f"{TRIED_RSES}; STAC API: none is configured for scope c ([stac] api, scopes)"
        )


def test_other_names(origin: Origin) -> None:
    """What a client cannot know to be STAC's is not asked of any API."""
    with configured(api=origin.url, scopes=f"earth={origin.url}"):
        assert original_url(DID("c", "/c/i/k.tif")) is None
        assert original_url(DID("earth", "/c/i")) is None
        assert original_url(DID("user.bob", "/c/i/k.tif")) is None
    assert origin.seen == []


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
    api.add(item_path(item="j"), b"", *[status(503)] * 4)
    assert error_of("/c/j/k").endswith("HTTP 503")


@pytest.mark.parametrize(
    ("href", "reason"),
    [
        ("https://data.example.org/k?sv=1&sig=s3cr3t", "the URL is signed (parameter sig)"),
        ("https://name:s3cr3t@data.example.org/k", "the URL carries credentials"),
        ("s3://BUCKET/k", "no provider is known to have s3 bucket BUCKET"),
        ("ftp://host/k", "ftp scheme where http or https is needed"),
        ("https://data.example.org/a b", "characters that must be percent-escaped"),
        ("https://data.example.org/\ud800", "characters that must be percent-escaped"),
        ("http://[", "cannot be parsed"),
        ("https://elsewhere.example.net/k", "elsewhere.example.net is not in allowed_hosts"),
    ],
)
def test_refused_urls(origin: Origin, href: str, reason: str) -> None:
    """A URL that may not be registered is not given either, and its secrets are not shown."""
    origin.add(item_path(), item_json({"k": href, "good": HREF}))
    with configured(scopes=f"c={origin.url}", allowed_hosts="data.example.org"):
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
    with configured(scopes=f"c={origin.url.replace('//', '//name:s3cr3t@')}"):
        messages = [error_of("/c/i/k"), error_of("/c/j/k"), error_of("/c/none/k")]
    with configured(scopes=f"s={origin.url.replace('//', '//name:s3cr3t@')}"):
        messages.append(error_of(asset_name("c", "i" * 300, "k", None), "s"))
    assert not re.search("s3cr3t", "".join(messages))


# Servers

_SERVER = """
from rucio.common.exception import RucioException
from rucio.common.types import InternalAccount, InternalScope
from rucio.common.utils import NonDeterministicPFNAlgorithms, construct_non_deterministic_pfn
from rucio.core import account, did, replica, rse, scope
from rucio.db.sqla.constants import AccountType, DIDType
from sqlalchemy import event
from stac_policy.settings import settings

root = InternalAccount("root")
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

def register(rse_id, given_scope, name, url):
    with write() as db:
        replica.add_replicas(rse_id, [{
            "scope": InternalScope(given_scope), "name": name, "bytes": 1,
            "adler32": "00000001", "pfn": url,
        }], root, session=db)

with write() as db:
    account.add_account(root, AccountType.SERVICE, None, session=db)
    for each in ("c", "dune", "ska", "open", "closed", "user.alice", "user.bob"):
        scope.add_scope(InternalScope(each), root, session=db)
    stac = add_rse("STAC", SOURCE, ["https", "http"], db)
    other = add_rse("OTHER", SOURCE, ["https"], db)
    stock = add_rse("STOCK", STOCK, ["https"], db)
    did.add_did(InternalScope("open"), "/open", DIDType.CONTAINER, root, session=db)
    did.add_did(InternalScope("closed"), "/closed", DIDType.DATASET, root, session=db)
for given_scope in ("c", "user.bob"):
    for rse_id in (stac, other):
        register(rse_id, given_scope, "/c/r/x.tif", "https://data.example.org/x.tif")
    register(stock, given_scope, "/c/r/x.tif", "https://data.example.org:443/wrong.tif")
for given_scope, name in FOREIGN:
    register(stock, given_scope, name, f"https://data.example.org:443{name}")

statements = []
event.listen(
    session.get_engine(), "before_cursor_execute",
    lambda _connection, _cursor, statement, *_: statements.append(statement),
)
default = NonDeterministicPFNAlgorithms.construct_non_deterministic_pfn_default

def ask(given_scope, name):
    statements.clear()
    try:
        path = construct_non_deterministic_pfn("data.set", given_scope, name)
    except RucioException as error:
        path = f"{type(error).__name__} {error}"
    if path == default("data.set", given_scope, name):
        path = None
    return path, len(statements)

settings()
print(json.dumps([ask(*each) for each in ASKED]))
"""
FOREIGN = [
    ("dune", "/dune/raw/run1.root"),
    ("dune", "/dune/raw/run2.root"),
    ("ska", "/ska/obs1/vis.ms"),
    ("c", "/c/i/elsewhere.tif"),
]


def ask_server(folder: Path, asked: list[tuple[str, str]], **stac: str) -> list[Any]:
    """Ask a server for paths: each with the number of its queries, None for Rucio's default."""
    found: list[Any] = run_with_server(
        f"FOREIGN, ASKED = {FOREIGN!r}, {asked!r}\n{_SERVER}",
        folder,
        # Rucio would ask the config table for what is not in its file, again and again.
        common={"multi_vo": "False"},
        stac=stac,
    )
    return found


def test_what_source_rses_hold(origin: Origin, tmp_path: Path) -> None:
    """A server finds what a source RSE holds with one query, in whatever scope, and asks no API."""
    asked = [("c", "/c/r/x.tif"), ("user.bob", "/c/r/x.tif")]
    assert (
        ask_server(tmp_path, asked, api=origin.url) == [["https://data.example.org/x.tif", 1]] * 2
    )
    assert origin.seen == []


def test_what_is_not_stacs(origin: Origin, tmp_path: Path) -> None:
    """The form and the scope of a name are not enough: it has Rucio's path, and no API is asked.

    A name without the form costs no query; another one is looked for at the source RSEs,
    and the container of its collection is looked for once.
    """
    asked = [
        *FOREIGN,
        ("closed", "/closed/i/k"),
        ("user.bob", "/c/i/k.tif"),
        ("dune", "raw.root"),
        ("dune", "/dune/raw/2025/run1.root"),
    ]
    answers = ask_server(tmp_path, asked, api=origin.url, scopes=f"user.alice={origin.url}")
    assert answers == [[None, queries] for queries in (2, 1, 2, 2, 2, 1, 0, 0)]
    assert origin.seen == []


def test_what_only_an_api_knows(origin: Origin, tmp_path: Path) -> None:
    """By a collection's container, or by `[stac] scopes`, an asset is STAC's: the API is asked."""
    for collection in ("open", "c"):
        item = item_json({"k": HREF})
        origin.add(item_path(collection), item)
    asked = [("open", "/open/i/k.tif"), ("open", "/open/i/none"), ("user.alice", "/c/i/k.tif")]
    catalogued, missing, fixed = ask_server(
        tmp_path, asked, api=origin.url, scopes=f"user.alice={origin.url}"
    )
    assert catalogued == [HREF, 2]
    message, queries = missing
    assert queries == 1
    assert "ReplicaNotFound" in message
    assert "open:/open/i/none is a STAC asset without a known URL. Tried source RSEs" in message
    assert f"STAC API: item 'i' of collection 'open' at {origin.url} has no asset" in message
    assert fixed == [HREF, 1]
