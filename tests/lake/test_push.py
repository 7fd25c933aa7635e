"""Copies in storages that fetch nothing: the gateway sends them, as stock Rucio has FTS ask for."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import requests

from stac_client import plan_setup, summarise_catalogue
from stac_client.admin import Level, examine
from stac_testbed.layout import GATEWAY, PRIVATE_BUCKET, PRIVATE_STORE, SIGNED_BUCKET, SIGNED_STORE
from tests.gateway.fronts import ACCESS_KEY, SECRET_KEY, object_store
from tests.gateway.running import running, s3
from tests.items import make_item
from tests.lake.scene import assert_no_secret
from tests.origin import running_origin
from tests.policy.support import configured
from tests.rses import add_rse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rucio.client import Client

    from stac_client import Registration, StacClient
    from stac_testbed import Lake
    from tests.origin import Origin

CONTENT = {"private": secrets.token_bytes(100_000), "open": secrets.token_bytes(300_000)}
S3, WEBDAV = "S3-CENTRE", "DAV-CENTRE"


def md5_of(content: bytes) -> str:
    """The md5 of a file."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def asset(key: str, href: str, **fields: Any) -> dict[str, Any]:
    """An asset that says all that S3 verifies by."""
    content = CONTENT[key]
    known = {
        "file:size": len(content),
        "rucio:adler32": f"{zlib.adler32(content):08x}",
        "rucio:md5": md5_of(content),
    }
    return {"href": href, "roles": ["data"], **known, **fields}


def configure(lake: Lake, **endpoints: dict[str, Any]) -> None:
    """Tell the transfer service of storages, as an administrator of FTS does."""
    said = {url: {"se_info": info} for url, info in endpoints.items()}
    url = f"{lake.layout.url('transfers')}/config/se"
    requests.post(url, json=said, timeout=30).raise_for_status()


@pytest.fixture
def origin_with_tls(stac_lake: Lake) -> Iterator[Origin]:
    """An open origin, as the web has them."""
    with running_origin(stac_lake.layout.tls / "storage-a.pem") as origin:
        origin.add("/a.tif", CONTENT["open"])
        yield origin


@pytest.fixture
def store(stac_lake: Lake, rucio: Client, origin_with_tls: Origin, tmp_path: Path) -> Iterator[str]:
    """A store of S3 with a private bucket and an RSE, and a gateway that sends files there."""
    layout = stac_lake.layout
    port = layout.ports[SIGNED_STORE]
    (tmp_path / "store" / "copies").mkdir(parents=True)
    objects = {f"{SIGNED_BUCKET}/scene/B04.tif": CONTENT["private"]}
    with object_store(tmp_path / "store", objects, port, layout.tls / "storage-a.pem") as url:
        protocol = {
            "scheme": "https",
            "port": port,
            "prefix": "/copies/rucio/",
            "impl": "rucio.rse.protocols.webdav.Default",
        }
        add_rse(
            *(rucio, S3, protocol),
            third_party_copies=True,
            sign_url="s3",
            supported_checksums="md5",
            fts=layout.url("transfers"),
            lfn2pfn_algorithm="stac",
        )
        rucio.set_local_account_limit("root", S3, -1)
        keys = {
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "signature_version": "s3v4",
            "region": "us-east-1",
        }
        accounts = layout.etc / "rse-accounts.cfg"
        accounts.write_text(json.dumps({rucio.get_rse(S3)["id"]: keys}))
        configure(stac_lake, **{url: {"keys": [ACCESS_KEY, SECRET_KEY]}})
        gateway = running(
            tmp_path,
            {f"{url}/{SIGNED_BUCKET}/": s3(tmp_path), f"{origin_with_tls.url}/": {}},
            keys=layout.gateway_keys,
            port=layout.ports[GATEWAY],
            destinations={f"{url}/copies/rucio/": {}},
        )
        with gateway, configured(origins=str(layout.origins_file)):
            yield url
        accounts.unlink()
        # Else other tests' registrations learn an md5.
        rucio.delete_rse_attribute(S3, "supported_checksums")


def rule_of(client: StacClient, registration: Registration, rse: str) -> Any:
    """A rule, when it is through."""
    registration.raise_for_failed()
    rules = client.create_replication_rules(registration, rse)
    (rule,) = client.wait(rules, timeout_s=300, poll_s=1)
    return rule


def test_to_s3(
    store: str, origin_with_tls: Origin, stac_lake: Lake, client: StacClient, collection: str
) -> None:
    """A private object and an open file get there; what has another md5 does not."""
    rucio = stac_lake.client()
    with_tls = f"{origin_with_tls.url}/a.tif"
    assets = {
        "private": asset("private", f"s3://{SIGNED_BUCKET}/scene/B04.tif"),
        "open": {"href": with_tls, "roles": ["data"]},  # of which an md5 is learned
    }
    for change in plan_setup(rucio, "SENT", destinations=S3, gateway=True).changes:
        change.apply(client._rucio)
    registration = client.create_replicas(make_item(collection, "scene", assets), "SENT")
    assert rule_of(client, registration, S3).state == "OK"
    for did in registration.dids:
        (file,) = rucio.list_replicas([did._asdict()])
        (signed,) = file["rses"][S3]
        content = CONTENT["open" if did.name.endswith("open.tif") else "private"]
        assert requests.get(signed, timeout=60).content == content
        assert file["md5"] == md5_of(content)
        plain = signed.partition("?")[0]
        assert requests.get(plain, timeout=60).status_code == 403
        assert plain.startswith(f"{store}/copies/rucio/")

    options = {"gateway_open": "true"}
    catalogue = summarise_catalogue([make_item(collection, "scene", {"open": assets["open"]})])
    found = examine(rucio, "SENT", destinations=S3, catalogue=catalogue, options=options)
    assert {each.what for each in found if each.level is not Level.OK} == set()

    wrong = asset("open", with_tls, **{"rucio:md5": md5_of(b"other")})
    registration = client.create_replicas(make_item(collection, "wrong", {"a": wrong}), "SENT")
    rule = rule_of(client, registration, S3)
    assert rule.state == "STUCK"
    ((stuck,),) = [row.stuck for row in client.rule_status(rule)]
    assert "User-defined and destination MD5 checksum do not match" in stuck.reason
    assert_no_secret(stac_lake)


def test_to_webdav(
    stac_lake: Lake,
    client: StacClient,
    collection: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """So does a private object to WebDAV that FTS is configured to have files sent to."""
    caplog.set_level(logging.INFO, "stac_rucio.gateway")
    rucio, layout = stac_lake.client(), stac_lake.layout
    storage = layout.url("storage-b")
    protocol = {
        "scheme": "http",
        "port": layout.ports["storage-b"],
        "prefix": "/rucio/sent/",
        "impl": "rucio.rse.protocols.webdav.Default",
    }
    add_rse(rucio, WEBDAV, protocol, third_party_copies=True, fts=layout.url("transfers"))
    rucio.set_local_account_limit("root", WEBDAV, -1)
    for change in plan_setup(rucio, "SENT-TO-DAV", destinations=WEBDAV, gateway=True).changes:
        change.apply(client._rucio)
    objects = {f"{PRIVATE_BUCKET}/scene/B04.tif": CONTENT["private"]}
    with (
        object_store(tmp_path / "store", objects, layout.ports[PRIVATE_STORE]) as url,
        running(
            tmp_path,
            {f"{url}/": s3(tmp_path, mode="stream")},
            keys=layout.gateway_keys,
            port=layout.ports[GATEWAY],
            destinations={f"{storage}/rucio/sent/": {}},
        ),
        configured(origins=str(layout.origins_file)),
    ):
        configure(stac_lake, **{storage: {"copy_mode": "3rd push"}})
        assets = {"a": asset("private", f"s3://{PRIVATE_BUCKET}/scene/B04.tif")}
        registration = client.create_replicas(make_item(collection, "scene", assets), "SENT-TO-DAV")
        try:
            assert rule_of(client, registration, WEBDAV).state == "OK"
        finally:
            configure(stac_lake, **{storage: {"tpc_support": "NONE"}})
    (file,) = rucio.list_replicas([did._asdict() for did in registration.dids])
    (copy,) = file["rses"][WEBDAV]
    assert requests.get(copy, timeout=60).content == CONTENT["private"]
    assert f" to {copy}: sent {len(CONTENT['private'])} bytes" in caplog.text
