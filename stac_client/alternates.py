"""Alternates: the replicas of an asset, written into it by the Alternate Assets extension; pure.

Specification: https://github.com/stac-extensions/alternate-assets, v1.2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

EXTENSION = "https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json"

NAME = "alternate:name"
ORIGINAL = "original"
"""Key of the catalogue's own URL where another copy took its place and no RSE has it."""


def with_replicas(
    asset: Mapping[str, Any], pfns: Mapping[str, Sequence[str]], prefer: Sequence[str] = ()
) -> dict[str, Any]:
    """Give the fields of an asset with all its replicas in them.

    Doing it again changes nothing more. No URL is lost: neither the asset's own,
    nor one among its alternates, unless Rucio now gives another for that RSE.

    Args:
        asset: The fields of the asset.
        pfns: The PFNs of its available replicas by RSE, the best first.
        prefer: RSEs, the most wanted first; the copy at the first of them that
            has one becomes the `href`.
    """
    replicas = {rse: found[0] for rse, found in sorted(pfns.items()) if found}
    href = asset["href"]
    own = asset.get(NAME)
    name = own if isinstance(own, str) else None
    name = name or next((rse for rse, pfn in replicas.items() if pfn == href), None)
    alternates = _fields(asset.get("alternate"))
    for rse, pfn in replicas.items():
        alternates[rse] = {**_fields(alternates.get(rse)), "href": pfn, NAME: rse}
    preferred = next((rse for rse in prefer if rse in replicas), None)
    if preferred is not None and replicas[preferred] != href:
        key = _free_key(alternates, name or ORIGINAL, href)
        alternates[key] = {**_fields(alternates.get(key)), "href": href, NAME: key}
        href, name = replicas[preferred], preferred
    if name is not None and _fields(alternates.get(name)).get("href") == href:
        del alternates[name]
    fields = {**asset, "href": href, "alternate": alternates, NAME: name}
    # The specification wants at least one alternate, and a name of at least one character.
    return {
        field: value for field, value in fields.items() if value or field not in {"alternate", NAME}
    }


def _free_key(alternates: Mapping[str, Any], key: str, href: str) -> str:
    """The key, or one made from it, where no other URL is."""
    while _fields(alternates.get(key)).get("href", href) != href:
        key += f"-{ORIGINAL}"
    return key


def _fields(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
