"""The Rucio server as a WSGI application: Rucio's own, on an SQLite database that bears it.

RUCIO_CONFIG=…/etc/server.cfg gunicorn "stac_testbed.rucio_server:create_app()"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .sqlite import take_turns

if TYPE_CHECKING:
    from flask import Flask


def create_app() -> Flask:
    """Give Rucio's own application."""
    take_turns()  # Rucio connects to its database as soon as it is imported
    from rucio.web.rest.main import application

    app: Flask = application
    return app
