"""The source RSE: one non-deterministic RSE that stands for every URL of a catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import rucio_errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rucio.client import Client

SOURCE_PROTOCOL = "stac_policy.protocol.Default"
"""The RSE protocol that holds every URL as it is."""

_PORTS = {"https": 443, "http": 80}


def add_source_rse(client: Client, rse: str, *, fts: str, destinations: Iterable[str]) -> None:
    """Add a source RSE to a Rucio server, with all that replication from it needs.

    Args:
        client: A Rucio client of an administrator.
        rse: Name of the new RSE.
        fts: URL of the FTS server that moves the files.
        destinations: RSEs that shall receive copies; they need the same attribute
            `fts`.

    Raises:
        StacRucioError: The RSE exists already, a destination does not, the
            account may not, or Rucio can not be reached.
    """
    with rucio_errors(f"adding the source RSE {rse}"):
        client.add_rse(rse, deterministic=False)
        for scheme, port in _PORTS.items():
            client.add_protocol(
                rse,
                {
                    "scheme": scheme,
                    # The protocol takes any host and port; Rucio wants one.
                    "hostname": "localhost",
                    "port": port,
                    "prefix": "/",
                    "impl": SOURCE_PROTOCOL,
                    "domains": {
                        "lan": _priorities(read=1),
                        # Registration asks for a protocol that writes; nothing is ever written.
                        "wan": _priorities(read=1, write=1, third_party_copy_read=1),
                    },
                },
            )
        client.add_rse_attribute(rse, "fts", fts)
        # An HTTP origin answers no checksum queries: FTS then verifies the destination alone.
        client.add_rse_attribute(rse, "supported_checksums", "none")
        # No rule may bring data here; who may skip the availability check still registers.
        client.update_rse(rse, {"availability_write": False})
        for destination in destinations:
            client.add_distance(rse, destination, {"distance": 1})


def _priorities(**operations: int) -> dict[str, Any]:
    """Priorities of a protocol in a domain; an operation that is not named is switched off."""
    return {"read": None, "write": None, "delete": None, **operations}
