"""A page of JSON, made this server's own: the alternates added, the links rewritten."""

from __future__ import annotations

import gzip
import logging
import zlib
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, overload

from anyio import CapacityLimiter, to_thread

from stac_client.errors import (
    AccessError,
    ConfigurationError,
    StacRucioError,
    UnreachableError,
)
from stac_policy.json_size import BYTES_A_VALUE, values_in

from .json_text import dumps, loads
from .refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from .links import Links
    from .preference import Preference

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

    @overload
    def __call__(self, thing: object, /) -> None: ...
    @overload
    def __call__(self, *, prefer: Sequence[str]) -> Modify: ...


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
        modifier = self._modifier(prefer=list(wanted)) if wanted else self._modifier
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
