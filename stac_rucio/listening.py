"""How uvicorn runs the servers of this package, without spoiling what they promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_SHUT_DOWN_S = 10


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
        http="h11",  # the other takes headers without any limit
        log_config=None,  # what is logged, and where, is for the caller to say
        access_log=False,  # uvicorn's holds query strings; the application writes its own
        proxy_headers=False,  # the application decides whom to trust
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_SHUT_DOWN_S,
    )
