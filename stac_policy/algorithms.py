"""The algorithms that can be asked for by name, by Rucio's algorithm types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stac_policy.dids import derived_scope, is_asset
from stac_policy.naming import DID, split_name
from stac_policy.non_deterministic_pfn import non_deterministic_pfn, rucio_default
from stac_policy.scope import scope
from stac_policy.settings import settings, vos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


# Approval of small rules over STAC data, for `auto_approve = stac` in `[rules]`.


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


# Paths at storages: `COLLECTION/ITEM/ASSET.tif`, so that people find their way in them.
#
# For RSEs with the attribute `lfn2pfn_algorithm=stac`, and for `pfn2lfn = stac`
# in `[policy]`. They are never defaults, which Rucio would look for in modules
# named after the algorithm types.


_ASSET_PARTS = 3


def lfn2pfn(
    scope: str,
    name: str,
    rse: str,
    rse_attributes: Mapping[str, Any],
    protocol_attributes: Mapping[str, Any],
) -> str:
    """Give the path of a file below the prefix of a deterministic RSE.

    A STAC asset's is its name without the leading slash, with the scope before
    it unless that is the one derived from the collection. Every other file has
    the path of Rucio's algorithm `hash`.

    Args:
        scope: Scope of the file.
        name: Name of the file.
        rse: Name of the RSE.
        rse_attributes: Attributes of the RSE.
        protocol_attributes: Attributes of its protocol.
    """
    if is_asset(DID(scope, name)):
        return name[1:] if scope == derived_scope(name) else scope + name
    return _hash()(scope, name, rse, rse_attributes, protocol_attributes)


def pfn2lfn(parsed_pfn: Mapping[str, str]) -> tuple[str, str]:
    """Give the name and scope of the file at a path that `lfn2pfn` gave.

    Args:
        parsed_pfn: The parts of a PFN as an RSE protocol gives them, among them
            `path` and `name`.

    Returns:
        Name and scope, in this order; for other paths what Rucio's default gives.
    """
    whole = f"{parsed_pfn['path']}/{parsed_pfn['name']}"
    parts = [part for part in whole.split("/") if part]
    name = "/" + "/".join(parts[-_ASSET_PARTS:])
    before = "/".join(parts[:-_ASSET_PARTS])
    scope = before or derived_scope(name)
    if scope and is_asset(DID(scope, name)):
        # A fixed scope may also hold files that are not STAC's, at paths as long.
        not_stac = _hash()(scope, parts[-1], "", {}, {})
        if "/".join(parts) == lfn2pfn(scope, name, "", {}, {}) != not_stac:
            return name, scope
    from rucio.rse.translation import RSEDeterministicScopeTranslation

    default: tuple[str, str] = RSEDeterministicScopeTranslation._default(parsed_pfn)  # noqa: SLF001 - Rucio offers no other way
    return default


def _hash() -> Callable[..., str]:
    from rucio.rse.translation import RSEDeterministicTranslation

    algorithm: Callable[..., str]
    algorithm = RSEDeterministicTranslation._get_one_algorithm("lfn2pfn", "hash")  # noqa: SLF001 - Rucio offers no other way
    return algorithm


def tape_path(dsn: str, scope: str | None, filename: str) -> str:
    """Give the path of a file at a non-deterministic RSE with `naming_convention=stac_path`.

    The same path as `lfn2pfn` gives to a STAC asset, for storages such as tape
    whose replicas have paths of their own; for every other file what Rucio's
    default gives.

    Args:
        dsn: Name of the dataset that the file is transferred with.
        scope: Scope of the file.
        filename: Name of the file.
    """
    if scope is not None and is_asset(DID(scope, filename)):
        return filename if scope == derived_scope(filename) else f"/{scope}{filename}"
    from stac_policy.non_deterministic_pfn import rucio_default

    return rucio_default(dsn, scope, filename)


# Hints for tape, for `fts3tape_metadata_plugins = stac` in `[transfers]`.
#
# FTS hands them to the tape system, which may keep together on tape what is
# likely to be recalled together.


def collocation_hints(transfer: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Give the collection and the item of a STAC asset as collocation hints.

    Args:
        transfer: The metadata of a file's transfer, among them `scope` and `name`.

    Returns:
        The hints from the widest to the narrowest; none for other files.
    """
    did = DID(str(transfer.get("scope") or ""), str(transfer.get("name") or ""))
    if not is_asset(did):
        return {}
    collection, item, _ = split_name(did.name)
    return {"collocation_hints": {"0": collection, "1": item}}


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


def named() -> dict[str, dict[str, Callable[..., Any]]]:
    """The algorithms by the names that this server knows them by.

    On a multi-VO server the names begin with that of the VO (`VO_stac`). Rucio
    does not say for which VO it asks, so a package that several VOs share can
    give them none: they have the defaults alone, or a package of their own that
    passes on `of_vo`.
    """
    sharing = vos()
    if sharing is None:
        return {kind: dict(algorithms) for kind, algorithms in BY_TYPE.items()}
    return of_vo(sharing[0]) if len(sharing) == 1 else {}


def of_vo(vo: str) -> dict[str, dict[str, Callable[..., Any]]]:
    """The algorithms by the names that a VO of a multi-VO server knows them by."""
    return {
        kind: {f"{vo}_{name}": algorithm for name, algorithm in algorithms.items()}
        for kind, algorithms in BY_TYPE.items()
    }
