"""Originals that want a credential, got with the user's own, by stock Rucio as well."""

from __future__ import annotations

import base64
import configparser
import json
import os
import secrets
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stac_client import StacClient, plan_setup
from stac_client._results import State
from stac_client._rucio import Rucio
from stac_policy.naming import item_name
from tests.gateway.fronts import ACCESS_KEY, SECRET_KEY, aws, cdse, front, object_store
from tests.items import make_item
from tests.origin import redirect, running_origin, status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rucio.client import Client

    from stac_testbed import Lake
    from tests.gateway.fronts import Front
    from tests.origin import Origin

RSE = "KEYED"
TOKEN, PASSWORD, SAS = "t0k3n-of-test", "passw0rd-of-test", "S4S-of-test"
KEYS = {"keyed": "scene/B04.tif", "pays": "scene/B08.tif"}
CONTENT = {key: secrets.token_bytes(50_000) for key in ("keyed", "pays", "blob", "granule")}
SECRETS = [
    *(SECRET_KEY, TOKEN, PASSWORD, SAS, "Signature=", "AWS4-HMAC"),
    base64.b64encode(f"alice:{PASSWORD}".encode()).decode(),
]


@dataclass
class World:
    """Origins that refuse what real ones refuse, and a user who may have credentials."""

    lake: Lake
    folder: Path
    collection: str
    buckets: dict[str, Front]
    blobs: Origin
    daac: Origin
    login: Origin
    cdn: Origin
    said: list[str] = field(default_factory=list)
    """All that commands have said."""

    def hrefs(self) -> dict[str, str]:
        """The assets' hrefs, as catalogues write them."""
        return {
            **{bucket: f"s3://{bucket}/{key}" for bucket, key in KEYS.items()},
            "blob": f"{self.blobs.url}/container/blob.tif",
            "granule": f"{self.daac.url}/granules/granule.tif",
        }

    def items(self, hrefs: dict[str, str], **fields: Any) -> Path:
        """A file with an item of these assets, of which it says neither size nor checksum."""
        assets = {key: {"href": href, "roles": ["data"], **fields} for key, href in hrefs.items()}
        path = self.folder / "items.json"
        path.write_text(json.dumps(make_item(self.collection, "scene", assets)))
        return path

    def give_keys(self, secret: str = SECRET_KEY) -> None:
        """Give the user a profile for each bucket."""
        (self.folder / "aws").write_text(
            "".join(
                f"[{bucket}]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {secret}\n"
                f"endpoint_url = {front.url}\n"
                for bucket, front in self.buckets.items()
            )
        )

    def give_password(self) -> None:
        """Give the user a line in netrc."""
        (self.folder / "netrc").write_text(f"machine 127.0.0.1 login alice password {PASSWORD}\n")

    def run(self, *command: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the user."""
        ours = {
            "RUCIO_CONFIG": str(self.folder / "rucio.cfg"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "aws"),
            "AWS_CONFIG_FILE": str(self.folder / "none"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "NETRC": str(self.folder / "netrc"),
            "XDG_STATE_HOME": str(self.folder / "state"),
        }
        environment = {**os.environ, **self.lake.environment(), **ours, **variables}
        done = subprocess.run(  # noqa: S603 - installed beside this Python
            [str(Path(sys.executable).parent / str(command[0])), *map(str, command[1:])],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            timeout=300,
        )
        self.said += [done.stdout, done.stderr]
        return done

    def outcomes(self, *command: object, **variables: str) -> dict[str, tuple[State, str]]:
        """Run a verb of `stac-rucio`, and give state and reason of each asset."""
        done = self.run("stac-rucio", *command, "--rse", RSE, "--json", "-vv", **variables)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert found, done.stderr
        return {each["key"]: (State(each["state"]), each["reason"]) for each in found}


def _handing_out(handler: Any, *_: Any) -> None:
    """Answer as Earthdata's login does to who asks for a token."""
    name = handler.headers.get("Authorization", "")
    right = f"Basic {base64.b64encode(f'alice:{PASSWORD}'.encode()).decode()}"
    if handler.command == "POST" and name == right:
        handler.answer(200, json.dumps({"access_token": TOKEN}).encode())
    else:
        handler.answer(401)


@pytest.fixture
def world(stac_lake: Lake, rucio: Client, collection: str, tmp_path: Path) -> Iterator[World]:
    """A user without credentials, and a source RSE with a gateway."""
    with ExitStack() as stack:
        objects = {f"{bucket}/{key}": CONTENT[bucket] for bucket, key in KEYS.items()}
        store = stack.enter_context(object_store(tmp_path / "store", objects))
        buckets = {
            name: stack.enter_context(front(store, refuse))
            for name, refuse in {"keyed": cdse, "pays": aws}.items()
        }
        blobs, daac, login, cdn = (stack.enter_context(running_origin()) for _ in range(4))

        blobs.add(f"/container/blob.tif?sig={SAS}&se=2096", CONTENT["blob"])
        blobs.add("/container/blob.tif", status(404))
        sas = {"token": f"sig={SAS}&se=2096", "msft:expiry": "2096-10-02T07:06:40Z"}
        blobs.add("/token/127/container", json.dumps(sas).encode())

        def guarded(handler: Any, *_: Any) -> None:
            is_known = handler.headers.get("Authorization") == f"Bearer {TOKEN}"
            to = f"{cdn.url}/granule.tif?Signature=x" if is_known else f"{login.url}/oauth"
            redirect(to)(handler, b"", None)

        def refusing(handler: Any, *_: Any) -> None:
            if "Authorization" in handler.headers:
                handler.answer(400)
            else:
                handler.answer(200, CONTENT["granule"], ETag='"1"')

        daac.add("/granules/granule.tif", guarded)
        cdn.add("/granule.tif", refusing)
        login.add("/oauth", status(200, b"<html>login</html>", Content_Type="text/html"))
        login.add("/grant", _handing_out)

        def host(origin: Origin) -> str:
            return origin.url.partition("//")[2]

        rows = [
            ("=sas", "signed", f"{blobs.url}/token/{{account}}/{{container}}", "a SAS"),
            ("=edl", "bearer", f"EDL_TOKEN {login.url}/grant", "a token of the login"),
            ("s3://keyed", "signed", buckets["keyed"].url, "its keys"),
            ("s3://pays", "requester pays", buckets["pays"].url, "keys of who pays"),
            (f"{host(blobs)}/container/", "signed", "", "=sas"),
            (f"{host(daac)}/granules/", "bearer", "", "=edl"),
            (host(login), "login form", "", "a login"),
        ]
        table = tmp_path / "origins.tsv"
        table.write_text("".join("\t".join([*row, "test"]) + "\n" for row in rows))
        config = configparser.ConfigParser()
        config.read(stac_lake.layout.client_cfg("root"))
        config["stac"]["origins"] = str(table)
        with (tmp_path / "rucio.cfg").open("w") as file:
            config.write(file)
        for change in plan_setup(rucio, RSE, destinations="tier=disk", gateway=True).changes:
            change.apply(Rucio(rucio))
        yield World(stac_lake, tmp_path, collection, buckets, blobs, daac, login, cdn)


def test_from_look_up_to_stock_rucio(world: World, rucio: Client) -> None:
    """What lacks is said; with it all is looked up and downloaded, and nothing secret is kept."""
    items = world.items(world.hrefs())
    found = world.outcomes("register", items)
    assert {key: state for key, (state, _) in found.items()} == {
        "blob": State.REGISTERED,  # whose SAS anybody gets
        "granule": State.FAILED,
        "keyed": State.FAILED,
        "pays": State.FAILED,
    }
    assert "its keys: give a profile of AWS the line endpoint_url" in found["keyed"][1]
    assert "to do so, give --pays" in found["pays"][1]
    assert "it redirects to a login" in found["granule"][1]
    assert "set EDL_TOKEN, or have netrc name machine 127.0.0.1" in found["granule"][1]

    world.give_keys()
    world.give_password()
    found = world.outcomes("sync", items)
    assert {key: state for key, (state, _) in found.items() if state != State.ALREADY_THERE} == {
        "granule": State.REGISTERED,
        "keyed": State.REGISTERED,
        "pays": State.FAILED,
    }
    assert all("x-amz-request-payer" not in headers for _, _, headers in world.buckets["pays"].seen)
    assert world.outcomes("sync", items, "--pays")["pays"] == (State.REGISTERED, "")
    dry = ("replicate", items, "--rses", "tier=disk", "--dry-run", "--json")
    asked = json.loads(world.run("stac-rucio", *dry).stdout)
    assert (asked["size_bytes"], asked["paid_bytes"]) == (200_000, 50_000)
    dataset = {"scope": world.collection, "name": item_name(world.collection, "scene")}
    files = list(rucio.list_replicas([dataset]))
    urls = {Path(file["name"]).stem: file["rses"][RSE][0] for file in files}
    hrefs = world.hrefs()
    assert urls == {
        **{key: f"{world.buckets[key].url}/{key}/{KEYS[key]}" for key in KEYS},
        **{key: hrefs[key] for key in ("blob", "granule")},
    }

    found = world.outcomes("download", items, "--folder", "here")
    assert {key for key, (state, _) in found.items() if state == State.FAILED} == {"pays"}
    assert "to do so, give --pays" in found["pays"][1]
    world.outcomes("download", items, "--folder", "here", "--pays")
    name = "{scope}:{name}".format(**dataset)
    command = ("rucio", "-v", "download", "--rses", RSE, "--dir", "there", name)
    done = world.run(*command, AWS_REQUEST_PAYER="requester")
    assert done.returncode == 0, done.stdout + done.stderr
    for folder in ("here", "there"):
        got = {
            path.stem: path.read_bytes()
            for path in (world.folder / folder).rglob("*")
            if path.is_file() and path.stem in CONTENT
        }
        assert got == CONTENT, folder

    assert all("Authorization" not in each.headers for each in world.cdn.seen)
    assert not world.login.requests_of("/oauth")
    _require_no_secret(world)


def test_credentials_that_are_wrong(world: World) -> None:
    """Wrong keys and passwords, and a token that is over, are told from one another."""
    world.give_keys("wrong")
    (world.folder / "netrc").write_text("machine 127.0.0.1 login alice password wrong\n")
    over = {"token": f"sig={SAS}&se=2020", "msft:expiry": "2020-10-02T07:06:40Z"}
    world.blobs.add("/token/127/container", json.dumps(over).encode())
    found = world.outcomes("register", world.items(world.hrefs()), "--pays")
    assert {state for state, _ in found.values()} == {State.FAILED}
    assert "HTTP 403, with keys of profile keyed" in found["keyed"][1]
    assert "HTTP 403, with keys of profile pays" in found["pays"][1]
    assert "/grant: HTTP 401" in found["granule"][1]
    assert "a token that is over" in found["blob"][1]
    assert len(world.login.requests_of("/grant")) == 1
    other = {"EDL_TOKEN": "other"}
    found = world.outcomes("register", world.items(world.hrefs()), **other)
    assert "it redirects to a login, at 127.0.0.1, with EDL_TOKEN" in found["granule"][1]
    _require_no_secret(world)


def test_what_items_say_chooses_nothing(world: World) -> None:
    """No credential goes to an endpoint that an item names, or that an origin redirects to."""
    world.give_keys()
    world.give_password()
    with running_origin() as evil:
        url = evil.add("/keyed/scene/B04.tif", b"anything")
        world.daac.add("/granules/away.tif", redirect(f"{evil.url}/away.tif"))
        evil.add("/away.tif", redirect(f"{world.daac.url}/granules/back.tif"))
        world.daac.add("/granules/back.tif", status(401))
        schemes = {
            "keys": {
                "type": "s3",
                "authorizationApi": f"{evil.url}/grant",
                "storage:platform": evil.url,
            }
        }
        hrefs = {"a": url, "b": f"{world.daac.url}/granules/away.tif", "c": f"s3://evil/{url}"}
        item = json.loads(world.items(hrefs, **{"auth:refs": ["keys"]}).read_text())
        item["properties"] |= {"auth:schemes": schemes, "storage:requester_pays": True}
        (world.folder / "items.json").write_text(json.dumps(item))
        found = world.outcomes("register", world.folder / "items.json", "--pays")
    assert found["a"][0] == State.REGISTERED
    assert "HTTP 401" in found["b"][1]
    assert found["c"][0] == State.FAILED
    assert {each.path for each in evil.seen} >= {"/keyed/scene/B04.tif", "/away.tif"}
    kept = [name for each in evil.seen for name in each.headers if name.lower() == "authorization"]
    assert kept == []
    backs = [each.headers for each in world.daac.requests_of("/granules/back.tif")]
    assert backs
    assert all("Authorization" not in headers for headers in backs)
    _require_no_secret(world)


def test_headers_of_an_origin(world: World, rucio: Client) -> None:
    """Headers that a user gives for an origin are sent there alone, also beside no table."""
    items = world.items({"granule": world.hrefs()["granule"]})
    without = StacClient(rucio).create_replicas(items, RSE)
    assert [each.state for each in without] == [State.FAILED]
    headers = {world.daac.url: {"Authorization": f"Bearer {TOKEN}"}}
    client = StacClient(rucio, headers=headers)
    client.create_replicas(items, RSE).raise_for_failed()
    client.download(items, world.folder / "here").raise_for_failed()
    assert all("Authorization" not in each.headers for each in world.cdn.seen + world.login.seen)
    assert TOKEN not in repr(client)


def _require_no_secret(world: World) -> None:
    """Require that no secret is in what was said, the lake, a journal, or what was downloaded."""
    layout = world.lake.layout
    kept = [
        *layout.folder.glob("rucio.db*"),
        *(path for path in layout.logs.rglob("*") if path.is_file()),
        *(path for path in layout.data("transfers").rglob("*") if path.is_file()),
        *(path for path in (world.folder / "state").rglob("*") if path.is_file()),
        *(path for path in (world.folder / "here").rglob("*") if path.is_file()),
    ]
    held = {}
    for path in kept:
        with suppress(FileNotFoundError):  # SQLite makes and removes files beside its own
            held[str(path)] = path.read_bytes()
    held |= {f"command {number}": text.encode() for number, text in enumerate(world.said)}
    assert any(held.values())
    found = [
        (place, secret)
        for place, text in held.items()
        for secret in SECRETS
        if secret.encode() in text
    ]
    assert found == []
