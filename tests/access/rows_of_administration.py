"""RSEs, scopes, accounts and configuration, and what may be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stac_client._source_rse import source_protocol

from .rows import ADMINS, ALL, row
from .world import DISK, SOURCE

if TYPE_CHECKING:
    from .world import Attempt, Cell

ADMINISTRATION = "RSEs, scopes, accounts"
READ = "Read"


def _new_rse(cell: Cell) -> str:
    rse = cell.collection.upper()
    cell.root.add_rse(rse, deterministic=False)
    return rse


@row(ADMINISTRATION, "add an RSE", ADMINS)
def _(cell: Cell) -> Attempt:
    rse = cell.collection.upper()
    return (lambda: cell.client.add_rse(rse), lambda: cell.has_rse(rse))


@row(ADMINISTRATION, "delete an RSE", ADMINS)
def _(cell: Cell) -> Attempt:
    rse = _new_rse(cell)
    return (lambda: cell.client.delete_rse(rse), lambda: not cell.has_rse(rse))


@row(ADMINISTRATION, "open an RSE for writing, or close it", ADMINS)
def _(cell: Cell) -> Attempt:
    rse = _new_rse(cell)
    return (
        lambda: cell.client.update_rse(rse, {"availability_write": False}),
        lambda: not cell.root.get_rse(rse)["availability_write"],
    )


@row(ADMINISTRATION, "give an RSE a protocol", ADMINS)
def _(cell: Cell) -> Attempt:
    rse = _new_rse(cell)
    return (
        lambda: cell.client.add_protocol(rse, source_protocol("https")),
        lambda: bool(cell.root.get_rse(rse)["protocols"]),
    )


@row(ADMINISTRATION, "take a protocol from an RSE", ADMINS)
def _(cell: Cell) -> Attempt:
    rse = _new_rse(cell)
    cell.root.add_protocol(rse, source_protocol("https"))
    return (
        lambda: cell.client.delete_protocols(rse, "https"),
        lambda: not cell.root.get_rse(rse)["protocols"],
    )


@row(ADMINISTRATION, "set an RSE attribute, such as `fts`", ADMINS)
def _(cell: Cell) -> Attempt:
    rse = _new_rse(cell)
    return (
        lambda: cell.client.add_rse_attribute(rse, "fts", "https://fts.example.org"),
        lambda: "fts" in cell.root.list_rse_attributes(rse),
    )


@row(ADMINISTRATION, "set a distance", ADMINS)
def _(cell: Cell) -> Attempt:
    rse = _new_rse(cell)
    return (
        lambda: cell.client.add_distance(SOURCE, rse, {"distance": 1}),
        lambda: bool(cell.root.get_distance(SOURCE, rse)),
    )


@row(ADMINISTRATION, "add a scope", ADMINS)
def _(cell: Cell) -> Attempt:
    scope = f"{cell.collection}-new"
    return (
        lambda: cell.client.add_scope(cell.account, scope),
        lambda: scope in cell.root.list_scopes(),
    )


@row(ADMINISTRATION, "make an account a registrar, be it itself", ADMINS)
def _(cell: Cell) -> Attempt:
    attribute = f"stac_registrar_{cell.collection}"  # else the next cell would be another's
    return (
        lambda: cell.client.add_account_attribute(cell.account, attribute, "true"),
        lambda: (
            attribute
            in [
                found["key"]
                for found in next(iter(cell.root.list_account_attributes(cell.account)))
            ]
        ),
    )


@row(ADMINISTRATION, "set an account's limit, be it its own", ADMINS)
def _(cell: Cell) -> Attempt:
    rse = _new_rse(cell)
    return (
        lambda: cell.client.set_local_account_limit(cell.account, rse, 10),
        lambda: cell.root.get_local_account_limit(cell.account, rse)[rse] == 10,
    )


@row(ADMINISTRATION, "add an account", ("root",))
def _(cell: Cell) -> Attempt:
    account = cell.collection.replace("-", "")
    return (
        lambda: cell.client.add_account(account, "USER", "x@localhost"),
        lambda: account in [found["account"] for found in cell.root.list_accounts()],
    )


@row(ADMINISTRATION, "change Rucio's config table, `[stac]` in it", ADMINS)
def _(cell: Cell) -> Attempt:
    section = cell.collection
    return (
        lambda: cell.client.set_config_option(section, "option", "value"),
        lambda: section in cell.root.get_config(),
    )


@row(READ, "replicas with their URLs, DIDs, content, metadata", ALL)
def _(cell: Cell) -> Attempt:
    did = cell.item_with_asset()
    seen: list[object] = []

    def attempt() -> None:
        seen.extend(cell.client.list_replicas([did], sort="random"))
        seen.append(cell.client.get_did(**did))
        seen.extend(cell.client.list_content(**did))
        seen.append(cell.client.get_metadata(**did))

    return (attempt, lambda: len(seen) == 4 and SOURCE in str(seen[0]))


@row(READ, "RSEs, their attributes, protocols and distances", ALL)
def _(cell: Cell) -> Attempt:
    seen: list[object] = []

    def attempt() -> None:
        seen.append(cell.client.list_rse_attributes(DISK))
        seen.append(cell.client.get_rse(SOURCE)["protocols"])
        seen.append(cell.client.get_distance(SOURCE, DISK))

    return (attempt, lambda: all(seen) and len(seen) == 3)


@row(READ, "other accounts' rules, and who is a registrar", ALL)
def _(cell: Cell) -> Attempt:
    rule = cell.rule(cell.other)
    seen: list[object] = []

    def attempt() -> None:
        seen.append(cell.client.get_replication_rule(rule))
        seen.extend(next(iter(cell.client.list_account_attributes("registrar"))))

    return (attempt, lambda: "stac_registrar" in str(seen))


@row(READ, "requests for transfers", ADMINS)
def _(cell: Cell) -> Attempt:
    seen: list[object] = []
    return (
        lambda: seen.append(list(cell.client.list_requests(SOURCE, DISK, "Q,S,D"))),
        lambda: bool(seen),
    )


@row(READ, "Rucio's config table", ADMINS)
def _(cell: Cell) -> Attempt:
    cell.root.set_config_option(cell.collection, "option", "value")
    seen: list[object] = []
    return (
        lambda: seen.append(cell.client.get_config(section=cell.collection)),
        lambda: bool(seen),
    )
