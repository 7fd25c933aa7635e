"""The doctor and the set-up of a source RSE, which are of one mind: over RSEs of all kinds."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import assume, given
from hypothesis import strategies as st
from rucio.common.exception import (
    AccessDenied,
    DataIdentifierNotFound,
    ReplicaNotFound,
    RSENotFound,
)

from stac_client import ConfigurationError, _server_checks, plan_setup, summarise_catalogue
from stac_client._checks import ERRORS, WARNINGS, ok
from stac_client._source_rse import source_protocol
from stac_client.admin import CatalogueSummary, Level, examine
from stac_policy.settings import GATEWAY_PROTOCOL, SOURCE_PROTOCOL
from tests.fake_rucio import FakeRucio
from tests.items import make_asset, make_item, many_items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_client.admin import Setup


SOURCE, DISKS = "SOURCE", ["DISK-0", "DISK-1"]
RIGHT = {
    "deterministic": False,
    "availability_read": True,
    "availability_write": False,
    "availability_delete": False,
    "protocols": [source_protocol("https")],
}
RIGHT_ATTRIBUTES = {"fts": "a", "supported_checksums": "none"}


class Server(FakeRucio):
    """A Rucio server that keeps what an administrator sends."""

    def __init__(
        self,
        source: dict[str, Any] | None,
        attributes: dict[str, Any] | None = None,
        version: str = "41.5.1",
        fts: tuple[str, ...] = ("a", "a"),
    ) -> None:
        """Have a source RSE, if there is one, and destinations with these FTS servers."""
        super().__init__()
        self.version = version
        write = {"wan": {"third_party_copy_write": 1, "read": 1, "delete": None}}
        gfal = {"impl": "rucio.rse.protocols.gfal.Default", "domains": write}
        protocols = [{**gfal, "scheme": scheme} for scheme in ("http", "https")]
        for disk, servers in zip(DISKS, fts, strict=True):
            self.rses[disk] = {**RIGHT, "availability_write": True, "protocols": protocols}
            self.attributes[disk] = {"disk": "yes", "fts": servers}
        if source is not None:
            self.rses[SOURCE] = copy.deepcopy(source)
            self.attributes[SOURCE] = dict(attributes or {})
        self.distances: set[tuple[str, str]] = set()
        self.scopes: list[str] = []

    def ping(self) -> dict[Any, Any]:
        """Return the version."""
        return {"version": self.version}

    def get_rse(self, rse: Any) -> dict[str, Any]:
        """Return the settings of an RSE."""
        if rse not in self.rses:
            raise RSENotFound(rse)
        return copy.deepcopy(super().get_rse(rse))

    def add_rse(self, rse: Any, **settings: Any) -> None:
        """Add an RSE."""
        self.rses[rse] = {**settings, "protocols": []}
        self.attributes[rse] = {}

    def update_rse(self, rse: Any, settings: Any) -> None:
        """Change settings of an RSE."""
        self.rses[rse] |= settings

    def add_protocol(self, rse: Any, protocol: Any) -> None:
        """Add a protocol."""
        self.rses[rse]["protocols"].append(protocol)

    def update_protocols(self, rse: Any, scheme: Any, data: Any, hostname: Any, port: Any) -> None:
        """Change a protocol."""
        self._protocol(rse, scheme, hostname, port).update(data)

    def delete_protocols(self, rse: Any, scheme: Any, hostname: Any, port: Any) -> None:
        """Delete a protocol."""
        self.rses[rse]["protocols"].remove(self._protocol(rse, scheme, hostname, port))

    def _protocol(self, rse: Any, *address: Any) -> Any:
        (found,) = (
            protocol
            for protocol in self.rses[rse]["protocols"]
            if (protocol["scheme"], protocol["hostname"], protocol["port"]) == address
        )
        return found

    def add_rse_attribute(self, rse: Any, key: Any, value: Any) -> None:
        """Set an attribute."""
        self.attributes[rse][key] = value

    def get_distance(self, source: Any, destination: Any) -> list[Any]:
        """Return the distance, if there is one."""
        return [{"distance": 1}] * ((source, destination) in self.distances)

    def add_distance(self, source: Any, destination: Any, _: Any) -> None:
        """Add a distance."""
        self.distances.add((source, destination))

    def list_scopes(self) -> list[str]:
        """Return the scopes."""
        return self.scopes

    def add_scope(self, _: Any, scope: Any) -> None:
        """Add a scope."""
        self.scopes.append(scope)

    def list_account_attributes(self, _: Any) -> Iterator[list[Any]]:
        """Return the attributes of an account: none."""
        return iter([[]])

    def get_local_account_limits(self, _: Any) -> dict[Any, Any]:
        """Return a limit everywhere."""
        return dict.fromkeys(DISKS, 1)

    def get_local_account_usage(self, _: Any) -> list[Any]:
        """Return that nothing is used."""
        return []

    def get_did(self, scope: str, name: str) -> None:
        """Answer as Rucio does of what nobody has."""
        raise DataIdentifierNotFound(f"Data identifier '{scope}:{name}' not found")

    def get_metadata_bulk(self, _: Any) -> list[Any]:
        """Answer as Rucio does of what nobody has."""
        return []

    def lfns2pfns(self, *_: Any, **__: Any) -> None:
        """Know no file."""
        raise ReplicaNotFound

    def get_config(self, _: Any) -> None:
        """Show nobody the config table."""
        raise AccessDenied


@pytest.fixture(scope="module", autouse=True)
def _offline() -> Iterator[None]:
    """FTS servers are taken for granted, and nothing is looked for at origins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_server_checks, "fts_server", lambda url: ok("fts", url))
        patch.setattr(_server_checks, "resolution", lambda *_: ())
        yield


def plan(server: Server, catalogue: CatalogueSummary | None = None, **options: Any) -> Setup:
    return plan_setup(server, SOURCE, destinations="disk=yes", catalogue=catalogue, **options)


def findings(server: Any, catalogue: Any = None) -> list[Any]:
    """What the doctor finds, and is not as it should be."""
    found = examine(server, SOURCE, destinations="disk=yes", catalogue=catalogue, options={})
    return [check for check in found if check.level is not Level.OK]


def codes(*arguments: Any) -> list[Any]:
    return [check.code for check in findings(*arguments)]


# RSEs of all kinds.


OPERATIONS = ["read", "write", "delete", "third_party_copy_read", "third_party_copy_write"]
PRIORITIES = st.dictionaries(st.sampled_from(OPERATIONS), st.sampled_from([None, 0, 1, 2]))
IMPLS = [
    SOURCE_PROTOCOL,
    "stac_policy.protocol.Defalt",
    "rucio.rse.protocols.webdav.Default",
]
PROTOCOLS = st.builds(
    lambda right, **differing: {**right, **differing},
    right=st.sampled_from(["http", "https"]).map(source_protocol),
    scheme=st.sampled_from(["http", "https", "davs"]),
    hostname=st.sampled_from(["localhost", "data.example.org"]),
    impl=st.sampled_from(IMPLS),
    domains=st.sampled_from([source_protocol("https")["domains"]])
    | st.fixed_dictionaries({"wan": PRIORITIES}, optional={"lan": PRIORITIES}),
)
SOURCES = st.none() | st.fixed_dictionaries(
    {
        **{name: st.booleans() for name in RIGHT if name.startswith("availability")},
        "deterministic": st.just(value=False),
        "protocols": st.lists(
            PROTOCOLS, max_size=4, unique_by=lambda p: (p["scheme"], p["hostname"], p["port"])
        ),
    }
)
FTS = ["a", "b", "a,b", "c", ""]
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "fts": st.sampled_from(FTS),
        "supported_checksums": st.sampled_from(["none", "adler32, none", "md5", "nonesuch", ","]),
        "verify_checksum": st.booleans(),
    },
)
SERVERS = st.builds(
    Server,
    SOURCES,
    ATTRIBUTES,
    st.sampled_from(["38.6.4", "41.5.1"]),
    st.tuples(*[st.sampled_from(FTS)] * 2),
)
CATALOGUES = st.sampled_from(
    [
        None,
        *(
            summarise_catalogue([make_item(assets={"a": make_asset(f"{scheme}://x.org/a")})])
            for scheme in ("http", "https")
        ),
    ]
)


@given(SERVERS, CATALOGUES, st.integers(0, 10))
def test_doctor_and_setup_agree(
    server: Server, catalogue: CatalogueSummary | None, stop: int
) -> None:
    """What setup-rse has nothing to do about is all right for the doctor, and the reverse.

    Stopped after any number of its changes, another run makes the others.
    """
    try:
        changes = plan(server, catalogue).changes
    except ConfigurationError:
        assert not any({*FTS} & {server.attributes[disk]["fts"] for disk in DISKS} - {""})
        return
    of_source = {*codes(server, catalogue)} - {"destination-fts-missing"}
    assume("protocol-stock" not in of_source)
    assert bool(changes) == bool(of_source)
    for change in changes[:stop]:
        change.apply(server)
    left = [*plan(server, catalogue).apply(server)]
    assert [str(change) for change in left] == [str(change) for change in changes[stop:]]
    assert plan(server, catalogue).changes == []
    assert {*codes(server, catalogue)} <= {"destination-fts-missing"}


@given(SERVERS, CATALOGUES)
def test_stock_protocols_stay(server: Server, catalogue: CatalogueSummary | None) -> None:
    """An RSE that has Rucio's own protocols alone is left as it is, whatever its settings."""
    protocols = server.rses.setdefault(SOURCE, {**RIGHT, "availability_write": True})["protocols"]
    server.attributes.setdefault(SOURCE, {})
    server.rses[SOURCE]["protocols"] = [
        {**protocol, "impl": "rucio.rse.protocols.webdav.Default"}
        for protocol in protocols or [source_protocol("https")]
    ]
    setup = plan(server, catalogue)
    assert all(change.text.startswith("add scope") for change in setup.changes)
    assert "left as it is" in " ".join(setup.notes)
    assert "protocol-stock" in codes(server, catalogue)


DAVS = {**source_protocol("https"), "scheme": "davs"}


@pytest.mark.parametrize(
    ("settings", "attributes", "wrong"),
    [
        ({}, {}, []),
        ({}, {"fts": "a,b"}, []),
        ({}, {"supported_checksums": "none,adler32"}, []),
        ({"protocols": [source_protocol("https")]}, {}, []),
        ({"protocols": [source_protocol("https"), DAVS]}, {}, ["protocol-scheme"]),
        ({"availability_delete": True}, {}, ["rse-deletable"]),
        ({}, {"fts": "c"}, ["fts-differs", "fts-differs"]),
    ],
)
def test_what_is_all_right(
    settings: dict[Any, Any], attributes: dict[Any, Any], wrong: list[Any]
) -> None:
    """What works stays, and what does not is found and fixed by one change."""
    server = Server({**RIGHT, **settings}, {**RIGHT_ATTRIBUTES, **attributes})
    server.distances |= {(SOURCE, disk) for disk in DISKS}
    assert codes(server) == wrong
    assert len([*plan(server).apply(server)]) == bool(wrong)
    assert codes(server) == []


S3 = {"sign_url": "s3", "supported_checksums": "md5"}
THROUGH = [source_protocol("https", gateway=True), source_protocol("https", GATEWAY_PROTOCOL)]


@pytest.mark.parametrize(
    ("protocols", "attributes", "fields", "options", "wrong"),
    [
        (THROUGH, S3, {"rucio:md5": "0" * 32}, {"gateway_open": "true"}, []),
        (THROUGH, S3, {"rucio:md5": "0" * 32}, {}, ["gateway-open"]),
        (THROUGH, S3, {}, {"gateway_open": "true"}, ["destination-unverified"]),
        (THROUGH, S3, {"rucio:adler32": None}, {"gateway_open": "true"}, []),
        (THROUGH, {"sign_url": "s3"}, {}, {"gateway_open": "true"}, ["destination-md5"]),
        (RIGHT["protocols"], S3, {"rucio:md5": "0" * 32}, {}, ["destination-push", "gateway-open"]),
        (RIGHT["protocols"], {"supported_checksums": "sha1"}, {}, {}, ["destination-checksums"]),
        (RIGHT["protocols"], {"supported_checksums": "md5"}, {}, {}, ["destination-unverified"]),
        (RIGHT["protocols"], {}, {}, {}, []),
    ],
)
def test_destinations_that_fetch_nothing(
    *, protocols: Any, attributes: Any, fields: Any, options: dict[str, str], wrong: list[str]
) -> None:
    """S3 wants a gateway that sends there what it has URLs of, and verifies by md5 alone."""
    server = Server({**RIGHT, "protocols": protocols}, RIGHT_ATTRIBUTES)
    server.distances |= {(SOURCE, disk) for disk in DISKS}
    server.attributes["DISK-1"] |= attributes
    catalogue = summarise_catalogue([make_item(assets={"a": make_asset() | fields})])
    found = examine(server, SOURCE, destinations="disk=yes", catalogue=catalogue, options=options)
    given = [each for each in found if each.level is not Level.OK]
    assert [each.code for each in given if each.code != "scope-missing"] == wrong
    notes = " ".join(plan(server, catalogue).notes)
    assert ("DISK-1 signs URLs" in notes) == ("destination-push" in wrong)
    assert "signs URLs" not in " ".join(plan(server, catalogue, gateway=True).notes)


@pytest.mark.parametrize(
    ("protocols", "wrong", "hosts"),
    [
        (RIGHT["protocols"], ["access"], ""),
        (THROUGH, ["host-not-allowed"], "landsat.s3.us-west-2.amazonaws.com"),
    ],
)
def test_assets_that_need_a_gateway(*, protocols: Any, wrong: list[str], hosts: str) -> None:
    """What is skipped without a gateway counts as all the rest with one."""
    server = Server({**RIGHT, "protocols": protocols}, RIGHT_ATTRIBUTES)
    server.distances |= {(SOURCE, disk) for disk in DISKS}
    catalogue = summarise_catalogue(
        [make_item(assets={"a": make_asset("s3://usgs-landsat/a.tif")})]
    )
    options = {"allowed_hosts": "data.example.org"}
    found = examine(server, SOURCE, destinations="disk=yes", catalogue=catalogue, options=options)
    given = [each for each in found if each.level is not Level.OK and each.code != "scope-missing"]
    assert [each.code for each in given] == wrong
    assert f"does not allow usgs-{hosts}" in given[0].what or not hosts


def test_another_fts_server() -> None:
    """The FTS server that is asked for is set, whatever the destinations have."""
    server = Server(RIGHT, RIGHT_ATTRIBUTES)
    server.distances |= {(SOURCE, disk) for disk in DISKS}
    (change,) = plan(server, fts="https://b:8446").apply(server)
    assert str(change) == "set attribute fts=https://b:8446 on SOURCE (was a)"
    assert plan(server, fts="https://b:8446").changes == []


def test_a_server_that_is_away_is_not_waited_for() -> None:
    """The doctor asks a server that does not answer once."""

    def connect() -> None:
        asked.append(1)
        raise requests.ConnectionError("Connection refused")

    asked: list[int] = []
    (check,) = examine(connect, SOURCE)
    assert (check.code, check.level, len(asked)) == ("server-unreachable", Level.ERROR, 1)


def test_findings_are_documented() -> None:
    """docs/doctor.md lists every finding with its level, and no other."""
    page = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()
    rows = re.findall(r"^\| (`.*?) \| (error|warning) \|", page, re.MULTILINE)
    documented: dict[str, set[str]] = {level: set() for _, level in rows}
    for names, level in rows:
        documented[level] |= {*re.findall("`(.*?)`", names)}
    assert documented == {"error": {*ERRORS}, "warning": {*WARNINGS}}


def test_lines_of_rucio_cfg() -> None:
    """The lines for rucio.cfg name the catalogue's hosts, its API and the fixed scope."""
    assets = {key: make_asset(f"https://{key}.example.org:8443/x.tif") for key in ("b", "a")}
    found = summarise_catalogue([make_item("c", "i", assets)])
    api = "https://stac.example.org/v1"
    hosts = "allowed_hosts = a.example.org:8443, b.example.org:8443"
    package = "[policy]\npackage = stac_policy\n\n[stac]\n"
    assert found.server_options(api=api) == f"{package}{hosts}\napi = {api}"
    assert found.server_options(api=api, scope="s") == f"{package}{hosts}\nscopes = s={api}"
    assert CatalogueSummary().server_options(scope="s") == f"{package}scopes = s"


def test_a_summary_looks_at_a_sample() -> None:
    """A summary takes no more items than it is asked for, and counts what cannot be registered."""
    items = many_items("c", 5, 1)
    items[0]["assets"]["s3"] = make_asset("ftp://host/key")
    found = summarise_catalogue(iter(items), sample=2)
    assert (found.items, found.schemes, found.scopes) == (2, {"https"}, {"c": "c"})
    assert found.hosts == {"data.example.org": 2}
    assert found.refused == {"ftp scheme where http or https is needed": 1}


def test_two_rucios(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rucio and rucio-clients lie over each other, the doctor says so before all else."""
    monkeypatch.setattr("stac_client._server_checks.installed_rucios", dict)
    assert not list(_server_checks.installation())
    both = {"rucio": "41.5.1", "rucio-clients": "41.5.1"}
    monkeypatch.setattr("stac_client._server_checks.installed_rucios", lambda: both)
    first = next(examine(lambda: None, "STAC"))
    assert (first.code, first.level) == ("two-rucios", Level.WARNING)
    assert str(first.fix).startswith("pip uninstall rucio rucio-clients ")
