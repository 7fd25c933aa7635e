"""Alternates: the replicas of an asset, written into it by the Alternate Assets extension; pure.

Specification: https://github.com/stac-extensions/alternate-assets, v1.2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

EXTENSION = "https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json"

NAME = "alternate:name"
ORIGINAL = "original"
"""Key of the catalogue's own URL where another copy took its place and no RSE has it."""
MOUNTED = "file"
"""The scheme of a path below which an RSE is mounted."""

_OF_THE_PLACE = ("storage:", "auth:")
"""Prefixes of fields that say where an href leads and who may go there, not what is there."""


class Location(NamedTuple):
    """One way to one replica."""

    key: str
    """Its key among the alternates."""
    rse: str
    scheme: str
    href: str
    """The PFN, or the path where the RSE is mounted."""


def locations(
    pfns: Mapping[str, Sequence[str]], mounted: Callable[[str], str | None] | None = None
) -> dict[str, Location]:
    """Give every way to the replicas of an asset, each under a key of its own.

    The best PFN of an RSE has the RSE's name as its key, a further one that of
    its scheme besides (`DISK-A-root`, `DISK-A-root-2`), and the path where the
    RSE is mounted that of `file` (`DISK-A-file`).

    Args:
        pfns: The PFNs of the available replicas by RSE, the best first.
        mounted: Gives the local path of a PFN, if there is one.
    """
    found = {
        rse: Location(rse, rse, _scheme(best[0]), best[0])
        for rse, best in sorted(pfns.items())
        if best
    }
    for rse in tuple(found):
        further = pfns[rse][1:]
        paths = filter(None, map(mounted, pfns[rse])) if mounted else ()
        for href in dict.fromkeys((*further, *paths)):
            if href != found[rse].href:
                scheme = _scheme(href)
                key = _new_key(found, f"{rse}-{scheme}")
                found[key] = Location(key, rse, scheme, href)
    return found


def with_replicas(
    asset: Mapping[str, Any], pfns: Mapping[str, Sequence[str]], prefer: Sequence[str] = ()
) -> dict[str, Any]:
    """Give the fields of an asset with all its replicas in them.

    Args:
        asset: The fields of the asset.
        pfns: The PFNs of its available replicas by RSE, the best first.
        prefer: RSEs, the most wanted first; the copy at the first of them that
            has one becomes the `href`.
    """
    found = locations(pfns)
    return with_locations(asset, found, next((found[rse] for rse in prefer if rse in found), None))


def with_locations(
    asset: Mapping[str, Any],
    found: Mapping[str, Location],
    chosen: Location | None = None,
    *,
    rses: Container[str] | None = None,
    refs: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Give the fields of an asset with the ways to its replicas in them.

    Doing it again changes nothing more. No URL is lost: neither the asset's own,
    nor one among its alternates, unless Rucio now gives another for that key.

    Args:
        asset: The fields of the asset.
        found: The ways to its replicas, by their keys.
        chosen: The one that becomes the `href`.
        rses: The RSEs whose replicas are written, by default all. The others
            only give the asset's own URL its name.
        refs: Key among the item's `storage:schemes` of each RSE that has one.
    """
    fields = dict(asset)
    href = asset["href"]
    own = asset.get(NAME)
    name = own if isinstance(own, str) else None
    name = name or next((place.key for place in found.values() if place.href == href), None)
    alternates = _fields(asset.get("alternate"))
    for key, place in found.items():
        if rses is None or place.rse in rses:
            there: dict[str, Any] = {"href": place.href, NAME: key}
            if refs and place.rse in refs:
                there["storage:refs"] = [refs[place.rse]]
            alternates[key] = {**_fields(alternates[key]), **there} if key in alternates else there
    if chosen is not None and chosen.href != href:
        key = _free_key(alternates, name or ORIGINAL, href)
        moved = {field: fields.pop(field) for field in _of_the_place(fields)}
        alternates[key] = {**_fields(alternates.get(key)), **moved, "href": href, NAME: key}
        href, name = chosen.href, chosen.key
    if name is not None and _fields(alternates.get(name)).get("href") == href:
        here = alternates.pop(name)
        fields.update({field: here[field] for field in _of_the_place(here)})
    # The specification wants at least one alternate, and a name of at least one character.
    for field, value in (("href", href), ("alternate", alternates), (NAME, name)):
        if value or field == "href":
            fields[field] = value
        else:
            fields.pop(field, None)
    return fields


def _of_the_place(fields: Mapping[str, Any]) -> list[str]:
    return [field for field in fields if field.startswith(_OF_THE_PLACE)]


def _scheme(href: str) -> str:
    scheme, separator, _ = href.partition("://")
    return scheme if separator else MOUNTED


def _new_key(taken: Container[str], key: str) -> str:
    """The key, or one made from it that is not taken."""
    number, wanted = 1, key
    while key in taken:
        number += 1
        key = f"{wanted}-{number}"
    return key


def _free_key(alternates: Mapping[str, Any], key: str, href: str) -> str:
    """The key, or one made from it, where no other URL is."""
    while _fields(alternates.get(key)).get("href", href) != href:
        key += f"-{ORIGINAL}"
    return key


def _fields(value: object) -> dict[str, Any]:
    return dict(value) if value and isinstance(value, (dict, Mapping)) else {}
