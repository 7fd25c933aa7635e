"""URLs by which anybody reads an asset: of copies that are public, and of the original; pure."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from stac_client._alternates import restore_original_href
from stac_client._replica_source import is_source_rse
from stac_client.errors import ConfigurationError, near
from stac_policy.access import found_access
from stac_policy.settings import known_origins
from stac_policy.urls import absolute, is_url, item_url, refusal

if TYPE_CHECKING:
    from stac_client._replicas import Replica

PUBLIC = "stac_public"
"""The attribute of RSEs that anybody may read, without a credential."""
_KEPT = "%/:?#[]@!$&'()*+,;=~"  # RFC 3986: what a URL has besides what quote keeps
_LONGEST = 8192  # characters, which every server and browser takes in a header


def is_public(
    replica: Replica,
    settings: Mapping[str, Any],
    attributes: Mapping[str, Any],
    item: Mapping[str, Any],
    fields: Mapping[str, Any],
) -> bool:
    """Return whether anybody may read a replica over HTTP, without a credential.

    That is so at an RSE with the attribute `stac_public`, behind a gateway of `mounts`, and at an
    origin that is open: one that the table of origins knows, or that of a source RSE.

    Args:
        replica: The replica.
        settings: Those of its RSE.
        attributes: Those of its RSE.
        item: The item, which may say who may read it.
        fields: The fields of the asset.
    """
    try:
        location(replica.url)
    except ValueError:
        return False
    if attributes.get(PUBLIC) is True or replica.is_at_gateway:
        return True
    table = known_origins()
    with suppress(ValueError):
        if is_source_rse(settings) or table.origin(table.place(replica.url)):
            return table.access(replica.url, item, fields).kind.is_anonymous
    return False


def original_url(item: Mapping[str, Any], key: str, place: str = "") -> str:
    """Return the URL of the original of an asset, which may be signed, for a redirect.

    Args:
        item: The item.
        key: The key of the asset.
        place: Where the item was read, for relative hrefs.

    Raises:
        ConfigurationError: The item has no such asset, or it has no URL that may be passed on.
    """
    assets = item.get("assets")
    assets = assets if isinstance(assets, Mapping) else {}
    fields = assets.get(key)
    if not isinstance(fields, Mapping):
        raise ConfigurationError(f"the item has no asset {key!r}; {near(key, assets)}")
    href = restore_original_href(fields).get("href")
    if not (isinstance(href, str) and href):
        raise ConfigurationError(f"asset {key!r} has no href")
    base = item_url(item, place)
    url = absolute(href, base)
    if not is_url(url):
        url = found_access(known_origins(), item, fields, base).url or ""
    try:
        return location(url)
    except ValueError as error:
        raise ConfigurationError(f"asset {key!r} has no URL to redirect to: {error}") from None


def location(url: str) -> str:
    """Return a URL as a redirect may have it: escaped, and without a fragment.

    Raises:
        ValueError: It is none of HTTP, or carries credentials; the message repeats no secret.
    """
    escaped = quote(url.partition("#")[0], safe=_KEPT)
    if reason := refusal(escaped.partition("?")[0]):
        raise ValueError(reason)
    if len(escaped) > _LONGEST:
        raise ValueError(f"the URL is longer than {_LONGEST} characters")
    return escaped
