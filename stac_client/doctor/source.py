"""Checks of the source RSE; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stac_client.setup.pfns import obstacles
from stac_client.setup.source_rse import (
    SOURCE_PROTOCOL,
    SUPPORTED_CHECKSUMS,
    is_source_protocol,
    is_stock_protocol,
    wrong_priorities,
)

from .findings import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stac_client.setup.survey import Survey

    from .findings import Finding

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
    yield from _protocols(rse, survey, version)
    yield from _attributes(name, attributes)


def _protocols(rse: Mapping[str, Any], survey: Survey, version: str) -> Iterator[Finding]:
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
