"""How uvicorn runs the servers of this package, without spoiling what they promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from starlette.types import ASGIApp

_SHUT_DOWN_S = 10
_HEADERS_S = 30


class _Punctual(H11Protocol):
    """Ends connections of clients that take too long to ask, or to take the end of an answer.

    uvicorn itself waits for them for ever, and each of them takes a file of the process.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # its
        super().connection_made(transport)
        self._expect_request()

    def on_response_complete(self) -> None:
        self._expect_request()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline:
            self._deadline.cancel()

    def _expect_request(self) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(_HEADERS_S, self._end_unless_asked)

    def _end_unless_asked(self) -> None:
        # There is one cycle for each request, from the end of its headers on.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


def serve(app: ASGIApp, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serve until SIGINT or SIGTERM; requests that are being answered get 10 s to end.

    Args:
        app: The application.
        host: The address to listen on.
        port: The TCP port to listen on; 0 takes a free one, and the log says which.

    Raises:
        SystemExit: The server cannot listen on the port; why is in the log.
    """
    uvicorn.Server(configuration(app, host, port)).run()


def configuration(app: ASGIApp, host: str, port: int) -> uvicorn.Config:
    """Return how uvicorn serves an application."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_Punctual,  # of h11; the other takes headers without any limit
        log_config=None,  # what is logged, and where, is for the caller to say
        access_log=False,  # uvicorn's holds query strings; the application writes its own
        proxy_headers=False,  # the application decides whom to trust
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_SHUT_DOWN_S,
    )
