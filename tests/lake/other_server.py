"""Rucio's own server as a WSGI application for gunicorn with TLS.

It does what Apache's mod_ssl does in front of Rucio: it tells Rucio whose
client certificate it has seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stac_testbed.rucio_server import create_app as rucio_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def create_app() -> Callable[..., Any]:
    """Give the application."""
    rucio = rucio_server()

    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        certificate = environ["gunicorn.socket"].getpeercert()
        if certificate:
            parts = [f"{name}={value}" for ((name, value),) in certificate["subject"]]
            environ["SSL_CLIENT_S_DN"] = ",".join(parts)
        return rucio(environ, start_response)

    return application
