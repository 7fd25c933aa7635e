"""`stac-rucio` and `python -m stac_rucio`."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

if sys.version_info < (3, 10):  # noqa: UP036 - the wheel is for 3.9 too
    sys.exit("stac-rucio needs Python 3.10 or later; stac_policy alone runs on 3.9")

try:
    import click
except ModuleNotFoundError:
    from stac_policy import users_extra

    sys.exit(f"stac-rucio needs click; install it with: pip install 'stac-rucio[{users_extra()}]'")

from stac_rucio.cli import cli
from stac_rucio.errors import ExitCode, Terminated

if TYPE_CHECKING:
    from types import FrameType


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    warnings.showwarning = _show_warning  # type: ignore[assignment] # takes all arguments
    try:
        cli(prog_name="stac-rucio")
    except SystemExit as end:
        if end.code in {ExitCode.INTERRUPTED, ExitCode.TERMINATED}:
            # Python would wait for threads that wait for servers.
            with suppress(OSError):
                sys.stdout.flush()
            os._exit(int(end.code or 0))
        raise


def _terminate(signum: int, _: FrameType | None) -> None:
    raise Terminated(signum)


def _show_warning(message: Warning | str, *_: object) -> None:
    from stac_policy.urls import mask

    click.echo(f"Warning: {mask(str(message))}", err=True)


if __name__ == "__main__":
    main()
