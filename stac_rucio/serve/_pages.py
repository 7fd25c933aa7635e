"""One page of the upstream API, rewritten: alternates added, links turned to this server."""

from __future__ import annotations

import gzip
import io
import json
import logging
import math
import re
import zlib
from asyncio import get_running_loop
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar
from urllib.parse import quote, unquote_plus, urlsplit

from anyio import CapacityLimiter, fail_after
from starlette.exceptions import HTTPException

from stac_client._public_urls import original_url
from stac_client.errors import AccessError, ConfigurationError, StacRucioError, UnreachableError
from stac_policy.bodies import BYTES_A_VALUE, values_in
from stac_policy.urls import DEFAULT_PORTS
from stac_rucio.serve._meters import Meters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

T = TypeVar("T")

LOG = logging.getLogger("stac_rucio.serve")

_PAGING = frozenset({"next", "prev", "previous", "first", "last"})
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
# One link of a `Link` header with its parameters: in them brackets and commas may be quoted.
_LINK = re.compile(r'<([^<>]*)>([^<"]*(?:"[^"]*"[^<"]*)*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^";,\s]+))', re.IGNORECASE)

_PREFER = "prefer"
_UNKNOWN = "Rucio does not know what `prefer` names"
_MOST_PREFERRED = 16
_LONGEST_PREFERRED = 256  # characters; an RSE expression may be long

_REASONS: dict[type[Exception], str] = {
    UnreachableError: "Rucio does not answer",
    AccessError: "Rucio denies access",
}

_GZIP_LEVEL = 5
_PAGE_THREADS = 4
_RUCIO_THREADS = 16
_LARGE_PAGES = 4  # at the same time in memory, with all their values
_LARGE = 1 / 8  # of the largest page that is rewritten


class Links:
    """Rewrites URLs below the upstream API's to URLs below this server's, and leaves all others."""

    def __init__(self, api: str) -> None:
        """Compile what recognises the URLs.

        Args:
            api: URL of the upstream API, without a slash at its end.
        """
        parts = urlsplit(api)
        host = re.escape((parts.hostname or "").lower())
        host = rf"\[{host}\]" if ":" in host else host
        # An API behind a proxy that ends TLS often gives links with the other scheme.
        default = parts.port in {None, DEFAULT_PORTS[parts.scheme]}
        port = "(?::80|:443)?" if default else f":{parts.port}"
        path = re.escape(parts.path) + r"(?=[/?#]|$)"
        self._below = re.compile(rf"(?i:(?:https?:)?//{host}{port}){path}|(?=/(?!/)){path}")

    def href(self, href: str, root: str) -> str:
        """Rewrite a URL.

        Args:
            href: The URL, or one relative to the upstream API's host.
            root: URL of this server, without a slash at its end.
        """
        found = self._below.match(href)
        return root + href[found.end() :] if found else href

    def header(self, value: str, root: str, wanted: Sequence[str]) -> str:
        """Rewrite the value of a `Link` header."""

        def rewritten(link: re.Match[str]) -> str:
            rel = _REL.search(link[2])
            rels = (rel[1] or rel[2] or "").split() if rel else ()
            carried = () if _PAGING.isdisjoint(rels) else wanted
            return f"<{self.link(link[1], root, carried)}>{link[2]}"

        return _LINK.sub(rewritten, value)

    def body(self, page: dict[str, Any], root: str, wanted: Sequence[str]) -> bool:
        """Rewrite the links of a document and of the objects that it lists, in place.

        Hrefs of assets are data and stay.

        Args:
            page: The document.
            root: URL of this server, without a slash at its end.
            wanted: What the request prefers; links to further pages carry it on.

        Returns:
            Whether anything has changed.
        """
        changed = False
        listed = (each for name, value in page.items() if name != "links" for each in _dicts(value))
        for holder in (page, *listed):
            for link in _dicts(holder.get("links")):
                href = link.get("href")
                if isinstance(href, str):
                    paging = holder is page and str(link.get("rel")) in _PAGING
                    link["href"] = self.link(href, root, wanted if paging else ())
                    changed |= link["href"] != href
        identity = page.get("$id")  # of queryables and other schemas
        if isinstance(identity, str):
            page["$id"] = self.href(identity, root)
            changed |= page["$id"] != identity
        return changed

    def link(self, href: str, root: str, wanted: Sequence[str]) -> str:
        """Rewrite a URL, which carries on what the request prefers if it leads here."""
        rewritten = self.href(href, root)
        leads_here = rewritten != href or not _ABSOLUTE.match(href)
        return with_preference(rewritten, wanted) if leads_here else rewritten


def _dicts(value: object) -> Iterator[dict[str, Any]]:
    return (
        (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())
    )


def split_query(query: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Take `prefer=A,B` out of a query string; all else stays byte for byte.

    Returns:
        The query string for the upstream API, and what the request prefers, the
        most wanted first.

    Raises:
        HTTPException: It holds what cannot be an RSE or an RSE expression.
    """
    rest: list[bytes] = []
    wanted: dict[str, None] = {}
    for part in query.split(b"&"):
        name, _, value = part.decode("latin-1").partition("=")
        if unquote_plus(name) == _PREFER:
            wanted |= dict.fromkeys(each.strip(" ") for each in unquote_plus(value).split(","))
        else:
            rest.append(part)
    wanted.pop("", None)
    if len(wanted) > _MOST_PREFERRED or any(len(each) > _LONGEST_PREFERRED for each in wanted):
        raise HTTPException(
            400,
            f"prefer takes up to {_MOST_PREFERRED} RSEs of up to {_LONGEST_PREFERRED} characters",
        )
    if not all(each.isascii() and each.isprintable() for each in wanted):
        raise HTTPException(400, "prefer takes RSEs and RSE expressions, separated by commas")
    return b"&".join(rest), tuple(wanted)


def with_preference(href: str, wanted: Sequence[str]) -> str:
    """Return a URL that carries a preference in its query."""
    if not wanted:
        return href
    start, hash_sign, fragment = href.partition("#")
    values = ",".join(quote(value, safe="") for value in wanted)
    return f"{start}{'&' if '?' in start else '?'}{_PREFER}={values}{hash_sign}{fragment}"


class Modify(Protocol):
    """What adds the alternates: a `stac_client.Modifier`, or a callable like it.

    It is called from several threads at a time. Whatever it raises leaves the
    items as they were, and is told to the client in a header.
    """

    def __call__(self, page: dict[str, Any], /) -> None:
        """Write alternates into a page, in place."""

    def with_options(self, *, prefer: Sequence[str]) -> Modify:
        """Return one that prefers these replicas."""

    def public_copy(self, item: dict[str, Any], key: str) -> str | None:
        """Return the URL of the best copy of an asset that anybody can read, or None."""


@dataclass(frozen=True)
class Page:
    """What became of the body of a response."""

    content: bytes | None = None
    """The new body, or None where it passes as the upstream API sent it."""
    holds_items: bool = False
    warning: str | None = None
    """What the client has to be told is missing."""


class AssetURL(NamedTuple):
    """Where an asset is."""

    url: str
    is_copy: bool
    """Whether anybody may read a copy there, and it is not just the original."""
    warning: str | None
    """What the client has to be told is missing."""


@dataclass(frozen=True)
class PageRewriter:
    """Adds alternates to pages, and turns their links to this server."""

    links: Links
    modifier: Modify
    """Adds the alternates."""
    rucio_timeout_s: float
    """How long that may take for a page."""
    max_bytes: int
    """The largest page that is rewritten, packed as well as unpacked."""
    meters: Meters = field(default_factory=Meters)
    """What is counted."""
    # Few: each keeps the memory of the largest page that it has had.
    _threads: ThreadPoolExecutor = field(
        default_factory=partial(ThreadPoolExecutor, _PAGE_THREADS, "stac_rucio.serve page")
    )
    # Others for what waits for Rucio: however many hang there, pages go on.
    _rucio_threads: ThreadPoolExecutor = field(
        default_factory=partial(ThreadPoolExecutor, _RUCIO_THREADS, "stac_rucio.serve Rucio")
    )
    _large: CapacityLimiter = field(default_factory=partial(CapacityLimiter, _LARGE_PAGES))

    def close(self) -> None:
        """Let no further page wait for Rucio."""
        for threads in (self._threads, self._rucio_threads):
            threads.shutdown(wait=False, cancel_futures=True)

    async def rewrite(
        self, content: bytes | bytearray, root: str, wanted: Sequence[str], *, gzipped: bool
    ) -> Page:
        """Rewrite a page.

        Args:
            content: The body as the upstream API sent it, or more of it than may be rewritten.
            root: URL of this server.
            wanted: What the request prefers.
            gzipped: Whether the body is packed, and shall be again.

        Raises:
            HTTPException: Rucio does not know what the request prefers.
        """
        try:
            async with self._read(content, gzipped=gzipped) as (text, found):
                page, warning = found, None
                if not isinstance(page, dict):
                    return Page()
                holds_items = page.get("type") in ("Feature", "FeatureCollection")
                if holds_items:
                    _, reason = await self._ask(lambda modify: modify(page), wanted)
                    if reason:
                        warning = f"no alternates: {reason}"
                        # Whatever was done to that page, or is being done, shall not be seen.
                        page = await self._run(_loads, text)
                if not await self._run(self.links.body, page, root, wanted) and not holds_items:
                    return Page()
                return Page(await self._run(_dumps, page, gzipped), holds_items, warning)
        except _UnreadError as error:
            return Page(warning=f"unmodified: {error}")

    async def asset_url(
        self,
        content: bytes | bytearray,
        place: str,
        key: str,
        wanted: Sequence[str],
        *,
        gzipped: bool,
    ) -> AssetURL:
        """Return the URL of an asset: of the best copy that anybody can read, or its own.

        Args:
            content: The item, as the upstream API sent it.
            place: Where it was sent from.
            key: The key of the asset.
            wanted: What the request prefers.
            gzipped: Whether the item is packed.

        Raises:
            HTTPException: There is no such asset, or Rucio does not know what the request prefers.
        """
        try:
            async with self._read(content, gzipped=gzipped) as (_, item):
                # First of all, so that there is such an asset whenever Rucio is asked.
                original = await self._run(_original, item, key, place)
                copy, reason = await self._ask(lambda modify: modify.public_copy(item, key), wanted)
        except _UnreadError as error:
            raise HTTPException(
                502, "the upstream STAC API gives no item that can be read"
            ) from error
        except ConfigurationError as error:
            raise HTTPException(404, str(error)) from None
        return AssetURL(copy or original, bool(copy), reason and f"the original: {reason}")

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        return await get_running_loop().run_in_executor(self._threads, partial(work, *args))

    @asynccontextmanager
    async def _read(
        self, content: bytes | bytearray, *, gzipped: bool
    ) -> AsyncIterator[tuple[bytes | bytearray, Any]]:
        """Read a body; with it, unpacked, what is in it. Few that are large are held at a time.

        Raises:
            _UnreadError: It is too large, or cannot be read.
        """
        try:
            if gzipped and len(content) <= self.max_bytes:
                content = await self._run(_unpacked, content, self.max_bytes)
            if len(content) > self.max_bytes:
                raise _UnreadError(f"larger than {self.max_bytes} bytes")
            values, most = await self._run(values_in, content), self.max_bytes / BYTES_A_VALUE
            if values > most:
                raise _UnreadError(f"more than {most:.0f} values")
            share = max(len(content) / self.max_bytes, values / most)
            async with self._large if share > _LARGE else nullcontext():
                yield content, await self._run(_loads, content)
        except (ValueError, RecursionError, EOFError, OSError, zlib.error) as error:
            LOG.warning("a body passes unmodified, it cannot be read: %s", type(error).__name__)
            raise _UnreadError("no JSON that can be read") from error

    async def _ask(
        self, work: Callable[[Modify], T], wanted: Sequence[str]
    ) -> tuple[T | None, str | None]:
        """Let the modifier do something, and return what it returns, or the reason why it fails."""

        def do() -> T:
            return work(
                self.modifier.with_options(prefer=list(wanted)) if wanted else self.modifier
            )

        try:
            with fail_after(self.rucio_timeout_s):
                found = await get_running_loop().run_in_executor(self._rucio_threads, do)
        except TimeoutError:
            reason = cause = "Rucio does not answer in time"
        except Exception as error:
            if wanted and isinstance(error, ConfigurationError):
                # Of Rucio's own words no secret is known to be absent.
                said = "; ".join(filter(None, [_UNKNOWN, error.hint]))
                raise HTTPException(400, said) from error
            cause = str(error) if isinstance(error, StacRucioError) else type(error).__name__
            reason = _REASONS.get(type(error), "Rucio cannot be asked")
        else:
            return found, None
        self.meters.failures["rucio",] += 1
        LOG.warning("items pass without alternates: %s", cause)
        return None, reason


class _UnreadError(Exception):
    """Why a body is not read."""


def _original(item: object, key: str, place: str) -> str:
    if not isinstance(item, dict) or item.get("type") != "Feature":
        raise ValueError("no item")
    return original_url(item, key, place)


def _loads(content: bytes | bytearray) -> Any:
    """Read JSON in UTF-8, in which Python's NaN and Infinity are tolerated."""
    return json.loads(content.decode("utf-8-sig"), parse_float=_finite)


def _dumps(page: dict[str, Any], gzipped: bool) -> bytes:  # noqa: FBT001 - by position in a thread
    text = json.dumps(page, ensure_ascii=False, separators=(",", ":"))
    # Nothing has to be escaped but halves of surrogate pairs, which only escapes can hold.
    content = text.encode(errors="backslashreplace")
    return gzip.compress(content, _GZIP_LEVEL, mtime=0) if gzipped else content


def _finite(text: str) -> float:
    """Read a number; one that is too large would be written as one that JSON does not have."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is too large for a number")
    return number


def _unpacked(content: bytes | bytearray, max_bytes: int) -> bytes:
    """Unpack gzip, but no more than a byte above what is allowed.

    Raises:
        EOFError, OSError, zlib.error: It is not gzip, or not all of it.
    """
    with gzip.open(io.BytesIO(content)) as file:
        return file.read(max_bytes + 1)
