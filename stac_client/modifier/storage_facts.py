"""What an RSE is, in terms of the Storage extension; pure.

Specification: https://github.com/stac-extensions/storage, v2.0.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STORAGE = "https://stac-extensions.github.io/storage/v2.0.0/schema.json"
SCHEMES = "storage:schemes"

_ANY_VERSION = "https://stac-extensions.github.io/storage/"
_TYPE = "rucio"
_ATTRIBUTES = ("region", "country", "site", "tier", "requester_pays")
"""Attributes that operators give RSEs by custom, and that concern readers; no others are shown."""


def storage_scheme(
    rse: str, rucio_host: str, settings: Mapping[str, Any], attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the storage scheme of an RSE.

    Its platform is the template of a URL where Rucio tells more of the RSE.

    Args:
        rse: The RSE.
        rucio_host: URL of the Rucio server.
        settings: Its settings, as Rucio's client gives them.
        attributes: Its attributes.
    """
    scheme: dict[str, Any] = {
        "type": _TYPE,
        "platform": f"{rucio_host.rstrip('/')}/rses/{{rse}}",
        "rse": rse,
    }
    if isinstance(settings.get("rse_type"), str):
        scheme["rse_type"] = settings["rse_type"]
    for key in _ATTRIBUTES:
        value = attributes.get(key)
        if key == "requester_pays":
            if isinstance(value, bool):
                scheme[key] = value
        elif isinstance(value, str) and value:
            scheme[key] = value
    return scheme


def uses_another_version(extensions: Iterable[object]) -> bool:
    """Tell whether an item uses another version of the extension.

    Its fields and those of this version are not valid beside each other.
    """
    return any(
        isinstance(each, str) and each.startswith(_ANY_VERSION) and each != STORAGE
        for each in extensions
    )


def with_schemes(
    schemes: object, found: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Add the storage schemes of RSEs to those that an item has.

    Args:
        schemes: The `storage:schemes` of the item, if it has any.
        found: The storage scheme of each RSE.

    Returns:
        All schemes, and the key of each RSE's: its name, or, where others have
        that key, one made from it.
    """
    result = dict(schemes) if isinstance(schemes, dict) else {}
    refs = {}
    for rse, scheme in found.items():
        key = rse
        while not _is_of(result.get(key, scheme), rse):
            key += f"-{_TYPE}"
        result[key] = dict(scheme)
        refs[rse] = key
    return result, refs


def _is_of(scheme: object, rse: str) -> bool:
    return isinstance(scheme, dict) and scheme.get("type") == _TYPE and scheme.get("rse") == rse
