"""Rucio's own server as a WSGI application for gunicorn with TLS.

It does what Apache's mod_ssl does in front of Rucio: it tells Rucio whose
client certificate it has seen.
"""

from __future__ import annotations

from stac_testbed.rucio_server import create_app as rucio_server


def create_app():
    """Give the application."""
    rucio = rucio_server()

    def application(environ, start_response):
        certificate = environ["gunicorn.socket"].getpeercert()
        if certificate:
            parts = [f"{name}={value}" for ((name, value),) in certificate["subject"]]
            environ["SSL_CLIENT_S_DN"] = ",".join(parts)
        return rucio(environ, start_response)

    return application
