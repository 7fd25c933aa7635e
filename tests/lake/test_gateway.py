"""Objects of a private bucket under replication rules, by stock Rucio through a gateway."""

from __future__ import annotations

import hashlib
import secrets
import zlib
from typing import TYPE_CHECKING

import pytest
import requests

from stac_client import plan_setup
from stac_client._results import State
from stac_testbed.layout import GATEWAY, PRIVATE_BUCKET, PRIVATE_STORE
from tests.gateway.fronts import object_store
from tests.gateway.running import running, s3
from tests.items import make_item
from tests.policy.support import configured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rucio.client import Client

    from stac_client import StacClient
    from stac_testbed import Lake

CONTENT = secrets.token_bytes(100_000)
KEY = "scene/B04.tif"
PRIVATE = "PRIVATE"


@pytest.fixture
def bucket(stac_lake: Lake, tmp_path: Path) -> Iterator[str]:
    """The URL of a bucket that answers signed requests alone, behind a gateway that has keys."""
    layout = stac_lake.layout
    port = layout.ports[PRIVATE_STORE]
    objects = {f"{PRIVATE_BUCKET}/{KEY}": CONTENT}
    with object_store(tmp_path / "store", objects, port) as store:
        entry = s3(tmp_path)
        gateway = running(
            tmp_path,
            {f"{store}/{PRIVATE_BUCKET}/": entry},
            keys=layout.gateway_keys,
            port=layout.ports[GATEWAY],
        )
        with gateway, configured(origins=str(layout.origins_file)):
            yield f"{store}/{PRIVATE_BUCKET}"


def test_from_a_private_bucket_to_copies(
    bucket: str, stac_lake: Lake, rucio: Client, client: StacClient, collection: str
) -> None:
    """What is stored and listed is the plain URL; the copies have the bytes behind the keys."""
    assert requests.get(f"{bucket}/{KEY}", timeout=60).status_code == 403
    fields = {"file:size": len(CONTENT), "rucio:adler32": f"{zlib.adler32(CONTENT):08x}"}
    asset = {"href": f"s3://{PRIVATE_BUCKET}/{KEY}", "roles": ["data"], **fields}
    items = [make_item(collection, "scene", {"red": asset})]
    refused = client.create_replicas(items, "STAC")
    assert [each.state for each in refused] == [State.SKIPPED]
    assert "the credential gateway" in refused[0].reason

    for change in plan_setup(rucio, PRIVATE, destinations="tier=disk", gateway=True).changes:
        change.apply(client._rucio)
    assert plan_setup(rucio, PRIVATE, destinations="tier=disk").changes == []
    registration = client.create_replicas(items, PRIVATE)
    registration.raise_for_failed()
    rules = client.create_replication_rules(registration, "tier=disk", copies=2)
    assert [rule.state for rule in client.wait(rules, timeout_s=300, poll_s=1)] == ["OK"]
    (file,) = rucio.list_replicas([did._asdict() for did in registration.dids])
    assert file["rses"].pop(PRIVATE) == [f"{bucket}/{KEY}"]
    for pfns in file["rses"].values():
        copy = requests.get(pfns[0], timeout=60).content
        assert hashlib.sha256(copy).digest() == hashlib.sha256(CONTENT).digest()

    # Neither Rucio nor the transfer service got to see a signature or a key of the bucket.
    folder = stac_lake.layout.folder
    for path in (*folder.glob("logs/*"), *folder.glob("data/transfers/*")):
        held = path.read_bytes()
        assert b"X-Amz-Signature" not in held, path
