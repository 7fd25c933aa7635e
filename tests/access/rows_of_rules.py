"""Replication rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .rows import ADMINS, ALL, row
from .world import DISK, SOURCE

if TYPE_CHECKING:
    from .world import Attempt, Cell

RULES = "Rules"


def _add(cell: Cell, rse: str = DISK, **options: Any) -> Attempt:
    did = cell.item_with_asset()
    return (
        lambda: cell.client.add_replication_rule([did], 1, rse, **options),
        lambda: bool(cell.rules(did)),
    )


@row(RULES, "make one of its own over an item, within its limit", ALL)
def _(cell: Cell) -> Attempt:
    return _add(cell)


@row(RULES, "make one in another account's name", ADMINS)
def _(cell: Cell) -> Attempt:
    return _add(cell, account=cell.other)


@row(RULES, "make a locked one", ADMINS)
def _(cell: Cell) -> Attempt:
    return _add(cell, locked=True)


@row(RULES, "make one that targets the source RSE", (), blocked=ALL)
def _(cell: Cell) -> Attempt:
    return _add(cell, SOURCE)


@row(RULES, "approve one, be it its own", ADMINS)
def _(cell: Cell) -> Attempt:
    rule = cell.rule(cell.account, ask_approval=True)
    return (
        lambda: cell.client.approve_replication_rule(rule),
        lambda: cell.root.get_replication_rule(rule)["state"] != "WAITING_APPROVAL",
    )


def _expire(cell: Cell, owner: str) -> Attempt:
    rule = cell.rule(owner)
    return (
        lambda: cell.client.update_replication_rule(rule, {"lifetime": 86_400}),
        lambda: cell.root.get_replication_rule(rule)["expires_at"] is not None,
    )


def _delete(cell: Cell, owner: str) -> Attempt:
    rule = cell.rule(owner)

    def is_to_go() -> bool:
        return cell.root.get_replication_rule(rule)["expires_at"] is not None

    # Rucio deletes a rule an hour later.
    return (lambda: cell.client.delete_replication_rule(rule), is_to_go)


@row(RULES, "delete its own", ADMINS)
def _(cell: Cell) -> Attempt:
    return _delete(cell, cell.account)


@row(RULES, "delete another account's", ADMINS)
def _(cell: Cell) -> Attempt:
    return _delete(cell, cell.other)


@row(RULES, "change the lifetime of its own", ADMINS)
def _(cell: Cell) -> Attempt:
    return _expire(cell, cell.account)


@row(RULES, "change the lifetime of another account's", ADMINS)
def _(cell: Cell) -> Attempt:
    return _expire(cell, cell.other)
