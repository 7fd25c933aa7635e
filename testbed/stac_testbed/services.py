"""The services of a lake, each as the command line of its process."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .configuration import store_environment
from .layout import (
    GATEWAY,
    OBJECT_STORE,
    ORIGINS,
    PRIVATE_STORE,
    STORAGE_PREFIX,
    STORAGES,
    WITH_TLS,
)
from .processes import Service
from .rucio_server import CHANGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .layout import Layout

# One storage copies by itself, as those of grid sites do; through the other,
# bytes are streamed: every transfer mode is used in every lake.
_THIRD_PARTY_COPY = STORAGES[0]
_RUCIO_PROGRAM = (sys.executable, "-m", "stac_testbed.rucio_server")


def files(layout: Layout) -> list[Service]:
    """Return origins, buckets, storages and the transfer service, which need nothing else."""

    def served(name: str, application: str, options: str = "", *, ready: str = "/") -> Service:
        application = f"{application}({str(layout.data(name))!r}{options})"
        return _wsgi(layout, name, application, threads=8, ready=ready)

    services = [served(name, "stac_testbed.files:create_origin") for name in ORIGINS]
    services.append(served(OBJECT_STORE, "stac_testbed.files:create_object_store"))
    for name in STORAGES:
        if name == _THIRD_PARTY_COPY and layout.xrootd is not None:
            services.append(layout.xrootd.service(name, STORAGE_PREFIX))
        else:
            options = f", third_party_copy={name == _THIRD_PARTY_COPY}"
            services.append(served(name, "stac_testbed.files:create_storage", options))
    services.append(served("transfers", "stac_testbed.transfers:create_app", ready="/whoami"))
    return services


def gateway(layout: Layout) -> list[Service]:
    """Return a store that takes signed requests alone, and the gateway that has its keys."""
    if not layout.gateway_file.exists():
        return []
    ports = {name: ("--port", str(layout.ports[name])) for name in (PRIVATE_STORE, GATEWAY)}
    store = (
        *(sys.executable, "-m", "uvicorn", "--factory", "nanio.app:build_app"),
        *("--host", "127.0.0.1", "--log-level", "warning", *ports[PRIVATE_STORE]),
    )
    command = (sys.executable, "-m", "stac_rucio", "gateway", str(layout.gateway_file), "-v")
    return [
        Service(PRIVATE_STORE, store, layout.url(PRIVATE_STORE), store_environment(layout)),
        Service(GATEWAY, (*command, *ports[GATEWAY]), f"{layout.url(GATEWAY)}/healthz"),
    ]


def rucio_server(layout: Layout) -> Service:
    """Return the Rucio server, which needs its database."""
    return _wsgi(
        layout,
        "rucio-server",
        "stac_testbed.rucio_server:create_app()",
        workers=1 if layout.schema is None else 2,  # SQLite has one writer at a time
        threads=4,
        ready="/ping",
        environment=_rucio_environment(layout),
    )


def rucio_daemons(layout: Layout) -> Service:
    """Return Rucio's daemons, which need the database and a provisioned server."""
    return Service("rucio-daemons", (*_RUCIO_PROGRAM, "daemons"), None, _rucio_environment(layout))


LIFECYCLE = ("undertaker", "necromancer", "minos", "minos-temporary-expiration", "reaper")
"""The daemons that only run when they are asked for."""


def lifecycle(layout: Layout, daemons: Sequence[str]) -> Service:
    """Return a run of daemons that only run when they are asked for; then it ends."""
    return Service("lifecycle", (*_RUCIO_PROGRAM, *daemons), None, _rucio_environment(layout))


def stac(layout: Layout) -> list[Service]:
    """Return the STAC API, which needs the catalogue's files, and what answers its GETs."""
    port, behind = layout.ports["stac-api"], layout.ports["rustac"]
    command = rustac_command(layout.items_file, layout.collection_files, port, bind=behind)
    front = (sys.executable, "-m", "stac_testbed._stac_api", str(port), str(behind))
    return [
        Service("rustac", tuple(command), url=layout.url("rustac")),
        Service("stac-api", front, url=layout.url("stac-api")),
    ]


def rustac_command(
    items: Path, collections: Sequence[Path], port: int, *, bind: int | None = None
) -> list[str]:
    """Return the command line of a STAC API at ``127.0.0.1:port``: `rustac serve`.

    It searches by collections, ids, bbox, intersects and datetime, in pages. It has
    no filter, query, sortby or fields, and does not claim them: it answers a filter
    or query with no items, and ignores the other two.

    Args:
        items: file of one STAC item collection; every item's collection is given too.
        collections: a file of STAC JSON for each collection.
        port: TCP port that is in its links.
        bind: TCP port to listen on, if that is another one.

    Raises:
        FileNotFoundError: rustac is not installed.
    """
    # beside this interpreter first: its folder is not on PATH unless the environment is active
    executable = shutil.which("rustac", path=Path(sys.executable).parent) or shutil.which("rustac")
    if executable is None:
        raise FileNotFoundError("no rustac executable: pip install rustac")
    listen = ("--addr", f"127.0.0.1:{port}", "--bind", f"127.0.0.1:{bind or port}")
    return [executable, "serve", *listen, *map(str, (*collections, items))]


def database(layout: Layout) -> Service:
    """Return what makes the database of the Rucio server, and then ends."""
    return Service("database", (*_RUCIO_PROGRAM, "database"), None, _rucio_environment(layout))


def _rucio_environment(layout: Layout) -> dict[str, str]:
    # Several processes: each writes its counters into a file, and `/metrics` adds them up.
    return {
        "RUCIO_CONFIG": str(layout.server_cfg),
        "RUCIO_HOME": str(layout.folder),  # below which it looks for credentials of storages
        "PROMETHEUS_MULTIPROC_DIR": str(layout.data("metrics")),
        CHANGES: str(layout.data("changes")),
        **layout.trust,
    }


def _wsgi(
    layout: Layout,
    name: str,
    application: str,
    *,
    threads: int,
    workers: int = 1,
    ready: str = "/",
    environment: dict[str, str] | None = None,
) -> Service:
    worker, secure = "Worker", tuple[str, ...]()
    if name in WITH_TLS:
        pem = str(layout.tls / f"{name}.pem")
        worker, secure = "TlsWorker", ("--certfile", pem, "--keyfile", pem)
    command = (
        *(sys.executable, "-m", "gunicorn", "--no-control-socket"),
        *("--bind", f"127.0.0.1:{layout.ports[name]}"),
        *("--workers", str(workers), "--threads", str(threads)),
        *("--graceful-timeout", "1", "--keep-alive", "30", "--timeout", "600"),
        *("--access-logfile", str(layout.access_log(name))),
        *("--worker-class", f"stac_testbed.files.{worker}"),
        *("--logger-class", "stac_testbed.files.Logger", *secure),
        application,
    )
    return Service(name, command, f"{layout.url(name)}{ready}", environment or layout.trust)
