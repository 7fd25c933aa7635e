"""How far rules have come: by rule, item and RSE, with the reason for every file that is stuck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stac_client.errors import rucio_errors
from stac_client.requests_in_bulk import grouped
from stac_policy.naming import DID, split_name, unescape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rucio.client import Client

    from .rules import Rule

_ITEM_PARTS = 2


@dataclass(frozen=True)
class StuckFile:
    """A file that a rule could not bring to an RSE so far."""

    did: DID
    rse: str
    attempts: int
    """How often its transfer was tried."""
    reason: str
    """What Rucio or FTS said."""


@dataclass(frozen=True)
class ItemStatus:
    """How much of an item a rule has brought to an RSE."""

    rule_id: str
    rule_state: str
    """OK, REPLICATING, STUCK, SUSPENDED, WAITING_APPROVAL or INJECT."""
    collection: str
    item: str
    """Ids of collection and item; as they are in names where they can not be read back."""
    rse: str
    ok: int
    """Files that are there."""
    replicating: int
    """Files that are on their way."""
    stuck: tuple[StuckFile, ...]


def item_status(client: Client, rules: Iterable[Rule]) -> list[ItemStatus]:
    """Ask Rucio how far rules have come, with two requests for each rule, three if it is stuck.

    Raises:
        StacRucioError: A rule has gone, or Rucio can not be reached.
    """
    rows = []
    for rule in rules:
        with rucio_errors(f"asking for the state of rule {rule.id}"):
            state = client.get_replication_rule(rule.id)
            locks = list(client.list_replica_locks(rule.id))
            stuck = _stuck_files(client, state) if state["state"] == "STUCK" else {}
        for (item, rse), of_item in grouped(locks, _item_and_rse).items():
            states = [lock["state"] for lock in of_item]
            rows.append(
                ItemStatus(
                    rule_id=rule.id,
                    rule_state=state["state"],
                    collection=item[0],
                    item=item[1],
                    rse=rse,
                    ok=states.count("OK"),
                    replicating=states.count("REPLICATING"),
                    stuck=tuple(_stuck_file(lock, stuck) for lock in of_item if _is_stuck(lock)),
                )
            )
    return rows


def _item_and_rse(lock: dict[str, Any]) -> tuple[tuple[str, str], str]:
    parts = split_name(lock["name"])
    if len(parts) < _ITEM_PARTS:
        return (lock["scope"], lock["name"]), lock["rse"]  # a rule over other files too
    return (readable(parts[0]), readable(parts[1])), lock["rse"]


def readable(part: str) -> str:
    """Give the id that a part of a name stands for, or the part where it was shortened."""
    try:
        return unescape(part)
    except ValueError:  # shortened: only the catalogue knows the original
        return part


def _is_stuck(lock: dict[str, Any]) -> bool:
    return bool(lock["state"] == "STUCK")


def _stuck_files(client: Client, rule: dict[str, Any]) -> dict[tuple[str, str, str], StuckFile]:
    examined = client.examine_replication_rule(rule["id"])
    files = {}
    for transfer in examined["transfers"]:
        did = DID(transfer["scope"], transfer["name"])
        last = str(transfer["last_error"]).rpartition(".")[2]
        source = f" from {transfer['last_source']}" if transfer["last_source"] else ""
        files[(*did, transfer["rse"])] = StuckFile(
            did=did,
            rse=transfer["rse"],
            attempts=transfer["attempts"],
            reason=f"{rule['error'] or 'no reason given'} (last transfer{source}: {last})",
        )
    return files


def _stuck_file(lock: dict[str, Any], known: dict[tuple[str, str, str], StuckFile]) -> StuckFile:
    did = DID(lock["scope"], lock["name"])
    unknown = StuckFile(did, lock["rse"], 0, "it became stuck only now; ask again")
    return known.get((*did, lock["rse"]), unknown)
