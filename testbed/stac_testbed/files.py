"""The servers of a lake's files: origins and buckets, which are read-only, and storages.

An origin is a plain HTTP file server, as many archives run one, an object store one of public
buckets, a storage one of WebDAV. Everybody may read and write a
storage; production storages are dCache, XRootD and the like. Run it with threads, because one
that copies from itself answers its own request::

    gunicorn "stac_testbed.files:create_origin('FOLDER')"
    gunicorn --threads 8 "stac_testbed.files:create_storage('FOLDER', third_party_copy=True)"

With `--worker-class stac_testbed.files.TlsWorker` and a certificate, one port speaks HTTP and
HTTPS: transfers from the origins, which are of HTTP, need the one, and Rucio's own WebDAV the
other.
"""

from __future__ import annotations

import socket
import time
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, abort, send_from_directory
from gunicorn import glogging
from gunicorn.workers import gthread
from wsgidav.wsgidav_app import WsgiDAVApp

from ._http import (
    ALGORITHMS,
    CHUNK_BYTES,
    TransferError,
    chunks,
    http_url,
    new_digest,
    refusal,
    send,
    to_header,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_MARKER_SECONDS = 1.0
_HANDSHAKE = b"\x16"  # a connection with TLS begins with it, and none of HTTP does


def create_origin(folder: str) -> Flask:
    """Return the WSGI application that serves the files below a folder.

    It answers GET and HEAD with Content-Length, ETag and byte ranges, and 404 for
    everything that is not a file inside the folder. Query strings change nothing.

    Args:
        folder: What it serves; need not exist yet.
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


def create_object_store(folder: str) -> Flask:
    """Return the WSGI application of an object store with public buckets.

    As S3, it lets anybody read an object (`/BUCKET/KEY`) and nobody list a bucket, so that it
    answers 403 for a bucket as for what is not there.

    Args:
        folder: Has a folder for each bucket; need not exist yet.
    """
    app = create_origin(folder)

    @app.errorhandler(HTTPStatus.NOT_FOUND)
    def deny(_: Exception) -> Response:
        body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        return Response(body, HTTPStatus.FORBIDDEN, mimetype="application/xml")

    return app


def create_storage(folder: str, *, third_party_copy: bool, digests: bool = True) -> WSGIApplication:
    """Return the WSGI application of a storage.

    Args:
        folder: What it serves at ``/``, to read and write; made if it does not exist.
        third_party_copy: Whether it fetches a file from elsewhere (``COPY`` with a ``Source``
            header), as grid storages do.
        digests: Whether it tells the checksum of a file (``HEAD`` with ``Want-Digest``), without
            which FTS verifies none; plain WebDAV does not.
    """
    root = Path(folder).resolve()
    root.mkdir(parents=True, exist_ok=True)
    dav: WSGIApplication = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(root)},
            "simple_dc": {"user_mapping": {"*": True}},
            "lock_storage": False,
            "verbose": 1,
            "block_size": CHUNK_BYTES,
        }
    )
    return _GridStorage(root, dav, pulls=third_party_copy) if digests else dav


class _GridStorage:
    """What a grid storage adds to WebDAV, in front of an application that speaks WebDAV."""

    def __init__(self, root: Path, dav: WSGIApplication, *, pulls: bool) -> None:
        self._root = root
        self._pulls = pulls
        self._dav = dav

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._pulls and environ["REQUEST_METHOD"] == "COPY" and "HTTP_SOURCE" in environ:
            return self._pull(environ, start_response)
        if environ["REQUEST_METHOD"] == "HEAD" and "HTTP_WANT_DIGEST" in environ:
            return self._head(environ, start_response)
        return self._dav(environ, start_response)

    def _path(self, environ: WSGIEnvironment) -> Path | None:
        """Return the file a request is about, or None if it cannot be one of this storage."""
        try:
            name = environ["PATH_INFO"].encode("latin-1").decode()  # WSGI's form of UTF-8
            path = (self._root / name.lstrip("/")).resolve()
        except (ValueError, OSError, RuntimeError):
            return None
        return path if self._root in path.parents else None

    def _head(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        wanted = environ["HTTP_WANT_DIGEST"].lower().replace(";", ",").split(",")
        algorithm = next((name.strip() for name in wanted if name.strip() in ALGORITHMS), None)
        path = self._path(environ)

        def with_digest(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if algorithm and path and path.is_file() and status.startswith("200"):
                headers = [*headers, ("Digest", to_header(algorithm, _digest(path, algorithm)))]
            return start_response(status, headers, exc_info)

        return self._dav(environ, with_digest)

    def _pull(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = self._path(environ)
        status = None
        if path is None or path.is_dir():
            status = "403 Forbidden"
        elif not path.parent.is_dir():
            status = "409 Conflict"
        elif path.exists() and environ.get("HTTP_OVERWRITE", "T").upper() == "F":
            status = "412 Precondition Failed"
        elif environ.get("HTTP_CREDENTIAL", "none") != "none":
            status = "400 Bad Request"
        if path is None or status:
            start_response(status or "403 Forbidden", [("Content-Length", "0")])
            return []
        # Success is not known yet: it is the last line of the body.
        start_response("201 Created", [("Content-Type", "text/perf-marker-stream")])
        return _fetch(environ["HTTP_SOURCE"], path)


def _digest(path: Path, algorithm: str) -> str:
    digest = new_digest(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _fetch(source: str, path: Path) -> Iterator[bytes]:
    """Write a URL to a file, all or nothing, and yield how it goes and how it went."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    seen_bytes, reported = 0, time.monotonic()
    yield _marker(seen_bytes)
    try:
        with send("GET", http_url(source)) as response, part.open("xb") as file:
            if response.status_code != HTTPStatus.OK:
                raise refusal(response)
            for chunk in chunks(response, lambda: None):
                seen_bytes += file.write(chunk)
                if time.monotonic() - reported > _MARKER_SECONDS:
                    reported = time.monotonic()
                    yield _marker(seen_bytes)
        yield _marker(seen_bytes)
        part.replace(path)
        yield b"success: Created\n"
    except TransferError as error:
        yield f"failure: {error}\n".encode()
    except OSError as error:
        yield f"failure: cannot write the file: {error.strerror}\n".encode()
    finally:
        part.unlink(missing_ok=True)  # also when the client has gone


def _marker(seen_bytes: int) -> bytes:
    lines = (
        "Perf Marker",
        f"    Timestamp: {int(time.time())}",
        "    Stripe Index: 0",
        f"    Stripe Bytes Transferred: {seen_bytes}",
        "    Total Stripe Count: 1",
        "End",
    )
    return "".join(f"{line}\n" for line in lines).encode()


# Access logs that are as far as the answers are.


class Logger(glogging.Logger):  # type: ignore[misc] # gunicorn has no types
    """A logger of gunicorn that leaves requests to `Worker`."""

    def access(self, *_: object) -> None:
        """Log nothing."""


class Worker(gthread.ThreadWorker):  # type: ignore[misc] # as above
    """A worker of gunicorn that logs a request before it answers it, not after.

    Who has an answer finds its line in the log, and in what comes later none of what was earlier.
    """

    wsgi: WSGIApplication

    def load_wsgi(self) -> None:
        """Load the application, and log its answers."""
        super().load_wsgi()
        application = self.wsgi

        def logged(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            def start(status: str, *arguments: Any) -> Any:
                request = "{REQUEST_METHOD} {RAW_URI} {SERVER_PROTOCOL}".format_map(environ)
                agent = environ.get("HTTP_USER_AGENT", "-")
                line = '%s - - %s "%s" %s - "-" "%s"'
                fields = environ["REMOTE_ADDR"], self.log.now(), request, status[:3], agent
                self.log.access_log.info(line, *fields)
                return start_response(status, *arguments)

            return application(environ, start)

        self.wsgi = logged


# HTTP and HTTPS at one port.


class _Connection(gthread.TConn):  # type: ignore[misc] # gunicorn has no types
    cfg: Any

    def init(self) -> None:
        if not self.initialized and self.sock.recv(1, socket.MSG_PEEK) != _HANDSHAKE:
            self.cfg = _Plain(self.cfg)
        super().init()


class _Plain:
    """A configuration of gunicorn, without TLS."""

    is_ssl = False

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration

    def __getattr__(self, name: str) -> Any:
        return getattr(self._configuration, name)


class TlsWorker(Worker):
    """A worker of gunicorn that takes connections with TLS and without."""

    def init_process(self) -> None:
        """Begin to accept connections."""
        gthread.TConn = _Connection
        super().init_process()
