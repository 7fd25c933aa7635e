"""A page of JSON, made this server's own: the alternates added, the links rewritten."""

from __future__ import annotations

import gzip
import json
import logging
import re
import secrets
import zlib
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, unquote_plus, urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.responses import Response

from stac_client.errors import AccessError, ConfigurationError, StacRucioError, UnreachableError
from stac_policy.http import BYTES_A_VALUE, values_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    from starlette.types import Scope


# JSON that is read and written again with every number as it was written; pure.
#
# Python's own reader gives `1.10` back as `1.1`, `1e400` as `Infinity` and `-0` as `0`.


_LONGEST_INTEGER = 300  # digits; Python refuses some thousand of them, other readers far fewer


class Number:
    """A number whose text Python would not give back."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __float__(self) -> float:
        return float(self.text)


def loads(content: bytes) -> Any:
    """Read JSON, in which Python's NaN and Infinity are tolerated.

    Raises:
        ValueError: It is no JSON in UTF-8.
        RecursionError: It is nested too deeply.
    """
    return json.loads(content.decode("utf-8-sig"), parse_float=_read_float, parse_int=_read_integer)


def dumps(value: Any) -> bytes:
    """Write what `loads` gave, in the same order.

    Raises:
        RecursionError: It is nested too deeply.
    """
    mark = secrets.token_hex(8)  # nobody can have put it into the text
    marked = False

    def write(number: object) -> str:
        nonlocal marked
        if not isinstance(number, Number):
            raise TypeError(f"{type(number).__name__} is nothing that JSON knows")
        marked = True
        return f"{mark}:{number.text}"

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=write)
    if marked:
        text = re.sub(rf'"{mark}:([^"]+)"', r"\1", text)
    # Nothing has to be escaped but halves of surrogate pairs, which only escapes can hold.
    return text.encode(errors="backslashreplace")


def _read_float(text: str) -> float | Number:
    number = float(text)
    return number if repr(number) == text else Number(text)


def _read_integer(text: str) -> int | Number:
    return Number(text) if text == "-0" or len(text) > _LONGEST_INTEGER else int(text)


# Links that led to the API behind and now lead to this server; pure.


_DEFAULT_PORTS = {"http": 80, "https": 443}
_PAGING = frozenset({"next", "prev", "previous", "first", "last"})
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
# What a `Link` header consists of. A quote that is never closed goes on to the end: whoever
# looked for its end again and again would never come to one.
_IN_HEADER = re.compile(r'<[^<>]*>|"(?:[^"\\]|\\.)*"?|[^<",]+|.', re.DOTALL)
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^";,\s]+))', re.IGNORECASE)


class Links:
    """Rewrites URLs below the API behind to URLs below this server, and leaves all others."""

    def __init__(self, api: str) -> None:
        """Make one.

        Args:
            api: URL of the API behind, without a slash at its end.
        """
        parts = urlsplit(api)
        host = re.escape((parts.hostname or "").lower())
        host = rf"\[{host}\]" if ":" in host else host
        # An API behind a proxy that ends TLS often gives links with the other scheme.
        default = parts.port in {None, _DEFAULT_PORTS[parts.scheme]}
        port = "(?::80|:443)?" if default else f":{parts.port}"
        end = r"(?=[/?#]|$)"
        path = re.escape(parts.path)
        self._below = re.compile(rf"(?i:(?:https?:)?//{host}{port}){path}{end}")
        self._path_below = re.compile(rf"(?=/(?!/)){path}{end}")

    def href(self, href: str, root: str) -> str:
        """Rewrite a URL.

        Args:
            href: The URL, or one relative to the API's host.
            root: URL of this server, without a slash at its end.
        """
        found = self._below.match(href) or self._path_below.match(href)
        return root + href[found.end() :] if found else href

    def body(self, body: dict[str, Any], root: str, preference: Preference) -> bool:
        """Rewrite the links of a document and of the objects that it lists, in place.

        Hrefs of assets are data and stay.

        Returns:
            Whether anything has changed.
        """
        changed = False
        for holder in _holders(body):
            for link in _dicts(holder.get("links")):
                href = link.get("href")
                if not isinstance(href, str):
                    continue
                paging = holder is body and link.get("rel") in _PAGING
                link["href"] = self._link(href, root, preference if paging else None)
                changed |= link["href"] != href
        identity = body.get("$id")  # of queryables and other schemas
        if isinstance(identity, str):
            body["$id"] = self.href(identity, root)
            changed |= body["$id"] != identity
        return changed

    def header(self, value: str, root: str, preference: Preference) -> str:
        """Rewrite the value of a `Link` header."""
        return "".join(self._in_header(link, root, preference) for link in _split_header(value))

    def _in_header(self, link: str, root: str, preference: Preference) -> str:
        href, bracket, parameters = link.partition(">")
        if not (href.startswith("<") and bracket):
            return link
        rel = _REL.search(parameters)
        rels = set((rel[1] or rel[2] or "").split()) if rel else set()
        carried = preference if rels & _PAGING else None
        return f"<{self._link(href[1:], root, carried)}>{parameters}"

    def _link(self, href: str, root: str, preference: Preference | None) -> str:
        rewritten = self.href(href, root)
        leads_here = rewritten != href or not _ABSOLUTE.match(href)
        return preference.carried_by(rewritten) if preference and leads_here else rewritten


def _split_header(value: str) -> Iterator[str]:
    """The parts of a `Link` header, each from a bracket to before a comma or the next bracket."""
    part = ""
    for token in _IN_HEADER.findall(value):
        if token.startswith(("<", ",")):
            yield part
            part = ""
        part += token
    yield part


def _holders(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The document itself and the objects in its lists, as features and collections are."""
    yield body
    for name, value in body.items():
        if name != "links":
            yield from _dicts(value)


def _dicts(value: object) -> Iterator[dict[str, Any]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())


# Errors that the server itself answers with, in the form of OGC and STAC APIs.


class Refusal(Exception):  # noqa: N818 - it becomes an answer
    """A request that is answered with an error."""

    def __init__(self, status: int, description: str) -> None:
        """Make one.

        Args:
            status: The HTTP status.
            description: A sentence for the client; it holds no secret.
        """
        super().__init__(description)
        self.status = HTTPStatus(status)
        self.description = description

    def response(self) -> Response:
        """Give the answer: JSON with `code` and `description`, readable from any web page."""
        code = self.status.phrase.title().replace(" ", "").replace("-", "")
        return Response(
            json.dumps({"code": code, "description": self.description}),
            self.status,
            {"access-control-allow-origin": "*", "cache-control": "no-store"},
            "application/json",
        )


LOG = logging.getLogger("stac_client.serving")

_GZIP_LEVEL = 5
_PAGES = 64  # at a time, with the bytes of each
_LARGE_PAGES = 4  # of them, with all their values
_LARGE = 1 / 8  # of what a page may have at most


class Modify(Protocol):
    """What adds the alternates: a `stac_client.Modifier`, or a callable like it.

    It is called from several threads at a time. Whatever it raises leaves the
    items as they were, and is told to the client in a header.
    """

    def __call__(self, page: dict[str, Any], /) -> None:
        """Write alternates into a page, in place."""

    def with_options(self, *, prefer: Sequence[str]) -> Modify:
        """Return one that prefers these replicas."""


@dataclass(frozen=True)
class Page:
    """The body of a response."""

    content: bytes
    changed: bool = False
    """Whether it is another one than the API behind gave."""
    holds_items: bool = False
    warning: str | None = None
    """Why it is not all that it should be."""


class PageMaker:
    """Makes pages this server's own, each in a thread."""

    def __init__(
        self,
        links: Links,
        modifier: Modify,
        threads: Executor,
        rucio_timeout_s: float,
        max_bytes: int,
    ) -> None:
        self._links = links
        self._modifier = modifier
        # Threads of their own for what waits for Rucio: however many hang there, pages go on.
        self._threads = threads
        self._rucio_timeout_s = rucio_timeout_s
        self.max_bytes = max_bytes
        """The largest page that is touched, packed as well as unpacked."""
        self.too_large = f"unmodified: larger than {max_bytes} bytes"
        """What the client is told of a larger one."""
        self._max_values = max_bytes / BYTES_A_VALUE

    @cached_property
    def places(self) -> CapacityLimiter:
        """To be taken before a page is read: so many are in memory at a time."""
        return CapacityLimiter(_PAGES)

    @cached_property
    def _large(self) -> CapacityLimiter:
        return CapacityLimiter(_LARGE_PAGES)

    async def make(
        self, content: bytes, root: str, preference: Preference, *, gzipped: bool
    ) -> Page:
        """Make a page.

        Args:
            content: The body as the API behind sent it.
            root: URL of this server.
            preference: What the request prefers.
            gzipped: Whether the body is packed, and shall be again.

        Raises:
            Refusal: Rucio does not know what the request prefers.
        """
        try:
            plain, values = await to_thread.run_sync(_weighed, content, gzipped, self.max_bytes)
            if plain is None:
                return Page(content, warning=self.too_large)
            if values > self._max_values:
                warning = f"unmodified: more than {self._max_values:.0f} values"
                return Page(content, warning=warning)
            share = max(len(plain) / self.max_bytes, values / self._max_values)
            limiter = self._large if share > _LARGE else None
            page = await to_thread.run_sync(self._page, plain, root, preference, limiter=limiter)
        except (ValueError, RecursionError, zlib.error) as error:
            LOG.warning("a body passes unmodified, it can not be read: %s", type(error).__name__)
            return Page(content, warning="unmodified: no JSON that can be read")
        if not page.changed:
            return Page(content)
        if gzipped:
            packed = await to_thread.run_sync(_packed, page.content)
            page = replace(page, content=packed)
        return page

    def _page(self, plain: bytes, root: str, preference: Preference) -> Page:
        """Make a page that is not packed.

        Raises:
            ValueError, RecursionError: It is no JSON that can be read.
        """
        page, warning = loads(plain), None
        if not isinstance(page, dict):
            return Page(plain)
        holds_items = page.get("type") in ("Feature", "FeatureCollection")
        if holds_items:
            page, warning = self._with_alternates(page, plain, preference)
        if not self._links.body(page, root, preference) and not holds_items:
            return Page(plain)
        return Page(dumps(page), changed=True, holds_items=holds_items, warning=warning)

    def _with_alternates(
        self, page: dict[str, Any], plain: bytes, preference: Preference
    ) -> tuple[dict[str, Any], str | None]:
        """The page with alternates; or as it was, and why."""
        running = self._threads.submit(self._modify, page, preference)
        try:
            running.result(self._rucio_timeout_s)
        except FutureTimeoutError:
            running.cancel()
            warning = "Rucio does not answer in time"
            LOG.warning("items pass without alternates: %s", warning)
        except Exception as error:
            if preference.wanted and isinstance(error, ConfigurationError):
                raise Refusal(400, "Rucio does not know what `prefer` names") from error
            told = error if isinstance(error, StacRucioError) else type(error).__name__
            LOG.warning("items pass without alternates: %s", told)
            warning = _short(error)
        else:
            return page, None
        # Whatever was done to the page, or is being done, was done to that one.
        return loads(plain), f"no alternates: {warning}"

    def _modify(self, page: dict[str, Any], preference: Preference) -> None:
        wanted = preference.wanted
        modifier = self._modifier.with_options(prefer=list(wanted)) if wanted else self._modifier
        modifier(page)


def _short(error: Exception) -> str:
    if isinstance(error, UnreachableError):
        return "Rucio does not answer"
    if isinstance(error, AccessError):
        return "Rucio denies access"
    return "Rucio can not be asked"


def _weighed(content: bytes, gzipped: bool, max_bytes: int) -> tuple[bytes | None, int]:  # noqa: FBT001 - passed by position only
    """A body unpacked, or None if that is too large; and how many values it holds at most.

    Raises:
        ValueError, zlib.error: It is not gzip, or not all of it.
    """
    plain = _unpacked(content, max_bytes) if gzipped else content
    return plain, values_in(plain) if plain else 0


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, _GZIP_LEVEL, mtime=0)


def _unpacked(content: bytes, max_bytes: int) -> bytes | None:
    """Unpack gzip, or give None if more comes out than is allowed.

    Raises:
        ValueError, zlib.error: It is not gzip, or not all of it.
    """
    made = bytearray()
    while content:
        member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        made += member.decompress(content, max_bytes + 1 - len(made))
        if len(made) > max_bytes:
            return None
        if not member.eof:
            raise ValueError("gzip that ends too early")
        content = member.unused_data
    return bytes(made)


# The query parameter `prefer`: the RSEs whose copies one request wants as hrefs; pure.


_NAME = "prefer"
_MOST = 16
_LONGEST = 256  # characters; an RSE expression may be long


@dataclass(frozen=True)
class Preference:
    """What one request prefers, the most wanted first; nothing by default."""

    wanted: tuple[str, ...] = ()

    def carried_by(self, href: str) -> str:
        """Give a URL with this preference in its query."""
        if not self.wanted:
            return href
        start, hash_sign, fragment = href.partition("#")
        values = ",".join(quote(value, safe="") for value in self.wanted)
        return f"{start}{'&' if '?' in start else '?'}{_NAME}={values}{hash_sign}{fragment}"


def split_query(query: bytes) -> tuple[bytes, Preference]:
    """Take `prefer=A,B` out of a query string; all else stays byte for byte.

    Returns:
        The query string for the API behind, and the preference.

    Raises:
        Refusal: The preference is none that Rucio could be asked for.
    """
    rest: list[bytes] = []
    wanted: list[str] = []
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if unquote_plus(name.decode("latin-1")) != _NAME:
            rest.append(part)
            continue
        for one in value.decode("latin-1").split(","):
            wanted.extend(unquote_plus(one).split(","))
    if not wanted:
        return query, Preference()
    wanted = list(dict.fromkeys(one.strip(" ") for one in wanted if one.strip(" ")))
    if len(wanted) > _MOST or any(len(one) > _LONGEST for one in wanted):
        raise Refusal(400, f"prefer takes up to {_MOST} RSEs of up to {_LONGEST} characters")
    if not all(one.isascii() and one.isprintable() for one in wanted):
        raise Refusal(400, "prefer takes RSEs, separated by commas")
    return b"&".join(rest), Preference(tuple(wanted))


# Under which URL a client reaches this server; pure.

_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~%-]+)*/?")


class Root:
    """Finds the URL for the links that a client is given."""

    def __init__(self, url: str | None, *, trust_forwarded: bool) -> None:
        """Make one.

        Args:
            url: This server's URL, where it is known.
            trust_forwarded: Whether a reverse proxy in front sets `Host` and `X-Forwarded-*`.

        Raises:
            ConfigurationError: The URL is none.
        """
        if url is not None and (
            urlsplit(url).scheme not in {"http", "https"} or "?" in url or "#" in url
        ):
            raise ConfigurationError(f"root_url is {url!r}, but must be a URL without query")
        self._url = url.rstrip("/") if url is not None else None
        self._trust_forwarded = trust_forwarded

    def of(self, scope: Scope) -> str:
        """Give this server's URL for a request, without a slash at its end.

        Raises:
            Refusal: Nothing says it.
        """
        if self._url is not None:
            return self._url
        prefix = str(scope.get("root_path", "")).rstrip("/")
        if self._trust_forwarded:
            forwarded = _forwarded(scope)
            if forwarded is not None:
                return forwarded + prefix
        host, port = scope.get("server") or (None, None)
        if not host or port is None:
            raise Refusal(500, "the operator of this server must give its root URL")
        host = f"[{host}]" if ":" in host else host
        scheme = scope["scheme"]
        port_part = "" if port == _DEFAULT_PORTS.get(scheme) else f":{port}"
        return f"{scheme}://{host}{port_part}{prefix}"


def _forwarded(scope: Scope) -> str | None:
    """What the reverse proxy says, or None where it is no URL."""
    said = {name: value.decode("latin-1") for name, value in reversed(scope["headers"])}
    # Of several proxies, the one farthest in front is named first.
    host = said.get(b"x-forwarded-host", said.get(b"host", "")).split(",")[0].strip()
    scheme = said.get(b"x-forwarded-proto", str(scope["scheme"])).split(",")[0].strip().lower()
    prefix = said.get(b"x-forwarded-prefix", "").split(",")[0].strip()
    if not (_HOST.fullmatch(host) and scheme in _DEFAULT_PORTS and _PREFIX.fullmatch(prefix)):
        return None
    return f"{scheme}://{host}{prefix.rstrip('/')}"
