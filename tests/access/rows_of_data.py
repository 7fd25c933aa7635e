"""Registration, datasets, metadata and deletion."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rucio.common.exception import InvalidMetadata

from .rows import ADMINS, ALL, REGISTRARS, row
from .world import DISK, SOURCE, did_of

if TYPE_CHECKING:
    from .world import Attempt, Cell, File

REGISTER = "Register files at the source RSE"
STORAGE = "Files at a storage"
DATASETS = "Datasets, containers and metadata"
DELETE = "Take replicas out"


def _add(cell: Cell, file: File, rse: str = SOURCE) -> Attempt:
    return (lambda: cell.client.add_replicas(rse, [file]), lambda: cell.has_replica(rse, file))


@row(REGISTER, "an asset, in the scope of its collection", REGISTRARS)
def _(cell: Cell) -> Attempt:
    return _add(cell, cell.file())


@row(REGISTER, "any name, in the account's own scope `user.ACCOUNT`", REGISTRARS)
def _(cell: Cell) -> Attempt:
    return _add(cell, cell.file(f"user.{cell.account}", f"{cell.collection}.root"))


@row(REGISTER, "an asset's name, in another account's scope", ADMINS, before_41=REGISTRARS)
def _(cell: Cell) -> Attempt:
    return _add(cell, cell.file(f"user.{cell.other}"))


@row(REGISTER, "a name that is not STAC's, in a collection's scope", ADMINS, before_41=REGISTRARS)
def _(cell: Cell) -> Attempt:
    return _add(cell, cell.file(name=f"{cell.collection}.root"))


@row(REGISTER, "a replica of a file that exists, whosoever and whatever it is", REGISTRARS)
def _(cell: Cell) -> Attempt:
    file = cell.file(f"user.{cell.other}", f"{cell.collection}.root")
    cell.root.add_replicas(DISK, [{key: file[key] for key in file if key != "pfn"}])
    return _add(cell, file)


@row(REGISTER, "a signed URL", (), blocked=REGISTRARS)
def _(cell: Cell) -> Attempt:
    return _add(cell, cell.file(query="?sig=0123abcd"))


@row(STORAGE, "register a replica there", ADMINS)
def _(cell: Cell) -> Attempt:
    return _add(cell, {key: value for key, value in cell.file().items() if key != "pfn"}, DISK)


def _attach_at_disk(cell: Cell, did: dict[str, str]) -> Attempt:
    file = {key: value for key, value in cell.file().items() if key != "pfn"}
    content = {key: file[key] for key in ("scope", "name", "bytes", "adler32")}
    return (
        lambda: cell.client.attach_dids_to_dids([{**did, "rse": DISK, "dids": [content]}]),
        lambda: cell.has_replica(DISK, file),
    )


@row(STORAGE, "attach a new file to an item's dataset with an `rse`, so that it has one", ADMINS)
def _(cell: Cell) -> Attempt:
    return _attach_at_disk(cell, cell.dataset())


# So it is in stock Rucio: for the scope of a dataset, content may have any name.
@row(STORAGE, "attach a new file to a dataset in the account's own scope with an `rse`", ALL)
def _(cell: Cell) -> Attempt:
    return _attach_at_disk(cell, cell.dataset(f"user.{cell.account}", f"{cell.collection}.set"))


@row(STORAGE, "delete a replica there by request", ())
def _(cell: Cell) -> Attempt:
    file = cell.file()
    cell.root.add_replicas(DISK, [{key: file[key] for key in file if key != "pfn"}])
    return (
        lambda: cell.client.delete_replicas(DISK, [did_of(file)]),
        lambda: not cell.has_replica(DISK, file),
    )


@row(DELETE, "delete an asset's replica at the source RSE", ("registrar",))
def _(cell: Cell) -> Attempt:
    file = cell.registered()
    return (
        lambda: cell.client.delete_replicas(SOURCE, [did_of(file)]),
        lambda: not cell.has_replica(SOURCE, file),
    )


@row(DELETE, "delete the replica of a file that is not STAC's, at the source RSE", ("registrar",))
def _(cell: Cell) -> Attempt:
    file = cell.file(f"user.{cell.other}", f"{cell.collection}.root")
    cell.root.add_replicas(SOURCE, [file])
    return (
        lambda: cell.client.delete_replicas(SOURCE, [did_of(file)]),
        lambda: not cell.has_replica(SOURCE, file),
    )


@row(DELETE, "declare a replica at the source RSE bad", ("root",))
def _(cell: Cell) -> Attempt:
    file = cell.registered()

    def is_bad() -> bool:
        found = cell.root.list_replicas([did_of(file)], all_states=True, sort="random")
        return any("BAD" in replica["states"].values() for replica in found)

    bad = [{**did_of(file), "rse": SOURCE}]
    return (lambda: cell.client.declare_bad_file_replicas(bad, "test"), is_bad)


@row(DATASETS, "make an item's dataset, or a collection's container", REGISTRARS)
def _(cell: Cell) -> Attempt:
    dids = [
        {"scope": cell.collection, "name": f"/{cell.collection}", "type": "CONTAINER"},
        {"scope": cell.collection, "name": cell.item, "type": "DATASET"},
    ]
    return (lambda: cell.client.add_dids(dids), lambda: all(map(cell.has_did, dids)))


def _add_dataset(cell: Cell, **fields: Any) -> Attempt:
    did = {"scope": cell.collection, "name": cell.item}
    return (
        lambda: cell.client.add_dids([{**did, "type": "DATASET", **fields}]),
        lambda: cell.has_did(did),
    )


@row(DATASETS, "make an item's dataset with a lifetime", ADMINS)
def _(cell: Cell) -> Attempt:
    return _add_dataset(cell, lifetime=3600)


@row(DATASETS, "make an item's dataset in another account's name", ADMINS)
def _(cell: Cell) -> Attempt:
    return _add_dataset(cell, account=cell.other)


@row(DATASETS, "make an item's dataset together with its content", ADMINS)
def _(cell: Cell) -> Attempt:
    return _add_dataset(cell, dids=[did_of(cell.registered())])


@row(DATASETS, "make the dataset of an item whose collection is called `user.ACCOUNT`", ADMINS)
def _(cell: Cell) -> Attempt:
    did = {"scope": f"user.{cell.other}", "name": f"/user.{cell.other}/{cell.collection}"}
    return (
        lambda: cell.client.add_dids([{**did, "type": "DATASET"}]),
        lambda: cell.has_did(did),
    )


def _with_rule(cell: Cell) -> tuple[dict[str, str], list[dict[str, Any]]]:
    rule = {"account": cell.other, "copies": 1, "rse_expression": DISK}
    return {"scope": cell.collection, "name": cell.item}, [rule]


@row(DATASETS, "make an item's dataset together with another account's rule", ADMINS)
def _(cell: Cell) -> Attempt:
    did, rules = _with_rule(cell)
    return (lambda: cell.client.add_dataset(**did, rules=rules), lambda: cell.has_did(did))


# Rucio lets administrators ask, and then fails itself.
@row(DATASETS, "make several datasets together with another account's rules", (), blocked=ADMINS)
def _(cell: Cell) -> Attempt:
    did, rules = _with_rule(cell)
    new = {**did, "type": "DATASET", "rules": rules}
    return (lambda: cell.client.add_dids([new]), lambda: cell.has_did(did))


@row(DATASETS, "make a dataset of any other name in a collection's scope", ADMINS)
def _(cell: Cell) -> Attempt:
    did = {"scope": cell.collection, "name": "my-selection"}
    return (
        lambda: cell.client.add_dids([{**did, "type": "DATASET"}]),
        lambda: cell.has_did(did),
    )


@row(DATASETS, "make a dataset in the account's own scope, and attach assets to it", ALL)
def _(cell: Cell) -> Attempt:
    file = cell.registered()
    did = {"scope": f"user.{cell.account}", "name": cell.collection}

    def attempt() -> None:
        cell.client.add_dataset(**did)
        cell.client.attach_dids(**did, dids=[did_of(file)])

    return (attempt, lambda: cell.content(did) == [file["name"]])


@row(DATASETS, "attach an asset to its item's dataset", REGISTRARS)
def _(cell: Cell) -> Attempt:
    file, did = cell.registered(), cell.dataset()
    return (
        lambda: cell.client.attach_dids_to_dids([{**did, "dids": [did_of(file)]}]),
        lambda: cell.content(did) == [file["name"]],
    )


@row(DATASETS, "attach another account's file to an item's dataset", ADMINS)
def _(cell: Cell) -> Attempt:
    file, did = cell.file(f"user.{cell.other}", f"{cell.collection}.root"), cell.dataset()
    cell.root.add_replicas(DISK, [{key: file[key] for key in file if key != "pfn"}])
    return (
        lambda: cell.client.attach_dids_to_dids([{**did, "dids": [did_of(file)]}]),
        lambda: cell.content(did) == [file["name"]],
    )


@row(DATASETS, "attach an asset to another account's dataset", ADMINS)
def _(cell: Cell) -> Attempt:
    file, did = cell.registered(), cell.dataset(f"user.{cell.other}", f"{cell.collection}.set")
    return (
        lambda: cell.client.attach_dids_to_dids([{**did, "dids": [did_of(file)]}]),
        lambda: cell.content(did) == [file["name"]],
    )


@row(DATASETS, "detach an asset from its item's dataset", ADMINS)
def _(cell: Cell) -> Attempt:
    did = cell.item_with_asset()
    dids = [{"scope": cell.collection, "name": f"{cell.item}/red.tif"}]
    return (lambda: cell.client.detach_dids(**did, dids=dids), lambda: not cell.content(did))


@row(DATASETS, "close an item's dataset", ADMINS)
def _(cell: Cell) -> Attempt:
    did = cell.dataset()
    return (lambda: cell.client.close(**did), lambda: cell.root.get_did(**did)["open"] is False)


def _write(cell: Cell, key: str, value: object) -> Attempt:
    did = cell.dataset()
    before = cell.root.get_metadata(**did)
    entry = {**did, "meta": {key: value}}
    return (
        lambda: cell.client.set_dids_metadata_bulk([entry]),
        lambda: cell.root.get_metadata(**did) != before,
    )


@row(
    DATASETS,
    "write STAC's metadata of an item's dataset (`stac_…`, several in a request)",
    REGISTRARS,
)
def _(cell: Cell) -> Attempt:
    attempt, _ = _write(cell, "stac_item", "item")
    taken: list[bool] = []

    def attempt_it() -> None:
        # Permitted or not, SQLite has no plugin for it (rucio.core.did_meta_plugins).
        with suppress(InvalidMetadata):
            attempt()
        taken.append(True)

    return (attempt_it, lambda: bool(taken))


@row(DATASETS, "write other metadata of an item's dataset", ADMINS)
def _(cell: Cell) -> Attempt:
    return _write(cell, "project", "test")


@row(DATASETS, "end an item's dataset, and all rules over it, by the metadatum `lifetime`", ADMINS)
def _(cell: Cell) -> Attempt:
    return _write(cell, "lifetime", 3600)


@row(DATASETS, "write a single metadatum of an item's dataset", ADMINS)
def _(cell: Cell) -> Attempt:
    did = cell.dataset()
    return (
        lambda: cell.client.set_metadata(**did, key="project", value="test"),
        lambda: cell.root.get_metadata(**did)["project"] == "test",
    )
