"""`stac_rucio.serve` on a port, an API behind it that sends any bytes, and who was spoken to."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import uvicorn

from stac_rucio.serve import make_app
from stac_rucio.serve._app import configuration

if TYPE_CHECKING:
    from collections.abc import Coroutine

MAX_PAGE_BYTES = 65_536
LONGEST_S = 25.0
"""How long a request may take; the time limits of the application are shorter."""


class Proxy:
    """Both servers and their client in one event loop, which runs only while it is asked."""

    def __init__(self) -> None:
        """Start them, for as long as the process lives."""
        self.answer = b""
        """What the API behind sends to the next requests, before it hangs up."""
        self.seen: list[bytes] = []
        """What it was sent."""
        self.hosts: set[tuple[str, int]] = set()
        """Where the application has connected to."""
        self.pages: list[dict[str, Any]] = []
        self._loop = asyncio.new_event_loop()
        self._run(self._start())
        atexit.register(self._stop)

    def ask(self, request: bytes, answer: bytes, *, hang_up: bool) -> bytes:
        """Send any bytes, and give all that comes back."""
        self.answer = answer
        self.seen.clear()
        self.hosts.clear()
        return self._run(self._ask(request, hang_up=hang_up))

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(coroutine, LONGEST_S))

    async def _start(self) -> None:
        behind = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.api = behind.sockets[0].getsockname()[:2]
        app = make_app(
            "http://{}:{}/v1".format(*self.api),
            self._modify,
            timeout_s=0.5,
            rucio_timeout_s=0.5,
            max_page_bytes=MAX_PAGE_BYTES,
        )
        listening = socket.create_server(("127.0.0.1", 0))
        self._address = listening.getsockname()
        self._server = uvicorn.Server(configuration(app, "127.0.0.1", 0))
        # Not `serve`, which would take the signals.
        self._serving = asyncio.create_task(self._server._serve([listening]))
        while not self._server.started:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        connect = self._loop.create_connection

        async def watched(factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
            self.hosts.add((host, port))
            return await connect(factory, host, port, **options)

        self._loop.create_connection = watched  # type: ignore[method-assign]

    def _stop(self) -> None:
        self._server.should_exit = True
        self._run(self._serving)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.seen.append(head)
            if b"transfer-encoding: chunked" in head.lower():
                self.seen[-1] += await reader.readuntil(b"0\r\n\r\n")
            writer.write(self.answer)
            await writer.drain()
        writer.close()

    async def _ask(self, request: bytes, *, hang_up: bool) -> bytes:
        # Not by `create_connection`, which is watched.
        client = socket.socket()
        client.setblocking(False)  # noqa: FBT003 - socket's signature
        got = bytearray()
        try:
            await self._loop.sock_connect(client, self._address)
            with contextlib.suppress(OSError):
                await self._loop.sock_sendall(client, request)
                if hang_up or b"\r\n\r\n" not in request:
                    client.shutdown(socket.SHUT_WR)
                while part := await self._loop.sock_recv(client, 1 << 20):
                    got += part
        finally:
            client.close()
        return bytes(got)

    def _modify(self, thing: Any = None, *, prefer: Any = None) -> Any:
        """Touch all that a modifier touches."""
        if prefer is not None:
            return self._modify
        for item in thing.get("features", [thing]):
            for asset in item["assets"].values():
                asset["alternate"] = {"RSE": {"href": asset["href"]}}
        return None
