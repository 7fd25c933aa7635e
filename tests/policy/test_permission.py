"""What registrars get: each action with each field that Rucio takes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rucio.db.sqla.constants import DIDType

from stac_policy import dids, permission
from stac_policy.dids import Known
from stac_policy.naming import asset_name, collection_name, item_name
from stac_policy.permission import has_permission

from .support import configured

with configured():  # Rucio looks for its configuration when this is imported
    from rucio.common.schema import generic

SCOPE = "c"
COLLECTION, ITEM, ASSET = "/c", "/c/i", "/c/i/k.tif"
SOURCE = "0123"  # id of the source RSE
# What `rucio.gateway.did` looks for in DIDs, besides the fields of the schema.
UNCHECKED = {"account", "content", "dids", "lifetime", "monotonic", "rse", "rse_id", "statuses"}
FIELDS = sorted({*generic.DID["properties"], *generic.COLLECTION["properties"], *UNCHECKED})


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, _no_rucio_cfg: None) -> list[Any]:
    """Let everybody be a registrar; gives the RSEs about which the database was asked."""
    rses = []

    def has_source_protocol(rse_id: Any, _session: Any) -> Any:
        rses.append(rse_id)
        return rse_id == SOURCE

    monkeypatch.setattr(permission, "is_registrar", lambda *_: True)
    monkeypatch.setattr(permission, "_SOURCE_RSES", Known(has_source_protocol))
    return rses


def did(name: str, scope: str = SCOPE, **fields: Any) -> dict[Any, Any]:
    """A DID with fields."""
    return {"scope": scope, "name": name, **fields}


def allowed(action: Any, **kwargs: Any) -> bool | None:
    """What is allowed because of what is asked for."""
    return has_permission("registrar", action, kwargs, session=None)


@pytest.mark.parametrize("action", ["add_replicas", "delete_replicas", "skip_availability_check"])
def test_source_rses(action: str, asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done at a source RSE is allowed; which RSEs are, is known for a while."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for _ in range(3):
        assert allowed(action, rse="STAC", rse_id=SOURCE) is True
        assert allowed(action, rse="DISK", rse_id="4567") is None
        assert allowed(action, rse="NONE", rse_id=None) is None
        assert allowed(action, rse="NONE") is None
    assert asked == [SOURCE, "4567"]
    now[0] = dids._KNOWN_S
    assert allowed(action, rse="STAC", rse_id=SOURCE) is True
    assert asked == [SOURCE, "4567", SOURCE]


@pytest.mark.parametrize(
    ("name", "kind", "may"),
    [
        (COLLECTION, "CONTAINER", True),
        (ITEM, "DATASET", True),
        (ASSET, "FILE", True),
        (ASSET, DIDType.FILE, True),  # of `add_replicas`
        ("x.root", DIDType.FILE, None),
        (COLLECTION, "DATASET", None),
        (ITEM, "CONTAINER", None),
        (ITEM, "FILE", None),
        (ASSET, "DATASET", None),
        (ASSET, "F", None),
        (ITEM, None, None),
        ("selection", "DATASET", None),
        ("/d/i", "DATASET", None),
        ("/c/i/k/x", "FILE", None),
    ],
)
def test_new_dids(name: str, kind: Any, may: bool | None) -> None:
    """A collection may become a container, an item a dataset, an asset a file, and no other."""
    assert allowed("add_dids", dids=[did(name, type=kind)]) is may
    both = [did(ITEM, type="DATASET"), did(name, type=kind)]
    assert allowed("add_dids", dids=both) is may


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("name", "kind"), [(ITEM, "DATASET"), (ASSET, "FILE")])
def test_fields_of_new_dids(name: str, kind: str, field: Any) -> None:
    """New DIDs have the fields that registration needs; no owner, lifetime, rule, or content."""
    given = {field: 0} | did(name, type=kind)
    assert (allowed("add_dids", dids=[given]) is True) is (field in {"scope", "name", "type"})
    assert allowed("add_dids", dids=[{field: None} | did(name, type=kind)]) is True


@pytest.mark.parametrize("field", FIELDS)
def test_fields_of_attachments(field: Any) -> None:
    """An attachment has a DID and content, whose DIDs have no fields; above all no `rse`."""
    content = [did(ASSET)]
    parent = {field: 0} | did(ITEM, dids=content)
    assert (allowed("attach_dids_to_dids", attachments=[parent]) is True) is (
        field in {"scope", "name", "dids"}
    )
    child = {field: 0} | did(ASSET)
    assert (
        allowed("attach_dids_to_dids", attachments=[did(ITEM, dids=[did(ASSET), child])]) is True
    ) is (field in {"scope", "name"})
    assert set(generic.ATTACHMENT["properties"]) == {"scope", "name", "rse", "dids"}


@pytest.mark.parametrize(
    ("parent", "child", "may"),
    [
        (did(ITEM), did(ASSET), True),
        (did(COLLECTION), did(ITEM), True),
        (did(ITEM), did("/d/i/k.tif", "d"), True),
        (did(ITEM), did("x.root"), None),
        (did(ITEM), did("x.root", "user.alice"), None),
        (did(ITEM), did(ASSET, "user.alice"), None),
        (did(ITEM), did("/user.alice/i/k", "user.alice"), None),
        (did(COLLECTION), did(ASSET), None),
        (did(ITEM), did(ITEM), None),
        (did(ASSET), did("/c/i/k/x"), None),  # an archive and what is in it
        (did("/c/i/k.zip"), did(ASSET), None),
        (did("selection"), did(ASSET), None),
        (did(ITEM, "user.alice"), did(ASSET), None),
    ],
)
def test_content(parent: dict[Any, Any], child: dict[Any, Any], may: bool | None) -> None:
    """A collection holds items and an item assets, all of them STAC's."""
    good = did(ITEM, dids=[did(ASSET)])
    for attachments in ([{**parent, "dids": [child]}], [good, {**parent, "dids": [child]}]):
        assert allowed("attach_dids_to_dids", attachments=attachments) is may


@pytest.mark.parametrize(
    ("meta", "may"),
    [
        ({"stac_item": "i", "stac_bbox": [0, 1, 2, 3]}, True),
        ({"sha256": "00"}, True),
        *[({"stac_item": "i", key: 0}, None) for key in ("lifetime", "expired_at", "eol_at")],
        *[({key: "x"}, None) for key in ("project", "guid", "events", "hidden", "bytes", "STAC_")],
    ],
)
def test_metadata(meta: Any, may: Any) -> None:
    """Metadata are STAC's own; with `lifetime` a DID would end, and the rules over it."""
    for name in (COLLECTION, ITEM, ASSET):
        entry = {**did(name), "issuer": "registrar", "meta": meta}
        assert allowed("set_metadata_bulk", **entry) is may
        assert allowed("set_metadata_bulk", **entry, recursive=True) is None
    assert allowed("set_metadata_bulk", **did("x.root"), meta=meta, issuer="registrar") is None
    for key, value in meta.items():
        assert allowed("set_metadata", **did(ITEM), key=key, value=value) is None


@pytest.mark.parametrize(
    ("action", "kwargs"),
    [
        ("add_dids", {}),
        ("add_dids", {"dids": []}),
        ("add_dids", {"dids": [did(ITEM)]}),
        ("add_dids", {"dids": [{}]}),
        ("attach_dids_to_dids", {}),
        ("attach_dids_to_dids", {"attachments": []}),
        ("attach_dids_to_dids", {"attachments": [did(ITEM)]}),
        ("attach_dids_to_dids", {"attachments": [did(ITEM, dids=[])]}),
        ("set_metadata_bulk", did(ITEM)),
        ("set_metadata_bulk", did(ITEM, meta=None)),
        ("set_metadata_bulk", did(ITEM, meta=[["lifetime", 0]])),
        ("set_metadata_bulk", {"meta": {}}),
    ],
)
def test_incomplete(action: str, kwargs: dict[Any, Any]) -> None:
    """What lacks something is for Rucio to decide."""
    assert allowed(action, **kwargs) is None


@pytest.mark.parametrize("scope", ["user.alice", "group.phys", "User.alice", "user.a2345678901234"])
def test_scopes_of_accounts(scope: str) -> None:
    """The scope of an account counts only where `[stac] scopes` names it."""
    names = [f"/{scope}", f"/{scope}/i", f"/{scope}/i/k.tif"]
    kinds = ["CONTAINER", "DATASET", "FILE"]
    dids = [did(name, scope, type=kind) for name, kind in zip(names, kinds)]
    for each in dids:
        assert allowed("add_dids", dids=[each]) is None
    with configured(scopes=scope):
        assert allowed("add_dids", dids=dids) is True
        own = [collection_name("c"), item_name("c", "i"), asset_name("c", "i", "k", None)]
        dids = [did(name, scope, type=kind) for name, kind in zip(own, kinds)]
        assert allowed("add_dids", dids=dids) is True


@pytest.mark.parametrize(
    "action", ["add_did", "attach_dids", "detach_dids", "set_metadata", "set_status", "add_rule"]
)
def test_other_actions(action: str) -> None:
    """Every other action is for Rucio to decide, whatever it is about."""
    assert allowed(action, **did(ITEM, type="DATASET", dids=[did(ASSET)], rse_id=SOURCE)) is None


def test_registrars_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other policy packages can ask for the registrar's permissions alone, with several VOs too."""
    monkeypatch.setattr(permission, "vos", lambda: ("eoc",))
    for name, may in ((ITEM, True), ("x.root", None)):
        kwargs = {"dids": [did(name, type="DATASET")]}
        assert permission.may_register("registrar", "add_dids", kwargs, session=None) is may


def test_who_is_no_registrar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this is allowed to other accounts, and foreign names are not looked up at all."""
    registrars = []
    monkeypatch.setattr(permission, "is_registrar", lambda account, _: registrars.append(account))
    assert allowed("add_dids", dids=[did(ITEM, type="DATASET")]) is None
    assert registrars == ["registrar"]
    assert allowed("add_dids", dids=[did("x.root", type="DATASET")]) is None
    assert registrars == ["registrar"]
