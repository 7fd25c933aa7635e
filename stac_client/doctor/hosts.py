"""Checks of hosts: whether `[stac] allowed_hosts` allows the catalogue's, whether FTS answers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rucio.common.exception import AccessDenied, ConfigNotFound

from stac_client.setup.survey import server_options
from stac_policy.settings import configured_options, parse
from stac_policy.urls import is_allowed

from .findings import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rucio.client import Client

    from stac_client.setup.survey import Survey

    from .findings import Finding

_TIMEOUT_S = 5.0


def settings_findings(
    client: Client, survey: Survey, options: Mapping[str, str] | None
) -> Iterator[Finding]:
    """Whether `[stac]` allows the catalogue's hosts, as far as it can be seen from here.

    Args:
        client: A Rucio client.
        survey: What the catalogue needs.
        options: The options of `[stac]`; by default those of this machine's rucio.cfg,
            and before them those of the server's config table, where that may be read.
    """
    given = _config_table(client) | configured_options() if options is None else options
    settings, problems = parse(given)
    for problem in problems:
        yield warning("settings", problem, "the option has its default", "[stac]  # docs/server.md")
    refused = {
        urlsplit(asset.url).netloc
        for asset in survey.assets
        if not is_allowed(urlsplit(asset.url), settings.allowed_hosts)
    }
    if refused:
        yield error(
            "host-not-allowed",
            f"[stac] allowed_hosts does not allow {', '.join(sorted(refused))}",
            "a Rucio server with these settings refuses to register their URLs",
            server_options(survey),
        )


def fts_findings(servers: str) -> Iterator[Finding]:
    """Whether FTS servers can be reached from here.

    Args:
        servers: Their URLs, as the attribute `fts` has them.
    """
    for server in filter(None, servers.split(",")):
        if _answers(server):
            yield ok("fts", f"the FTS server {server} answers")
        else:
            yield warning(
                "fts-unreachable",
                f"the FTS server {server} can not be reached from here",
                "Rucio's daemons hand it all transfers; they may run where it can be reached",
                f"curl --head {server}  # where the daemons run",
            )


def _answers(url: str) -> bool:
    """Whether something listens there; without a certificate FTS says no more."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80}.get(parts.scheme, 443)
        with socket.create_connection((parts.hostname or "", port), _TIMEOUT_S):
            return True
    except (OSError, ValueError):
        return False


def _config_table(client: Client) -> dict[str, str]:
    try:
        return {option: str(value) for option, value in client.get_config("stac").items()}
    except (AccessDenied, ConfigNotFound):
        return {}
