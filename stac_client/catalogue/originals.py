"""The catalogue's own URL of an asset whose href a modifier has turned into a copy's; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stac_client.modifier.alternates import NAME, ORIGINAL, with_replicas
from stac_policy.naming import asset_name

LOCAL = "local"
"""`alternate:name` of a file beside its item; no RSE has a name in lower case."""


def with_original(fields: Mapping[str, Any], source_rse: str | None = None) -> Mapping[str, Any]:
    """Give the fields of an asset with the catalogue's own URL as its href.

    It is the alternate of the source RSE, or else `original`. A URL that is
    none of HTTP can not be registered; then it is the only one of HTTP among the
    alternates, or without a source RSE any of several that end alike, and so
    have the same name in Rucio. The copy goes to the alternates.

    Args:
        fields: The fields of the asset.
        source_rse: The RSE whose replica is the original, where one is meant.

    Returns:
        The fields; unchanged where the href is the original, or nothing tells
        which one is.
    """
    alternates = fields.get("alternate")
    places = alternates.items() if isinstance(alternates, Mapping) else ()
    hrefs = {
        key: place["href"]
        for key, place in places
        if isinstance(place, Mapping) and isinstance(place.get("href"), str)
    }
    key = _original(fields, hrefs, source_rse) if hrefs else None
    if key is None or not isinstance(fields.get("href"), str):
        return fields
    changed = with_replicas(fields, {key: (hrefs[key],)}, prefer=[key])
    if key == ORIGINAL:
        del changed[NAME]
    places = changed.pop("alternate", {}).items()
    others = {name: place for name, place in places if name != LOCAL}
    return {**changed, "alternate": others} if others else changed


def is_http(href: object) -> bool:
    """Tell whether an href is a URL that a source RSE can hold."""
    return isinstance(href, str) and href.startswith(("http://", "https://"))


def _original(
    fields: Mapping[str, Any], hrefs: Mapping[str, str], source_rse: str | None
) -> str | None:
    """The key of the original among the alternates, if it is one of them."""
    if source_rse is not None and fields.get(NAME) == source_rse:
        return None
    http = {key: href for key, href in hrefs.items() if is_http(href)}
    if source_rse in http:
        return source_rse
    if ORIGINAL in hrefs and not _has_other_scheme(hrefs[ORIGINAL]):
        return ORIGINAL
    if fields.get(NAME) != LOCAL and not _has_other_scheme(fields.get("href")):
        return None
    names = {asset_name("-", "-", "-", href) for href in http.values()}
    alike = len(names) == 1 and (source_rse is None or len(http) == 1)
    return [*http][-1] if alike else None


def _has_other_scheme(href: object) -> bool:
    """Tell whether an href is a URL, but none of HTTP; a relative one may become one of HTTP."""
    return isinstance(href, str) and "://" in href and not is_http(href)
