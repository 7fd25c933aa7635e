"""Permissions: Rucio's generic ones, unchanged.

The module is present because Rucio warns where it is missing, and a multi-VO
server refuses to work without it (`rucio.core.permission`).
"""

from __future__ import annotations

from typing import Any


def has_permission(
    issuer: object,  # noqa: ARG001 - the signature is Rucio's
    action: str,  # noqa: ARG001
    kwargs: dict[str, Any],  # noqa: ARG001
    *,
    session: object = None,  # noqa: ARG001
) -> bool | None:
    """Leave every decision to Rucio's generic permissions, by answering None."""
    return None
