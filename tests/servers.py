"""Servers beside those of a lake, such as another Rucio on its database."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stac_testbed import processes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def running_server(
    folder: Path,
    rucio_cfg: Path,
    *more_path: Path,
    application: str = "stac_testbed.rucio_server:create_app()",
    **variables: str,
) -> Iterator[str]:
    """Run Rucio's server with a rucio.cfg, and give its URL.

    Args:
        folder: For its log.
        rucio_cfg: Its configuration.
        more_path: Where else Python looks for modules.
        application: The WSGI application.
        variables: More variables of its environment.
    """
    (port,) = processes.free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = (
        *(sys.executable, "-m", "gunicorn", "--no-control-socket", "--threads", "2"),
        *("--bind", f"127.0.0.1:{port}", application),
    )
    path = os.pathsep.join(map(str, more_path))
    environment = {"RUCIO_CONFIG": str(rucio_cfg), "PYTHONPATH": path, **variables}
    service = processes.Service(str(port), command, f"{url}/ping", environment)
    with running(service, folder):
        yield url


@contextmanager
def running(service: processes.Service, folder: Path) -> Iterator[None]:
    """Run a service until it answers and then as long as is wanted, its log in a folder."""
    process = processes.start(service, folder)
    try:
        processes.wait_until_ready(service, process, folder, timeout_s=60)
        yield
    finally:
        processes.stop([process])
