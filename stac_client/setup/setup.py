"""Setting up a source RSE: what a Rucio server lacks for the assets of a catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rucio.common.exception import RSENotFound

from stac_client.errors import ConfigurationError, rucio_errors

from .changes import Change, Setup
from .pfns import obstacles
from .scopes import collection_scopes, missing_scopes
from .source_rse import (
    SCHEMES,
    SUPPORTED_CHECKSUMS,
    domains_of,
    is_source_protocol,
    is_stock_protocol,
    source_protocol,
    wrong_priorities,
)
from .survey import Survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rucio.client import Client

    Protocols = list[dict[str, Any]]


def plan_setup(
    client: Client,
    rse: str,
    *,
    destinations: str | Sequence[str],
    fts: str | None = None,
    survey: Survey | None = None,
    owner: str | None = None,
) -> Setup:
    """Work out what a source RSE and the scopes of a catalogue lack, without writing anything.

    An RSE that has Rucio's own protocols alone stays as it is; the notes say what it
    can not hold.

    Args:
        client: A Rucio client; its account needs to be an administrator's to apply
            the changes.
        rse: Name of the source RSE, new or half set up or complete.
        destinations: The RSEs that shall receive copies, by an RSE expression or names.
        fts: URL of the FTS server that moves the files; by default what the
            destinations have.
        survey: What the catalogue needs. By default protocols for http and https,
            and no scopes.
        owner: The account that shall own new scopes; by default the client's.

    Raises:
        ConfigurationError: The RSE is a storage, a destination does not exist, or no
            destination names an FTS server.
        StacRucioError: Rucio can not be reached.
    """
    found = survey or Survey()
    scopes = collection_scopes(client, found.scopes)
    of_scopes = missing_scopes(scopes, owner or client.account)
    notes = [
        f"scope {entry.scope} of collection {entry.collection} is there"
        + (f", owned by account {entry.owner}" if entry.owner else "")
        for entry in scopes
        if entry.exists
    ]
    there = _source_rse(client, rse)
    protocols: Protocols = there["protocols"] if there else []
    if protocols and all(map(is_stock_protocol, protocols)):
        return Setup(of_scopes, [*_of_stock_protocols(rse, protocols, found), *notes])
    rses = destination_rses(client, destinations)
    schemes = sorted(found.schemes | {"https"}) if survey else [*SCHEMES]
    changes = [
        *_rse_changes(rse, there),
        *_protocol_changes(rse, protocols, schemes, server_version(client)),
        *_attribute_changes(client, rse, there, fts or _fts_of(client, rses)),
        *_distance_changes(client, rse, there, rses),
        *of_scopes,
    ]
    return Setup(changes, notes)


def server_version(client: Client) -> str:
    """Ask for the version of the Rucio server.

    Raises:
        StacRucioError: Rucio can not be reached.
    """
    with rucio_errors("asking for the server's version"):
        return str(client.ping()["version"])


def destination_rses(client: Client, destinations: str | Sequence[str]) -> list[str]:
    """Give the names of the destination RSEs.

    Args:
        client: A Rucio client.
        destinations: An RSE expression, or names.

    Raises:
        ConfigurationError: There is no such RSE.
        StacRucioError: Rucio can not be reached.
    """
    expression = destinations if isinstance(destinations, str) else "|".join(destinations)
    if not expression:
        return []
    with rucio_errors(f"looking for the destination RSEs {expression}"):
        names = sorted(entry["rse"] for entry in client.list_rses(expression))
    if not isinstance(destinations, str) and (missing := sorted({*destinations} - {*names})):
        raise ConfigurationError(
            f"there is no RSE {', '.join(missing)}; `rucio rse list` shows the RSEs there are"
        )
    return names


def _source_rse(client: Client, rse: str) -> dict[str, Any] | None:
    """What Rucio knows of the RSE, or None if there is none."""
    with rucio_errors(f"looking for RSE {rse}"):
        try:
            there: dict[str, Any] = client.get_rse(rse)
        except RSENotFound:
            return None
    if there["deterministic"]:
        raise ConfigurationError(
            f"RSE {rse} exists and is deterministic, as storages are; a source RSE holds the URLs "
            "that it is given: choose another name, or if it is none, "
            f"`rucio-admin rse update --rse {rse} --setting deterministic --value False`"
        )
    return there


def _of_stock_protocols(rse: str, protocols: Protocols, found: Survey) -> Iterator[str]:
    for protocol in protocols:
        yield (
            f"RSE {rse} has the protocol {protocol['impl']} for {protocol['scheme']}, which holds "
            f"URLs of {protocol['hostname']}:{protocol['port']} alone, without query strings: "
            "it is left as it is"
        )
    reasons = obstacles((asset.url for asset in found.assets), protocols)
    for text, count in reasons.most_common():
        yield f"{count} of {len(found.assets)} assets can not be registered there: {text}"


def _rse_changes(rse: str, there: dict[str, Any] | None) -> Iterator[Change]:
    if there is None:
        # No rule may target it: registrars and administrators may skip this check, rules may not.
        options = {"deterministic": False, "availability_write": False}
        text = f"add RSE {rse}, non-deterministic, not available for writing"
        yield Change(text, "add_rse", (rse,), options)
        return
    for setting, wanted in (("availability_write", False), ("availability_read", True)):
        if there[setting] is not wanted:
            yield Change(f"set {setting}={wanted} on {rse}", "update_rse", (rse, {setting: wanted}))


def _protocol_changes(
    rse: str, there: Protocols, schemes: Sequence[str], version: str
) -> Iterator[Change]:
    for scheme in schemes:
        if not any(protocol["scheme"] == scheme for protocol in there):
            wanted = source_protocol(scheme)
            text = f"add protocol {wanted['impl']} for {scheme} to {rse}"
            yield Change(text, "add_protocol", (rse, wanted))
    for protocol in there:
        scheme, address = protocol["scheme"], (protocol["hostname"], protocol["port"])
        what = f"the protocol for {scheme} of {rse}"
        if scheme not in SCHEMES:
            text = f"delete {what}, {protocol['impl']}"
            yield Change(text, "delete_protocols", (rse, scheme, *address))
            continue
        wanted = source_protocol(scheme)
        if not is_source_protocol(protocol):
            text = f"set impl={wanted['impl']} of {what} (was {protocol['impl']})"
            change = {"impl": wanted["impl"]}
            yield Change(text, "update_protocols", (rse, scheme, change, *address))
        wrong = [
            f"{domain} {operation} {'on' if on else 'off'}"
            for domain, operation, on in wrong_priorities(protocol, version)
        ]
        if wrong:
            text = f"set priorities of {what}: {', '.join(wrong)}"
            domains = {"domains": domains_of(version)}
            yield Change(text, "update_protocols", (rse, scheme, domains, *address))


def _attribute_changes(
    client: Client, rse: str, there: dict[str, Any] | None, fts: str
) -> Iterator[Change]:
    attributes = {}
    if there is not None:
        with rucio_errors(f"listing attributes of RSE {rse}"):
            attributes = client.list_rse_attributes(rse)
    for key, value in {"fts": fts, SUPPORTED_CHECKSUMS: "none"}.items():
        old = attributes.get(key)
        if old != value:
            was = "" if old is None else f" (was {old})"
            text = f"set attribute {key}={value} on {rse}{was}"
            yield Change(text, "add_rse_attribute", (rse, key, value))


def _distance_changes(
    client: Client, rse: str, there: dict[str, Any] | None, destinations: list[str]
) -> Iterator[Change]:
    for destination in destinations:
        if destination == rse:
            continue
        with rucio_errors(f"asking for the distance from {rse} to {destination}"):
            known = there is not None and client.get_distance(rse, destination)
        if not known:
            text = f"add distance 1 from {rse} to {destination}"
            yield Change(text, "add_distance", (rse, destination, {"distance": 1}))


def _fts_of(client: Client, destinations: list[str]) -> str:
    """The FTS servers that the destinations name; Rucio uses that of the destination."""
    servers = set()
    for destination in destinations:
        with rucio_errors(f"listing attributes of RSE {destination}"):
            servers.add(client.list_rse_attributes(destination).get("fts"))
    if named := sorted(str(server) for server in servers if server):
        return ",".join(named)
    raise ConfigurationError(
        "no destination has the attribute fts, which says what moves the files; give its URL"
    )
