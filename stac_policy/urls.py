"""Which URLs may be registered in Rucio.

A PFN is stored for ever and shown to everybody who may list replicas, so a URL
that carries a secret must not become one. This module is pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

PATH_LENGTH = 1024  # characters; rucio.db.sqla.models.RSEFileAssociation.path

# Signatures and credentials of Azure (SAS), AWS, Google, CloudFront, Akamai and API gateways.
_SECRET_PARAMETERS = frozenset(
    {
        "access_token",
        "api_key",
        "apikey",
        "awsaccesskeyid",
        "googleaccessid",
        "hdnea",
        "hdnts",
        "key-pair-id",
        "password",
        "sig",
        "signature",
        "subscription-key",
        "token",
        "x-amz-credential",
        "x-amz-security-token",
        "x-amz-signature",
        "x-goog-credential",
        "x-goog-signature",
    }
)


def refusal(  # noqa: PLR0911 - one return a reason
    url: str, allowed_hosts: Iterable[str] = ()
) -> str | None:
    """Say why a URL can not be registered as a replica.

    Args:
        url: The URL as the catalogue gives it.
        allowed_hosts: Hosts that are allowed (`data.example.org`,
            `data.example.org:8443`, `*.example.org`); all, if there are none.

    Returns:
        The reason, which repeats no secret of the URL, or None if it can be
        registered.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "the URL can not be parsed"
    if parts.scheme not in {"http", "https"}:
        return f"{parts.scheme or 'no'} scheme where http or https is needed"
    if not parts.hostname:
        return "the URL names no host"
    if parts.username is not None or parts.password is not None:
        return "the URL carries credentials"
    if secret := _secret_parameter(parts.query):
        return f"the URL is signed (parameter {secret}); it would expire, and its secret be stored"
    if not url.isascii() or any(character.isspace() for character in url):
        return "the URL holds characters that must be percent-escaped"
    if parts.fragment or url.endswith("#"):
        return "the URL has a fragment, which no server gets to see"
    if len(url) > PATH_LENGTH:
        return f"the URL is longer than {PATH_LENGTH} characters"
    if not is_allowed(parts.hostname, port, allowed_hosts):
        return f"host {parts.hostname} is not in allowed_hosts"
    return None


def is_allowed(host: str, port: int | None, allowed_hosts: Iterable[str]) -> bool:
    """Tell whether a host is in an allow list; an empty list allows all.

    Args:
        host: Host name or address, without port.
        port: The port, if the URL names one.
        allowed_hosts: Patterns as in `refusal`. One without a port allows all ports.
    """
    patterns = [pattern.lower() for pattern in allowed_hosts]
    host = host.lower()
    for pattern in patterns:
        name, separator, wanted_port = pattern.rpartition(":")
        if not separator or not wanted_port.isdigit():
            name, wanted_port = pattern, ""
        if wanted_port and wanted_port != str(port):
            continue
        if name == host or (name.startswith("*.") and host.endswith(name[1:])):
            return True
    return not patterns


def redact(url: str) -> str:
    """Give a URL without credentials, query and fragment, for messages and logs."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(unparsable URL)"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme else parts.path


def _secret_parameter(query: str) -> str | None:
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name.lower() in _SECRET_PARAMETERS:
            return name
    return None
