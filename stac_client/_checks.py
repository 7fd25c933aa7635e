"""Checks of a Rucio server for STAC assets: what is wrong, why it matters, and how to fix it.

`stac_client.admin` reports what they find, or makes the changes that fix it.
"""

from __future__ import annotations

import shlex
import socket
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from itertools import islice
from operator import methodcaller
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from packaging.specifiers import SpecifierSet
from rucio.common import exception

from stac_client._assets import Asset, fetched, select_assets
from stac_client._completion import Completion
from stac_client._in_rucio import ailment, look
from stac_client._items import iter_items
from stac_client._results import Outcome
from stac_client._rucio import LIST_RSES, Rucio
from stac_client._selection import NamedKeys
from stac_client._source_rse import (
    SCHEMES,
    disabled_priority,
    has_gateway,
    is_enabled,
    source_domains,
    source_protocol,
    with_pfn,
    wrong_priorities,
)
from stac_client.errors import AccessError, ConfigurationError, StacRucioError
from stac_policy import SUPPORTED_VERSION, installed_rucios
from stac_policy.http import FetchError, make_session, open_url
from stac_policy.naming import DID, SAMPLES, collection_scope
from stac_policy.settings import (
    GATEWAY_PROTOCOL,
    SOURCE_PROTOCOL,
    Settings,
    configured_options,
    known_origins,
    parse,
)
from stac_policy.urls import DEFAULT_PORTS, is_allowed, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rucio.client import Client

    from stac_client._items import ItemsLike
    from stac_client._selection import AssetSelection

_CHECKSUMS = "supported_checksums"
_FTS = "https://fts.example.org:8446"
_FTS_TIMEOUT_S = 5.0
_ORIGIN_TIMEOUT_S = 10.0
_LOOKED_UP = 100
_NOWHERE = "stac-rucio.invalid"
# DIDs that nobody has: what it takes to look for them is what is of interest.
_UNKNOWN_DIDS = [DID("stac-rucio", name) for name in SAMPLES]
_WEBDAV = "rucio.rse.protocols.webdav."
_STORAGE_USES = ("read", "write", "delete")  # what Rucio does by itself, not FTS
# Which schemes Rucio takes for the same: rucio.common.constants.SCHEME_MAP.
_SECURE = frozenset({"https", "davs", "srm+https", "cs3s"})
_AVAILABILITY = {
    "rse-writable": ("availability_write", False),
    "rse-unreadable": ("availability_read", True),
    "rse-deletable": ("availability_delete", False),
}
"""Settings of a source RSE, by the code of what is wrong where they differ."""

_NO_NULLS = (exception.InvalidObject, exception.DatabaseException)
"""What Rucio makes of a NULL that its database refuses."""
_PRIORITIES = (
    *("read_lan", "write_lan", "delete_lan", "read_wan", "write_wan", "delete_wan"),
    *("third_party_copy_read", "third_party_copy_write"),
)
_ALTER = "ALTER TABLE rse_protocols " + ", ".join(
    f"ALTER COLUMN {column} DROP NOT NULL" for column in _PRIORITIES
)
"""As PostgreSQL has it."""

ERRORS = {
    "server-unreachable": "everything is asked of the Rucio server",
    "no-configuration": "rucio.cfg says where the Rucio server is",
    "login-refused": "nothing can be asked of Rucio without an account",
    "account-not-registrar": "it may replicate what is registered, but not register",
    "scope-missing": "no DID can be registered in it",
    "rse-missing": "assets are registered at a source RSE, which stands for the catalogue's URLs",
    "rse-deterministic": "it derives paths from names, as storages do; a source RSE keeps URLs",
    "rse-unreadable": "no transfer takes a copy from there",
    "protocol-missing": "no such URL can be registered",
    "gateway-missing": "transfers of what needs a credential go to the origins, without any",
    "protocol-impl": "Rucio takes any protocol of an RSE, so that it gives wrong URLs, or none",
    "protocol-scheme": "Rucio takes any protocol of an RSE, but URLs have http or https",
    "priority-read": "downloads and listings of replicas need it",
    "priority-write": "Rucio asks for a protocol that writes when replicas are registered",
    "priority-third-party-copy-read": "transfers take no copy from there",
    "source-fts-missing": "Rucio hands no transfer from there to FTS",
    "source-checksums": "FTS asks HTTP servers for checksums that they do not have, and fails",
    "destination-missing": "no rule can be made",
    "destination-not-writable": "rules that target it are refused",
    "destination-protocol": "no transfer can be sent there",
    "destination-scheme": "Rucio transfers between the same schemes, or between https and davs",
    "destination-fts-missing": "Rucio hands no transfer there to FTS",
    "destination-push": "Rucio has FTS send files there (`copy_mode=push`): it asks the origin to "
    "COPY them, which web servers and object stores cannot",
    "distance-missing": "rules are stuck with MISMATCH_SCHEME or NO_SOURCES",
    "policy-not-installed": "every registration at that RSE fails on the server",
    "policy-not-named": "it knows no path of any file there: no transfers to it and no downloads",
    "host-not-allowed": "a Rucio server with these settings refuses to register their URLs",
    "encoded-slashes": "its web server decodes or drops slashes of names in requests: what names "
    "a single DID fails, and new DIDs can get a wrong name",
    "names-refused": "no DID of such a name can be registered",
    "origin-fails": "transfers and downloads get the bytes there, without any credentials",
}
"""Why it matters what is found, by code. Registration or replication fails."""

WARNINGS = {
    "two-rucios": "they ship the same files: either may be half overwritten, and uninstalling one "
    "breaks the other",
    "server-version": "other versions are not tested, and they do not load the policy package",
    "scope-owner": "whoever owns a scope can add and remove DIDs in it, of whatever content",
    "rse-writable": "replication rules can target it, and are stuck for ever",
    "rse-deletable": "Rucio's reaper looks for files to delete there, and warns at every cycle",
    "protocol-stock": "it holds URLs of one host, without query strings; it is left as it is",
    "protocol-limits": "they are skipped",
    "priority-delete": "Rucio's reaper would try to delete files of the catalogue",
    "priority-third-party-copy-write": "transfers could be sent to the catalogue's servers",
    "destination-checksums": "of files that no other checksum is registered of, FTS verifies "
    "nothing there, not even the size",
    "destination-credential": "FTS has a storage told `Credential: gridsite` for sources with TLS, "
    "and XRootD and StoRM then refuse; only its configuration shows whether that is mended",
    "destination-webdav": "Rucio's WebDAV knows whole URLs by https:// alone: over another scheme "
    "it deletes nothing, counts the files as deleted, and `rucio download` finds none",
    "fts-differs": "Rucio uses that of the destination, whatever that of the source says",
    "limit-missing": "that stands for a limit of 0, unless the account has the attribute admin",
    "limit-reached": "Rucio refuses its rules there",
    "settings": "the option has its default",
    "access": "what needs credentials or is not to be had is skipped at registration",
    "fts-unreachable": "daemons hand it all transfers; they may run where it can be reached",
    "file-not-good": "no transfer reads it, and rules over it are stuck",
    "resolution-differs": "transfers read the URL that was registered; a DID never gets another",
}
"""The same of what only keeps some things from working."""


# What checks find, and what fixes it.


class Level(str, Enum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Some things will not work, or not as they should."""
    ERROR = "error"
    """Registration or replication fails."""


@dataclass(frozen=True)
class Change:
    """One request that changes something in Rucio, with what it does in words."""

    text: str
    """As in "add scope sentinel-2-l2a for account root"."""
    command: str
    """A command that has the same effect."""
    request: Callable[[Client], object] = field(repr=False)
    """Sends it with a client of Rucio."""
    disables: bool = False
    """Whether it disables operations of a protocol, which some databases do not take."""

    def __str__(self) -> str:
        return self.text

    def apply(self, rucio: Client | Rucio) -> None:
        """Send it.

        Args:
            rucio: A client of Rucio.

        Raises:
            StacRucioError: The account may not, something is there by now, or Rucio
                cannot be reached; the message names the change.
        """
        try:
            Rucio.of(rucio).ask(self.text, self.request)
        except StacRucioError as error:
            refused = isinstance(error.__cause__, _NO_NULLS) and not error.transient
            if not (self.disables and refused):
                raise
            what = (
                "Rucio's database takes no disabled operations. It was made by Rucio 38 or "
                "earlier, which knew no NULL there, and upgrades do not change that"
            )
            raise ConfigurationError(f"{self.text}: {what}", hint=f"run there: {_ALTER}") from error


@dataclass(frozen=True)
class Check:
    """The result of one check. It holds no secrets."""

    code: str
    """What kind of finding it is, as docs/doctor.md lists them: `distance-missing`."""
    level: Level
    what: str
    """What was found, naming the RSE, scope, account or URL."""
    why: str = ""
    """Why it matters."""
    fix: Change | str = ""
    """A change that can be applied, or what to paste: a command, or lines of rucio.cfg."""

    @property
    def command(self) -> str:
        """What to paste: commands, or lines of rucio.cfg."""
        return self.fix.command if isinstance(self.fix, Change) else self.fix


def ok(code: str, what: str) -> Check:
    """Return the result of a check that found nothing wrong."""
    return Check(code, Level.OK, what)


def wrong(code: str, what: str, fix: Change | str) -> Check:
    """Return the result of a check that found something wrong."""
    if code in ERRORS:
        return Check(code, Level.ERROR, what, ERRORS[code], fix)
    return Check(code, Level.WARNING, what, WARNINGS[code], fix)


def _rucio_admin(*words: str) -> str:
    return shlex.join(["rucio-admin", *words])


def _setup_rse(rse: str, *more: str) -> str:
    words = ("stac-rucio", "admin", "setup-rse", rse, "--destinations", "RSE-EXPRESSION", *more)
    return shlex.join(words)


def _set(rse: str, setting: str, *, value: bool) -> Change:
    words = ("rse", "update", "--rse", rse, "--setting", setting, "--value", str(value))
    text = f"set {setting}={value} on {rse}"
    return Change(text, _rucio_admin(*words), methodcaller("update_rse", rse, {setting: value}))


def _set_attribute(rse: RSE, key: str, value: str) -> Change:
    old = rse.attributes.get(key)
    text = f"set attribute {key}={value} on {rse.name}" + ("" if old is None else f" (was {old})")
    words = ("rse", "set-attribute", "--rse", rse.name, "--key", key, "--value", value)
    request = methodcaller("add_rse_attribute", rse.name, key, value)
    return Change(text, _rucio_admin(*words), request)


# What a catalogue needs of Rucio, from a sample of its items.


@dataclass
class CatalogueSummary:
    """What a sample of a catalogue's items needs of Rucio."""

    items: int = 0
    """Items that were looked at."""
    assets: list[Asset] = field(default_factory=list, repr=False)
    """Their assets that can be registered."""
    hosts: Counter[str] = field(default_factory=Counter)
    """Assets by the host, with its port where the URL names one."""
    scopes: dict[str, str] = field(default_factory=dict)
    """The scope of each collection."""
    access: Counter[str] = field(default_factory=Counter)
    """Assets that have a URL, by their class of access."""
    refused: Counter[str] = field(default_factory=Counter)
    """Assets that cannot be registered, by reason."""

    @property
    def schemes(self) -> set[str]:
        """The schemes of the URLs."""
        return {urlsplit(asset.url).scheme for asset in self.assets}

    def server_options(self, *, api: str = "", scope: str | None = None) -> str:
        """Return the lines that rucio.cfg of server and daemons needs; no request can set them.

        Args:
            api: URL of the catalogue's STAC API, if it has one.
            scope: The fixed scope, if one is used.
        """
        lines = ["[policy]", "package = stac_policy", "", "[stac]"]
        if self.hosts:
            lines.append(f"allowed_hosts = {', '.join(sorted(self.hosts))}")
        if scope is not None:
            lines.append(f"scopes = {scope}={api}" if api else f"scopes = {scope}")
        elif api:
            lines.append(f"api = {api}")
        return "\n".join(lines)


def summarise_catalogue(
    items: ItemsLike,
    *,
    sample: int = 100,
    assets: AssetSelection = None,
    scope: str | None = None,
    collection: str | None = None,
    base_url: str | None = None,
) -> CatalogueSummary:
    """Look at the first items of a catalogue.

    Args:
        items: The items. Of a search over several collections the first may all be
            of one collection.
        sample: How many items to look at.
        assets: The assets, as in `StacClient.create_replicas`.
        scope: A fixed scope instead of those derived from the collections.
        collection: As in `StacClient`.
        base_url: As in `StacClient`.

    Returns:
        What their assets need of Rucio: hosts, schemes and scopes.

    Raises:
        StacRucioError: There is something among them that is no item, or the STAC
            API does not answer.
    """
    found = CatalogueSummary()
    keys = NamedKeys(assets)
    read = iter_items(items, Completion(collection, base_url))
    for item in keys.of(islice(read, sample)):
        found.items += 1
        for selected in select_assets(item, assets, scope):
            if isinstance(selected, Asset):
                found.access[selected.access.kind.value] += 1
            if isinstance(selected := fetched(selected), Asset):
                found.assets.append(selected)
                found.hosts[urlsplit(selected.url).netloc.lower()] += 1
            else:
                found.refused[selected.reason] += 1
        name = item.get("collection")
        if isinstance(name, str) and name:
            with suppress(ValueError):  # what has no scope is among the refused
                found.scopes.setdefault(name, scope or collection_scope(name))
    keys.warn()
    return found


# What Rucio says of RSEs.


@dataclass(frozen=True)
class RSE:
    """An RSE, as Rucio describes it."""

    name: str
    version: str
    """The version of the server."""
    settings: Mapping[str, Any]
    attributes: Mapping[str, Any]

    @classmethod
    def ask(cls, rucio: Rucio, name: str, version: str) -> RSE:
        """Ask Rucio for one; see `Rucio.rse`."""
        return cls(name, version, rucio.rse(name), rucio.rse_attributes(name))

    @property
    def protocols(self) -> list[dict[str, Any]]:
        """Its protocols, as Rucio describes them."""
        return list(self.settings["protocols"])

    @property
    def is_stock(self) -> bool:
        """Whether it has Rucio's own protocols alone."""
        return bool(self.protocols) and all(
            protocol["impl"].startswith("rucio.") for protocol in self.protocols
        )

    @property
    def fts(self) -> list[str]:
        """The FTS servers that it names."""
        return [server for server in str(self.attributes.get("fts") or "").split(",") if server]

    @property
    def algorithm(self) -> str:
        """Its algorithm for paths if that is one of the policy package's, or ''."""
        name = str(self.attributes.get("lfn2pfn_algorithm") or "")
        return name if name == "stac" or name.endswith("_stac") else ""  # `VO_stac`

    def schemes(self, operation: str) -> list[str]:
        """Return the schemes by which an operation is possible from elsewhere."""
        return [each["scheme"] for each in self.protocols if self.uses(each, operation)]

    def uses(self, protocol: Mapping[str, Any], *operations: str) -> bool:
        """Return whether one of some operations is possible by a protocol from elsewhere."""
        wan = protocol["domains"]["wan"]
        return any(is_enabled(wan.get(each), self.version) for each in operations)


def source_rse(rucio: Rucio, name: str, version: str) -> tuple[RSE, bool]:
    """Ask for a source RSE.

    Returns:
        The RSE, and whether it exists; if not, it is what `missing` will make of it.
    """
    try:
        return RSE.ask(rucio, name, version), True
    except ConfigurationError as error:
        if not isinstance(error.__cause__, exception.RSENotFound):
            raise
    settings = {"deterministic": False, **dict(_AVAILABILITY.values())}
    return RSE(name, version, {**settings, "protocols": []}, {}), False


def missing(rse: RSE, destinations: Sequence[RSE] = ()) -> Check:
    """Describe a source RSE that does not exist, with the change that adds it.

    Args:
        rse: What it will be.
        destinations: The RSEs that shall receive copies. An RSE that has been added cannot be
            removed without a trace, and is of no use without protocols. So where none of
            these shows that the database takes disabled operations, the change first tries a
            protocol without any operation at one of them.
    """
    settings = {name: value for name, value in rse.settings.items() if name != "protocols"}
    shown = any(
        priority is None
        for each in destinations
        for protocol in each.protocols
        for operations in protocol["domains"].values()
        for priority in operations.values()
    )

    def request(client: Client) -> None:
        if destinations and not shown and disabled_priority(rse.version) is None:
            _try_disabled(client, destinations[0].name)
        client.add_rse(rse.name, **settings)

    text = f"add RSE {rse.name}, non-deterministic, not available for writing or deletion"
    change = Change(text, _setup_rse(rse.name), request, disables=True)
    return wrong("rse-missing", f"there is no RSE {rse.name}", change)


def _try_disabled(client: Client, rse: str) -> None:
    """Add a protocol to an RSE that enables no operation, and delete it again."""
    nothing = {"lan": dict.fromkeys(("read", "write", "delete"))}
    protocol = source_protocol("https") | {"hostname": _NOWHERE, "domains": nothing}
    delete = methodcaller("delete_protocols", rse, "https", _NOWHERE, protocol["port"])
    with suppress(exception.RSEProtocolNotSupported):  # that of an attempt that was cut off
        delete(client)
    client.add_protocol(rse, protocol)
    delete(client)


def destination_rses(rucio: Rucio, destinations: str | Sequence[str], source: RSE) -> list[RSE]:
    """Ask for the RSEs that shall receive copies, without the source RSE.

    Raises:
        ConfigurationError: There is no such RSE.
        StacRucioError: Rucio cannot be reached.
    """
    expression = destinations if isinstance(destinations, str) else "|".join(destinations)
    names = rucio.rses(expression) if expression else []
    if not isinstance(destinations, str) and (missing := sorted({*destinations} - {*names})):
        raise ConfigurationError(f"there is no RSE {', '.join(missing)}", hint=LIST_RSES)
    return [RSE.ask(rucio, name, source.version) for name in names if name != source.name]


# The server, and the policy package on it.


def server_version(rucio: Rucio) -> str:
    """Ask for the version of the Rucio server."""
    ping = "asking for the server's version"
    return rucio.ask(ping, lambda client: str(client.ping()["version"]))


def connection(reason: Exception) -> Check:
    """Describe why Rucio cannot be asked."""
    what, client = str(reason), "[client]\naccount = ACCOUNT\nauth_type = userpass\n"
    if isinstance(reason, AccessError):
        return wrong("login-refused", what, f"{client}username = USER\npassword = PASSWORD")
    if isinstance(reason, ConfigurationError):
        return wrong("no-configuration", what, "export RUCIO_CONFIG=/path/to/rucio.cfg")
    if not isinstance(reason, StacRucioError):  # Rucio's client takes any answer for one of Rucio
        what = "what answers at rucio_host or auth_host is no Rucio server"
    url = "https://rucio.example.org"
    return wrong("server-unreachable", what, f"[client]\nrucio_host = {url}\nauth_host = {url}")


def installation() -> Iterator[Check]:
    """Check that this machine has one Rucio."""
    found = installed_rucios()
    if len(found) > 1:
        what = f"{' and '.join(map(' '.join, found.items()))} are both installed on this machine"
        again = " or ".join(f"pip install {name}" for name in found)
        yield wrong("two-rucios", what, f"pip uninstall {' '.join(found)}  # then {again}")


def server(version: str, host: str) -> Check:
    """Check that the version of Rucio that a server gives is supported."""
    if SpecifierSet(",".join(SUPPORTED_VERSION), prereleases=True).contains(version):
        return ok("server-version", f"{host} answers, Rucio {version}")
    what = f"{host} runs Rucio {version}; {', '.join(SUPPORTED_VERSION)} is supported"
    package = shlex.quote(f"rucio{''.join(SUPPORTED_VERSION)}")
    fix = f"pip install {package}  # where the Rucio server runs"
    return wrong("server-version", what, fix)


def policy_package(rucio: Rucio, source: RSE, destinations: Sequence[RSE]) -> Iterator[Check]:
    """Check that the server has the policy package, as far as its answers show it."""
    ours = {each["scheme"] for each in source.protocols if each["impl"] == SOURCE_PROTOCOL}
    scheme = next((scheme for scheme in source.schemes("read") if scheme in ours), None)
    if scheme and not _translates(rucio, source.name, scheme):
        what = f"the Rucio server cannot load the protocol of {source.name} ({scheme})"
        fix = "pip install stac-rucio  # where the Rucio server runs; then restart it"
        yield wrong("policy-not-installed", what, fix)
        return
    asking = [rse for rse in destinations if rse.algorithm]
    for rse in asking:
        if not _translates(rucio, rse.name, next(iter(rse.schemes("read")), "")):
            what = f"the Rucio server does not know lfn2pfn_algorithm={rse.algorithm} of {rse.name}"
            yield wrong("policy-not-named", what, "[policy]\npackage = stac_policy")
            return
    if asking:
        yield ok("policy-package", "the Rucio server has loaded the policy package")
    elif scheme:
        what = "stac_policy is installed on the Rucio server"
        check = "run `python -m stac_policy` there to check that [policy] names it"
        yield ok("policy-package", f"{what}; {check}")


def _translates(rucio: Rucio, rse: str, scheme: str) -> bool:
    """Return whether the server finds the way from a DID to a PFN at an RSE."""

    def request(client: Client) -> bool:
        with suppress(exception.ReplicaNotFound):
            client.lfns2pfns(rse, [str(_UNKNOWN_DIDS[0])], operation="read", scheme=scheme)
        return True

    asking = f"asking for a path at RSE {rse}"
    return bool(rucio.ask_unless(asking, request, exception.RucioException))


def names(rucio: Rucio) -> Iterator[Check]:
    """Check that requests with the names of assets reach Rucio, and that it takes these names."""
    did = _UNKNOWN_DIDS[0]

    def understood(client: Client) -> str:
        try:
            return str(client.get_did(*did))
        except exception.RucioException as error:
            return str(error)  # with the name as Rucio got it

    if str(did) in rucio.ask(f"asking for {did}", understood):
        yield ok("encoded-slashes", "names with slashes reach the Rucio server as they are")
    else:
        what = f"the Rucio server looks for another name when it is asked for {did}"
        apache = "AllowEncodedSlashes NoDecode  # apache, in the VirtualHost"
        variable = "RUCIO_HTTPD_ENCODED_SLASHES_NO_DECODE=True  # environment of the Rucio server"
        yield wrong("encoded-slashes", what, f"{apache}\n{variable}")
    refused = [did for did in _UNKNOWN_DIDS if not _takes_name(rucio, did)]
    if refused:
        what = f"the schema of the Rucio server refuses names such as {refused[0].name}"
        fix = '"pattern": f"{OWN}|{stac_policy.schema.NAME_PATTERN}"  # of NAME in its schema.py'
        yield wrong("names-refused", what, fix)
    else:
        yield ok("names", "the schema of the Rucio server takes the names of assets")


def _takes_name(rucio: Rucio, did: DID) -> bool:
    def request(client: Client) -> bool:
        with suppress(exception.DataIdentifierNotFound):
            list(client.get_metadata_bulk([did._asdict()]))
        return True

    asking = f"asking for metadata of {did}"
    return bool(rucio.ask_unless(asking, request, exception.InvalidObject))


# The account, and the scopes of collections.


def account(rucio: Rucio) -> Check:
    """Check that the account may register: as an administrator, or as a registrar."""
    name = rucio.account
    if roles := _roles(rucio, name):
        return ok("account", f"account {name} may register: {' and '.join(roles)}")
    what = f"account {name} is neither an administrator nor a registrar"
    attribute = ("--key", Settings().registrar_attribute, "--value", "true")
    return wrong(
        "account-not-registrar", what, _rucio_admin("account", "add-attribute", *attribute, name)
    )


def scopes(
    rucio: Rucio, by_collection: Mapping[str, str], owner: str | None = None
) -> Iterator[Check]:
    """Check that the scopes of collections exist, and whose they are.

    Args:
        rucio: Rucio.
        by_collection: The scope of each collection.
        owner: The account that shall own new scopes; by default the one that asks.
    """
    if not by_collection:
        return
    owner = owner or rucio.account
    there = rucio.ask("listing scopes", lambda client: set(client.list_scopes()))
    owners = rucio.ask_unless(
        "listing owners of scopes",
        lambda client: {each["scope"]: each["account"] for each in client.list_scope_owners()},
        AttributeError,  # the client, or the server, may be older than Rucio 40
        exception.RucioException,
    )
    owners = owners or {}
    trusted = {rucio.account: True}
    for collection, scope in by_collection.items():
        named, has = f"scope {scope} of collection {collection}", owners.get(scope)
        if has is not None and has not in trusted:
            trusted[has] = bool(_roles(rucio, has))
        if scope not in there:
            text = f"add scope {scope} for account {owner}"
            command = _rucio_admin("scope", "add", "--account", owner, "--scope", scope)
            change = Change(text, command, methodcaller("add_scope", owner, scope))
            yield wrong("scope-missing", f"{named} does not exist", change)
        elif has is None or trusted[has]:
            yield ok("scope", f"{named} exists" + (f", owned by account {has}" if has else ""))
        else:
            what = f"{named} belongs to account {has}, which may not register"
            fix = shlex.join(["rucio", "scope", "update", scope, "--account", rucio.account])
            yield wrong("scope-owner", what, fix)


def _roles(rucio: Rucio, name: str) -> list[str]:
    """Return what lets an account register, in words."""

    def list_attributes(client: Client) -> set[str]:
        # The answer is a list with the list of attributes in it.
        (listed,) = client.list_account_attributes(name)
        return {attribute["key"] for attribute in listed}

    attributes = rucio.ask(f"asking for the attributes of account {name}", list_attributes)
    roles = ["an administrator"] if name == "root" or "admin" in attributes else []
    return roles + ["a registrar"] * (Settings().registrar_attribute in attributes)


# The source RSE; pure.


def source(
    rse: RSE,
    destinations: Sequence[RSE],
    catalogue: CatalogueSummary | None,
    fts: str | None = None,
    *,
    gateway: bool = False,
) -> Iterator[Check]:
    """Check what belongs to the source RSE itself: settings, protocols, attributes.

    Args:
        rse: The source RSE.
        destinations: The RSEs that shall receive copies.
        catalogue: What the catalogue needs, if that is known.
        fts: The FTS servers that it must name; by default one of each destination's.
        gateway: Whether its transfers shall go through a credential gateway where they need it;
            they go on to, where they do.
    """
    name = rse.name
    if rse.settings["deterministic"]:
        command = _set(name, "deterministic", value=False).command
        fix = f"{command}  # if it is no storage; otherwise choose another name"
        yield wrong("rse-deterministic", f"RSE {name} is deterministic", fix)
    for code, (setting, wanted) in _AVAILABILITY.items():
        if rse.settings[setting] is not wanted:
            what = f"RSE {name} has {setting}={rse.settings[setting]}"
            yield wrong(code, what, _set(name, setting, value=wanted))
    gateway = gateway or has_gateway(rse.protocols)
    found = _stock(rse, catalogue) if rse.is_stock else _protocols(rse, catalogue, gateway=gateway)
    yield from found
    yield from _source_fts(rse, destinations, fts)
    checksums = str(rse.attributes.get(_CHECKSUMS) or "")
    if "none" not in map(str.strip, checksums.split(",")):
        what = f"{_CHECKSUMS}={checksums}" if checksums else f"no attribute {_CHECKSUMS}"
        attribute = _set_attribute(rse, _CHECKSUMS, "none")
        yield wrong("source-checksums", f"RSE {name} has {what}", attribute)


def _add_protocol(rse: RSE, protocol: Mapping[str, Any]) -> Change:
    text = f"add protocol {protocol['impl']} for {protocol['scheme']} to {rse.name}"
    request = methodcaller("add_protocol", rse.name, protocol)
    return Change(text, _setup_rse(rse.name), request, disables=True)


def _protocols(rse: RSE, catalogue: CatalogueSummary | None, *, gateway: bool) -> Iterator[Check]:
    there = {protocol["scheme"] for protocol in rse.protocols}
    wanted = {"https"} | (catalogue.schemes if catalogue else set())
    if catalogue is None and there.isdisjoint(SCHEMES):
        wanted = {*SCHEMES}
    for scheme in sorted(wanted - there):
        add = _add_protocol(rse, source_protocol(scheme, gateway=gateway))
        yield wrong("protocol-missing", f"RSE {rse.name} has no protocol for {scheme}", add)
    if gateway:
        through = {each["scheme"] for each in rse.protocols if each["impl"] == GATEWAY_PROTOCOL}
        for scheme in sorted((wanted | there) & {*SCHEMES} - through):
            add = _add_protocol(rse, source_protocol(scheme, GATEWAY_PROTOCOL))
            what = f"RSE {rse.name} has no way through a gateway for {scheme}"
            yield wrong("gateway-missing", what, add)
    # What has to be deleted is the last: until then it shows that the RSE is to be a source RSE.
    for protocol in sorted(rse.protocols, key=lambda protocol: protocol["scheme"] not in SCHEMES):
        yield from _protocol(rse, protocol, gateway=gateway)


def _protocol(rse: RSE, protocol: Mapping[str, Any], *, gateway: bool) -> Iterator[Check]:
    scheme, impl = protocol["scheme"], protocol["impl"]
    named = f"the protocol for {scheme} of {rse.name}"

    def change(text: str, method: str, *arguments: object) -> Change:
        address = (protocol["hostname"], protocol["port"])
        request = methodcaller(method, rse.name, scheme, *arguments, *address)
        return Change(text, _setup_rse(rse.name), request, disables=True)

    if scheme not in SCHEMES:
        delete = change(f"delete {named}, {impl}", "delete_protocols")
        yield wrong("protocol-scheme", f"RSE {rse.name} has a protocol for {scheme}", delete)
        return
    if impl not in {SOURCE_PROTOCOL, GATEWAY_PROTOCOL}:
        text = f"set impl={SOURCE_PROTOCOL} of {named} (was {impl})"
        update = change(text, "update_protocols", {"impl": SOURCE_PROTOCOL})
        yield wrong("protocol-impl", f"{named} is {impl}, not {SOURCE_PROTOCOL}", update)
        protocol, impl = {**protocol, "impl": SOURCE_PROTOCOL}, SOURCE_PROTOCOL
    differing = [*wrong_priorities(protocol, rse.version, gateway=gateway)]
    states = [f"{domain} {name} {'on' if on else 'off'}" for domain, name, on in differing]
    domains = {"domains": source_domains(rse.version, impl, gateway=gateway)}
    update = change(f"set priorities of {named}: {', '.join(states)}", "update_protocols", domains)
    for domain, operation, on in differing:
        what = f"{named} has {operation} {'off' if on else 'on'} in the domain {domain}"
        yield wrong(f"priority-{operation.replace('_', '-')}", what, update)


def _stock(rse: RSE, catalogue: CatalogueSummary | None) -> Iterator[Check]:
    fix = _setup_rse("ANOTHER-RSE")
    for protocol in rse.protocols:
        host = f"{protocol['impl']}, for {protocol['hostname']}:{protocol['port']} alone"
        what = f"the protocol for {protocol['scheme']} of {rse.name} is {host}"
        yield wrong("protocol-stock", what, fix)
    assets = catalogue.assets if catalogue else []
    found = [with_pfn(asset, rse.protocols) for asset in assets]
    reasons = Counter(each.reason for each in found if isinstance(each, Outcome))
    for text, count in reasons.most_common():
        what = f"{count} of {len(assets)} assets cannot be registered at RSE {rse.name}: {text}"
        yield wrong("protocol-limits", what, fix)


def _source_fts(rse: RSE, destinations: Sequence[RSE], wanted: str | None) -> Iterator[Check]:
    servers = wanted or ",".join(sorted({server for to in destinations for server in to.fts}))
    change = _set_attribute(rse, "fts", servers)
    named = ",".join(rse.fts)
    if not named:
        fix = change if servers else _setup_rse(rse.name, "--fts", _FTS)
        what = f"RSE {rse.name} has no attribute fts" + ("" if servers else ", nor any destination")
        yield wrong("source-fts-missing", what, fix)
    elif wanted and named != wanted:
        yield wrong("fts-differs", f"RSE {rse.name} has fts={named}, not {wanted}", change)
    for to in [] if wanted or not named else destinations:
        if to.fts and not {*to.fts} & {*rse.fts}:
            has = f"RSE {to.name} has fts={','.join(to.fts)}, {rse.name} has fts={named}"
            yield wrong("fts-differs", has, change)


# The destination RSEs, and the way there.


def distance(rucio: Rucio, source: str, destination: str) -> Iterator[Check]:
    """Check that Rucio knows the distance between two RSEs; the source need not exist yet."""
    way = f"from {source} to {destination}"
    known = methodcaller("get_distance", source, destination)
    if not rucio.ask_unless(f"asking for the distance {way}", known, exception.RSENotFound):
        command = _rucio_admin("rse", "add-distance", "--distance", "1", source, destination)
        request = methodcaller("add_distance", source, destination, {"distance": 1})
        change = Change(f"add distance 1 {way}", command, request)
        yield wrong("distance-missing", f"there is no distance {way}", change)


def destinations(
    rucio: Rucio, source: RSE, schemes: set[str], found: Sequence[RSE]
) -> Iterator[Check]:
    """Check the destination RSEs, and the way there for URLs of these schemes."""
    if not found:
        return
    name, asking = rucio.account, f"asking for the limits of account {rucio.account}"
    limits = rucio.ask(asking, lambda client: dict(client.get_local_account_limits(name)))
    used = rucio.ask(
        asking,
        lambda client: {use["rse"]: use["bytes"] for use in client.get_local_account_usage(name)},
    )
    for rse in found:
        checks = [
            *distance(rucio, source.name, rse.name),
            *_destination(rse, source, schemes),
            *_limit(name, rse.name, limits.get(rse.name), used.get(rse.name, 0)),
        ]
        fine = f"RSE {rse.name} can receive copies from {source.name}"
        yield from checks or [ok("destination", fine)]


def _destination(rse: RSE, source: RSE, schemes: set[str]) -> Iterator[Check]:
    name = rse.name
    if not rse.fts:
        fix = _set_attribute(rse, "fts", ",".join(source.fts) or _FTS).command
        yield wrong("destination-fts-missing", f"RSE {name} has no attribute fts", fix)
    writes = {*rse.schemes("third_party_copy_write")}
    info = _rucio_admin("rse", "info", name)
    if not writes:
        what = f"RSE {name} has no protocol for third_party_copy_write"
        fix = f"{info}  # then give a protocol this operation (wan)"
        yield wrong("destination-protocol", what, fix)
    elif schemes and _families(schemes).isdisjoint(_families(writes)):
        listed = [", ".join(sorted(each)) for each in (writes, schemes)]
        what = f"RSE {name} takes copies by {listed[0]}, the URLs have {listed[1]}"
        yield wrong("destination-scheme", what, f"{info}  # then add a protocol for one of these")
    elif "https" in schemes and rse.attributes.get("sign_url"):
        fix = "# copy to a storage that fetches first; from there Rucio can copy to this one"
        yield wrong("destination-push", f"RSE {name} signs URLs (sign_url)", fix)
    elif "https" in schemes and "davs" in writes:
        hosts = {each["hostname"] for each in rse.protocols if each["scheme"] == "davs"}
        lines = [f"[DAV:{host.upper()}]\nHEADERS=Credential:none" for host in sorted(hosts)]
        fix = "\n".join(["# /etc/gfal2.d/stac.conf of each FTS host", *lines])
        yield wrong("destination-credential", f"RSE {name} takes copies by davs", fix)
    checksums = str(rse.attributes.get(_CHECKSUMS) or "adler32")
    if "adler32" not in checksums:
        fix = _set_attribute(rse, _CHECKSUMS, "adler32").command
        what = f"RSE {name} has the attribute {_CHECKSUMS}={checksums}"
        yield wrong("destination-checksums", what, f"{fix}  # if it can compute adler32")
    for protocol in rse.protocols:
        scheme, impl = protocol["scheme"], protocol["impl"]
        if impl.startswith(_WEBDAV) and scheme != "https" and rse.uses(protocol, *_STORAGE_USES):
            what = f"RSE {name} reads, writes or deletes by {impl} over {scheme}"
            fix = f"{info}  # then leave these to https ({impl}) or davs (gfal)"
            yield wrong("destination-webdav", what, fix)
    if not rse.settings["availability_write"]:
        fix = _set(name, "availability_write", value=True).command
        yield wrong("destination-not-writable", f"RSE {name} is not available for writing", fix)


def _families(schemes: set[str]) -> set[str]:
    return {"https" if scheme in _SECURE else scheme for scheme in schemes}


def _limit(name: str, rse: str, limit: float | None, used: int) -> Iterator[Check]:
    fix = _rucio_admin("account", "set-limits", name, rse, "infinity")
    if limit is None:
        yield wrong("limit-missing", f"account {name} has no limit at RSE {rse}", fix)
    elif used >= limit:
        what = f"account {name} has used up its limit of {limit} bytes at RSE {rse}"
        yield wrong("limit-reached", what, fix)


# Hosts: whether `[stac] allowed_hosts` allows the catalogue's, whether FTS answers.


def settings(
    rucio: Rucio, catalogue: CatalogueSummary, options: Mapping[str, str] | None
) -> Iterator[Check]:
    """Check that `[stac]` allows the catalogue's hosts, as far as it can be seen from here.

    Args:
        rucio: Rucio.
        catalogue: What the catalogue needs.
        options: The options of `[stac]`; by default those of this machine's rucio.cfg,
            and before them those of the server's config table, where that may be read.
    """
    if options is None:
        in_table = rucio.ask_unless(
            "asking for options of [stac]",
            lambda client: {name: str(each) for name, each in client.get_config("stac").items()},
            exception.AccessDenied,
            exception.ConfigNotFound,
        )
        options = (in_table or {}) | configured_options()
    parsed, problems = parse(options)
    for problem in problems:
        yield wrong("settings", problem, "[stac]  # docs/server.md")
    urls = [urlsplit(asset.url) for asset in catalogue.assets]
    refused = {url.netloc for url in urls if not is_allowed(url, parsed.allowed_hosts)}
    if refused:
        what = f"[stac] allowed_hosts does not allow {', '.join(sorted(refused))}"
        yield wrong("host-not-allowed", what, catalogue.server_options())


def fts_server(url: str) -> Check:
    """Check that something listens there; without a certificate FTS says no more."""
    try:
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 443))
        with socket.create_connection(address, _FTS_TIMEOUT_S):
            return ok("fts", f"the FTS server {url} answers")
    except (OSError, ValueError):
        fix = f"{shlex.join(['curl', '--head', url])}  # where the daemons run"
        what = f"the FTS server {url} cannot be reached from here"
        return wrong("fts-unreachable", what, fix)


# One real resolution: from a registered asset's DID to its URL, and to its bytes.


def access(catalogue: CatalogueSummary) -> Iterator[Check]:
    """Check that transfers can fetch the assets of the catalogue."""
    kinds = ", ".join(f"{kind}: {count:,}" for kind, count in catalogue.access.most_common())
    what = f"how the bytes of its assets are got: {kinds}"
    if catalogue.access.total() > len(catalogue.assets):
        yield wrong("access", what, "stac-rucio assets ITEMS")
    elif kinds:
        yield ok("access", what)


def resolution(rucio: Rucio, source: RSE, assets: Sequence[Asset]) -> Iterator[Check]:
    """Check that Rucio gives a registered asset's URL, and its origin the file."""
    if not assets:
        return
    assets = assets[:_LOOKED_UP]
    files = look(rucio, assets, source.name).files
    ailing = [
        ails for did, file in files.items() if (ails := ailment(did, file, source.name)) is not None
    ]
    if ailing:
        more = f" ({len(ailing):,} of the {len(assets):,} looked up)" if len(ailing) > 1 else ""
        fix = shlex.join(["stac-rucio", "deregister", "ITEMS", "--rse", source.name, "--bad"])
        yield wrong("file-not-good", f"{ailing[0]}{more}", f"{fix}  # then register them again")
    for asset in assets:
        file = files.get(asset.did)
        if file is not None and source.name in file.pfns:
            yield _resolution(asset, file.pfns[source.name], source)
            yield _origin(asset.url)
            return
    none = f"none of the {len(assets)} assets looked up is registered at {source.name} yet"
    yield ok("resolution", none)
    yield _origin(assets[0].url)


def _resolution(asset: Asset, pfns: Sequence[str], source: RSE) -> Check:
    found = with_pfn(asset, source.protocols)
    wanted = f"{redact(asset.url)} ({found.reason})" if isinstance(found, Outcome) else found.url
    resolves = f"Rucio resolves {asset.did} at {source.name} to"
    if known_origins().is_among(wanted, pfns):
        return ok("resolution", f"{resolves} {redact(wanted)}")
    what = f"{resolves} {redact(pfns[0])}, the catalogue says {redact(wanted)}"
    fix = "stac-rucio deregister ITEMS  # then register them again"
    return wrong("resolution-differs", what, fix)


def _origin(url: str) -> Check:
    """Check that the origin has the file, by HEAD."""
    shown = redact(url)
    with make_session() as session:
        try:
            with open_url(session, url, (), _ORIGIN_TIMEOUT_S, method="HEAD") as response:
                reason, status = f"HTTP {response.status_code}", response.status_code
        except FetchError as error:
            reason, status = str(error), 0
    # Not every origin answers HEAD.
    if status in {HTTPStatus.OK, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}:
        return ok("origin", f"{shown} answers")
    return wrong("origin-fails", f"{shown}: {reason}", shlex.join(["curl", "--head", shown]))
