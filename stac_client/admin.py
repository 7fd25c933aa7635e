"""What an administrator sets up and checks in Rucio, so that a catalogue can be registered.

Both follow from the same checks: `plan_setup` and `plan_scopes` make the changes that fix what
is wrong, `examine` describes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stac_client import _rse_checks as rse_checks
from stac_client import _server_checks as server_checks
from stac_client._checks import (
    CatalogueSummary,
    Change,
    Check,
    Level,
    ok,
    summarise_catalogue,
    wrong,
)
from stac_client._rucio import Rucio
from stac_client._source_rse import has_gateway
from stac_client.errors import ConfigurationError, StacRucioError, near
from stac_policy.settings import parse
from stac_policy.urls import is_url, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rucio.client import Client

__all__ = [
    "CatalogueSummary",
    "Change",
    "Check",
    "Level",
    "Setup",
    "examine",
    "plan_scopes",
    "plan_setup",
    "summarise_catalogue",
]


@dataclass(frozen=True)
class Setup:
    """What has to change on a Rucio server."""

    changes: list[Change]
    """In the order in which they must be made; none if all is as it should be."""
    notes: list[str]
    """What was found and is left as it is, each in a sentence."""

    def apply(self, rucio: Client | Rucio) -> Iterator[Change]:
        """Make the changes one by one.

        Whatever stops it, a new plan has what is left.

        Args:
            rucio: A client of Rucio.

        Yields:
            Each change as soon as it has been made.

        Raises:
            StacRucioError: A change was refused.
        """
        asked = Rucio.of(rucio)
        for change in self.changes:
            change.apply(asked)
            yield change


def plan_setup(
    rucio: Client | Rucio,
    rse: str,
    *,
    destinations: str | Sequence[str],
    fts: str | None = None,
    gateway: bool = False,
    catalogue: CatalogueSummary | None = None,
    owner: str | None = None,
) -> Setup:
    """Work out what a source RSE and the scopes of a catalogue lack, without writing anything.

    An RSE that has Rucio's own protocols alone stays as it is; the notes say what it
    cannot hold.

    Args:
        rucio: A client of Rucio; its account needs to be an administrator's to apply
            the changes.
        rse: Name of the source RSE, new or half set up or complete.
        destinations: The RSEs that shall receive copies, by an RSE expression or names.
        fts: URL of the FTS server that moves the files; by default what the
            destinations have.
        gateway: Whether its transfers shall go through a credential gateway where they need
            one; an RSE whose transfers do keeps that.
        catalogue: What the catalogue needs. By default no scopes, and protocols for
            http and https at a new RSE.
        owner: The account that shall own new scopes; by default the client's.

    Returns:
        The changes, and what is left as it is.

    Raises:
        ConfigurationError: The RSE is a storage, or Rucio takes no such name, a destination
            does not exist, or no destination names an FTS server.
        StacRucioError: Rucio cannot be reached.
    """
    if fts is not None and not all(map(is_url, fts.split(","))):
        hint = "https://fts.example.org:8446 is one (--fts)"
        raise ConfigurationError(
            f"fts is {redact(fts)}, which is no URL of an FTS server", hint=hint
        )
    asked = Rucio.of(rucio)
    source, exists = rse_checks.source_rse(asked, rse, server_checks.server_version(asked))
    if not exists:
        rse_checks.require_name(rse)
    found = rse_checks.destination_rses(asked, destinations, source)
    if catalogue and (gateway or has_gateway(source.protocols)):
        catalogue = catalogue.with_gateway()
    made = [] if exists else [server_checks.BEFORE_RSES, rse_checks.missing(source, found)]
    made += rse_checks.source(source, found, catalogue, fts, gateway=gateway)
    for destination in found:
        made += rse_checks.distance(asked, rse, destination.name)
    if source.is_stock and not source.settings["deterministic"]:
        made = [check for check in made if not isinstance(check.fix, Change)]
    else:
        for check in made:
            if check.level is Level.ERROR and not isinstance(check.fix, Change):
                raise ConfigurationError(f"{check.what}: {check.why}", hint=f"fix: {check.fix}")
    for destination in found:
        made += rse_checks.sending(destination, source, gateway=gateway)
    made += server_checks.paths_back(asked, found)
    return _setup(
        [*made, *server_checks.scopes(asked, catalogue.scopes if catalogue else {}, owner)]
    )


def plan_scopes(
    rucio: Client | Rucio, scopes: Mapping[str, str], *, owner: str | None = None
) -> Setup:
    """Work out which scopes of collections are missing, without writing anything.

    Args:
        rucio: A client of Rucio.
        scopes: The scope of each collection, as in `CatalogueSummary.scopes`, or from
            `stac_policy.naming.collection_scope`.
        owner: The account that shall own new scopes; by default the client's.

    Returns:
        The changes that add them, and notes about those that exist.

    Raises:
        StacRucioError: Rucio cannot be reached.
    """
    return _setup(server_checks.scopes(Rucio.of(rucio), scopes, owner))


def _setup(found: Iterable[Check]) -> Setup:
    changes: list[Change] = []
    notes = []
    for check in found:
        if not isinstance(check.fix, Change):
            notes.append(f"{check.what}: {check.why}" if check.why else check.what)
        elif check.fix not in changes:  # one change may fix several things
            changes.append(check.fix)
    return Setup(changes, notes)


def examine(
    rucio: Client | Rucio | Callable[[], Client],
    rse: str,
    *,
    destinations: str | Sequence[str] = (),
    catalogue: CatalogueSummary | None = None,
    options: Mapping[str, str] | None = None,
    account: str | None = None,
) -> Iterator[Check]:
    """Look for what keeps STAC assets from being registered, replicated or found.

    Args:
        rucio: A client of Rucio, or what makes one, such as `rucio.client.Client`, whose
            errors are findings, too.
        rse: The source RSE.
        destinations: The RSEs that shall receive copies, by an RSE expression or names.
        catalogue: What the catalogue needs; without it, scopes, hosts and URLs are not
            looked at.
        options: The options of `[stac]`; by default those of this machine's rucio.cfg.
        account: The account that `rucio` makes a client for; by default that of rucio.cfg.

    Yields:
        The results of the checks, each as soon as it is known. Where an error makes
        further checks senseless, it is the last.

    Raises:
        StacRucioError: Rucio stopped answering on the way.
    """
    yield from server_checks.installation()
    try:
        connect = rucio if callable(rucio) else lambda: Rucio.of(rucio).client
        asked = Rucio.connect(connect, retry_s=0)
        version = server_checks.server_version(asked)
    except (StacRucioError, KeyError, TypeError, ValueError) as reason:
        yield server_checks.connection(reason, account)
        return
    yield server_checks.server(version, asked.host)
    yield server_checks.account(asked)
    yield from server_checks.scopes(asked, catalogue.scopes if catalogue else {})
    yield from server_checks.names(asked)
    source, exists = rse_checks.source_rse(asked, rse, version)
    if not exists:
        yield server_checks.BEFORE_RSES
        there = rse_checks.missing(source)
        yield replace(there, what=f"{there.what}; {near(rse, asked.rse_names('*'))}")
        return
    found = []
    try:
        found = rse_checks.destination_rses(asked, destinations, source)
    except ConfigurationError as reason:
        yield wrong("destination-missing", str(reason), "rucio rse list")
    open_assets = catalogue.assets if catalogue else []
    if catalogue and has_gateway(source.protocols):
        catalogue = catalogue.with_gateway()
    needs = catalogue or CatalogueSummary()
    fine = ok("rse", f"RSE {rse} is a source RSE as it should be")
    yield from [*rse_checks.source(source, found, catalogue)] or [fine]
    options = server_checks.stac_options(asked) if options is None else options
    ours, _ = parse(options)
    plain = ours.gateway.startswith("http:") and ours.gateway_open and has_gateway(source.protocols)
    yield from rse_checks.destinations(asked, source, needs.assets, found, without_tls=plain)
    yield from server_checks.policy_package(asked, source, found)
    yield from server_checks.paths_back(asked, found)
    sent_to = [each.name for each in found if rse_checks.is_sent_to(each)]
    yield from server_checks.settings(needs, options, sent_to)
    yield from server_checks.access(needs)
    yield from map(server_checks.fts_server, source.fts)
    yield from server_checks.resolution(asked, source, open_assets, options)
