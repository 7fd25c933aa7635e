"""An origin of the testbed: a plain, read-only HTTP file server, as many archives run one.

To be run as ``gunicorn "stac_testbed.origin:create_app('/folder')"``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, abort, send_from_directory

if TYPE_CHECKING:
    from flask import Response


def create_app(folder: str) -> Flask:
    """Return the WSGI application that serves the files below a folder.

    It answers GET and HEAD with Content-Length, ETag and byte ranges, and 404 for
    everything that is not a file inside the folder. Query strings change nothing.

    Args:
        folder: the folder to serve; need not exist yet.
    """
    root = Path(folder).resolve()
    app = Flask(__name__, static_folder=None)  # else Flask serves a folder of its own as well

    @app.get("/<path:name>")
    def serve(name: str) -> Response:
        try:
            relative = (root / name).resolve().relative_to(root)
        except ValueError:  # outside, by ".." or by a link; or no possible name (a null byte)
            abort(404)
        return send_from_directory(root, relative)

    return app
