"""What wants a credential under replication rules, by stock Rucio through a gateway."""

from __future__ import annotations

import hashlib
import logging
import secrets
import zlib
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from stac_client import plan_setup
from stac_client._results import State
from stac_policy import signing
from stac_testbed.layout import GATEWAY, PRIVATE_BUCKET, PRIVATE_STORE
from tests.gateway.fronts import ACCESS_KEY, SECRET_KEY, Refusal, aws, cdse, front, object_store
from tests.gateway.running import running, s3
from tests.items import make_item
from tests.lake.scene import assert_no_secret
from tests.policy.support import configured
from tests.testbed.support import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rucio.client import Client

    from stac_client import StacClient
    from stac_testbed import Lake

PARTS = ("payer", "header", "archive")
"""Folders of what AWS refuses without a payer, CDSE with a query, Earthdata without a token."""
CONTENT = {part: secrets.token_bytes(100_000) for part in PARTS}
TOKEN = "t0k3n-of-test"  # noqa: S105 - as `running` has it
PRIVATE = "PRIVATE"


@pytest.fixture
def bucket(stac_lake: Lake, tmp_path: Path) -> Iterator[str]:
    """The URL of a bucket that refuses what real ones refuse, behind a gateway that has keys."""
    layout = stac_lake.layout
    objects = {f"{PRIVATE_BUCKET}/{part}/B04.tif": CONTENT[part] for part in PARTS}

    def refuse(path: str, headers: dict[str, str]) -> Refusal | None:
        part = path.split("/")[2]
        if part != "archive":
            return {"payer": aws, "header": cdse}[part](path, headers)
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return Refusal(302, headers=(("Location", "https://login.example.org/"),))
        keys = (ACCESS_KEY, SECRET_KEY, None)
        signed = signing.s3("GET", cdn.url + path, keys, "us-east-1", pays=True, in_query=True)
        return Refusal(303, headers=(("Location", signed.url),))

    with ExitStack() as stack:
        store = stack.enter_context(object_store(tmp_path / "store", objects))
        cdn = stack.enter_context(front(store, aws))
        url = stack.enter_context(front(store, refuse, layout.ports[PRIVATE_STORE])).url
        url = f"{url}/{PRIVATE_BUCKET}"
        token = {"file": str(tmp_path / "token")}
        entries = {
            f"{url}/payer/": s3(tmp_path, requester_pays=True),
            f"{url}/header/": s3(tmp_path, mode="stream"),
            f"{url}/archive/": {
                "sign": "bearer",
                "token": token,
                "leads_to": [urlsplit(cdn.url).netloc],
            },
        }
        port = layout.ports[GATEWAY]
        stack.enter_context(running(tmp_path, entries, keys=layout.gateway_keys, port=port))
        stack.enter_context(configured(origins=str(layout.origins_file)))
        yield url


def test_from_private_origins_to_copies(  # noqa: PLR0917 - fixtures
    bucket: str,
    stac_lake: Lake,
    rucio: Client,
    client: StacClient,
    collection: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is stored and listed is the plain URL; the copies have the bytes behind the keys.

    While the gateway has wrong ones the rule is stuck, and asking again is all that it takes then.
    """
    caplog.set_level(logging.INFO, "stac_rucio.gateway")
    assets = {
        part: {
            "href": f"s3://{PRIVATE_BUCKET}/{part}/B04.tif",
            "roles": ["data"],
            "file:size": len(content),
            "rucio:adler32": f"{zlib.adler32(content):08x}",
        }
        for part, content in CONTENT.items()
    }
    items = [make_item(collection, "scene", assets)]
    for part in PARTS:
        refused = requests.get(f"{bucket}/{part}/B04.tif", timeout=60, allow_redirects=False)
        assert refused.status_code in {302, 403}
    refusals = client.create_replicas(items, "STAC")
    assert [each.state for each in refusals] == [State.SKIPPED] * len(PARTS)
    assert "the credential gateway" in refusals[0].reason

    for change in plan_setup(rucio, PRIVATE, destinations="tier=disk", gateway=True).changes:
        change.apply(client._rucio)
    assert plan_setup(rucio, PRIVATE, destinations="tier=disk").changes == []
    registration = client.create_replicas(items, PRIVATE)
    registration.raise_for_failed()
    right = {name: (tmp_path / name).read_text() for name in ("secret", "token")}
    for name in right:
        (tmp_path / name).write_text("wrong")
    rules = client.create_replication_rules(registration, "tier=disk", copies=2)
    assert [rule.state for rule in client.wait(rules, timeout_s=300, poll_s=1)] == ["STUCK"]
    # The rule is stuck with its first file, while others are still tried.
    (rule,) = rules
    assert wait_for(lambda: not rucio.get_replication_rule(rule.id)["locks_replicating_cnt"])
    (row,) = client.rule_status(rules)
    assert "503" in row.stuck[0].reason
    for name, secret in right.items():
        (tmp_path / name).write_text(secret)
    client.retry_replication_rules(rules)
    found = client.wait(rules, timeout_s=300, poll_s=1, through_stuck=True)
    assert [rule.state for rule in found] == ["OK"]

    files = list(rucio.list_replicas([did._asdict() for did in registration.dids]))
    assert len(files) == len(PARTS)
    for file in files:
        (url,) = file["rses"].pop(PRIVATE)
        (part,) = (part for part in PARTS if url == f"{bucket}/{part}/B04.tif")
        assert len(file["rses"]) == 2
        for pfns in file["rses"].values():
            copy = requests.get(pfns[0], timeout=60).content
            assert hashlib.sha256(copy).digest() == hashlib.sha256(CONTENT[part]).digest()
    for part in PARTS:
        is_led = f"GET {PRIVATE} {bucket}/{part}/B04.tif: 302, " in caplog.text
        assert is_led is (part != "header")
    assert_no_secret(stac_lake, TOKEN)
