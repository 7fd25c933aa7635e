"""Paths at storages: `COLLECTION/ITEM/ASSET.tif`, so that people find their way in them.

For RSEs with the attribute `lfn2pfn_algorithm=stac`, and for `pfn2lfn = stac`
in `[policy]`. They are never defaults, which Rucio would look for in modules
named after the algorithm types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .naming import DID
from .stac_dids import derived_scope, is_asset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    from .non_deterministic_pfn import rucio_default

    return rucio_default(dsn, scope, filename)
