"""What can be wrong with a source RSE and its destination, as requests that make it so."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stac_client._source_rse import disabled_priority, source_protocol
from stac_client.admin import Level, examine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rucio.client import Client

    from stac_client.admin import CatalogueSummary

SOURCE, DISK, COLLECTION = "DOCTOR-SOURCE", "DOCTOR-DISK", "doctor"

Requests = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Healthy:
    """What the doctor examines."""

    connect: Callable[..., Client]
    admin: Client
    catalogue: CatalogueSummary
    fts: str
    storage: dict[str, Any]
    """The protocol of the destination."""

    def findings(self, account: str = "root", **options: Any) -> list[Any]:
        """What the doctor finds, and is not as it should be."""
        given: dict[str, Any] = {"destinations": [DISK], "catalogue": self.catalogue, "options": {}}
        given |= options
        rse = given.pop("rse", SOURCE)
        found = examine(lambda: self.connect(account), rse, **given)
        return [finding for finding in found if finding.level is not Level.OK]

    def codes(self, *arguments: Any, **options: Any) -> list[str]:
        """The codes of what the doctor finds."""
        return [finding.code for finding in self.findings(*arguments, **options)]

    @contextmanager
    def seeded(self, do: Requests, undo: Requests) -> Iterator[None]:
        """Send requests, and at the end those that undo them."""
        self._send(do)
        try:
            yield
        finally:
            self._send(undo)

    def _send(self, requests: Requests) -> None:
        disabled = disabled_priority(self.admin.ping()["version"])
        for method, *arguments in requests:
            for domain in self._domains(arguments):
                domain.update({name: value or disabled for name, value in domain.items()})
            getattr(self.admin, method)(*arguments)

    @staticmethod
    def _domains(arguments: list[Any]) -> list[dict[str, Any]]:
        changes = [argument for argument in arguments if isinstance(argument, dict)]
        return [domain for change in changes for domain in change.get("domains", {}).values()]


def changed(**changes: Any) -> tuple[Requests, Requests]:
    """Change the protocol for https of the source RSE."""
    there = source_protocol("https")
    undo = {key: there[key] for key in changes}
    return tuple(  # type: ignore[return-value] # two
        [("update_protocols", SOURCE, "https", change, "localhost", 443)]
        for change in (changes, undo)
    )


def priority(operation: str, value: int | None) -> tuple[Requests, Requests]:
    """Set a priority of the protocol for https of the source RSE, in the wan domain."""
    domains = source_protocol("https")["domains"]
    return changed(domains={**domains, "wan": {**domains["wan"], operation: value}})


def setting(rse: str, name: str, value: object) -> tuple[Requests, Requests]:
    """Change a setting of an RSE that is true or false."""
    return [("update_rse", rse, {name: value})], [("update_rse", rse, {name: not value})]


def attribute(rse: str, key: str, value: str | None, healthy: str) -> tuple[Requests, Requests]:
    """Change or delete an attribute of an RSE."""
    undo: Requests = [("add_rse_attribute", rse, key, healthy)]
    if value is None:
        return [("delete_rse_attribute", rse, key)], undo
    return [("add_rse_attribute", rse, key, value)], undo


ALONE = {
    "rse-deterministic": setting(SOURCE, "deterministic", value=True),
    "rse-writable": setting(SOURCE, "availability_write", value=True),
    "rse-unreadable": setting(SOURCE, "availability_read", value=False),
    "rse-deletable": setting(SOURCE, "availability_delete", value=True),
    "protocol-missing": (
        [("delete_protocols", SOURCE, "https")],
        [("add_protocol", SOURCE, source_protocol("https"))],
    ),
    "priority-read": priority("read", None),
    "priority-write": priority("write", None),
    "priority-delete": priority("delete", 1),
    "priority-third-party-copy-read": priority("third_party_copy_read", None),
    "priority-third-party-copy-write": priority("third_party_copy_write", 1),
    "source-checksums": attribute(SOURCE, "supported_checksums", None, "none"),
    "distance-missing": (
        [("delete_distance", SOURCE, DISK)],
        [("add_distance", SOURCE, DISK, {"distance": 1})],
    ),
    "destination-not-writable": setting(DISK, "availability_write", value=False),
    "policy-not-named": attribute(DISK, "lfn2pfn_algorithm", "other_stac", "stac"),
    "paths-back": (
        [("delete_config_option", "policy", "pfn2lfn")],
        [("set_config_option", "policy", "pfn2lfn", "stac")],
    ),
    "limit-missing": (
        [("delete_local_account_limit", "root", DISK)],
        [("set_local_account_limit", "root", DISK, 1000)],
    ),
    "limit-reached": (
        [("set_local_account_limit", "root", DISK, 0)],
        [("set_local_account_limit", "root", DISK, 1000)],
    ),
}
