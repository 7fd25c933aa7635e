"""URLs: which may be registered in Rucio, and how they and their secrets are shown.

A PFN is stored for ever and shown to everybody who may list replicas, so a URL
that carries a secret must not become one. Whatever comes from outside is shown
through `redact`, `mask` or `printable`, each of which takes time in proportion
to the length of its text. This module is pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urljoin, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from urllib.parse import SplitResult

DEFAULT_PORTS = {"http": 80, "https": 443}
PATH_LENGTH = 1024  # characters; rucio.db.sqla.models.RSEFileAssociation.path

_PATTERN = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^\[\]:]+)(:(?P<port>[0-9]+))?")
# What RFC 3986 has no place for; programs disagree about what such a URL means.
_UNESCAPED = re.compile(r"[^!#-;=?-Z\[\]_a-z~]|%(?![0-9A-Fa-f]{2})")
# Most URLs are so plain that none of the reasons below can hold for them.
_PLAIN = re.compile(
    r"https?://([A-Za-z0-9.-]+(?::(?:[0-9]{1,4}|[1-5][0-9]{4}))?)"
    r"(/+[A-Za-z0-9._~+,=-][A-Za-z0-9._~/+,=-]*)"
)

# When it ends, its HMAC, and the URL behind it: see stac_policy.gateway.
_AT_GATEWAY = re.compile("/[0-9]{1,13}/[A-Za-z0-9_-]{22}/https?/")

# Signatures and credentials: Azure (SAS), AWS, Google, CloudFront, Akamai, OSS, Swift, grids.
_SECRET_PARAMETER = re.compile(
    r"""(?:[\w.\[-]*[-_.\[])?(?:access[-_]?key(?:[-_]?id)?|api[-_]?key|auth|auth[-_]?key
        |authorization|authz|bearer|credential|jwt|passwd|password|pwd|secret|session[-_]?id|sig
        |signature|subscription-key|token)(?:\[?\])*
        |awsaccesskeyid|googleaccessid|hdnea|hdnts|key-pair-id|ossaccesskeyid|requestsignature""",
    re.IGNORECASE | re.VERBOSE,
)
# In free text also what only sounds like one of these, such as `X-Rucio-Auth-Token-Expires`.
_SECRET_WORD = re.compile(
    "api[-_]?key|authorization|cookie|credential|passw|secret|signature|token", re.IGNORECASE
)
_NAMED = re.compile(r"(?<![\w-])([\w-]+)['\"]?[ \t]*([:=])[ \t]*")
_VALUE = re.compile(r"\"[^\"]*\"?|'[^']*'?|(?:(?:basic|bearer)[ \t]+)?[^\s&]*", re.IGNORECASE)
_WHOLE_LINE = re.compile(r"\"[^\"]*\"?|'[^']*'?|.*")  # of headers whose values have spaces
_WORD = re.compile(r"\S+")
_CLOSING = "'\")]}>,;:."
_NAME_LENGTH = 40  # characters of a scheme or parameter that are shown
_SHOWN_LENGTH = 4096  # characters of a URL or a line; the rest is cut


def refusal(  # noqa: C901, PLR0911, PLR0912 - one return a reason
    url: str, allowed_hosts: Iterable[str] = ()
) -> str | None:
    """Return why a URL cannot be registered as a replica, or None if it can.

    Args:
        url: The URL as the catalogue gives it.
        allowed_hosts: Hosts that are allowed (`data.example.org`,
            `data.example.org:8443`, `[2001:db8::1]`, or `*.example.org` for all
            hosts below `example.org`); all, if there are none.

    Returns:
        The reason, which repeats no secret of the URL.
    """
    if not allowed_hosts and plain_parts(url):
        return None
    try:
        parts = urlsplit(url)
        allowed = is_allowed(parts, allowed_hosts)
    except ValueError:
        return "the URL cannot be parsed"
    if parts.scheme not in {"http", "https"}:
        return f"{parts.scheme[:_NAME_LENGTH] or 'no'} scheme where http or https is needed"
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
    if not parts.path.strip("/"):
        return "the URL has no path: FTS refuses all files that are submitted with such a one"
    if _AT_GATEWAY.search(parts.path):
        return "the URL is one of a credential gateway, good for a transfer; give the origin's"
    if parts.fragment or url.endswith("#"):
        return "the URL has a fragment, which no server gets to see"
    if len(url) > PATH_LENGTH:
        return f"the URL is longer than {PATH_LENGTH} characters"
    if not allowed:
        return f"host {parts.hostname} is not in allowed_hosts"
    return None


def plain_parts(url: str) -> tuple[str, str] | None:
    """Return server and path of a URL that is so plain that it certainly can be registered."""
    plain = _PLAIN.fullmatch(url) if len(url) <= PATH_LENGTH and "/http" not in url else None
    return plain and (plain[1], plain[2])


def is_allowed(parts: SplitResult, allowed_hosts: Iterable[str]) -> bool:
    """Return whether a URL's host is in an allow list; an empty list allows all.

    Args:
        parts: The URL, split.
        allowed_hosts: Patterns as in `refusal`. One without a port allows all ports.

    Raises:
        ValueError: The URL has no valid port.
    """
    patterns = [pattern.lower() for pattern in allowed_hosts]
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    for pattern in patterns:
        match = _PATTERN.fullmatch(pattern)
        if match is None or match["port"] not in {None, str(port)}:
            continue
        name = match["host"]
        if name == host or (name.startswith("*.") and host.endswith(name[1:])):
            return True
    return not patterns


def is_url(text: str) -> bool:
    """Return whether a text is a URL of HTTP."""
    return text[:8].lower().startswith(("http://", "https://"))


def absolute(href: str, base: str) -> str:
    """Resolve an href against the URL or path that it is relative to (RFC 3986, 5.2).

    An absolute href stays as it is, byte for byte, where `urljoin` would tidy its path; so does
    one that is no URL, which `refusal` tells. Doubled slashes stay too, which are parts of names
    on object stores, and which `urljoin` makes single ones.
    """
    if href.startswith(("https://", "http://")):
        return href
    try:
        parts, of = urlsplit(href), urlsplit(base)
        if parts.scheme or not base:
            return href
        if parts.netloc or not parts.path:
            return urljoin(base, href)
    except ValueError:
        return href
    path = parts.path
    if not path.startswith("/"):
        path = of.path.rpartition("/")[0] + "/" * ("/" in of.path or bool(of.netloc)) + path
    root = "/" * path.startswith("/")
    kept: list[str] = []
    for segment in path[len(root) :].split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if path.endswith(("/.", "/..")):
        kept.append("")
    return urlunsplit((of.scheme, of.netloc, root + "/".join(kept), parts.query, parts.fragment))


def link_href(item: Mapping[str, Any], rel: str = "self") -> str:
    """Return the href of an item's first link of a relation, or '' without one."""
    links = item.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == rel:
            return str(link.get("href") or "")
    return ""


def item_url(item: Mapping[str, Any], place: str = "") -> str:
    """Return the URL that an item's relative hrefs start at.

    Args:
        item: The item, whose `self` link counts if it leads to a URL.
        place: Where the item was read, which counts otherwise; a path if not a URL.
    """
    own = link_href(item)
    url = absolute(own, place) if is_url(place) else own
    try:
        return urlsplit(url).geturl() if is_url(url) else place
    except ValueError:
        return place


def printable(text: object) -> str:
    """Return a text in one line, with escapes in place of what would control a terminal."""
    line = str(text)
    if line.isprintable():
        return line
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in line
    )


def redact(url: str) -> str:
    """Return a URL without credentials, query and fragment, for messages and logs.

    It is in one line and of limited length; of a longer one the path is left out.
    """
    try:
        parts = urlsplit(url[:_SHOWN_LENGTH])
        parts.port  # noqa: B018 - invalid where a password ends the host: `name:pass/word@host`
    except ValueError:
        return "(unparsable URL)"
    path = parts.path
    if len(url) > _SHOWN_LENGTH and not parts.query and not parts.fragment:
        # What is cut off may be what shows that the rest is a password.
        if not (parts.netloc and path):
            return "(URL that is too long)"
        path = "/…"
    host = parts.netloc.rpartition("@")[2]
    if "@" in path:
        segments = map(_without_user, path.split("/"))
        path = "/".join(segments) if parts.netloc else _without_users(path)
    return printable(f"{parts.scheme}://{host}{path}" if parts.scheme else path)


def _without_user(segment: str) -> str:
    user, _, rest = segment.rpartition("@")
    return rest if ":" in user else segment


def _without_users(path: str) -> str:
    """Return a path without the credentials that no parser sees.

    As in `https:name:password@host`, `name:password@host` and
    `h ttps://name:password@host`; `./a/b@2x.png` has none.
    """
    user, _, rest = path.rpartition("@")
    if ":" in user or "\\" in user:
        return rest
    segment, slash, others = path.lstrip("/").partition("/")
    _, at, host = segment.rpartition("@")
    return f"{host}{slash}{others}" if at else path


def mask(text: str) -> str:
    """Return a text in one line without secrets, for messages and logs.

    URLs lose credentials, query and fragment, and what is named as a secret
    (`Authorization: …`, `"token": "…"`, `sig=…`) loses its value. A text of
    extreme length is cut.
    """
    if len(text) > _SHOWN_LENGTH:  # not within a word, whose end may show that it is a secret
        text = f"{text[:_SHOWN_LENGTH].rpartition(' ')[0]} …"
    words = _WORD.sub(lambda word: _without_secrets(word[0]), text)
    shown, position = [], 0
    for name in _NAMED.finditer(words):
        if name.start() < position or not _is_secret(name):
            continue
        is_header = name[2] == ":" and name[1].lower().endswith(("authorization", "cookie"))
        value = (_WHOLE_LINE if is_header else _VALUE).match(words, name.end())
        hidden = value[0] if value else ""
        if not hidden.startswith(("'", '"')):
            hidden = hidden.rstrip(_CLOSING)
        shown += [words[position : name.end()], "…"]
        position = name.end() + len(hidden)
    return printable("".join([*shown, words[position:]]))


def _without_secrets(word: str) -> str:
    """Return a word without the user of the URLs and the query that it may hold."""
    before, scheme, rest = word.partition("://")
    if scheme:
        word = before + "".join(f"://{_without_user_of(part)}" for part in rest.split("://"))
        word = _without_end(word, "#")
    return _without_end(word, "?")


def _without_user_of(url: str) -> str:
    """Return what follows the scheme of a URL, without the user before its host."""
    host, slash, path = url.partition("/")
    _, colon, port = host.rpartition(":")
    if colon and not port.isdigit() and not port.endswith("]") and "@" in path and "@" not in host:
        return path.rpartition("@")[2]  # the password holds a slash
    segments = [host.rpartition("@")[2], *map(_without_user, path.split("/"))]
    return "/".join(segments) if slash else segments[0]


def _without_end(word: str, mark: str) -> str:
    start, _, end = word.partition(mark)
    hidden = end.rstrip(_CLOSING)
    return f"{start}{mark}…{end[len(hidden) :]}" if start and hidden else word


def _is_secret(name: re.Match[str]) -> bool:
    is_path = name[2] == ":" and name.string[: name.start()].endswith("/")  # `/etc/passwd: …`
    is_word = _SECRET_WORD.search(name[1]) or _SECRET_PARAMETER.fullmatch(name[1])
    return bool(is_word) and not is_path


def is_secret(url: str) -> bool:
    """Return whether a URL of any scheme may carry credentials or a signature."""
    if "@" not in url and "?" not in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    return "@" in parts.netloc or _secret_parameter(parts.query) is not None


def _secret_parameter(query: str) -> str | None:
    # Some servers take a semicolon for a separator, and some catalogues write `&amp;`.
    for name, _ in parse_qsl(query.replace(";", "&"), keep_blank_values=True):
        if _SECRET_PARAMETER.fullmatch(name):
            return name[:_NAME_LENGTH]
    return None
