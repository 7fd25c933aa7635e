"""Checks of RSEs: the source RSE with its protocols, the destinations, the way between them.

Those of the source RSE are pure: `setup-rse` makes the changes of what they find.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from rucio.common import exception

from stac_client._checks import ERRORS, Change, ok, rucio_admin, wrong
from stac_client._results import Outcome
from stac_client._rucio_errors import LIST_RSES
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
from stac_client.errors import ConfigurationError
from stac_policy.settings import GATEWAY_PROTOCOL, SOURCE_PROTOCOL
from stac_policy.urls import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rucio.client import Client

    from stac_client._assets import Asset
    from stac_client._checks import CatalogueSummary, Check
    from stac_client._rucio import Rucio

_NAME = re.compile("[A-Z0-9]+([_-][A-Z0-9]+)*")  # rucio.common.schema.generic.RSE
_CHECKSUMS = "supported_checksums"
DESTINATIONS = "RSE-EXPRESSION"
"""Stands in commands for the destinations."""
_FTS = "FTS-URL"
_NOWHERE = "stac-rucio.invalid"
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
    def checksums(self) -> set[str]:
        """The checksums that FTS verifies there, as Rucio reads it from its attributes."""
        if not self.attributes.get("verify_checksum", True):
            return set()
        named = str(self.attributes.get(_CHECKSUMS) or "adler32,md5").split(",")
        found = {name.strip() for name in named} - {""}
        return set() if "none" in found else found

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


def require_name(name: str) -> None:
    """Check that Rucio lets an RSE be added by a name.

    Raises:
        ConfigurationError: It does not, by its generic schema.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"Rucio takes no RSE {printable(name)!r}: names have capital letters and digits, with "
            "single - or _ between",
            hint="where a policy package allows others, add it by `rucio rse add` first",
        )


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


def _setup_rse(rse: str, *more: str) -> str:
    words = ("stac-rucio", "admin", "setup-rse", rse, "--destinations", DESTINATIONS, *more)
    return shlex.join(words)


def _set(rse: str, setting: str, *, value: bool) -> Change:
    words = ("rse", "update", "--rse", rse, "--setting", setting, "--value", str(value))
    text = f"set {setting}={value} on {rse}"
    return Change(text, rucio_admin(*words), methodcaller("update_rse", rse, {setting: value}))


def _set_attribute(rse: RSE, key: str, value: str) -> Change:
    old = rse.attributes.get(key)
    text = f"set attribute {key}={value} on {rse.name}" + ("" if old is None else f" (was {old})")
    words = ("rse", "set-attribute", "--rse", rse.name, "--key", key, "--value", value)
    request = methodcaller("add_rse_attribute", rse.name, key, value)
    return Change(text, rucio_admin(*words), request)


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
    if rse.checksums:
        has = rse.attributes.get(_CHECKSUMS)
        what = f"{_CHECKSUMS}={has}" if has else f"no attribute {_CHECKSUMS}"
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
        code = f"priority-{operation.replace('_', '-')}"
        yield wrong("priority-unwanted" if not on and code in ERRORS else code, what, update)


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
        command = rucio_admin("rse", "add-distance", "--distance", "1", source, destination)
        request = methodcaller("add_distance", source, destination, {"distance": 1})
        change = Change(f"add distance 1 {way}", command, request)
        yield wrong("distance-missing", f"there is no distance {way}", change)


def destinations(
    rucio: Rucio,
    source: RSE,
    assets: Sequence[Asset],
    found: Sequence[RSE],
    *,
    without_tls: bool = False,
) -> Iterator[Check]:
    """Check the destination RSEs, and the way there for the URLs of assets, or for any.

    Args:
        rucio: Rucio.
        source: The source RSE.
        assets: The assets, or none.
        found: The destination RSEs.
        without_tls: Whether all URLs with TLS lead through a gateway that has none.
    """
    if not found:
        return
    schemes = {asset.url.partition(":")[0] for asset in assets}
    schemes = schemes or {protocol["scheme"] for protocol in source.protocols}
    name, asking = rucio.account, f"asking for the limits of account {rucio.account}"
    limits = rucio.ask(asking, lambda client: dict(client.get_local_account_limits(name)))
    used = rucio.ask(
        asking,
        lambda client: {use["rse"]: use["bytes"] for use in client.get_local_account_usage(name)},
    )
    for rse in found:
        checks = [
            *distance(rucio, source.name, rse.name),
            *_destination(rse, source, schemes, assets, without_tls=without_tls),
            *_limit(name, rse.name, limits.get(rse.name), used.get(rse.name, 0)),
        ]
        fine = f"RSE {rse.name} can receive copies from {source.name}"
        if "https" in schemes and not (without_tls or is_sent_to(rse)):
            fine += ", of https where it takes `Credential: gridsite`, or FTS tells it another"
        yield from checks or [ok("destination", fine)]


def _destination(
    rse: RSE, source: RSE, schemes: set[str], assets: Sequence[Asset], *, without_tls: bool
) -> Iterator[Check]:
    name = rse.name
    if not rse.fts:
        fix = _set_attribute(rse, "fts", ",".join(source.fts) or _FTS).command
        yield wrong("destination-fts-missing", f"RSE {name} has no attribute fts", fix)
    writes = {*rse.schemes("third_party_copy_write")}
    info = rucio_admin("rse", "info", name)
    if not writes:
        what = f"RSE {name} has no protocol for third_party_copy_write"
        fix = f"{info}  # then give a protocol this operation (wan)"
        yield wrong("destination-protocol", what, fix)
    elif schemes and _families(schemes).isdisjoint(_families(writes)):
        listed = [", ".join(sorted(each)) for each in (writes, schemes)]
        what = f"RSE {name} takes copies by {listed[0]}, the URLs have {listed[1]}"
        yield wrong("destination-scheme", what, f"{info}  # then add a protocol for one of these")
    elif "https" in schemes and is_sent_to(rse):
        yield from sending(rse, source)
    elif "https" in schemes and "davs" in writes and not without_tls:
        hosts = {each["hostname"] for each in rse.protocols if each["scheme"] == "davs"}
        lines = [f"[DAV:{host.upper()}]\nHEADERS=Credential:none" for host in sorted(hosts)]
        through = f"{_setup_rse(source.name, '--gateway')}  # with gateway_open: docs/gateway.md"
        lines += ["# or, where nobody may configure FTS, by a gateway without TLS", through]
        fix = "\n".join(["# /etc/gfal2.d/stac.conf of each FTS host", *lines])
        yield wrong("destination-credential", f"RSE {name} takes copies by davs", fix)
    yield from _checksums(rse, assets)
    for protocol in rse.protocols:
        scheme, impl = protocol["scheme"], protocol["impl"]
        if impl.startswith(_WEBDAV) and scheme != "https" and rse.uses(protocol, *_STORAGE_USES):
            what = f"RSE {name} reads, writes or deletes by {impl} over {scheme}"
            fix = f"{info}  # then leave these to https ({impl}) or davs (gfal)"
            yield wrong("destination-webdav", what, fix)
    if not rse.settings["availability_write"]:
        fix = _set(name, "availability_write", value=True).command
        yield wrong("destination-not-writable", f"RSE {name} is not available for writing", fix)


def is_sent_to(rse: RSE) -> bool:
    """Return whether Rucio has FTS ask sources to send files to an RSE."""
    return rse.attributes.get("sign_url") in {"s3", "gcs"}


def sending(rse: RSE, source: RSE, *, gateway: bool = False) -> Iterator[Check]:
    """Check that a source RSE that has a gateway, or gets one, can send files to a destination."""
    if is_sent_to(rse) and not (gateway or has_gateway(source.protocols)):
        what = f"RSE {rse.name} signs URLs (sign_url), and {source.name} has no gateway"
        yield wrong("destination-push", what, _setup_rse(source.name, "--gateway"))


def _checksums(rse: RSE, assets: Sequence[Asset]) -> Iterator[Check]:
    """Check that FTS verifies there what is registered of assets."""
    verified = rse.checksums
    off = not rse.attributes.get("verify_checksum", True)
    key = "verify_checksum" if off else _CHECKSUMS
    has = rse.attributes.get(key, "")
    what = f"RSE {rse.name} has " + (f"no attribute {key}" if has == "" else f"{key}={has}")
    if rse.attributes.get("sign_url") == "s3" and verified != {"md5"}:
        fix = _set_attribute(rse, key, "True" if off else "md5")
        yield wrong("destination-md5", what, fix.command)
    elif verified == {"md5"}:
        known = [asset for asset in assets if asset.is_complete]
        if without := sum(not asset.checksums.md5 for asset in known):
            what = (
                f"{without} of {len(assets)} assets have no md5, by which RSE {rse.name} verifies"
            )
            yield wrong("destination-unverified", what, "# add file:checksum or rucio:md5 to items")
    elif "adler32" not in verified:
        fix = _set_attribute(rse, key, "True" if off else "adler32")
        yield wrong("destination-checksums", what, f"{fix.command}  # if it can compute adler32")


def _families(schemes: set[str]) -> set[str]:
    return {"https" if scheme in _SECURE else scheme for scheme in schemes}


def _limit(name: str, rse: str, limit: float | None, used: int) -> Iterator[Check]:
    fix = rucio_admin("account", "set-limits", name, rse, "infinity")
    if limit is None:
        yield wrong("limit-missing", f"account {name} has no limit at RSE {rse}", fix)
    elif used >= limit:
        what = f"account {name} has used up its limit of {limit} bytes at RSE {rse}"
        yield wrong("limit-reached", what, fix)
