"""The source RSE: one non-deterministic RSE that stands for every URL of a catalogue; pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stac_client._results import Outcome, State
from stac_policy.settings import GATEWAY_PROTOCOL, SOURCE_PROTOCOL
from stac_policy.urls import DEFAULT_PORTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from urllib.parse import SplitResult

    from stac_client._assets import Asset

SCHEMES = tuple(DEFAULT_PORTS)
"""The schemes that URLs can have."""

_NONE_DISABLES = 39  # version of Rucio
_DOMAINS: dict[str, dict[str, int | None]] = {
    "lan": {"read": 1, "write": None, "delete": None},
    "wan": {
        "read": 1,
        # Registration asks for a protocol that writes; nothing is ever written.
        "write": 1,
        "delete": None,
        "third_party_copy_read": 1,
        "third_party_copy_write": None,
    },
}


def source_protocol(
    scheme: str, impl: str = SOURCE_PROTOCOL, *, gateway: bool = False
) -> dict[str, Any]:
    """Return a protocol of a source RSE for a scheme, as `Client.add_protocol` takes it.

    Args:
        scheme: `https` or `http`.
        impl: `SOURCE_PROTOCOL`, or `GATEWAY_PROTOCOL` for transfers alone.
        gateway: Whether there is one of those beside it.
    """
    return {
        "scheme": scheme,
        # The protocol takes any host and port; Rucio wants one, and another of each protocol.
        "hostname": "localhost" if impl == SOURCE_PROTOCOL else "gateway.invalid",
        "port": DEFAULT_PORTS[scheme],
        "prefix": "/",
        "impl": impl,
        "domains": _domains(impl, gateway=gateway),
    }


def has_gateway(protocols: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether transfers from an RSE with these protocols may go through a gateway."""
    return any(protocol["impl"] == GATEWAY_PROTOCOL for protocol in protocols)


def _domains(impl: str, *, gateway: bool) -> dict[str, dict[str, int | None]]:
    """The priorities of a protocol, at an RSE that has a gateway or none."""
    found = {domain: dict(operations) for domain, operations in _DOMAINS.items()}
    if impl == GATEWAY_PROTOCOL:
        found = {domain: dict.fromkeys(operations) for domain, operations in _DOMAINS.items()}
    if impl == GATEWAY_PROTOCOL or gateway:
        found["wan"]["third_party_copy_read"] = 1 if impl == GATEWAY_PROTOCOL else None
    return found


def disabled_priority(version: str) -> int | None:
    """Return the priority that disables an operation: 0 before Rucio 39, None since.

    Since then 0 is the highest, and an upgrade of the server leaves it where it is.
    """
    return 0 if int(version.partition(".")[0]) < _NONE_DISABLES else None


def is_enabled(priority: object, version: str) -> bool:
    """Return whether a priority, as a Rucio server of a version gives it, enables an operation."""
    return priority is not None and priority != disabled_priority(version)


def source_domains(
    version: str, impl: str = SOURCE_PROTOCOL, *, gateway: bool = False
) -> dict[str, dict[str, int | None]]:
    """Return the priorities of a source RSE's protocol, as `Client.update_protocols` takes them."""
    disabled = disabled_priority(version)
    return {
        domain: {name: disabled if value is None else value for name, value in operations.items()}
        for domain, operations in _domains(impl, gateway=gateway).items()
    }


def wrong_priorities(
    protocol: Mapping[str, Any], version: str, *, gateway: bool = False
) -> Iterator[tuple[str, str, bool]]:
    """Compare a protocol's priorities with those of a source RSE, which has a gateway or none.

    Yields:
        Domain, operation, and whether the operation must be enabled, where this is not so.
    """
    for domain, operations in _domains(protocol["impl"], gateway=gateway).items():
        found = protocol["domains"].get(domain, {})
        for operation, wanted in operations.items():
            if is_enabled(found.get(operation), version) != bool(wanted):
                yield domain, operation, bool(wanted)


def with_pfn(selected: Asset | Outcome, protocols: Iterable[Mapping[str, Any]]) -> Asset | Outcome:
    """Return an asset with the PFN under which an RSE can hold its URL, or why there is none.

    The protocol of a source RSE holds every URL as it is. Rucio's own hold one host
    each, with its port, and neither query strings nor `//`
    (`rucio.rse.protocols.protocol.RSEProtocol.parse_pfns`).

    Args:
        selected: The asset; an outcome stays as it is.
        protocols: The protocols of the RSE, as Rucio describes them.
    """
    if isinstance(selected, Outcome):
        return selected
    scheme = selected.url.partition(":")[0]
    reasons = []
    for protocol in protocols:
        if protocol["scheme"] != scheme or protocol["impl"] == GATEWAY_PROTOCOL:
            continue
        if protocol["impl"] == SOURCE_PROTOCOL:
            return selected
        parts = urlsplit(selected.url)
        reason = _obstacle(parts, protocol)
        if reason is None:
            pfn = f"{scheme}://{parts.hostname}:{protocol['port']}{parts.path}"
            return replace(selected, url=pfn)
        reasons.append(f"{protocol['impl']} {reason}")
    reason = "; ".join(reasons) or f"the RSE has no protocol for {scheme}"
    return selected.outcome(State.SKIPPED, reason)


def _obstacle(parts: SplitResult, protocol: Mapping[str, Any]) -> str | None:
    port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    prefix = f"/{protocol['prefix'].strip('/')}/".replace("//", "/")
    if (parts.hostname, port) != (protocol["hostname"], protocol["port"]):
        return f"is for {protocol['hostname']}:{protocol['port']} alone"
    if parts.query:
        return "drops the query string"
    if "//" in parts.path or parts.path.endswith("/"):
        return "does not keep doubled slashes, nor one at the end"
    if not parts.path.startswith(prefix):
        return f"is for paths below {prefix} alone"
    return None
