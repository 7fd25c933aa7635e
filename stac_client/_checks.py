"""What a check of a Rucio server is: what is wrong, why it matters, and how to fix it.

The checks themselves are in `_rse_checks` and `_server_checks`; `stac_client.admin` reports
what they find, or makes the changes that fix it. Some need to know what a catalogue needs.
"""

from __future__ import annotations

import shlex
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rucio.common import exception

from stac_client._assets import Asset, fetched, select_assets
from stac_client._item_completion import Completion
from stac_client._items import iter_items
from stac_client._rucio import Rucio
from stac_client._selection import Wanted
from stac_client.errors import ConfigurationError, StacRucioError
from stac_policy.naming import collection_scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from rucio.client import Client

    from stac_client._items import ItemsLike
    from stac_client._selection import AssetSelection

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
    "destination-push": "Rucio has FTS ask the source to send files there (`copy_mode=push`): web "
    "servers and object stores cannot, a credential gateway can",
    "destination-md5": "S3 knows no adler32: FTS fails when a file is there, and leaves it",
    "gateway-open": "transfers of open URLs ask their origins to send files, which these cannot",
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
    "priority-unwanted": "Rucio takes any protocol of an RSE that has it on, past a gateway, too",
    "destination-checksums": "of files that no other checksum is registered of, FTS verifies "
    "nothing there, not even the size",
    "destination-unverified": "FTS verifies nothing of them there; registration learns an md5 only "
    "of what it reads",
    "destination-credential": "FTS has a storage told `Credential: gridsite` for sources with TLS, "
    "and XRootD and StoRM then refuse; only its configuration shows whether that is mended",
    "destination-webdav": "Rucio's WebDAV knows whole URLs by https:// alone: over another scheme "
    "it deletes nothing, counts the files as deleted, and `rucio download` finds none",
    "paths-back": "unless the server's rucio.cfg has it, which no request shows, PFNs there that "
    "somebody declares bad give wrong DIDs",
    "fts-differs": "Rucio uses that of the destination, whatever that of the source says",
    "limit-missing": "that stands for a limit of 0, unless the account has the attribute admin",
    "limit-reached": "Rucio refuses its rules there",
    "settings": "the option has its default",
    "access": "what needs a credential, where no gateway has it, or is not to be had is skipped "
    "at registration",
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


def rucio_admin(*words: str) -> str:
    """Return a command of `rucio-admin`, to be pasted into a shell."""
    return shlex.join(["rucio-admin", *words])


# What a catalogue needs of Rucio, from a sample of its items.


@dataclass
class CatalogueSummary:
    """What a sample of a catalogue's items needs of Rucio."""

    items: int = 0
    """Items that were looked at."""
    assets: list[Asset] = field(default_factory=list, repr=False)
    """Their assets that can be registered."""
    guarded: list[Asset] = field(default_factory=list, repr=False)
    """Those that can be where transfers go through a credential gateway, and nowhere else."""
    scopes: dict[str, str] = field(default_factory=dict)
    """The scope of each collection."""
    access: Counter[str] = field(default_factory=Counter)
    """Assets that have a URL, by their class of access."""
    refused: Counter[str] = field(default_factory=Counter)
    """Assets that cannot be registered without a gateway, by reason."""

    def with_gateway(self) -> CatalogueSummary:
        """Return what it needs where transfers go through a credential gateway."""
        return replace(self, assets=[*self.assets, *self.guarded], guarded=[])

    @property
    def hosts(self) -> Counter[str]:
        """Assets by the host, with its port where the URL names one."""
        return Counter(urlsplit(asset.url).netloc.lower() for asset in self.assets)

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
    keys = Wanted(assets)
    read = iter_items(items, Completion(collection, base_url))
    for item in keys.of(islice(read, sample)):
        found.items += 1
        for selected in select_assets(item, assets, scope):
            if isinstance(selected, Asset):
                found.access[selected.access.kind.value] += 1
            if isinstance(reached := fetched(selected), Asset):
                found.assets.append(reached)
                continue
            found.refused[reached.reason] += 1
            if isinstance(reached := fetched(selected, gateway=True), Asset):
                found.guarded.append(reached)
        name = item.get("collection")
        if isinstance(name, str) and name:
            with suppress(ValueError):  # what has no scope is among the refused
                found.scopes.setdefault(name, scope or collection_scope(name))
    keys.warn()
    return found
