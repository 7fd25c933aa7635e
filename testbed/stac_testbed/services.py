"""The services of a lake, each as the command line of its process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from . import stac_api
from .layout import ORIGINS, STORAGE_PREFIX, STORAGES
from .processes import Service

if TYPE_CHECKING:
    from .layout import Layout

# One storage copies by itself, as those of grid sites do; through the other,
# bytes are streamed: every transfer mode is used in every lake.
_THIRD_PARTY_COPY = STORAGES[0]


def files(layout: Layout) -> list[Service]:
    """Origins, storages and the transfer service, which need nothing else to start."""
    services = [
        _wsgi(
            layout, name, f"stac_testbed.origin:create_app({str(layout.data(name))!r})", threads=8
        )
        for name in ORIGINS
    ]
    if layout.xrootd is not None:
        services.append(layout.xrootd.service(_THIRD_PARTY_COPY, STORAGE_PREFIX))
    for name in STORAGES if layout.xrootd is None else STORAGES[1:]:
        application = (
            f"stac_testbed.storage:create_app({str(layout.data(name))!r}, "
            f"third_party_copy={name == _THIRD_PARTY_COPY})"
        )
        services.append(_wsgi(layout, name, application, threads=8))
    application = f"stac_testbed.transfers:create_app({str(layout.data('transfers'))!r})"
    services.append(_wsgi(layout, "transfers", application, threads=8, ready="/whoami"))
    return services


def rucio_server(layout: Layout) -> Service:
    """The Rucio server, which needs its database."""
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
    """Rucio's daemons, which need the database and a provisioned server."""
    return Service(
        name="rucio-daemons",
        command=(sys.executable, "-m", "stac_testbed.daemons"),
        environment=_rucio_environment(layout),
    )


def stac(layout: Layout) -> Service:
    """The STAC API, which needs the catalogue's files."""
    command = stac_api.command(layout.items_file, layout.collection_files, layout.ports["stac-api"])
    return Service("stac-api", tuple(command), url=layout.url("stac-api"))


def database_command() -> tuple[str, ...]:
    """The command that makes the database of the Rucio server, and its environment."""
    return (sys.executable, "-m", "stac_testbed.database")


def _rucio_environment(layout: Layout) -> dict[str, str]:
    # Several processes: each writes its counters into a file, and `/metrics` adds them up.
    return {
        "RUCIO_CONFIG": str(layout.server_cfg),
        "PROMETHEUS_MULTIPROC_DIR": str(layout.data("metrics")),
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
    command = (
        *(sys.executable, "-m", "gunicorn", "--no-control-socket"),
        *("--bind", f"127.0.0.1:{layout.ports[name]}"),
        *("--workers", str(workers), "--threads", str(threads)),
        *("--graceful-timeout", "1", "--keep-alive", "30", "--timeout", "600"),
        *("--access-logfile", str(layout.access_log(name))),
        application,
    )
    return Service(name, command, f"{layout.url(name)}{ready}", environment or {})
