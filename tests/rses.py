"""RSEs that tests add to a lake, beside its own."""

from __future__ import annotations

from typing import Any


def add_rse(
    rucio: Any,
    rse: str,
    protocol: dict[str, Any],
    *,
    deterministic: bool = True,
    third_party_copies: bool = False,
    **attributes: str,
) -> None:
    """Add an RSE at a server of this machine, with one protocol that reads, writes and deletes.

    Args:
        rucio: A client of an administrator.
        rse: Name of the RSE.
        protocol: Its `scheme`, `port`, `prefix` and `impl`.
        deterministic: Whether it derives paths from names.
        third_party_copies: Whether it takes and gives them.
        **attributes: Its attributes.
    """
    rucio.add_rse(rse, deterministic=deterministic)
    on = {"read": 1, "write": 1, "delete": 1}
    copies = {"third_party_copy_read": 1, "third_party_copy_write": 1}
    domains = {"lan": on, "wan": {**on, **copies} if third_party_copies else on}
    rucio.add_protocol(rse, {"hostname": "127.0.0.1", "domains": domains, **protocol})
    for key, value in attributes.items():
        rucio.add_rse_attribute(rse, key, value)
