"""The algorithms that can be asked for by name, by Rucio's algorithm types.

Of what is not STAC's each returns exactly what Rucio's own algorithm returns.
docs/algorithms.md says how each is switched on.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from stac_policy.dids import derived_scope, is_asset, is_stacs, stac_parts
from stac_policy.naming import ASSET_PARTS, DID
from stac_policy.non_deterministic_pfn import non_deterministic_pfn, rucio_default
from stac_policy.permission import is_registrar
from stac_policy.scope import scope
from stac_policy.settings import PACKAGE, settings, vos

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ANYBODYS_SCOPE = "mock"  # to which Rucio's generic permissions let every account add


def approve(rule: Any, did: Any, session: Any) -> bool:
    """Return whether a rule needs no approval by hand: `auto_approve = stac` in `[rules]`.

    It needs none if it is over STAC assets alone, of less than `[stac]
    auto_approve_bytes` with all its copies, and if its account cannot add to them
    afterwards: no quota counts then. Each collection below, at every level, is
    closed, or is STAC's and lies in a scope that the account neither owns nor is a
    registrar for. Every other rule is judged as Rucio's default judges it.

    Args:
        rule: The new rule (`rucio.db.sqla.models.ReplicationRule`).
        did: What it is over (`rucio.db.sqla.models.DataIdentifier`).
        session: The session of Rucio's database.
    """
    limit_bytes = settings().auto_approve_bytes
    if (
        limit_bytes
        and _are_small_assets(rule, did, limit_bytes, session)
        and _keeps_its_size(did, rule.account, session)
    ):
        return True
    from rucio.core.rule import AutoApprove

    return bool(AutoApprove.default(rule, did, session))


def _are_small_assets(rule: Any, did: Any, limit_bytes: int, session: Any) -> bool:
    """Return whether a DID holds STAC assets of less than a limit, looking no further than needed.

    An open dataset has no size of its own.
    """
    from rucio.core.did import list_files

    total_bytes = None
    for file in list_files(scope=did.scope, name=did.name, session=session):
        total_bytes = (total_bytes or 0) + file["bytes"] * rule.copies
        if total_bytes >= limit_bytes or not is_asset(DID(file["scope"].external, file["name"])):
            return False
    return total_bytes is not None


def _keeps_its_size(did: Any, account: Any, session: Any) -> bool:
    """Return whether an account can add to none of the collections of a tree."""
    from rucio.core.scope import is_scope_owner
    from rucio.db.sqla.constants import DIDType

    @cache
    def may_add_to(scope: Any) -> bool:
        owns = is_scope_owner(scope, account, session=session)
        return bool(owns) or scope.external == _ANYBODYS_SCOPE

    may_register = is_registrar(account, session)
    seen, waiting = set(), [did]
    while waiting:
        each = waiting.pop()
        if each.did_type == DIDType.FILE or (each.scope, each.name) in seen:
            continue
        seen.add((each.scope, each.name))
        is_stac = bool(stac_parts(DID(each.scope.external, each.name)))
        if each.is_open and (may_register or not is_stac or may_add_to(each.scope)):
            return False
        if each.did_type == DIDType.CONTAINER:
            waiting += _children(each, session)
    return True


def _children(collection: Any, session: Any) -> list[Any]:
    from rucio.db.sqla.models import DataIdentifier, DataIdentifierAssociation
    from sqlalchemy import and_, select

    content = DataIdentifierAssociation
    is_child = and_(
        content.child_scope == DataIdentifier.scope, content.child_name == DataIdentifier.name
    )
    statement = (
        select(DataIdentifier)
        .join(content, is_child)
        .where(content.scope == collection.scope, content.name == collection.name)
    )
    return list(session.execute(statement).scalars())


def lfn2pfn(
    scope: str,
    name: str,
    rse: str,
    rse_attributes: Mapping[str, Any],
    protocol_attributes: Mapping[str, Any],
) -> str:
    """Return the path of a file below the prefix of a deterministic RSE.

    A STAC asset's is its name without the leading slash, with the scope before
    it unless that is the one derived from the collection, so that people find
    their way in a storage. Every other file has the path of Rucio's algorithm
    `hash`. For RSEs with the attribute `lfn2pfn_algorithm=stac`.

    Args:
        scope: Scope of the file.
        name: Name of the file.
        rse: Name of the RSE.
        rse_attributes: Attributes of the RSE.
        protocol_attributes: Attributes of its protocol.
    """
    path = _path(scope, name)
    return path or _hash()(scope, name, rse, rse_attributes, protocol_attributes)


def pfn2lfn(parsed_pfn: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and scope of the file at a path that `lfn2pfn` returned.

    For `pfn2lfn = stac` in `[policy]`.

    Args:
        parsed_pfn: The parts of a PFN as an RSE protocol gives them, among them
            `path` and `name`.

    Returns:
        Name and scope, in this order; for other paths what Rucio's default returns.
    """
    folders = [part for part in parsed_pfn["path"].split("/") if part]
    file = parsed_pfn["name"]
    parts = [*folders, file]
    name = "/" + "/".join(parts[-ASSET_PARTS:])
    scope = "/".join(parts[:-ASSET_PARTS]) or derived_scope(name) or ""
    path = "/".join(parts)
    if _path(scope, name) == path:
        # A fixed scope may also hold files that are not STAC's, at paths as long;
        # protocols make one slash of two.
        hashed = [_hash()(scope, each, "", {}, {}) for each in (file, f"/{file}")]
        if path not in [each.replace("//", "/") for each in hashed]:
            return name, scope
    from rucio.rse.translation import RSEDeterministicScopeTranslation

    default: tuple[str, str] = RSEDeterministicScopeTranslation._default(parsed_pfn)  # noqa: SLF001 - Rucio offers no other way
    return default


def tape_path(dsn: str, scope: str | None, filename: str) -> str:
    """Return the path of a file at a non-deterministic RSE with `naming_convention=stac_path`.

    A STAC asset has the path that `lfn2pfn` returns, at storages such as tape
    whose replicas have paths of their own; every other file that of Rucio's
    default.

    Args:
        dsn: Name of the dataset that the file is transferred with.
        scope: Scope of the file.
        filename: Name of the file.
    """
    if scope is None or not (path := _path(scope, filename)) or not is_stacs(DID(scope, filename)):
        return rucio_default(dsn, scope, filename)
    return f"/{path}"


def _path(scope: str, name: str) -> str | None:
    """Return the path of a STAC asset, or None."""
    if not is_asset(DID(scope, name)):
        return None
    return name[1:] if scope == derived_scope(name) else scope + name


def _hash() -> Callable[..., str]:
    from rucio.rse.translation import RSEDeterministicTranslation

    algorithm: Callable[..., str]
    algorithm = RSEDeterministicTranslation._get_one_algorithm("lfn2pfn", "hash")  # noqa: SLF001 - Rucio offers no other way
    return algorithm


def collocation_hints(transfer: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the collection and the item of a STAC asset as collocation hints.

    FTS hands them to the tape system, which may keep together on tape what is
    likely to be recalled together. For `fts3tape_metadata_plugins = stac` in
    `[transfers]`.

    Args:
        transfer: The metadata of a file's transfer, among them `scope` and `name`.

    Returns:
        The hints from the widest to the narrowest; none for other files.
    """
    did = DID(str(transfer.get("scope") or ""), str(transfer.get("name") or ""))
    parts = stac_parts(did)
    if len(parts) != ASSET_PARTS:
        return {}
    return {"collocation_hints": {"0": parts[0], "1": parts[1]}}


BY_TYPE: dict[str, dict[str, Callable[..., Any]]] = {
    "auto_approve": {"stac": approve},
    "fts3_tape_metadata_plugins": {"stac": collocation_hints},
    "lfn2pfn": {"stac": lfn2pfn},
    "non_deterministic_pfn": {
        "stac": non_deterministic_pfn,
        "stac_path": tape_path,
        "rucio_default": rucio_default,
    },
    "pfn2lfn": {"stac": pfn2lfn},
    "scope": {"stac": scope},
}


def named(package: str = PACKAGE) -> dict[str, dict[str, Callable[..., Any]]]:
    """Return the algorithms by the names that this server knows them by.

    On a multi-VO server the names begin with that of the VO (`VO_stac`). Rucio
    does not say for which VO it asks, so a package that several VOs share can
    give them none: they have the defaults alone, or each a package of its own.

    Args:
        package: The policy package that returns them from its `get_algorithms`.
    """
    sharing = vos(package)
    if sharing is None:
        return {kind: dict(algorithms) for kind, algorithms in BY_TYPE.items()}
    return of_vo(sharing[0]) if len(sharing) == 1 else {}


def of_vo(vo: str) -> dict[str, dict[str, Callable[..., Any]]]:
    """Return the algorithms by the names that a VO of a multi-VO server knows them by."""
    return {
        kind: {f"{vo}_{name}": algorithm for name, algorithm in algorithms.items()}
        for kind, algorithms in BY_TYPE.items()
    }
