"""Checks of all but RSEs: server and policy package, account and scopes, hosts, a resolution."""

from __future__ import annotations

import shlex
import socket
from contextlib import suppress
from http import HTTPStatus
from operator import methodcaller
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from packaging.specifiers import SpecifierSet
from rucio.common import exception

from stac_client._checks import Change, ok, rucio_admin, wrong
from stac_client._in_rucio import Look, ailment
from stac_client._lookup import NO_HEAD, asked_by_head
from stac_client._results import Outcome
from stac_client._rucio import account_attributes
from stac_client._source_rse import has_gateway, with_pfn
from stac_client.errors import AccessError, ConfigurationError, StacRucioError, near
from stac_policy import SUPPORTED_VERSION, installed_rucios
from stac_policy.naming import DID, SAMPLES
from stac_policy.settings import (
    SOURCE_PROTOCOL,
    Settings,
    configured_options,
    known_origins,
    options_of,
    parse,
)
from stac_policy.urls import DEFAULT_PORTS, is_allowed, printable, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rucio.client import Client

    from stac_client._assets import Asset
    from stac_client._checks import CatalogueSummary, Check
    from stac_client._rse_checks import RSE
    from stac_client._rucio import Rucio

_FTS_TIMEOUT_S = 5.0
_LOOKED_UP = 100
_UNSEEN = (
    "no request shows it of hosts with daemons, which submit nobody's transfers without it: "
    "run `python -m stac_policy` on each"
)
BEFORE_RSES = ok(
    "policy-package",
    f"stac_policy has to be on the server and its daemons before a source RSE is added; {_UNSEEN}",
)
# DIDs that nobody has: what it takes to look for them is what is of interest.
_UNKNOWN_DIDS = [DID("stac-rucio", name) for name in SAMPLES]


# The server, and the policy package on it.


def server_version(rucio: Rucio) -> str:
    """Ask for the version of the Rucio server."""
    ping = "asking for the server's version"
    return rucio.ask(ping, lambda client: str(client.ping()["version"]))


def connection(reason: Exception, account: str | None = None) -> Check:
    """Describe why Rucio cannot be asked, as an account or as that of rucio.cfg."""
    what = str(reason)
    if isinstance(reason, AccessError):
        with suppress(exception.ConfigNotFound):
            account = account or options_of("client").get("account")
        client = f"[client]\naccount = {account or 'ACCOUNT'}\nauth_type = userpass"
        return wrong("login-refused", what, f"{client}\nusername = USER\npassword = PASSWORD")
    if isinstance(reason, ConfigurationError):
        return wrong("no-configuration", what, "export RUCIO_CONFIG=/path/to/rucio.cfg")
    if not isinstance(reason, StacRucioError):  # Rucio's client takes any answer for one of Rucio
        what = "what answers at rucio_host or auth_host is no Rucio server"
    return wrong("server-unreachable", what, "[client]\nrucio_host = URL\nauth_host = URL")


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
        yield ok("policy-package", f"the Rucio server has loaded the policy package; {_UNSEEN}")
    elif scheme:
        what = "stac_policy is installed on the Rucio server"
        check = "run `python -m stac_policy` there to check that [policy] names it"
        yield ok("policy-package", f"{what}; {check}; {_UNSEEN}")


def paths_back(rucio: Rucio, destinations: Sequence[RSE]) -> Iterator[Check]:
    """Check that paths of ours at destinations give their DIDs, as far as a request shows it."""
    rses = [rse.name for rse in destinations if rse.algorithm == "stac"]  # of a single VO
    in_table = _config_table(rucio, "policy") if rses else None
    if in_table is None or "pfn2lfn" in in_table:
        return
    has = f"RSE {', '.join(rses)} has lfn2pfn_algorithm=stac"
    option = ("policy", "pfn2lfn", "stac")
    flags = zip(("--section", "--option", "--value"), option, strict=True)
    command = rucio_admin("config", "set", *(word for pair in flags for word in pair))
    text = "set [policy] pfn2lfn=stac in the server's config table, for the paths at all RSEs"
    change = Change(text, command, methodcaller("set_config_option", *option))
    yield wrong("paths-back", f"{has}, and the server's config table no [policy] pfn2lfn", change)


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
        "account-not-registrar", what, rucio_admin("account", "add-attribute", *attribute, name)
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
    if owner is not None:
        accounts = rucio.ask(
            "listing accounts", lambda client: [each["account"] for each in client.list_accounts()]
        )
        if owner not in accounts:
            text = f"there is no account {printable(owner)}"
            raise ConfigurationError(text, hint=near(owner, accounts))
    owner = owner or rucio.account
    there = {*rucio.scopes()}
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
            command = rucio_admin("scope", "add", "--account", owner, f"--scope={scope}")
            change = Change(text, command, methodcaller("add_scope", owner, scope))
            yield wrong("scope-missing", f"{named} does not exist", change)
        elif has is None or trusted[has]:
            yield ok("scope", f"{named} exists" + (f", owned by account {has}" if has else ""))
        else:
            what = f"{named} belongs to account {has}, which may not register"
            fix = shlex.join(["rucio", "scope", "update", "--account", rucio.account, "--", scope])
            yield wrong("scope-owner", what, fix)


def _roles(rucio: Rucio, name: str) -> list[str]:
    """Return what lets an account register, in words."""
    asking = f"asking for the attributes of account {name}"
    attributes = rucio.ask(asking, lambda client: account_attributes(client, name))
    roles = ["an administrator"] if name == "root" or "admin" in attributes else []
    return roles + ["a registrar"] * (Settings().registrar_attribute in attributes)


# Hosts: whether `[stac] allowed_hosts` allows the catalogue's, whether FTS answers.


def stac_options(rucio: Rucio) -> dict[str, str]:
    """Return the options of `[stac]`, as far as they can be seen from here.

    They are those of this machine's rucio.cfg, and before them those of the server's config
    table, where that may be read.
    """
    return (_config_table(rucio, "stac") or {}) | configured_options()


def _config_table(rucio: Rucio, section: str) -> dict[str, str] | None:
    """Return a section of the server's config table, or None where that may not be read."""

    def request(client: Client) -> dict[str, str]:
        with suppress(exception.ConfigNotFound):
            return {name: str(each) for name, each in client.get_config(section).items()}
        return {}

    asking = f"asking for options of [{section}]"
    return rucio.ask_unless(asking, request, exception.AccessDenied)


def settings(
    catalogue: CatalogueSummary, options: Mapping[str, str], sent_to: Sequence[str] = ()
) -> Iterator[Check]:
    """Check `[stac]` for the catalogue's hosts and transfers.

    Args:
        catalogue: What the catalogue needs.
        options: The options of `[stac]`.
        sent_to: The destinations that sources have to send files to.
    """
    parsed, problems = parse(options)
    for problem in problems:
        yield wrong("settings", problem, "[stac]  # docs/server.md")
    urls = [urlsplit(asset.url) for asset in catalogue.assets]
    refused = {url.netloc for url in urls if not is_allowed(url, parsed.allowed_hosts)}
    if refused:
        what = f"[stac] allowed_hosts does not allow {', '.join(sorted(refused))}"
        yield wrong("host-not-allowed", what, catalogue.server_options())
    is_open = [
        asset.access.kind.is_anonymous and asset.url.startswith("https:")
        for asset in catalogue.assets
    ]
    if sent_to and any(is_open) and not parsed.gateway_open:
        what = f"[stac] gateway_open is not true, for {sum(is_open)} open URLs to go to "
        yield wrong("gateway-open", what + ", ".join(sent_to), "[stac]\ngateway_open = true")


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


def resolution(
    rucio: Rucio, source: RSE, assets: Sequence[Asset], options: Mapping[str, str]
) -> Iterator[Check]:
    """Check that Rucio gives a registered open asset's URL, and each origin a file."""
    if not assets:
        return
    through = has_gateway(source.protocols) and parse(options)[0].gateway_open
    assets = assets[:_LOOKED_UP]
    files = Look(rucio, source.name).known(assets).files
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
            break
    else:
        none = f"none of the {len(assets)} assets looked up is registered at {source.name} yet"
        yield ok("resolution", none)
    of_hosts = {urlsplit(asset.url).netloc: asset.url for asset in reversed(assets)}
    for url in reversed(of_hosts.values()):
        yield _origin(url, through_gateway=through)


def _resolution(asset: Asset, pfns: Sequence[str], source: RSE) -> Check:
    found = with_pfn(asset, source.protocols)
    wanted = f"{redact(asset.url)} ({found.reason})" if isinstance(found, Outcome) else found.url
    resolves = f"Rucio resolves {asset.did} at {source.name} to"
    if known_origins().is_among(wanted, pfns):
        return ok("resolution", f"{resolves} {redact(wanted)}")
    what = f"{resolves} {redact(pfns[0])}, the catalogue says {redact(wanted)}"
    fix = "stac-rucio deregister ITEMS  # then register them again"
    return wrong("resolution-differs", what, fix)


def _origin(url: str, *, through_gateway: bool) -> Check:
    """Check that the origin has the file, by HEAD, as FTS does where it asks that itself."""
    shown = redact(url)
    status, reason = asked_by_head(url)
    if not reason:
        return ok("origin", f"{shown} answers")
    if status == HTTPStatus.OK or status in NO_HEAD:
        reason += ", without which FTS copies nothing but through a gateway"
        if through_gateway and url.startswith("https:"):
            return ok("origin", f"{shown}: {reason}")
    return wrong("origin-fails", f"{shown}: {reason}", shlex.join(["curl", "--head", shown]))
