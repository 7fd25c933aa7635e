"""The examination: every check in turn, as far as those before it let it go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rucio.common.exception import RSENotFound

from stac_client.errors import rucio_errors
from stac_client.setup.setup import server_version
from stac_client.setup.survey import Survey

from .account import account_findings, scope_findings
from .destinations import destination_findings, find_destinations
from .findings import Finding, error
from .hosts import fts_findings, settings_findings
from .resolution import resolution_findings
from .server import connect_to, policy_findings, version_finding
from .source import source_findings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rucio.client import Client


def examine(
    connect: Callable[[], Client],
    rse: str,
    *,
    destinations: str | Sequence[str] = (),
    survey: Survey | None = None,
    options: Mapping[str, str] | None = None,
) -> Iterator[Finding]:
    """Look for what keeps STAC assets from being registered, replicated or found.

    Args:
        connect: Makes a Rucio client; `rucio.client.Client` makes one as rucio.cfg says.
        rse: The source RSE.
        destinations: The RSEs that shall receive copies, by an RSE expression or names.
        survey: What the catalogue needs; without it, scopes, hosts and URLs are not
            looked at.
        options: The options of `[stac]`; by default those of this machine's rucio.cfg.

    Returns:
        The findings, each as soon as it is known. Where an error makes further checks
        senseless, it is the last.

    Raises:
        StacRucioError: Rucio stopped answering on the way.
    """
    sample = survey or Survey()
    client = connect_to(connect)
    if isinstance(client, Finding):
        yield client
        return
    version = server_version(client)
    yield version_finding(version, client.host)
    yield from account_findings(client)
    yield from scope_findings(client, sample.scopes)
    source = _source(client, rse)
    if isinstance(source, Finding):
        yield source
        return
    there, attributes = source
    yield from source_findings(there, attributes, sample, version)
    found = find_destinations(client, destinations, version)
    if isinstance(found, Finding):
        yield found
        found = []
    found = [destination for destination in found if destination.rse != rse]
    schemes = sample.schemes or {protocol["scheme"] for protocol in there["protocols"]}
    yield from destination_findings(client, rse, attributes, schemes, found)
    yield from policy_findings(client, there, found, version)
    yield from settings_findings(client, sample, options)
    yield from fts_findings(str(attributes.get("fts") or ""))
    yield from resolution_findings(client, rse, there["protocols"], sample)


def _source(client: Client, rse: str) -> tuple[dict[str, Any], dict[str, Any]] | Finding:
    with rucio_errors(f"looking at RSE {rse}"):
        try:
            return client.get_rse(rse), client.list_rse_attributes(rse)
        except RSENotFound:
            return error(
                "rse-missing",
                f"there is no RSE {rse}",
                "assets are registered at a source RSE, which stands for the catalogue's URLs",
                f"stac-rucio admin setup-rse {rse} --destinations RSE-EXPRESSION",
            )
