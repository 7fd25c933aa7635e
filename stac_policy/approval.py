"""Approval of small rules over STAC data, for `auto_approve = stac` in `[rules]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .naming import DID
from .settings import settings
from .stac_dids import derived_scope, is_asset

if TYPE_CHECKING:
    from collections.abc import Iterable


def approve(rule: Any, did: Any, session: Any) -> bool:
    """Approve a rule over STAC assets alone, of less than `[stac] auto_approve_bytes`.

    All its copies count. What it is over must be closed, or be named after a
    collection, item or asset and lie in the scope derived from that collection,
    so that only registrars can add to it. Every other rule is judged as
    Rucio's default judges it.

    Args:
        rule: The new rule (`rucio.db.sqla.models.ReplicationRule`).
        did: What it is over (`rucio.db.sqla.models.DataIdentifier`).
        session: The session of Rucio's database.
    """
    limit_bytes = settings().auto_approve_bytes
    if limit_bytes and _keeps_its_size(did):
        files = _files(did, session)
        if _is_less(files, rule.copies, limit_bytes):
            return True
    from rucio.core.rule import AutoApprove

    return bool(AutoApprove.default(rule, did, session))


def _keeps_its_size(did: Any) -> bool:
    """Tell whether nobody can put more below an approved rule, for which no quota counts."""
    return not did.is_open or did.scope.external == derived_scope(did.name)


def _files(did: Any, session: Any) -> Iterable[tuple[DID, int]]:
    """The files of a DID with their sizes in bytes; an open dataset has no size of its own."""
    from rucio.core.did import list_files

    for file in list_files(scope=did.scope, name=did.name, session=session):
        yield DID(file["scope"].external, file["name"]), file["bytes"]


def _is_less(files: Iterable[tuple[DID, int]], copies: int, limit_bytes: int) -> bool:
    """Tell whether these are STAC assets of less than a limit, looking no further than needed."""
    total_bytes = 0
    count = 0
    for did, size_bytes in files:
        count += 1
        total_bytes += size_bytes * copies
        if total_bytes >= limit_bytes or not is_asset(did):
            return False
    return count > 0
