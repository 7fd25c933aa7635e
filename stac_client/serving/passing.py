"""Bodies from the API behind: streamed on as they are, or read up to a limit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio
import httpx
from starlette.responses import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from .headers import Headers

LOG = logging.getLogger("stac_client.serving")


async def read(answer: httpx.Response, max_bytes: int) -> tuple[bytes, AsyncIterator[bytes] | None]:
    """Read a body as it was sent, packed if it was packed.

    Returns:
        The body and None; or what was read of a larger one, and its rest.
    """
    raw = answer.aiter_raw()
    content = bytearray()
    async for chunk in raw:
        content += chunk
        if len(content) > max_bytes:
            return bytes(content), raw
    return bytes(content), None


class PassingResponse(StreamingResponse):
    """An answer that passes byte by byte."""

    def __init__(
        self,
        answer: httpx.Response,
        headers: Headers,
        start: bytes = b"",
        rest: AsyncIterator[bytes] | None = None,
    ) -> None:
        """Make one.

        Args:
            answer: The answer, whose body has not been read.
            headers: The headers for the client.
            start: What has been read of the body all the same.
            rest: The rest of it then.
        """
        super().__init__(self._chunks(start, rest or answer.aiter_raw()), answer.status_code)
        self.raw_headers = headers
        self._answer = answer
        self._broke_off = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; the connection to the API is free again afterwards, whatever happened."""
        try:
            await super().__call__(scope, receive, send)
        except Exception:
            if not self._broke_off:
                raise
            # The server closes a connection whose body has not come to its end, so the client
            # sees that something is missing.
            LOG.warning("the API behind broke off in the middle of an answer")
        finally:
            with anyio.CancelScope(shield=True):
                await self._answer.aclose()

    async def _chunks(self, start: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        if start:
            yield start
        try:
            async for chunk in rest:
                yield chunk
        except httpx.TransportError:
            self._broke_off = True
            raise
