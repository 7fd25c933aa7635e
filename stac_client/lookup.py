"""What an origin says of a file's size and checksums: by HEAD, or by a download."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from stac_policy.urls import redact

from .checksums import Checksums, Digester

if TYPE_CHECKING:
    from .assets import Asset

_ADLER32 = re.compile("[0-9a-f]{1,8}")
_MD5_DIGITS = 32
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = (10, 60)  # to connect, and between two reads
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})


class LearnFrom(str, Enum):
    """How far to go for sizes and checksums that Rucio needs."""

    ITEM = "item"
    """Only what the items say."""
    HEAD = "head"
    """And what the origins say of a file without sending it."""
    DOWNLOAD = "download"
    """And what one download of the file tells, where both before left something open."""


class LookupFailedError(Exception):
    """An origin gave no usable answer; the message says which and why."""


def make_session(connections: int) -> requests.Session:
    """Make an HTTP session that retries what may pass and honours Retry-After.

    Args:
        connections: How many it keeps open to each host.
    """
    retry = Retry(
        total=4,
        backoff_factor=0.5,
        status_forcelist=(408, 429, 500, 502, 503, 504),
        allowed_methods=("GET", "HEAD"),
        raise_on_status=False,
    )
    session = requests.Session()
    # Credentials of the user's machine (netrc) are not for a catalogue's hosts.
    session.auth = _no_credentials
    # A compressed body has another length and other checksums than the file.
    session.headers["Accept-Encoding"] = "identity"
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry, pool_maxsize=connections))
    return session


def complete(asset: Asset, learn_from: LearnFrom, session: requests.Session) -> Asset:
    """Find out an asset's size and a checksum, going no further than needed.

    Returns:
        The asset with what was found; size or checksums may still be missing.

    Raises:
        LookupFailedError: The origin failed, or contradicts the item.
    """
    if _is_complete(asset) or learn_from is LearnFrom.ITEM:
        return asset
    try:
        asset = _head(asset, session)
        if _is_complete(asset) or learn_from is LearnFrom.HEAD:
            return asset
        return _download(asset, session)
    except requests.RequestException as error:
        raise LookupFailedError(f"{redact(asset.url)}: {_describe(error)}") from error


def _is_complete(asset: Asset) -> bool:
    return asset.size_bytes is not None and bool(asset.checksums)


def _head(asset: Asset, session: requests.Session) -> Asset:
    with session.head(
        asset.url,
        headers={"Want-Digest": "adler32,md5;q=0.5"},
        timeout=_TIMEOUT_S,
        allow_redirects=True,
    ) as response:
        if not response.ok:
            return asset  # not every origin answers HEAD; a download tells more
        _refuse_page(asset, response)
        size_bytes = _content_length(response)
        if asset.size_bytes is not None and size_bytes not in {None, asset.size_bytes}:
            raise LookupFailedError(
                f"the item says {asset.size_bytes} bytes, {redact(asset.url)} says {size_bytes}"
            )
        said = digests_of(response.headers)
        return replace(
            asset,
            size_bytes=asset.size_bytes if asset.size_bytes is not None else size_bytes,
            checksums=replace(
                asset.checksums,
                adler32=asset.checksums.adler32 or said.adler32,
                md5=asset.checksums.md5 or said.md5,
            ),
        )


def _download(asset: Asset, session: requests.Session) -> Asset:
    digester = Digester(asset.checksums)
    with session.get(asset.url, timeout=_TIMEOUT_S, stream=True) as response:
        response.raise_for_status()
        _refuse_page(asset, response)
        for chunk in response.iter_content(_CHUNK_BYTES):
            digester.update(chunk)
        announced = _content_length(response)
    if announced not in {None, digester.size_bytes}:
        raise LookupFailedError(
            f"{redact(asset.url)} ended after {digester.size_bytes} of {announced} bytes"
        )
    if asset.size_bytes not in {None, digester.size_bytes}:
        raise LookupFailedError(
            f"the item says {asset.size_bytes} bytes, {redact(asset.url)} has {digester.size_bytes}"
        )
    if wrong := digester.contradiction():
        raise LookupFailedError(f"{redact(asset.url)} has another {wrong} than the item says")
    return replace(asset, size_bytes=digester.size_bytes, checksums=digester.checksums())


def digests_of(headers: requests.structures.CaseInsensitiveDict[str]) -> Checksums:
    """The adler32 and md5 of a response's `Digest` (RFC 3230), `Content-MD5` and `x-goog-hash`."""
    found: dict[str, str] = {}
    for header in ("Digest", "x-goog-hash"):
        for entry in headers.get(header, "").split(","):
            name, _, value = entry.strip().partition("=")
            found[name.lower()] = value
    found.setdefault("md5", headers.get("Content-MD5", ""))
    # RFC 3230 section 4.1.1: md5 is sent as base64; storages send adler32 as hex digits.
    adler32 = found.get("adler32", "").lower()
    try:
        md5 = base64.b64decode(found["md5"], validate=True).hex()
    except binascii.Error:
        md5 = ""
    return Checksums(
        adler32=adler32.zfill(8) if _ADLER32.fullmatch(adler32) else None,
        md5=md5 if len(md5) == _MD5_DIGITS else None,
    )


def _refuse_page(asset: Asset, response: requests.Response) -> None:
    """Refuse the page that some origins send, with status 200, to who is not logged in."""
    sent = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if sent in _PAGE_TYPES and asset.media_type.partition(";")[0].strip().lower() != sent:
        raise LookupFailedError(
            f"{redact(asset.url)} answers with a web page ({sent}) instead of the file; "
            "it probably wants a login"
        )


def _content_length(response: requests.Response) -> int | None:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _describe(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"HTTP {error.response.status_code}"
    return "no answer" if isinstance(error, requests.ConnectionError) else type(error).__name__


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
