"""The policy package on a real server with several VOs, of which one has it."""

from __future__ import annotations

import configparser
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from rucio.common.exception import AccessDenied, DataIdentifierNotFound

from stac_policy.algorithms import BY_TYPE
from stac_policy.settings import vos
from tests import site_package
from tests.servers import running_server

from . import multi_vo
from .multi_vo import BASE, DISK, OTHER, OURS, SCOPE, SOURCE_RSE, name_of, replica
from .multi_vo_processes import ask_algorithms, ask_client, ask_decisions, run_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DATASET = f"/{SCOPE}/item"
URLS = {
    "port": "https://data.example.org:8443/a//b/?x=1&y=/",
    "escaped": "https://data.example.org/Panama+Canal,+Panama/a%20b.tif",
    "address": "https://[2001:db8::1]:8443/x",
}
HELD_ALIKE = "https://data.example.org/alike.tif"
HELD_BY_OURS = "https://ours.example.org/x.tif"
HELD_BY_OTHER = "https://other.example.org/x.tif"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[multi_vo.Server]:
    """The running server; what its two VOs hold has the same scope and names."""
    with multi_vo.running_server(tmp_path_factory.mktemp("multi-vo") / "server") as running:
        ours, other = running.client(OURS), running.client(OTHER)
        ours.add_replicas(SOURCE_RSE, [replica(label, url) for label, url in URLS.items()])
        for client, differing in ((ours, HELD_BY_OURS), (other, HELD_BY_OTHER)):
            files = [replica("alike", HELD_ALIKE), replica("differing", differing)]
            client.add_replicas(SOURCE_RSE, files)
            content = [{"scope": SCOPE, "name": name_of("alike")}]
            client.add_dids([{"scope": SCOPE, "name": DATASET, "type": "DATASET"}])
            client.attach_dids_to_dids([{"scope": SCOPE, "name": DATASET, "dids": content}])
        ours.add_replicas(DISK, [replica("source-elsewhere")])
        other.add_replicas(SOURCE_RSE, [replica("source-elsewhere", HELD_BY_OTHER)])
        yield running


# Registration


def test_urls_are_listed_as_they_were_registered(server: multi_vo.Server) -> None:
    """Every URL comes back byte for byte."""
    dids = [{"scope": SCOPE, "name": name_of(label)} for label in URLS]
    listed = list(server.client(OURS, "alice").list_replicas(dids))
    assert {file["name"]: file["rses"] for file in listed} == {
        name_of(label): {SOURCE_RSE: [url]} for label, url in URLS.items()
    }


def test_dids_with_slashes_are_found(server: multi_vo.Server) -> None:
    """Names that begin with a slash can be asked for, which a VO without the package cannot."""
    ours, other = server.client(OURS, "alice"), server.client(OTHER, "alice")
    assert ours.get_did(SCOPE, name_of("alike"))["name"] == name_of("alike")
    assert [did["name"] for did in ours.list_content(SCOPE, DATASET)] == [name_of("alike")]
    with pytest.raises(DataIdentifierNotFound):
        other.get_did(SCOPE, name_of("alike"))


def register(client: Any, label: str) -> Iterator[bool]:
    """Register an asset and its item, one request at a time; True for each that is allowed."""
    item = {"scope": SCOPE, "name": f"/{SCOPE}/{label}"}
    file = replica(label, f"https://data.example.org/{label}.tif")
    attachment = {**item, "dids": [{"scope": SCOPE, "name": file["name"]}]}
    requests: tuple[Callable[[], object], ...] = (
        lambda: client.add_replicas(SOURCE_RSE, [file]),
        lambda: client.add_dids([{**item, "type": "DATASET"}]),
        lambda: client.attach_dids_to_dids([attachment]),
    )
    for send in requests:
        try:
            send()
        except AccessDenied:
            yield False
        else:
            yield True


@pytest.mark.parametrize(
    ("vo", "account", "allowed"),
    [
        (OURS, "registrar", True),
        (OURS, "alice", False),
        (OTHER, "registrar", False),
        (OTHER, "alice", False),
    ],
)
def test_registrars(server: multi_vo.Server, vo: str, account: str, allowed: bool) -> None:
    """An account with the attribute registers in the VO that has the package, and only there."""
    assert list(register(server.client(vo, account), f"by-{account}")) == [allowed] * 3


# Everything else is as on any multi-VO server


@pytest.mark.parametrize("vo", [OURS, OTHER])
def test_vos_are_super_roots(server: multi_vo.Server, vo: str) -> None:
    """The root of a VO may neither see nor change VOs, which generic permissions would allow."""
    root = server.client(vo)
    identity = {"identity": "mallory", "authtype": "userpass", "email": "", "password": "x"}
    refused = [
        multi_vo.refusal_of(root, "GET", "/vos/"),
        multi_vo.refusal_of(root, "PUT", f"/vos/{OTHER}", email="mallory@localhost"),
        multi_vo.refusal_of(root, "POST", f"/vos/{OTHER}/recover", **identity),
        multi_vo.add_vo(root, "new"),
    ]
    assert refused == ["AccessDenied"] * 4
    assert multi_vo.refusal_of(server.client(BASE), "GET", "/vos/") is None


@pytest.mark.parametrize("vo", [OURS, OTHER])
def test_rules_are_seen_in_their_vo_alone(server: multi_vo.Server, vo: str) -> None:
    """A user sees a rule of the own VO, which generic permissions would refuse."""
    alice = server.client(vo, "alice")
    (rule,) = alice.add_replication_rule([{"scope": SCOPE, "name": DATASET}], 1, DISK)
    assert alice.get_replication_rule(rule)["account"] == "alice"
    elsewhere = server.client(OURS if vo == OTHER else OTHER)
    with pytest.raises(AccessDenied):
        elsewhere.get_replication_rule(rule)


@pytest.mark.parametrize("vo", [OURS, OTHER])
def test_admins_export_the_rses_of_their_vo(server: multi_vo.Server, vo: str) -> None:
    """An account with the attribute `admin` exports them; generic permissions would refuse it."""
    exported = server.client(vo, "manager").export_data()
    assert {rse["vo"] for rse in exported["rses"].values()} == {vo}


def test_all_other_decisions_are_the_same(server: multi_vo.Server, tmp_path: Path) -> None:
    """Of whatever is not STAC's, both VOs decide alike, for every action and kind of account."""
    decisions = ask_decisions(server, tmp_path)
    assert decisions["ours"] == decisions["other"]
    differing = {
        asked
        for asked in decisions["ours"]
        if decisions["ours"][asked] != decisions["single"][asked]
    }
    assert {"root add_vo", "root list_vos", "manager export"} < differing
    assert {True, False} < set(decisions["ours"].values())


# Algorithms


def names_of(*prefixes: Any) -> dict[Any, Any]:
    """The names of all algorithms, with VOs as their prefixes."""
    return {
        kind: sorted(f"{vo}_{name}" for vo in prefixes for name in algorithms)
        for kind, algorithms in BY_TYPE.items()
    }


@pytest.fixture(scope="module")
def alone(server: multi_vo.Server, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a server process says in which one VO has the package."""
    return ask_algorithms(server, tmp_path_factory.mktemp("alone"), multi_vo.POLICY)


def is_ours(answer: Any) -> Any:
    """Tell whether all defaults of a VO are ours."""
    return answer["scope"] == [SCOPE, DATASET] and answer["pfns"]["port"] == URLS["port"]


def test_the_defaults_of_a_vo(alone: Any) -> None:
    """The VO that has the package gets our algorithms and permissions, the other one Rucio's."""
    assert alone["wrong"] == []
    assert is_ours(alone[OURS])
    assert alone[OURS]["registrar"]
    assert alone[OURS]["permission"] == "stac_policy.permission"
    assert alone[OTHER] == {
        "scope": ["c/item", "c/item"],
        "registrar": False,
        "permission": "rucio.core.permission.generic_multi_vo",
        "regexp": "/(.*)/(.*)",
        "pfns": {label: f"/a/a.b/{name_of(label)}" for label in alone[OURS]["pfns"]},
    }


def test_names_begin_with_the_vos(alone: Any) -> None:
    """Rucio has registered every algorithm, by a name that begins with that of the VO."""
    assert alone["named"] == names_of(OURS)


def test_the_path_of_an_asset_is_its_url(alone: Any) -> None:
    """The URL is that of the VO, though Rucio does not name it; no other VO's is ever given."""
    pfns = alone[OURS]["pfns"]
    assert alone["first"] == pfns["port"] == URLS["port"]
    assert pfns["alike"] == HELD_ALIKE
    for label in ("differing", "source-elsewhere"):
        assert pfns[label].startswith("ReplicaNotFound")
        assert "or VOs that have it differ" in pfns[label]
        assert "example.org" not in pfns[label]


def test_vos_that_share_the_package(server: multi_vo.Server, tmp_path: Path) -> None:
    """Two VOs with the package have its defaults and no names, of which Rucio would refuse some."""
    policy = {f"package-{vo}": "stac_policy" for vo in (OURS, OTHER)}
    shared = ask_algorithms(server, tmp_path, policy)
    assert shared["wrong"] == []
    assert shared["named"] == {}
    assert is_ours(shared[OURS])
    assert shared[OTHER] == shared[OURS]


@pytest.fixture
def met_cfg(server: multi_vo.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rucio.cfg in which the other VO has a site's own package, which Python finds."""
    monkeypatch.setenv("PYTHONPATH", str(site_package.FOLDER))
    policy = {**multi_vo.POLICY, f"package-{OTHER}": site_package.PACKAGE}
    return server.write_cfg(tmp_path / "met.cfg", policy=policy)


def test_a_site_with_rules_of_its_own(
    server: multi_vo.Server, met_cfg: Path, tmp_path: Path
) -> None:
    """Its rules, those of registrars and those of a VO hold together, and each VO has its own."""
    with running_server(tmp_path, met_cfg, site_package.FOLDER) as url:
        client = partial(server.client, OTHER, url=url)
        site_package.check(client, SCOPE, SOURCE_RSE, DISK)
        root = client("root")
        assert multi_vo.refusal_of(root, "GET", "/vos/") == "AccessDenied"
        server.client(OURS, url=url).add_dataset(SCOPE, "RUN-1")
        with pytest.raises(AccessDenied):
            server.client(OURS, "alice", url=url).add_scope("alice", "met-forecast")


def test_algorithms_of_a_site(server: multi_vo.Server, met_cfg: Path, tmp_path: Path) -> None:
    """It has our defaults, and our algorithms beside its own by names that begin with its VO's."""
    policy = {**multi_vo.POLICY, f"package-{OTHER}": site_package.PACKAGE}
    answer = ask_algorithms(server, tmp_path, policy)
    assert answer["wrong"] == []
    assert answer["named"] == names_of(OURS, OTHER)
    assert answer[OTHER].pop("permission") == f"{site_package.PACKAGE}.permission"
    assert answer[OURS].pop("permission") == "stac_policy.permission"
    assert answer[OTHER] == answer[OURS]
    assert is_ours(answer[OTHER])
    code, found = run_module(met_cfg)
    assert code == 0
    assert {f"permission of VO {vo}" for vo in (OURS, OTHER)} < {each["what"] for each in found}


@pytest.mark.parametrize(
    "odd",
    [
        ("permission", "def has_permission(*_, **__): return False", "permission"),
        ("schema", "SCOPE_NAME_REGEXP = '/(.*)/(.*)'", "schema"),
        ("schema", site_package.NO_SLASHES, "schema"),
        ("scope", "def scope(did, scopes): return 'met', did", "default scope"),
        ("non_deterministic_pfn", "", "default non_deterministic_pfn"),
    ],
)
def test_a_site_that_forgets_a_line(
    server: multi_vo.Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    odd: tuple[str, str, str],
) -> None:
    """The self-check names the part of a site's package that does not ask ours."""
    module, text, wrong = odd
    package = tmp_path / "odd_policy"
    shutil.copytree(site_package.FOLDER / site_package.PACKAGE, package)
    (package / f"{module}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    cfg = server.write_cfg(tmp_path / "odd.cfg", policy={f"package-{OTHER}": package.name})
    code, found = run_module(cfg)
    assert code == 1
    assert [each["what"] for each in found if not each["ok"]] == [f"{wrong} of VO {OTHER}"]


@pytest.mark.parametrize(
    ("options", "variables", "expected"),
    [
        ({"package-eoc": "stac_policy", "package-met": "other"}, {}, ("eoc",)),
        ({"package-eoc": "stac_policy"}, {"RUCIO_POLICY_PACKAGE_EOC": "other"}, ()),
        (None, {"RUCIO_POLICY_PACKAGE_EOC": "stac_policy"}, ("eoc",)),
        (None, {}, ()),
    ],
)
def test_the_environment_names_packages_too(
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any] | None,
    variables: dict[Any, Any],
    expected: tuple[Any, ...],
) -> None:
    """As Rucio does, we prefer its environment variables to `[policy]`, which may be missing."""
    parser = configparser.ConfigParser()
    parser.read_dict({"common": {"multi_vo": "True"}, "client": {}})
    if options is not None:
        parser.read_dict({"policy": options})
    monkeypatch.setattr("rucio.common.config.get_config", lambda: parser)
    for variable, package in variables.items():
        monkeypatch.setenv(variable, package)
    assert vos.__wrapped__() == expected


# What an operator and a user see


def test_python_m_stac_policy(server: multi_vo.Server) -> None:
    """The command finds everything in its place, and says for which VO."""
    code, found = run_module(server.layout.server_cfg)
    assert code == 0
    assert found[0]["found"].endswith(f"for VO {OURS}")
    whats = {finding["what"] for finding in found if finding["ok"]}
    names = {f"{kind} {name}" for kind, names in names_of(OURS).items() for name in names}
    assert names | {f"default scope of VO {OURS}"} < whats


def test_python_m_stac_policy_misses_the_vo(server: multi_vo.Server, tmp_path: Path) -> None:
    """It tells if a server with several VOs has the package as one with a single VO has it."""
    rucio_cfg = server.write_cfg(tmp_path / "rucio.cfg", policy={"package": "stac_policy"})
    code, found = run_module(rucio_cfg)
    assert code == 1
    assert not found[0]["ok"]
    assert "package-VO = stac_policy" in found[0]["found"]


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"policy": {"package": "stac_policy"}}, {"names": ["stac"], "wrong": []}),
        (
            {
                "common": {"multi_vo": "True"},
                "policy": {"package": "stac_policy", "package-eoc": "stac_policy"},
            },
            {"names": ["eoc_stac"], "wrong": []},
        ),
        (
            {
                "common": {"multi_vo": "True", "extract_scope": "eoc_stac"},
                "policy": {"package-eoc": "stac_policy"},
            },
            # For defaults Rucio's clients look at `package` alone.
            {"names": ["eoc_stac"], "wrong": ["default non_deterministic_pfn", "default scope"]},
        ),
    ],
    ids=["one VO", "several VOs", "several VOs, by name"],
)
def test_clients_of_a_vo(
    server: multi_vo.Server, tmp_path: Path, sections: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A client of the VO finds an item however its rucio.cfg names the package."""
    answer = ask_client(server, tmp_path, sections)
    assert answer == {"is_client": True, "vo": OURS, "did": DATASET, **expected}
