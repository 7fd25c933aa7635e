"""The source RSE: one non-deterministic RSE that stands for every URL of a catalogue; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SOURCE_PROTOCOL = "stac_policy.protocol.Default"
"""The RSE protocol that holds every URL as it is."""

SUPPORTED_CHECKSUMS = "supported_checksums"
"""The attribute that must be `none`: an HTTP origin answers no checksum queries, and FTS
then verifies the destination alone."""

_PORTS = {"https": 443, "http": 80}
_NONE_IS_OFF = 39  # version of Rucio
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
SCHEMES = tuple(_PORTS)
"""The schemes that URLs can have."""


def source_protocol(scheme: str) -> dict[str, Any]:
    """The protocol of a source RSE for `http` or `https`, as `Client.add_protocol` takes it."""
    return {
        "scheme": scheme,
        # The protocol takes any host and port; Rucio wants one.
        "hostname": "localhost",
        "port": _PORTS[scheme],
        "prefix": "/",
        "impl": SOURCE_PROTOCOL,
        "domains": {domain: dict(operations) for domain, operations in _DOMAINS.items()},
    }


def is_source_protocol(protocol: Mapping[str, Any]) -> bool:
    """Tell whether a protocol, as Rucio describes it, is one that holds every URL."""
    return bool(protocol["impl"] == SOURCE_PROTOCOL)


def is_stock_protocol(protocol: Mapping[str, Any]) -> bool:
    """Tell whether a protocol, as Rucio describes it, is one of Rucio's own."""
    return bool(protocol["impl"].startswith("rucio."))


def off(version: str) -> int | None:
    """The priority of an operation that is switched off: 0 before Rucio 39, None since.

    Since then 0 is the highest, and an upgrade of the server leaves it where it is.

    Args:
        version: The version of the Rucio server.
    """
    return 0 if int(version.partition(".")[0]) < _NONE_IS_OFF else None


def is_on(priority: object, version: str) -> bool:
    """Tell whether a priority, as a Rucio server of a version gives it, switches on."""
    return priority is not None and priority != off(version)


def domains_of(version: str) -> dict[str, dict[str, int | None]]:
    """The priorities of a source RSE's protocols, as `Client.update_protocols` takes them."""
    return {
        domain: {name: off(version) if value is None else value for name, value in of.items()}
        for domain, of in _DOMAINS.items()
    }


def wrong_priorities(protocol: Mapping[str, Any], version: str) -> Iterator[tuple[str, str, bool]]:
    """Compare a protocol's priorities with those of a source RSE.

    Returns:
        Domain, operation, and whether the operation must be on, of those that are not so.
    """
    for domain, operations in _DOMAINS.items():
        found = protocol["domains"].get(domain, {})
        for operation, wanted in operations.items():
            if is_on(found.get(operation), version) != bool(wanted):
                yield domain, operation, bool(wanted)
