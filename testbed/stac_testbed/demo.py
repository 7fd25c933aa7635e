"""The demo: from a STAC search to replicated data and back, each step proven.

python -m stac_testbed demo
"""

from __future__ import annotations

import json
import os
import time
import zlib
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jsonschema
import pystac_client
import rasterio
import requests
from pystac import Asset, Item
from pystac_client.exceptions import APIError

from stac_client import ALTERNATE_ASSETS, StacClient, plan_setup
from stac_policy.naming import collection_scope

from . import TestbedError
from .layout import (
    ORIGINS,
    PRIVATE_BUCKET,
    PRIVATE_STORE,
    SOURCE_RSE,
    STORAGE_EXPRESSION,
    STORAGE_RSES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pystac import ItemCollection
    from rucio.client import Client

    from stac_client import Modifier, Rule

    from .lake import Lake

    Say = Callable[[str], None]
    Follow = Callable[[Sequence[Rule]], None]

_RULES_TIMEOUT_S = 120.0
_DELETION_TIMEOUT_S = 30.0
_REQUEST_TIMEOUT_S = 60.0
_PRIVATE_RSE = "STAC-PARTNER"
_PRIVATE_KEY = "scene.tif"
_SCHEMA = Path(__file__).with_name("alternate-assets.schema.json")


@dataclass(frozen=True)
class Search:
    """A search of a STAC API, and the assets of its items that are wanted."""

    api: str
    collections: Sequence[str]
    assets: Sequence[str]
    max_items: int | None = None

    def run(self, modifier: Modifier | None = None) -> ItemCollection:
        """Search, as any user of pystac-client does.

        Raises:
            TestbedError: The STAC API does not answer.
        """
        try:
            catalogue = pystac_client.Client.open(self.api, modifier=modifier)
            search = catalogue.search(collections=list(self.collections), max_items=self.max_items)
            return search.item_collection()
        except (APIError, requests.RequestException) as error:
            raise TestbedError(
                f"the STAC API at {self.api} does not answer a search; is it the right URL, "
                f"and can this machine reach it? ({error})"
            ) from error


def journey(lake: Lake, search: Search, say: Say, follow: Follow) -> None:
    """Make the journey.

    Args:
        lake: A running lake.
        search: What to search for.
        say: Called after each step with what was achieved.
        follow: Called with the rules whenever Rucio was asked for them.

    Raises:
        TestbedError: A step did not do what it claims.
        stac_client.StacRucioError: Rucio or the STAC API refuses or does not answer.
    """
    os.environ.update(lake.layout.trust)
    rucio = lake.client()
    client = StacClient(rucio)

    items = search.run()
    originals = dict(_assets(items, search.assets))
    _expect(
        [*items], f"the search of {search.api} found no item of {', '.join(search.collections)}"
    )
    _expect(originals, f"the search of {search.api} found no asset {' or '.join(search.assets)}")
    say(f"found {len(items)} items with {len(originals)} wanted assets at {search.api}")

    _add_missing_scopes(rucio, items)
    registrar = StacClient(lake.client("registrar"))
    registration = registrar.create_replicas(items, rse=SOURCE_RSE, assets=search.assets)
    registration.raise_for_failed()
    urls = _registered_urls(
        rucio, [outcome.did._asdict() for outcome in registration if outcome.did]
    )
    _expect(
        sorted(urls.values()) == sorted(asset.href for asset in originals.values()),
        f"{SOURCE_RSE} does not hold the assets' URLs as they are",
    )
    hosts = sorted({urlsplit(url).netloc for url in urls.values()})
    say(f"at RSE {SOURCE_RSE}: {registration}, as their URLs on {' and '.join(hosts)}")

    rules = client.create_replication_rules(
        registration, STORAGE_EXPRESSION, copies=len(STORAGE_RSES)
    )
    say(f"asked for {rules[0].copies} copies at {STORAGE_EXPRESSION}: rule {rules[0].id}")

    asked: list[Rule] = [*rules]
    private: dict[str, bytes] = {}
    if lake.layout.gateway_file.exists():
        did, content, more = _replicate_private(lake, client, registrar, say)
        private[did] = content
        asked += more
    rules = client.wait(asked, timeout_s=_RULES_TIMEOUT_S, poll_s=1, on_update=follow)
    for rule in rules:
        _expect(rule.state == "OK", f"rule {rule.id} is {rule.state}: {rule.error or 'too slow'}")
    say("Rucio's daemons have brought every file to every storage")

    compared = [_compare(rucio, did, _get(url)) for did, url in urls.items()]
    compared += [_compare(rucio, did, content) for did, content in private.items()]
    say(f"the storages hold what the origins hold: {sum(compared):,} bytes compared")

    annotated = search.run(client.modifier)
    _check_alternates(annotated, search.assets)
    say(f"the same search shows {len(STORAGE_RSES)} more copies of every asset, as its alternates")

    rse = list(STORAGE_RSES.values())[-1]
    preferred = search.run(client.modifier.with_options(prefer=[rse]))
    size = _read_from_storage(lake, rse, preferred, originals, search.assets)
    say(f"with prefer=[{rse!r}] the same search opened in rasterio reads from {rse}: {size} pixels")

    client.delete_replication_rules(rules, at_once=True)
    _wait_until_deleted(rucio, rules)
    say("the rules are deleted again")


def _assets(items: ItemCollection, keys: Sequence[str]) -> Iterator[tuple[tuple[str, str], Asset]]:
    for item in items:
        for key, asset in item.assets.items():
            if key in keys:
                yield (f"{item.collection_id}/{item.id}", key), asset


def _add_missing_scopes(rucio: Client, items: Iterable[Item]) -> None:
    """Do what an administrator does once for each collection."""
    there = set(rucio.list_scopes())
    for collection in {item.collection_id for item in items if item.collection_id}:
        if collection_scope(collection) not in there:
            rucio.add_scope("root", collection_scope(collection))


def _registered_urls(rucio: Client, dids: list[dict[str, str]]) -> dict[str, str]:
    """The URL at the source RSE by DID, as Rucio itself lists it."""
    listed = rucio.list_replicas(dids, rse_expression=SOURCE_RSE)
    return {f"{file['scope']}:{file['name']}": file["rses"][SOURCE_RSE][0] for file in listed}


def _replicate_private(
    lake: Lake, client: StacClient, registrar: StacClient, say: Say
) -> tuple[str, bytes, Sequence[Rule]]:
    """Have an object replicated that only who has its bucket's keys may read: the gateway."""
    rucio, layout = lake.client(), lake.layout
    setup = plan_setup(rucio, _PRIVATE_RSE, destinations=STORAGE_EXPRESSION, gateway=True)
    for change in setup.changes:
        change.apply(rucio)
    content = next(layout.data(ORIGINS[0]).rglob("*.tif")).read_bytes()
    (layout.data(PRIVATE_STORE) / PRIVATE_BUCKET / _PRIVATE_KEY).write_bytes(content)
    url = f"{layout.url(PRIVATE_STORE)}/{PRIVATE_BUCKET}/{_PRIVATE_KEY}"
    status = requests.get(url, timeout=_REQUEST_TIMEOUT_S).status_code
    _expect(status == requests.codes.forbidden, f"{url} answers {status} to anybody")

    now = datetime.now(timezone.utc)
    item = Item("scene", None, None, now, {}, collection=PRIVATE_BUCKET)
    fields = {"file:size": len(content), "rucio:adler32": f"{zlib.adler32(content):08x}"}
    href = f"s3://{PRIVATE_BUCKET}/{_PRIVATE_KEY}"
    item.add_asset("red", Asset(href, roles=["data"], extra_fields=fields))
    _add_missing_scopes(rucio, [item])
    registration = registrar.create_replicas(item, _PRIVATE_RSE)
    registration.raise_for_failed()
    (did,) = registration.dids
    rules = client.create_replication_rules(
        registration, STORAGE_EXPRESSION, copies=len(STORAGE_RSES)
    )
    say(f"asked for the same of {href}, which answers {status}: the gateway has its keys")
    return str(did), content, rules


def _compare(rucio: Client, did: str, original: bytes) -> int:
    """Compare the copies of a file with its original, and return how many bytes they are."""
    scope, name = did.split(":", 1)
    (file,) = rucio.list_replicas([{"scope": scope, "name": name}])
    compared = 0
    for rse in STORAGE_RSES.values():
        copy = _get(file["rses"][rse][0])
        _expect(copy == original, f"{did} at {rse} differs from its original")
        compared += len(copy)
    return compared


def _check_alternates(items: ItemCollection, keys: Sequence[str]) -> None:
    validator = jsonschema.Draft7Validator(json.loads(_SCHEMA.read_text()))
    for item in items:
        error = jsonschema.exceptions.best_match(validator.iter_errors(item.to_dict()))
        _expect(error is None, f"item {item.id} violates {ALTERNATE_ASSETS}: {error}")
    for (item_id, key), asset in _assets(items, keys):
        there = set(asset.extra_fields.get("alternate", {}))
        missing = set(STORAGE_RSES.values()) - there
        _expect(not missing, f"{item_id} asset {key} has no alternate at {missing}")


def _read_from_storage(
    lake: Lake,
    rse: str,
    items: ItemCollection,
    originals: dict[tuple[str, str], Asset],
    keys: Sequence[str],
) -> str:
    """Read the pixels of one asset, which the storage's access log must show."""
    name, asset = next(_assets(items, keys))
    storage = next(service for service, of_rse in STORAGE_RSES.items() if of_rse == rse)
    _expect(
        urlsplit(asset.href).port == lake.layout.ports[storage],
        f"{name} has the href {asset.href}, not the copy at {rse}",
    )
    log = lake.layout.access_log(storage)
    path = urlsplit(asset.href).path
    before = log.read_text().count(f"GET {path}")
    with rasterio.open(asset.href) as dataset:
        pixels = dataset.read()
    after = log.read_text().count(f"GET {path}")
    _expect(after > before, f"the access log of {rse} shows no request for {path}")
    with rasterio.open(originals[name].href) as dataset:
        _expect((pixels == dataset.read()).all(), f"{name} has other pixels at {rse}")
    return " x ".join(map(str, pixels.shape))


def _wait_until_deleted(rucio: Client, rules: Sequence[Rule]) -> None:
    deadline = time.monotonic() + _DELETION_TIMEOUT_S
    while left := [rule.id for rule in rules if _exists(rucio, rule)]:
        _expect(time.monotonic() < deadline, f"rules {left} are still there")
        time.sleep(0.5)


def _exists(rucio: Client, rule: Rule) -> bool:
    filters = {"scope": rule.did.scope, "name": rule.did.name}
    return rule.id in {found["id"] for found in rucio.list_replication_rules(filters)}


def _get(url: str) -> bytes:
    response = requests.get(url, timeout=_REQUEST_TIMEOUT_S)
    response.raise_for_status()
    return response.content


def _expect(condition: Any, otherwise: str) -> None:
    if not condition:
        raise TestbedError(otherwise)
