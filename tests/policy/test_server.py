"""The protocol of source RSEs inside Rucio's server code, with a real database."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stac_policy.urls import refusal
from tests.catalogues import ITEMS
from tests.items import assets_of

from .support import run_with_rucio

ODD = [
    "https://data.example.org:8443/a//b/?x=1&y=/",
    "https://[2001:db8::1]:8443/x",
    "https://umbra.example.org/Panama+Canal,+Panama/a%20b.tif",
    "https://catalogue.example.org/odata/v1/Products(0c6f1b1e)/$value",
]
MANY = [f"https://data.example.org/{number}/B04.tif" for number in range(1000)]

_REGISTER = """
import json
from rucio.common.exception import RucioException
from rucio.common.types import InternalAccount, InternalScope
from rucio.common.utils import construct_non_deterministic_pfn
from rucio.core import account, replica, rse, scope
from rucio.db.sqla import models, session
from rucio.db.sqla.constants import AccountType, DatabaseOperationType
from rucio.db.sqla.util import create_base_vo
from rucio.rse import rsemanager

urls = json.loads(URLS)
root, c = InternalAccount("root"), InternalScope("c")
names = [f"/c/i/{number}" for number in range(len(urls))]
models.BASE.metadata.create_all(session.get_engine())
create_base_vo()

def write():
    return session.db_session(DatabaseOperationType.WRITE)

with write() as db:
    account.add_account(root, AccountType.SERVICE, None, session=db)
    scope.add_scope(c, root, session=db)
    stac = rse.add_rse("STAC", deterministic=False, session=db)
    rse.add_protocol(stac, {
        "scheme": "https", "hostname": "localhost", "port": 443, "prefix": "/",
        "impl": "stac_policy.protocol.Default", "extended_attributes": None,
        "domains": {
            "lan": {"read": 1, "write": None, "delete": None},
            "wan": {"read": 1, "write": 1, "delete": None},
        },
    }, session=db)

def register(name, url):
    file = {"scope": c, "name": name, "bytes": 1, "adler32": "00000001", "pfn": url}
    with write() as db:
        replica.add_replicas(stac, [file], root, session=db)

def refused(name, url):
    try:
        register(name, url)
    except RucioException as error:
        return f"{type(error).__name__}: {error}"

for start in range(0, len(urls), 100):
    files = [
        {"scope": c, "name": name, "bytes": 1, "adler32": "00000001", "pfn": url}
        for name, url in zip(names[start:start + 100], urls[start:start + 100])
    ]
    with write() as db:
        replica.add_replicas(stac, files, root, session=db)
listed = {}
with session.db_session(DatabaseOperationType.READ) as db:
    for start in range(0, len(urls), 100):
        dids = [{"scope": c, "name": name} for name in names[start:start + 100]]
        for file in replica.list_replicas(dids, session=db):
            listed[file["name"]] = [pfn for pfns in file["rses"].values() for pfn in pfns]
    info = rsemanager.get_rse_info(rse_id=stac, session=db)
few = [{"scope": "c", "name": name} for name in names[:20]]
print(json.dumps({
    "listed": [listed[name] for name in names],
    "found": rsemanager.lfns2pfns(info, few, operation="read", scheme="https"),
    "pfns": [construct_non_deterministic_pfn("d", "c", name) for name in names[:20]],
    "refused": [
        refused("/c/i/signed", "https://data.example.org/x?sig=s3cr3t"),
        refused("/c/i/elsewhere", "https://data.example.net/x"),
    ],
}))
"""


@pytest.fixture(scope="module")
def urls(catalogue_items: list[dict[str, Any]]) -> list[Any]:
    """Odd URLs, and those of catalogues that may be registered: more than go into one request."""
    hrefs = [href or "" for *_, href, _ in assets_of(catalogue_items)]
    fine = (url for url in hrefs if url.startswith("https:") and refusal(url) is None)
    more = MANY if catalogue_items is ITEMS else ()
    return [*dict.fromkeys([*ODD, *fine, *more])]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, urls: list[Any]) -> Any:
    """What a server says after the registration of all URLs."""
    folder = tmp_path_factory.mktemp("server")
    hosts = sorted({url.split("/")[2].rpartition("@")[2] for url in urls})
    return run_with_rucio(
        f"URLS = {json.dumps(urls)!r}\n{_REGISTER}",
        folder,
        database={"default": f"sqlite:///{folder}/rucio.db"},
        policy={"package": "stac_policy"},
        stac={"allowed_hosts": ", ".join(hosts)},
    )


def test_urls_are_listed_as_they_were_registered(registered: Any, urls: list[Any]) -> None:
    """Every URL comes back byte for byte from Rucio's own listing."""
    assert registered["listed"] == [[url] for url in urls]
    assert len(urls) > 1000


def test_a_server_finds_urls(registered: Any, urls: list[Any]) -> None:
    """A server finds the URL of a replica for a client that asks with its DID alone."""
    assert registered["found"] == {f"c:/c/i/{n}": url for n, url in enumerate(urls[:20])}


def test_the_path_of_an_asset_is_its_url(registered: Any, urls: list[Any]) -> None:
    """The default algorithm gives the URL that the source RSE holds."""
    assert registered["pfns"] == urls[:20]


def test_what_must_not_be_stored_is_refused(registered: Any) -> None:
    """Rucio's registration fails for a signed URL and for a host that is not allowed."""
    signed, elsewhere = registered["refused"]
    assert signed.startswith("RSEFileNameNotSupported")
    assert "s3cr3t" not in signed
    assert "not in allowed_hosts" in elsewhere
