"""Setting up a source RSE: what a Rucio server lacks for the assets of a catalogue."""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from packaging.specifiers import SpecifierSet
from rucio.common.exception import (
    AccessDenied,
    CannotAuthenticate,
    ConfigNotFound,
    ReplicaNotFound,
    RSENotFound,
    RucioException,
    ServerConnectionException,
)

from stac_client._assets import Asset, select_assets
from stac_client._items import iter_items
from stac_client._rucio import list_files
from stac_client._source_rse import (
    SCHEMES,
    SOURCE_PROTOCOL,
    SUPPORTED_CHECKSUMS,
    NoPfnError,
    domains_of,
    is_on,
    is_source_protocol,
    is_stock_protocol,
    obstacles,
    pfn_of,
    source_protocol,
    wrong_priorities,
)
from stac_client.errors import AccessError, ConfigurationError, StacRucioError, rucio_errors
from stac_policy import SUPPORTED_VERSION
from stac_policy.http import FetchError, make_session, open_url
from stac_policy.naming import collection_scope
from stac_policy.settings import Settings, configured_options, parse
from stac_policy.urls import DEFAULT_PORTS, is_allowed, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rucio.client import Client

    from stac_client._assets import AssetSelection
    from stac_client._items import ItemsLike

    Protocols = list[dict[str, Any]]
    from collections.abc import Callable


# What the doctor finds.


class Level(str, Enum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Some things will not work, or not as they should."""
    ERROR = "error"
    """Registration or replication fails."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. It holds no secrets."""

    level: Level
    code: str
    """What kind of finding it is, as docs/doctor.md lists them: `distance-missing`."""
    what: str
    """What was found, naming the RSE, scope, account or URL."""
    why: str = ""
    """Why it matters."""
    mend: str = ""
    """What to paste: a command, or lines of rucio.cfg."""


def ok(code: str, what: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, code, what)


def warning(code: str, what: str, why: str, mend: str) -> Finding:
    """Something will not work as it should."""
    return Finding(Level.WARNING, code, what, why, mend)


def error(code: str, what: str, why: str, mend: str) -> Finding:
    """Registration or replication fails."""
    return Finding(Level.ERROR, code, what, why, mend)


# Changes to a Rucio server: first shown, then sent.


@dataclass(frozen=True)
class Change:
    """One request that changes something, with what it does in words."""

    text: str
    """As in "add scope sentinel-2-l2a for account root"."""
    method: str = field(repr=False)
    """The method of Rucio's client."""
    arguments: tuple[Any, ...] = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return self.text

    def apply(self, client: Client) -> None:
        """Send it.

        Raises:
            StacRucioError: The account may not, something is there by now, or Rucio
                can not be reached; the message names the change.
        """
        with rucio_errors(self.text):
            getattr(client, self.method)(*self.arguments, **self.options)


@dataclass(frozen=True)
class Setup:
    """What has to change on a Rucio server."""

    changes: list[Change]
    """In the order in which they must be made; none if all is as it should be."""
    notes: list[str]
    """What was found and is left as it is, each in a sentence."""

    def apply(self, client: Client) -> Iterator[Change]:
        """Make the changes one by one, and give each as soon as it has been made.

        Whatever stops it, a new plan has what is left.

        Raises:
            StacRucioError: A change was refused.
        """
        for change in self.changes:
            change.apply(client)
            yield change


# The scopes of collections: which there are, who owns them, and which are missing.


@dataclass(frozen=True)
class CollectionScope:
    """The scope that the assets of a collection need."""

    collection: str
    scope: str
    exists: bool
    owner: str | None
    """Its account; None if it does not exist, or the server (before Rucio 40) does not tell."""


def collection_scopes(client: Client, scopes: Mapping[str, str]) -> list[CollectionScope]:
    """Ask Rucio for the scopes of collections, in one or two requests.

    Args:
        client: A Rucio client.
        scopes: The scope of each collection, as in `Survey.scopes`, or from
            `stac_policy.naming.collection_scope`.

    Raises:
        StacRucioError: Rucio can not be reached.
    """
    with rucio_errors("listing scopes"):
        there = set(client.list_scopes())
    owners = _owners(client)
    return [
        CollectionScope(collection, scope, scope in there, owners.get(scope))
        for collection, scope in scopes.items()
    ]


def missing_scopes(found: list[CollectionScope], owner: str) -> list[Change]:
    """The changes that add the scopes which do not exist.

    Args:
        found: The scopes of the collections.
        owner: The account that shall own new scopes.
    """
    missing = dict.fromkeys(entry.scope for entry in found if not entry.exists)
    return [
        Change(f"add scope {scope} for account {owner}", "add_scope", (owner, scope))
        for scope in missing
    ]


def _owners(client: Client) -> dict[str, str]:
    from rucio.common.exception import RucioException

    try:
        return {entry["scope"]: entry["account"] for entry in client.list_scope_owners()}
    except (AttributeError, RucioException):  # the client, or the server, is older than Rucio 40
        return {}


# Checks of the account, and of the scopes of collections.


_ROOT = "root"
_ADMIN = "admin"


def account_findings(client: Client) -> Iterator[Finding]:
    """What the account may do: register as an administrator, or as a registrar."""
    account = client.account
    roles = _roles(client, account)
    if roles:
        yield ok("account", f"account {account} may register: {' and '.join(roles)}")
        return
    attribute = Settings().registrar_attribute
    yield error(
        "account-not-registrar",
        f"account {account} is neither an administrator nor a registrar",
        "Rucio lets it register nothing at a source RSE; replicating what is there works",
        f"rucio-admin account add-attribute --key {attribute} --value true {account}",
    )


def scope_findings(client: Client, scopes: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the scopes of collections exist, and whose they are.

    Args:
        client: A Rucio client.
        scopes: The scope of each collection.
    """
    if not scopes:
        return
    trusted: dict[str, bool] = {client.account: True}
    for entry in collection_scopes(client, scopes):
        scope, owner = entry.scope, entry.owner
        if not entry.exists:
            yield error(
                "scope-missing",
                f"scope {scope} of collection {entry.collection} does not exist",
                "no DID can be registered in it",
                f"rucio-admin scope add --account {client.account} --scope {scope}",
            )
            continue
        if owner is not None and owner not in trusted:
            trusted[owner] = bool(_roles(client, owner))
        if owner is not None and not trusted[owner]:
            yield warning(
                "scope-owner",
                f"scope {scope} of collection {entry.collection} belongs to account {owner}, "
                "which may not register",
                "whoever owns a scope can add and remove DIDs in it, of whatever content",
                f"rucio scope update {scope} --account {client.account}",
            )
            continue
        yield ok("scope", f"scope {scope} exists" + (f", owned by {owner}" if owner else ""))


def _roles(client: Client, account: str) -> list[str]:
    """What lets an account register, in words."""
    with rucio_errors(f"asking for the attributes of account {account}"):
        # The answer is a list with the list of attributes in it.
        (listed,) = client.list_account_attributes(account)
    attributes = {attribute["key"] for attribute in listed}
    roles = ["an administrator"] if account == _ROOT or _ADMIN in attributes else []
    if Settings().registrar_attribute in attributes:
        roles.append("a registrar")
    return roles


# What a catalogue needs of Rucio, from a sample of its items: hosts, schemes, scopes.


@dataclass
class Survey:
    """What a sample of items needs of Rucio."""

    items: int = 0
    """Items that were looked at."""
    assets: list[Asset] = field(default_factory=list, repr=False)
    """Their assets that can be registered."""
    hosts: Counter[str] = field(default_factory=Counter)
    """Assets by the host, with its port where the URL names one."""
    scopes: dict[str, str] = field(default_factory=dict)
    """The scope of each collection."""
    refused: Counter[str] = field(default_factory=Counter)
    """Assets that can not be registered, by reason."""

    @property
    def schemes(self) -> set[str]:
        """The schemes of the URLs."""
        return {urlsplit(asset.url).scheme for asset in self.assets}


def survey(
    items: ItemsLike, *, sample: int = 100, assets: AssetSelection = None, scope: str | None = None
) -> Survey:
    """Look at the first items.

    Args:
        items: The items. Of a search over several collections the first may all be
            of one collection.
        sample: How many items to look at.
        assets: The assets, as in `StacClient.create_replicas`.
        scope: A fixed scope instead of those derived from the collections.

    Raises:
        StacRucioError: There is something among them that is no item, or the STAC
            API does not answer.
    """
    found = Survey()
    for item in islice(iter_items(items), sample):
        found.items += 1
        for selected in select_assets(item, assets, scope):
            if isinstance(selected, Asset):
                found.assets.append(selected)
                found.hosts[urlsplit(selected.url).netloc.lower()] += 1
                found.scopes[selected.collection] = selected.did.scope
            else:
                found.refused[selected.reason] += 1
        collection = item.get("collection")
        if isinstance(collection, str) and collection:
            with suppress(ValueError):  # what has no scope is among the refused
                found.scopes.setdefault(collection, scope or collection_scope(collection))
    return found


def server_options(found: Survey, *, api: str = "", scope: str | None = None) -> str:
    """The lines that the rucio.cfg of server and daemons should have, which no request can set.

    Args:
        found: What the catalogue needs.
        api: URL of its STAC API, if it has one.
        scope: The fixed scope, if one is used.
    """
    lines = ["[policy]", "package = stac_policy", "", "[stac]"]
    if found.hosts:
        lines.append(f"allowed_hosts = {', '.join(sorted(found.hosts))}")
    if scope is not None:
        lines.append(f"scopes = {scope}={api}" if api else f"scopes = {scope}")
    elif api:
        lines.append(f"api = {api}")
    return "\n".join(lines)


def plan_setup(
    client: Client,
    rse: str,
    *,
    destinations: str | Sequence[str],
    fts: str | None = None,
    survey: Survey | None = None,
    owner: str | None = None,
) -> Setup:
    """Work out what a source RSE and the scopes of a catalogue lack, without writing anything.

    An RSE that has Rucio's own protocols alone stays as it is; the notes say what it
    can not hold.

    Args:
        client: A Rucio client; its account needs to be an administrator's to apply
            the changes.
        rse: Name of the source RSE, new or half set up or complete.
        destinations: The RSEs that shall receive copies, by an RSE expression or names.
        fts: URL of the FTS server that moves the files; by default what the
            destinations have.
        survey: What the catalogue needs. By default protocols for http and https,
            and no scopes.
        owner: The account that shall own new scopes; by default the client's.

    Raises:
        ConfigurationError: The RSE is a storage, a destination does not exist, or no
            destination names an FTS server.
        StacRucioError: Rucio can not be reached.
    """
    found = survey or Survey()
    scopes = collection_scopes(client, found.scopes)
    of_scopes = missing_scopes(scopes, owner or client.account)
    notes = [
        f"scope {entry.scope} of collection {entry.collection} is there"
        + (f", owned by account {entry.owner}" if entry.owner else "")
        for entry in scopes
        if entry.exists
    ]
    there = _source_rse(client, rse)
    protocols: Protocols = there["protocols"] if there else []
    if protocols and all(map(is_stock_protocol, protocols)):
        return Setup(of_scopes, [*_of_stock_protocols(rse, protocols, found), *notes])
    rses = destination_rses(client, destinations)
    schemes = sorted(found.schemes | {"https"}) if survey else [*SCHEMES]
    changes = [
        *_rse_changes(rse, there),
        *_protocol_changes(rse, protocols, schemes, server_version(client)),
        *_attribute_changes(client, rse, there, fts or _fts_of(client, rses)),
        *_distance_changes(client, rse, there, rses),
        *of_scopes,
    ]
    return Setup(changes, notes)


def server_version(client: Client) -> str:
    """Ask for the version of the Rucio server.

    Raises:
        StacRucioError: Rucio can not be reached.
    """
    with rucio_errors("asking for the server's version"):
        return str(client.ping()["version"])


def destination_rses(client: Client, destinations: str | Sequence[str]) -> list[str]:
    """Give the names of the destination RSEs.

    Args:
        client: A Rucio client.
        destinations: An RSE expression, or names.

    Raises:
        ConfigurationError: There is no such RSE.
        StacRucioError: Rucio can not be reached.
    """
    expression = destinations if isinstance(destinations, str) else "|".join(destinations)
    if not expression:
        return []
    with rucio_errors(f"looking for the destination RSEs {expression}"):
        names = sorted(entry["rse"] for entry in client.list_rses(expression))
    if not isinstance(destinations, str) and (missing := sorted({*destinations} - {*names})):
        raise ConfigurationError(
            f"there is no RSE {', '.join(missing)}; `rucio rse list` shows the RSEs there are"
        )
    return names


def _source_rse(client: Client, rse: str) -> dict[str, Any] | None:
    """What Rucio knows of the RSE, or None if there is none."""
    with rucio_errors(f"looking for RSE {rse}"):
        try:
            there: dict[str, Any] = client.get_rse(rse)
        except RSENotFound:
            return None
    if there["deterministic"]:
        raise ConfigurationError(
            f"RSE {rse} exists and is deterministic, as storages are; a source RSE holds the URLs "
            "that it is given: choose another name, or if it is none, "
            f"`rucio-admin rse update --rse {rse} --setting deterministic --value False`"
        )
    return there


def _of_stock_protocols(rse: str, protocols: Protocols, found: Survey) -> Iterator[str]:
    for protocol in protocols:
        yield (
            f"RSE {rse} has the protocol {protocol['impl']} for {protocol['scheme']}, which holds "
            f"URLs of {protocol['hostname']}:{protocol['port']} alone, without query strings: "
            "it is left as it is"
        )
    reasons = obstacles((asset.url for asset in found.assets), protocols)
    for text, count in reasons.most_common():
        yield f"{count} of {len(found.assets)} assets can not be registered there: {text}"


def _rse_changes(rse: str, there: dict[str, Any] | None) -> Iterator[Change]:
    if there is None:
        # No rule may target it: registrars and administrators may skip this check, rules may not.
        options = {"deterministic": False, "availability_write": False}
        text = f"add RSE {rse}, non-deterministic, not available for writing"
        yield Change(text, "add_rse", (rse,), options)
        return
    for setting, wanted in (("availability_write", False), ("availability_read", True)):
        if there[setting] is not wanted:
            yield Change(f"set {setting}={wanted} on {rse}", "update_rse", (rse, {setting: wanted}))


def _protocol_changes(
    rse: str, there: Protocols, schemes: Sequence[str], version: str
) -> Iterator[Change]:
    for scheme in schemes:
        if not any(protocol["scheme"] == scheme for protocol in there):
            wanted = source_protocol(scheme)
            text = f"add protocol {wanted['impl']} for {scheme} to {rse}"
            yield Change(text, "add_protocol", (rse, wanted))
    for protocol in there:
        scheme, address = protocol["scheme"], (protocol["hostname"], protocol["port"])
        what = f"the protocol for {scheme} of {rse}"
        if scheme not in SCHEMES:
            text = f"delete {what}, {protocol['impl']}"
            yield Change(text, "delete_protocols", (rse, scheme, *address))
            continue
        wanted = source_protocol(scheme)
        if not is_source_protocol(protocol):
            text = f"set impl={wanted['impl']} of {what} (was {protocol['impl']})"
            change = {"impl": wanted["impl"]}
            yield Change(text, "update_protocols", (rse, scheme, change, *address))
        wrong = [
            f"{domain} {operation} {'on' if on else 'off'}"
            for domain, operation, on in wrong_priorities(protocol, version)
        ]
        if wrong:
            text = f"set priorities of {what}: {', '.join(wrong)}"
            domains = {"domains": domains_of(version)}
            yield Change(text, "update_protocols", (rse, scheme, domains, *address))


def _attribute_changes(
    client: Client, rse: str, there: dict[str, Any] | None, fts: str
) -> Iterator[Change]:
    attributes = {}
    if there is not None:
        with rucio_errors(f"listing attributes of RSE {rse}"):
            attributes = client.list_rse_attributes(rse)
    for key, value in {"fts": fts, SUPPORTED_CHECKSUMS: "none"}.items():
        old = attributes.get(key)
        if old != value:
            was = "" if old is None else f" (was {old})"
            text = f"set attribute {key}={value} on {rse}{was}"
            yield Change(text, "add_rse_attribute", (rse, key, value))


def _distance_changes(
    client: Client, rse: str, there: dict[str, Any] | None, destinations: list[str]
) -> Iterator[Change]:
    for destination in destinations:
        if destination == rse:
            continue
        with rucio_errors(f"asking for the distance from {rse} to {destination}"):
            known = there is not None and client.get_distance(rse, destination)
        if not known:
            text = f"add distance 1 from {rse} to {destination}"
            yield Change(text, "add_distance", (rse, destination, {"distance": 1}))


def _fts_of(client: Client, destinations: list[str]) -> str:
    """The FTS servers that the destinations name; Rucio uses that of the destination."""
    servers = set()
    for destination in destinations:
        with rucio_errors(f"listing attributes of RSE {destination}"):
            servers.add(client.list_rse_attributes(destination).get("fts"))
    if named := sorted(str(server) for server in servers if server):
        return ",".join(named)
    raise ConfigurationError(
        "no destination has the attribute fts, which says what moves the files; give its URL"
    )


# Checks of the destination RSEs: distances, FTS, protocols, availability, limits.


# Which schemes Rucio takes for the same: rucio.common.constants.SCHEME_MAP.
_SECURE = frozenset({"https", "davs", "srm+https", "cs3s"})


@dataclass(frozen=True)
class Destination:
    """A destination RSE, as Rucio describes it."""

    rse: str
    settings: Mapping[str, Any]
    attributes: Mapping[str, Any]
    version: str
    """The version of the server."""

    @property
    def algorithm(self) -> str:
        """Its algorithm for paths if that is one of the policy package's, or ''."""
        name = str(self.attributes.get("lfn2pfn_algorithm") or "")
        return name if name == "stac" or name.endswith("_stac") else ""  # `VO_stac`

    @property
    def read_scheme(self) -> str:
        """A scheme that its files can be read by."""
        return next(iter(self._schemes("read")), "")

    @property
    def copy_schemes(self) -> set[str]:
        """Schemes that transfers can write by."""
        return {*self._schemes("third_party_copy_write")}

    def _schemes(self, operation: str) -> list[str]:
        return [
            protocol["scheme"]
            for protocol in self.settings["protocols"]
            if is_on(protocol["domains"]["wan"].get(operation), self.version)
        ]


def find_destinations(
    client: Client, destinations: str | Sequence[str], version: str
) -> list[Destination] | Finding:
    """Ask Rucio for the destination RSEs.

    Args:
        client: A Rucio client.
        destinations: An RSE expression, or names.
        version: The version of the server.
    """
    try:
        names = destination_rses(client, destinations)
    except ConfigurationError as reason:
        return error(
            "destination-missing",
            str(reason),
            "no rule can be made",
            "rucio rse list",
        )
    found = []
    for name in names:
        with rucio_errors(f"looking at RSE {name}"):
            settings, attributes = client.get_rse(name), client.list_rse_attributes(name)
        found.append(Destination(name, settings, attributes, version))
    return found


def destination_findings(
    client: Client,
    source: str,
    source_attributes: Mapping[str, Any],
    source_schemes: set[str],
    destinations: list[Destination],
) -> Iterator[Finding]:
    """Look at the destination RSEs, and at the way there.

    Args:
        client: A Rucio client.
        source: Name of the source RSE.
        source_attributes: Its attributes.
        source_schemes: The schemes of its protocols.
        destinations: The destination RSEs.
    """
    if not destinations:
        return
    with rucio_errors(f"asking for the limits of account {client.account}"):
        usages = {usage["rse"]: usage for usage in client.get_local_account_usage(client.account)}
        limits = client.get_local_account_limits(client.account)
    for destination in destinations:
        findings = [
            *_distance(client, source, destination.rse),
            *_fts(source, source_attributes, destination),
            *_protocols(source_schemes, destination),
            *_availability(destination),
            *_limit(client.account, destination.rse, limits, usages),
        ]
        yield from findings or [
            ok("destination", f"RSE {destination.rse} can receive copies from {source}")
        ]


def _distance(client: Client, source: str, rse: str) -> Iterator[Finding]:
    with rucio_errors(f"asking for the distance from {source} to {rse}"):
        known = client.get_distance(source, rse)
    if not known:
        yield error(
            "distance-missing",
            f"there is no distance from {source} to {rse}",
            "Rucio finds no way between them: rules are stuck with MISMATCH_SCHEME or NO_SOURCES",
            f"rucio-admin rse add-distance --distance 1 {source} {rse}",
        )


def _fts(
    source: str, source_attributes: Mapping[str, Any], destination: Destination
) -> Iterator[Finding]:
    rse, server = destination.rse, destination.attributes.get("fts")
    of_source = str(source_attributes.get("fts") or "")
    if not server:
        yield error(
            "destination-fts-missing",
            f"RSE {rse} has no attribute fts",
            "Rucio hands no transfer there to FTS",
            f"rucio-admin rse set-attribute --rse {rse} --key fts "
            f"--value {of_source or 'https://fts.example.org:8446'}",
        )
    elif of_source and not {*str(server).split(",")} & {*of_source.split(",")}:
        yield warning(
            "fts-differs",
            f"RSE {rse} has fts={server}, {source} has fts={of_source}",
            "Rucio uses that of the destination, whatever that of the source says",
            f"rucio-admin rse set-attribute --rse {source} --key fts --value {server}",
        )


def _protocols(source_schemes: set[str], destination: Destination) -> Iterator[Finding]:
    writes = destination.copy_schemes
    if not writes:
        yield error(
            "destination-protocol",
            f"RSE {destination.rse} has no protocol for third_party_copy_write",
            "no transfer can be sent there",
            f"rucio-admin rse info {destination.rse}  # then give a protocol this operation (wan)",
        )
    elif source_schemes and not _family(source_schemes) & _family(writes):
        yield error(
            "destination-scheme",
            f"RSE {destination.rse} takes copies by {_listed(writes)}, "
            f"the URLs have {_listed(source_schemes)}",
            "Rucio transfers between the same schemes, or between https and davs",
            f"rucio-admin rse info {destination.rse}  # then add a protocol for one of these",
        )


def _availability(destination: Destination) -> Iterator[Finding]:
    if not destination.settings["availability_write"]:
        yield error(
            "destination-not-writable",
            f"RSE {destination.rse} is not available for writing",
            "rules that target it are refused",
            f"rucio-admin rse update --rse {destination.rse} "
            "--setting availability_write --value True",
        )


def _limit(
    account: str, rse: str, limits: Mapping[str, Any], usages: Mapping[str, Mapping[str, Any]]
) -> Iterator[Finding]:
    mend = f"rucio-admin account set-limits {account} {rse} infinity"
    if rse not in limits:
        yield warning(
            "limit-missing",
            f"account {account} has no limit at RSE {rse}",
            "Rucio takes that for a limit of 0 and refuses its rules there, "
            "unless the account has the attribute admin",
            mend,
        )
    elif usages.get(rse, {}).get("bytes", 0) >= limits[rse]:
        yield warning(
            "limit-reached",
            f"account {account} has used up its limit of {limits[rse]} bytes at RSE {rse}",
            "Rucio refuses its rules there",
            mend,
        )


def _family(schemes: set[str]) -> set[str]:
    return {"https" if scheme in _SECURE else scheme for scheme in schemes}


def _listed(schemes: set[str]) -> str:
    return ", ".join(sorted(schemes))


# Checks of hosts: whether `[stac] allowed_hosts` allows the catalogue's, whether FTS answers.


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
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 443)
        with socket.create_connection((parts.hostname or "", port), _TIMEOUT_S):
            return True
    except (OSError, ValueError):
        return False


def _config_table(client: Client) -> dict[str, str]:
    try:
        return {option: str(value) for option, value in client.get_config("stac").items()}
    except (AccessDenied, ConfigNotFound):
        return {}


# Check of one real resolution: from a registered asset's DID to its URL, and to its bytes.


_LOOKED_UP = 100
_TIMEOUT_S_RESOLUTION = 10.0


def resolution_findings(
    client: Client, rse: str, protocols: list[dict[str, Any]], survey: Survey
) -> Iterator[Finding]:
    """Whether Rucio gives a registered asset's URL, and its origin the file.

    Args:
        client: A Rucio client.
        rse: The source RSE.
        protocols: Its protocols.
        survey: What the catalogue needs.
    """
    if not survey.assets:
        return
    assets = survey.assets[:_LOOKED_UP]
    files = list_files(client, [asset.did for asset in assets])
    for asset in assets:
        file = files.get(asset.did)
        if file is not None and rse in file.pfns:
            yield _resolution(asset, file.pfns[rse], rse, protocols)
            yield _request_by_name(client, asset)
            yield _origin(asset.url)
            return
    yield ok("resolution", f"none of the {len(assets)} assets looked up is registered at {rse} yet")
    yield _origin(assets[0].url)


def _resolution(
    asset: Asset, pfns: tuple[str, ...], rse: str, protocols: list[dict[str, Any]]
) -> Finding:
    try:
        wanted = pfn_of(asset.url, protocols)
    except NoPfnError as reason:
        wanted = f"{redact(asset.url)} ({reason})"
    if wanted in pfns:
        return ok("resolution", f"Rucio resolves {asset.did} at {rse} to {redact(wanted)}")
    return warning(
        "resolution-differs",
        f"Rucio resolves {asset.did} at {rse} to {redact(pfns[0])}, "
        f"the catalogue says {redact(wanted)}",
        "transfers read the URL that was registered; Rucio never takes another one for a DID",
        "stac-rucio deregister ITEMS  # then register them again",
    )


def _request_by_name(client: Client, asset: Asset) -> Finding:
    """Whether the server understands requests with a STAC name, and so slashes, in their path."""
    with rucio_errors(f"asking for {asset.did}"):
        try:
            client.get_did(asset.did.scope, asset.did.name)
        except (CannotAuthenticate, ServerConnectionException):
            raise
        except RucioException:
            return error(
                "encoded-slashes",
                f"the Rucio server lists {asset.did}, but does not find it by name",
                "its web server decodes or drops the slashes of names in requests: what names "
                "a single DID fails, and new DIDs can get a wrong name",
                "AllowEncodedSlashes NoDecode  # apache, in the VirtualHost\n"
                "RUCIO_HTTPD_ENCODED_SLASHES_NO_DECODE=True  # environment of the Rucio server",
            )
    return ok("encoded-slashes", f"the Rucio server finds {asset.did} by name")


def _origin(url: str) -> Finding:
    """Whether the origin has the file, by HEAD."""
    with make_session() as session:
        try:
            with open_url(session, url, (), _TIMEOUT_S_RESOLUTION, method="HEAD") as response:
                status = response.status_code
        except FetchError as reason:
            return _origin_fails(url, str(reason))
    # Not every origin answers HEAD.
    if status in {HTTPStatus.OK, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}:
        return ok("origin", f"{redact(url)} answers")
    return _origin_fails(url, f"HTTP {status}")


def _origin_fails(url: str, reason: str) -> Finding:
    return error(
        "origin-fails",
        f"{redact(url)}: {reason}",
        "transfers and downloads get the bytes there, without any credentials",
        f"curl --head '{redact(url)}'",
    )


# Checks of the server: whether it answers, its version, the policy package on it.


_INSTALL = "pip install 'stac-rucio[server]'  # where the Rucio server runs; then restart it"
_NAME = "[policy]\npackage = stac_policy"
# A DID that nobody has: what it takes to look for it is what is of interest.
_NOBODYS = "stac-rucio:/stac-rucio/doctor/none.tif"


def connect_to(connect: Callable[[], Client]) -> Client | Finding:
    """Make a client, or say why that fails."""
    try:
        with rucio_errors("connecting to Rucio"):
            client = connect()
            client.ping()["version"]
            return client
    except AccessError as reason:
        return error(
            "login-refused",
            str(reason),
            "nothing can be asked of Rucio without an account",
            "[client]\n"
            "account = ACCOUNT\nauth_type = userpass\nusername = USER\npassword = PASSWORD",
        )
    except ConfigurationError as reason:
        return error(
            "no-configuration",
            str(reason),
            "rucio.cfg says where the Rucio server is",
            "export RUCIO_CONFIG=/path/to/rucio.cfg",
        )
    except StacRucioError as reason:
        return _unreachable(str(reason))
    except (KeyError, TypeError, ValueError):  # Rucio's client takes any answer for one of Rucio
        return _unreachable("what answers at rucio_host or auth_host is no Rucio server")


def _unreachable(what: str) -> Finding:
    return error(
        "server-unreachable",
        what,
        "everything is asked of the Rucio server",
        "[client]\nrucio_host = https://rucio.example.org\nauth_host = https://rucio.example.org",
    )


def version_finding(version: str, host: str) -> Finding:
    """Whether a version of Rucio is supported.

    Args:
        version: As the server gives it.
        host: The server.
    """
    supported = ", ".join(SUPPORTED_VERSION)
    if SpecifierSet(",".join(SUPPORTED_VERSION), prereleases=True).contains(version):
        return ok("server-version", f"{host} answers, Rucio {version}")
    return warning(
        "server-version",
        f"{host} runs Rucio {version}; {supported} is supported",
        "other versions are not tested, and they do not load the policy package",
        f"pip install 'rucio{''.join(SUPPORTED_VERSION)}'  # where the Rucio server runs",
    )


def policy_findings(
    client: Client, rse: dict[str, Any], destinations: list[Destination], version: str
) -> Iterator[Finding]:
    """Whether the server has the policy package, as far as its answers show it.

    Args:
        client: A Rucio client.
        rse: The source RSE.
        destinations: The destination RSEs.
        version: The version of the server.
    """
    readable = [p for p in rse["protocols"] if is_on(p["domains"]["wan"].get("read"), version)]
    scheme = next((p["scheme"] for p in readable if is_source_protocol(p)), None)
    if scheme and not _translates(client, rse["rse"], scheme):
        yield error(
            "policy-not-installed",
            f"the Rucio server can not load the protocol of {rse['rse']} ({scheme})",
            "every registration at that RSE fails on the server",
            _INSTALL,
        )
        return
    asking = [destination for destination in destinations if destination.algorithm]
    for destination in asking:
        if not _translates(client, destination.rse, destination.read_scheme):
            yield error(
                "policy-not-named",
                f"the Rucio server does not know lfn2pfn_algorithm={destination.algorithm} "
                f"of {destination.rse}",
                "it can give no path to any file there: no transfers to it and no downloads",
                _NAME,
            )
            return
    if asking:
        yield ok("policy-package", "the Rucio server has loaded the policy package")
    elif scheme:
        yield ok(
            "policy-package",
            "stac_policy is installed on the Rucio server; whether [policy] of its rucio.cfg names "
            "it shows `python -m stac_policy` there",
        )


def _translates(client: Client, rse: str, scheme: str) -> bool:
    """Whether the server finds the way from a DID to a PFN at an RSE."""
    with rucio_errors(f"asking for a path at RSE {rse}"):
        try:
            client.lfns2pfns(rse, [_NOBODYS], operation="read", scheme=scheme)
        except ReplicaNotFound:
            return True
        except (CannotAuthenticate, ServerConnectionException):
            raise
        except RucioException:
            return False
    return True


# Checks of the source RSE; pure.


_WHY_OPERATION = {
    "read": "downloads and listings of replicas need it",
    "write": "Rucio asks for a protocol that writes when replicas are registered",
    "delete": "Rucio's reaper would try to delete files of the catalogue",
    "third_party_copy_read": "transfers take no copy from there",
    "third_party_copy_write": "transfers could be sent to the catalogue's servers",
}


def source_findings(
    rse: Mapping[str, Any], attributes: Mapping[str, Any], survey: Survey, version: str
) -> Iterator[Finding]:
    """Look at the source RSE.

    Args:
        rse: As Rucio describes it.
        attributes: Its attributes.
        survey: What the catalogue needs.
        version: The version of the server.
    """
    findings = [*_findings(rse, attributes, survey, version)]
    yield from findings or [ok("rse", f"RSE {rse['rse']} is a source RSE as it should be")]


def _findings(
    rse: Mapping[str, Any], attributes: Mapping[str, Any], survey: Survey, version: str
) -> Iterator[Finding]:
    name = rse["rse"]
    if rse["deterministic"]:
        yield error(
            "rse-deterministic",
            f"RSE {name} is deterministic",
            "it derives paths from names, instead of keeping the URLs that are registered",
            _set(name, "deterministic", wanted=False),
        )
    if rse["availability_write"]:
        yield warning(
            "rse-writable",
            f"RSE {name} is available for writing",
            "replication rules can target it, and are stuck for ever",
            _set(name, "availability_write", wanted=False),
        )
    if not rse["availability_read"]:
        yield error(
            "rse-unreadable",
            f"RSE {name} is not available for reading",
            "no transfer takes a copy from there",
            _set(name, "availability_read", wanted=True),
        )
    yield from _protocols_source(rse, survey, version)
    yield from _attributes(name, attributes)


def _protocols_source(rse: Mapping[str, Any], survey: Survey, version: str) -> Iterator[Finding]:
    name, protocols = rse["rse"], rse["protocols"]
    if protocols and all(map(is_stock_protocol, protocols)):
        yield from _stock(name, protocols, survey)
        return
    ours = [protocol for protocol in protocols if is_source_protocol(protocol)]
    for protocol in protocols:
        if protocol not in ours:
            yield error(
                "protocol-impl",
                f"the {protocol['scheme']} protocol of RSE {name} is {protocol['impl']}, "
                f"not {SOURCE_PROTOCOL}",
                "Rucio takes any protocol of an RSE, so that it gives wrong URLs, or none",
                _setup(name),
            )
    there = {protocol["scheme"] for protocol in protocols}
    for scheme in sorted((survey.schemes | {"https"}) - there):
        yield error(
            "protocol-missing",
            f"RSE {name} has no protocol for {scheme}",
            f"no URL with {scheme} can be registered",
            _setup(name),
        )
    for protocol in ours:
        for domain, operation, wanted in wrong_priorities(protocol, version):
            yield (error if wanted else warning)(
                f"priority-{operation.replace('_', '-')}",
                f"the {protocol['scheme']} protocol of RSE {name} has {operation} "
                f"{'off' if wanted else 'on'} in the domain {domain}",
                _WHY_OPERATION[operation],
                _setup(name),
            )


def _stock(name: str, protocols: list[dict[str, Any]], survey: Survey) -> Iterator[Finding]:
    mend = _setup("ANOTHER-RSE")
    for protocol in protocols:
        yield warning(
            "protocol-stock",
            f"the {protocol['scheme']} protocol of RSE {name} is {protocol['impl']}",
            f"it holds URLs of {protocol['hostname']}:{protocol['port']} alone, "
            "and no query strings",
            mend,
        )
    reasons = obstacles((asset.url for asset in survey.assets), protocols)
    for reason, count in reasons.most_common():
        yield warning(
            "protocol-limits",
            f"{count} of {len(survey.assets)} assets can not be registered at RSE {name}: {reason}",
            "they are skipped",
            mend,
        )


def _attributes(name: str, attributes: Mapping[str, Any]) -> Iterator[Finding]:
    if not attributes.get("fts"):
        yield error(
            "source-fts-missing",
            f"RSE {name} has no attribute fts",
            "Rucio hands no transfer from there to FTS",
            _setup(name),
        )
    checksums = str(attributes.get(SUPPORTED_CHECKSUMS, ""))
    if "none" not in checksums.split(","):
        yield error(
            "source-checksums",
            f"RSE {name} has {SUPPORTED_CHECKSUMS}={checksums}"
            if checksums
            else f"RSE {name} has no attribute {SUPPORTED_CHECKSUMS}",
            "FTS asks HTTP servers for checksums, which these do not tell: transfers fail",
            f"rucio-admin rse set-attribute --rse {name} --key {SUPPORTED_CHECKSUMS} --value none",
        )


def _setup(name: str) -> str:
    return f"stac-rucio admin setup-rse {name} --destinations RSE-EXPRESSION"


def _set(name: str, setting: str, *, wanted: bool) -> str:
    return f"rucio-admin rse update --rse {name} --setting {setting} --value {wanted}"


# The examination: every check in turn, as far as those before it let it go.


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
