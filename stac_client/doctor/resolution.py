"""Check of one real resolution: from a registered asset's DID to its URL, and to its bytes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import requests
from rucio.common.exception import CannotAuthenticate, RucioException, ServerConnectionException

from stac_client.errors import rucio_errors
from stac_client.listing import list_files
from stac_client.setup.pfns import NoPfnError, pfn_of
from stac_policy.fetching import make_session, open_url
from stac_policy.urls import redact

from .findings import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rucio.client import Client

    from stac_client.catalogue.assets import Asset
    from stac_client.setup.survey import Survey

    from .findings import Finding

_LOOKED_UP = 100
_TIMEOUT_S = 10.0


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
            with open_url(session, url, (), _TIMEOUT_S, method="HEAD") as response:
                status = response.status_code
        except requests.RequestException as reason:  # whose text may repeat a signed redirect
            return _origin_fails(url, type(reason).__name__)
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
