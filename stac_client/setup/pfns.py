"""The PFN under which an RSE's protocols can hold a URL; pure.

The protocol `stac_policy.protocol.Default` holds every URL as it is. Rucio's
own protocols hold one host each, with its port, and neither query strings nor
`//` (`rucio.rse.protocols.protocol.RSEProtocol.parse_pfns`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stac_client.results import Outcome, State

from .source_rse import SOURCE_PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from urllib.parse import SplitResult

    from stac_client.catalogue.assets import Asset

_DEFAULT_PORTS = {"http": 80, "https": 443}


class NoPfnError(Exception):
    """None of an RSE's protocols can hold a URL; the message says why."""


def with_pfn(selected: Asset | Outcome, protocols: list[dict[str, Any]]) -> Asset | Outcome:
    """Give an asset the PFN that the RSE's protocols can hold, or the reason why there is none."""
    if isinstance(selected, Outcome):
        return selected
    try:
        pfn = pfn_of(selected.url, protocols)
    except NoPfnError as reason:
        return selected.outcome(State.SKIPPED, str(reason))
    return selected if pfn == selected.url else replace(selected, url=pfn)


def pfn_of(url: str, protocols: Iterable[Mapping[str, Any]]) -> str:
    """Give the PFN for a URL, which leads to the same file.

    Args:
        url: The URL.
        protocols: The protocols of the RSE, as Rucio describes them.

    Raises:
        NoPfnError: No protocol can hold it.
    """
    scheme = url.partition(":")[0].lower()
    reasons = []
    for protocol in protocols:
        if protocol["scheme"] != scheme:
            continue
        if protocol["impl"] == SOURCE_PROTOCOL:
            return url
        parts = urlsplit(url)
        reason = _obstacle(parts, protocol)
        if reason is None:
            return f"{scheme}://{parts.hostname}:{protocol['port']}{parts.path}"
        reasons.append(f"{protocol['impl']} {reason}")
    raise NoPfnError("; ".join(reasons) or f"the RSE has no protocol for {scheme}")


def _obstacle(parts: SplitResult, protocol: Mapping[str, Any]) -> str | None:
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    prefix = f"/{protocol['prefix'].strip('/')}/".replace("//", "/")
    if (parts.hostname, port) != (protocol["hostname"], protocol["port"]):
        return f"is for {protocol['hostname']}:{protocol['port']} alone"
    if parts.query:
        return "drops the query string"
    if "//" in parts.path or parts.path.endswith("/"):
        return "does not keep doubled slashes, nor one at the end"
    if not parts.path.startswith(prefix):
        return f"is for paths below {prefix} alone"
    return None


def obstacles(urls: Iterable[str], protocols: list[dict[str, Any]]) -> Counter[str]:
    """Count the URLs that an RSE's protocols can not hold, by reason."""
    reasons: Counter[str] = Counter()
    for url in urls:
        try:
            pfn_of(url, protocols)
        except NoPfnError as reason:
            reasons[str(reason)] += 1
    return reasons
