"""Which URLs may be registered in Rucio.

A PFN is stored for ever and shown to everybody who may list replicas, so a URL
that carries a secret must not become one. This module is pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from urllib.parse import SplitResult

PATH_LENGTH = 1024  # characters; rucio.db.sqla.models.RSEFileAssociation.path

# In `https:name:password@host`, `name:password@host` and `h ttps://name:password@host`
# no parser sees them; `./a/b@2x.png` has none.
_HIDDEN_CREDENTIALS = re.compile(r"^(?:.*[:\\].*|/*[^/]*)@", re.DOTALL)
_CREDENTIALS_IN_PATH = re.compile(r"[^/]*:[^/]*@")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PATTERN = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^\[\]:]+)(:(?P<port>[0-9]+))?")
# What RFC 3986 has no place for; programs disagree about what such a URL means.
_UNESCAPED = re.compile(r"[^!#-;=?-Z\[\]_a-z~]|%(?![0-9A-Fa-f]{2})")
# Most URLs are so plain that none of the reasons below can hold for them.
_PLAIN = re.compile(
    r"https?://[A-Za-z0-9.-]+(?::(?:[0-9]{1,4}|[1-5][0-9]{4}))?(?:/[A-Za-z0-9._~/+,=-]*)?"
)

# Signatures and credentials: Azure (SAS), AWS, Google, CloudFront, Akamai, API gateways, grids.
_SECRET_PARAMETERS = frozenset(
    {
        "access_token",
        "api_key",
        "apikey",
        "authorization",
        "authz",
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


def refusal(  # noqa: C901, PLR0911 - one return a reason
    url: str, allowed_hosts: Iterable[str] = ()
) -> str | None:
    """Say why a URL can not be registered as a replica.

    Args:
        url: The URL as the catalogue gives it.
        allowed_hosts: Hosts that are allowed (`data.example.org`,
            `data.example.org:8443`, `[2001:db8::1]`, or `*.example.org` for all
            hosts below `example.org`); all, if there are none.

    Returns:
        The reason, which repeats no secret of the URL, or None if it can be
        registered.
    """
    if not allowed_hosts and len(url) <= PATH_LENGTH and _PLAIN.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        allowed = is_allowed(parts, allowed_hosts)
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
    if _UNESCAPED.search(url):
        return "the URL holds characters that must be percent-escaped"
    if not url.startswith(parts.scheme):
        return "the scheme is not in lower case, as Rucio needs it"
    if parts.fragment or url.endswith("#"):
        return "the URL has a fragment, which no server gets to see"
    if len(url) > PATH_LENGTH:
        return f"the URL is longer than {PATH_LENGTH} characters"
    if not allowed:
        return f"host {parts.hostname} is not in allowed_hosts"
    return None


def is_allowed(parts: SplitResult, allowed_hosts: Iterable[str]) -> bool:
    """Tell whether a URL's host is in an allow list; an empty list allows all.

    Args:
        parts: The URL, split.
        allowed_hosts: Patterns as in `refusal`. One without a port allows all ports.

    Raises:
        ValueError: The URL has no valid port.
    """
    patterns = [pattern.lower() for pattern in allowed_hosts]
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    for pattern in patterns:
        match = _PATTERN.fullmatch(pattern)
        if match is None or match["port"] not in {None, str(port)}:
            continue
        name = match["host"]
        if name == host or (name.startswith("*.") and host.endswith(name[1:])):
            return True
    return not patterns


def absolute(href: str, base: str) -> str:
    """Resolve an href against the URL that it is relative to.

    An absolute href stays as it is, byte for byte, where `urljoin` would tidy
    its path; so does one that is no URL, which `refusal` tells.
    """
    try:
        return href if urlsplit(href).scheme else urljoin(base, href)
    except ValueError:
        return href


def redact(url: str) -> str:
    """Give a URL without credentials, query and fragment, for messages and logs."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - invalid where a password ends the host: `name:pass/word@host`
    except ValueError:
        return "(unparsable URL)"
    host = parts.netloc.rpartition("@")[2]
    hidden = _CREDENTIALS_IN_PATH if parts.netloc else _HIDDEN_CREDENTIALS
    path = hidden.sub("", parts.path)
    return f"{parts.scheme}://{host}{path}" if parts.scheme else path


def _secret_parameter(query: str) -> str | None:
    # Some servers take a semicolon for a separator, and some catalogues write `&amp;`.
    for name, _ in parse_qsl(query.replace(";", "&"), keep_blank_values=True):
        if name.lower() in _SECRET_PARAMETERS:
            return name
    return None
