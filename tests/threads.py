"""Servers in threads of the tests' own process."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    import socketserver
    from collections.abc import Iterator

_POLL_S = 0.01


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[None]:
    """Serve in a thread, and then no more: the sockets are closed when the thread has ended.

    Those of connections as well: who keeps one would get answers of this server where the
    next one has its port.
    """
    accept, connections = server.get_request, WeakSet[socket.socket]()

    def accepted() -> Any:
        connection, address = accept()
        connections.add(connection)
        return connection, address

    server.get_request = accepted  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        for connection in [*connections]:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
