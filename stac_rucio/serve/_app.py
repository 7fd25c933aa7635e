"""The ASGI application."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from stac_rucio.serve._pages import PageMaker, Refusal, Root
from stac_rucio.serve._upstream import Gateway, Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from stac_rucio.serve._pages import Modify


_THREADS = 16


def make_app(
    api: str,
    modifier: Modify,
    *,
    root_url: str | None = None,
    trust_forwarded: bool = False,
    timeout_s: float = 60.0,
    rucio_timeout_s: float = 20.0,
    max_page_bytes: int = 16 * 1024**2,
) -> Starlette:
    """Make a STAC API that is another one with the replicas in its items.

    Args:
        api: URL of the landing page of the API behind.
        modifier: What adds the replicas. What it raises is told to the client, so
            give one that is strict.
        root_url: This server's URL for links. By default the address it listens on.
        trust_forwarded: Take this server's URL from `Host` and `X-Forwarded-Host`,
            `-Proto` and `-Prefix`. Only where a reverse proxy sets them.
        timeout_s: How long the API behind may take for a page, and how long it may
            be silent within any other answer, in seconds.
        rucio_timeout_s: How long the modifier may take for a page, in seconds; then
            the items go out as they are.
        max_page_bytes: The largest page that is modified, unpacked; a larger one
            goes out as it is.

    Raises:
        ConfigurationError: A URL is none of an API.
    """
    upstream = Upstream(api, timeout_s)
    threads = ThreadPoolExecutor(_THREADS, "stac_client.serving")
    pages = PageMaker(upstream.links, modifier, threads, rucio_timeout_s, max_page_bytes)
    root = Root(root_url, trust_forwarded=trust_forwarded)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            await upstream.close()

    gateway = Gateway(upstream, pages, root, timeout_s)
    return Starlette(
        routes=[Route("/{path:path}", gateway)],
        exception_handlers={404: _no_path},
        lifespan=lifespan,
    )


async def _no_path(_: Request, __: Exception) -> Response:
    """Answer what has no path of its own: a request for another server, or one with line breaks."""
    return Refusal(400, "the request needs a path that starts with a slash").response()


# The application on a port of this machine.


_SHUT_DOWN_S = 10


def serve(app: Starlette, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serve until SIGINT or SIGTERM; requests that are being answered get 10 s to end.

    Args:
        app: What `make_app` gave.
        host: The address to listen on.
        port: The TCP port to listen on; 0 takes a free one, and the log says which.

    Raises:
        SystemExit: The port can not be listened on; why is in the log.
    """
    uvicorn.Server(configuration(app, host, port)).run()


def configuration(app: Starlette, host: str, port: int) -> uvicorn.Config:
    """How uvicorn serves the application without spoiling what it promises."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http="h11",  # the other takes headers without any limit
        log_config=None,  # what is logged, and where, is for the caller to say
        access_log=False,  # uvicorn's holds query strings; the application writes its own
        proxy_headers=False,  # make_app decides whom to trust
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_SHUT_DOWN_S,
    )
