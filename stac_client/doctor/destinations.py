"""Checks of the destination RSEs: distances, FTS, protocols, availability, limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stac_client.errors import ConfigurationError, rucio_errors
from stac_client.setup.setup import destination_rses
from stac_client.setup.source_rse import is_on

from .findings import Finding, error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rucio.client import Client

# Which schemes Rucio takes for the same: rucio.common.constants.SCHEME_MAP.
_SECURE = frozenset({"https", "davs", "srm+https", "cs3s"})


@dataclass(frozen=True)
class Destination:
    """A destination RSE, as Rucio describes it."""

    rse: str
    settings: Mapping[str, Any]
    attributes: Mapping[str, Any]
    version: str
    """The version of the server."""

    @property
    def algorithm(self) -> str:
        """Its algorithm for paths if that is one of the policy package's, or ''."""
        name = str(self.attributes.get("lfn2pfn_algorithm") or "")
        return name if name == "stac" or name.endswith("_stac") else ""  # `VO_stac`

    @property
    def read_scheme(self) -> str:
        """A scheme that its files can be read by."""
        return next(iter(self._schemes("read")), "")

    @property
    def copy_schemes(self) -> set[str]:
        """Schemes that transfers can write by."""
        return {*self._schemes("third_party_copy_write")}

    def _schemes(self, operation: str) -> list[str]:
        return [
            protocol["scheme"]
            for protocol in self.settings["protocols"]
            if is_on(protocol["domains"]["wan"].get(operation), self.version)
        ]


def find_destinations(
    client: Client, destinations: str | Sequence[str], version: str
) -> list[Destination] | Finding:
    """Ask Rucio for the destination RSEs.

    Args:
        client: A Rucio client.
        destinations: An RSE expression, or names.
        version: The version of the server.
    """
    try:
        names = destination_rses(client, destinations)
    except ConfigurationError as reason:
        return error(
            "destination-missing",
            str(reason),
            "no rule can be made",
            "rucio rse list",
        )
    found = []
    for name in names:
        with rucio_errors(f"looking at RSE {name}"):
            settings, attributes = client.get_rse(name), client.list_rse_attributes(name)
        found.append(Destination(name, settings, attributes, version))
    return found


def destination_findings(
    client: Client,
    source: str,
    source_attributes: Mapping[str, Any],
    source_schemes: set[str],
    destinations: list[Destination],
) -> Iterator[Finding]:
    """Look at the destination RSEs, and at the way there.

    Args:
        client: A Rucio client.
        source: Name of the source RSE.
        source_attributes: Its attributes.
        source_schemes: The schemes of its protocols.
        destinations: The destination RSEs.
    """
    if not destinations:
        return
    with rucio_errors(f"asking for the limits of account {client.account}"):
        usages = {usage["rse"]: usage for usage in client.get_local_account_usage(client.account)}
        limits = client.get_local_account_limits(client.account)
    for destination in destinations:
        findings = [
            *_distance(client, source, destination.rse),
            *_fts(source, source_attributes, destination),
            *_protocols(source_schemes, destination),
            *_availability(destination),
            *_limit(client.account, destination.rse, limits, usages),
        ]
        yield from findings or [
            ok("destination", f"RSE {destination.rse} can receive copies from {source}")
        ]


def _distance(client: Client, source: str, rse: str) -> Iterator[Finding]:
    with rucio_errors(f"asking for the distance from {source} to {rse}"):
        known = client.get_distance(source, rse)
    if not known:
        yield error(
            "distance-missing",
            f"there is no distance from {source} to {rse}",
            "Rucio finds no way between them: rules are stuck with MISMATCH_SCHEME or NO_SOURCES",
            f"rucio-admin rse add-distance --distance 1 {source} {rse}",
        )


def _fts(
    source: str, source_attributes: Mapping[str, Any], destination: Destination
) -> Iterator[Finding]:
    rse, server = destination.rse, destination.attributes.get("fts")
    of_source = str(source_attributes.get("fts") or "")
    if not server:
        yield error(
            "destination-fts-missing",
            f"RSE {rse} has no attribute fts",
            "Rucio hands no transfer there to FTS",
            f"rucio-admin rse set-attribute --rse {rse} --key fts "
            f"--value {of_source or 'https://fts.example.org:8446'}",
        )
    elif of_source and not {*str(server).split(",")} & {*of_source.split(",")}:
        yield warning(
            "fts-differs",
            f"RSE {rse} has fts={server}, {source} has fts={of_source}",
            "Rucio uses that of the destination, whatever that of the source says",
            f"rucio-admin rse set-attribute --rse {source} --key fts --value {server}",
        )


def _protocols(source_schemes: set[str], destination: Destination) -> Iterator[Finding]:
    writes = destination.copy_schemes
    if not writes:
        yield error(
            "destination-protocol",
            f"RSE {destination.rse} has no protocol for third_party_copy_write",
            "no transfer can be sent there",
            f"rucio-admin rse info {destination.rse}  # then give a protocol this operation (wan)",
        )
    elif source_schemes and not _family(source_schemes) & _family(writes):
        yield error(
            "destination-scheme",
            f"RSE {destination.rse} takes copies by {_listed(writes)}, "
            f"the URLs have {_listed(source_schemes)}",
            "Rucio transfers between the same schemes, or between https and davs",
            f"rucio-admin rse info {destination.rse}  # then add a protocol for one of these",
        )


def _availability(destination: Destination) -> Iterator[Finding]:
    if not destination.settings["availability_write"]:
        yield error(
            "destination-not-writable",
            f"RSE {destination.rse} is not available for writing",
            "rules that target it are refused",
            f"rucio-admin rse update --rse {destination.rse} "
            "--setting availability_write --value True",
        )


def _limit(
    account: str, rse: str, limits: Mapping[str, Any], usages: Mapping[str, Mapping[str, Any]]
) -> Iterator[Finding]:
    mend = f"rucio-admin account set-limits {account} {rse} infinity"
    if rse not in limits:
        yield warning(
            "limit-missing",
            f"account {account} has no limit at RSE {rse}",
            "Rucio takes that for a limit of 0 and refuses its rules there, "
            "unless the account has the attribute admin",
            mend,
        )
    elif usages.get(rse, {}).get("bytes", 0) >= limits[rse]:
        yield warning(
            "limit-reached",
            f"account {account} has used up its limit of {limits[rse]} bytes at RSE {rse}",
            "Rucio refuses its rules there",
            mend,
        )


def _family(schemes: set[str]) -> set[str]:
    return {"https" if scheme in _SECURE else scheme for scheme in schemes}


def _listed(schemes: set[str]) -> str:
    return ", ".join(sorted(schemes))
