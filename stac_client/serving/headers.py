"""Which headers go to the API behind, and which come back from it; pure."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Headers = list[tuple[bytes, bytes]]

WARNING = b"stac-rucio-warning"

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade expect".split()
)
# Cookies belong to a host, and on loopback to all its ports: those of a notebook server must
# not reach the API behind. What clients say about proxies is for nobody but us to say.
_NOT_SENT = _HOP_BY_HOP | frozenset(
    b"host cookie accept-encoding forwarded x-real-ip content-length".split()
)
_NOT_SENT_PREFIXES = (b"x-forwarded-", b"x-rucio-")
# They speak for the API's host, not for this one; the last two this server says itself.
_NOT_RETURNED = _HOP_BY_HOP | frozenset(
    b"set-cookie strict-transport-security alt-svc clear-site-data date server".split()
)
_OF_THE_BYTES = frozenset(
    b"content-length content-md5 digest content-digest repr-digest accept-ranges".split()
)
_OF_ITEMS_LIFETIME = frozenset(b"etag last-modified expires age cache-control".split())
_KEPT_DIRECTIVES = ("no-store", "private")

_TAKES_GZIP = re.compile(rb"(?:^|,)\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[0-9.]+\s*)?(?:,|$)")
_JSON = re.compile(rb"application/(?:json|[a-z0-9.+-]*\+json)\s*(?:;|$)", re.IGNORECASE)
_NOT_A_PAGE = re.compile(rb"application/vnd\.oai\.openapi", re.IGNORECASE)


def sent(headers: Iterable[tuple[bytes, bytes]], host: bytes) -> Headers:
    """Give the headers for the API behind.

    Args:
        headers: Those of the client, with names in lower case.
        host: The API's host, and its port where it is not the default.
    """
    headers = list(headers)
    dropped = _NOT_SENT | _named_by_connection(headers)
    kept = [
        (name, value)
        for name, value in headers
        if name not in dropped and not name.startswith(_NOT_SENT_PREFIXES)
    ]
    codings = b",".join(value for name, value in headers if name == b"accept-encoding").lower()
    coding = b"gzip" if _TAKES_GZIP.search(codings) else b"identity"
    return [(b"host", host), *kept, (b"accept-encoding", coding)]


def returned(
    headers: Iterable[tuple[bytes, bytes]],
    href: Callable[[str], str],
    link_header: Callable[[str], str],
) -> Headers:
    """Give the headers for the client, of a body that passes as it is.

    Args:
        headers: Those of the API behind.
        href: Rewrites a URL.
        link_header: Rewrites the value of a `Link` header.
    """
    headers = [(name.lower(), value) for name, value in headers]
    dropped = _NOT_RETURNED | _named_by_connection(headers)
    if value_of(headers, b"transfer-encoding"):  # which counts, whatever length is said as well
        dropped |= {b"content-length"}
    rewriting = {b"location": href, b"content-location": href, b"link": link_header}
    kept: Headers = []
    for name, value in headers:
        if name in dropped:
            continue
        rewrite = rewriting.get(name)
        text = value.decode("latin-1")
        kept.append((name, rewrite(text).encode("latin-1") if rewrite else value))
    if not any(name == b"access-control-allow-origin" for name, _ in kept):
        kept.append((b"access-control-allow-origin", b"*"))
        kept.append((b"access-control-expose-headers", b"*"))
    return kept


def of_modified(headers: Headers, *, holds_items: bool) -> Headers:
    """Make the headers of a body that passed into those of the body it became.

    Items change with their replicas, of which the API behind knows nothing: its
    validators and lifetimes do not hold for them. Elsewhere only links have
    changed, so the same tag still tells the same content, though not its bytes.
    """
    dropped = _OF_THE_BYTES | (_OF_ITEMS_LIFETIME if holds_items else frozenset())
    made = [
        (name, _weak(value) if name == b"etag" else value)
        for name, value in headers
        if name not in dropped
    ]
    if holds_items:
        said = b",".join(value for name, value in headers if name == b"cache-control")
        directives = {part.strip().lower() for part in said.decode("latin-1").split(",")}
        kept = [one for one in _KEPT_DIRECTIVES if one in directives]
        made.append((b"cache-control", ", ".join([*kept, "no-cache"]).encode()))
    return made


def with_warning(headers: Headers, warning: str | None) -> Headers:
    """Tell the client, web pages among them, what is missing in a body."""
    if warning is None:
        return headers
    exposed = (b"access-control-expose-headers", WARNING)
    return [*headers, (WARNING, warning.encode()), exposed]


def is_allowed(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether the API behind itself answers to a web page's question before a request."""
    return status < HTTPStatus.BAD_REQUEST and "access-control-allow-origin" in headers


def allowing(requested: bytes) -> Headers:
    """Give the headers of an answer that lets any web page send a request.

    Args:
        requested: The headers that the page wants to send.
    """
    return [
        (b"access-control-allow-origin", b"*"),
        (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        (b"access-control-allow-headers", requested or b"*"),
        (b"access-control-max-age", b"600"),
    ]


def value_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The value of a header, or nothing."""
    return next((value for found, value in headers if found == name), b"")


def may_be_page(content_type: bytes) -> bool:
    """Tell whether a media type is that of a document with links or items."""
    return bool(_JSON.match(content_type)) and not _NOT_A_PAGE.match(content_type)


def _weak(etag: bytes) -> bytes:
    return etag if etag.startswith(b"W/") else b"W/" + etag


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    values = [value for name, value in headers if name == b"connection"]
    return frozenset(part.strip().lower() for value in values for part in value.split(b","))
