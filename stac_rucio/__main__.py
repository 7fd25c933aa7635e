"""`stac-rucio` and `python -m stac_rucio`."""

from __future__ import annotations

import signal
import sys
import warnings
from typing import TYPE_CHECKING

try:
    import click
except ModuleNotFoundError:
    sys.exit("stac-rucio needs click; install it with: pip install 'stac-rucio[client]'")

from stac_rucio.cli import cli
from stac_rucio.errors import Terminated

if TYPE_CHECKING:
    from types import FrameType


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    warnings.showwarning = _show_warning  # type: ignore[assignment] # takes all arguments
    cli(prog_name="stac-rucio")


def _terminate(signum: int, _: FrameType | None) -> None:
    raise Terminated(signum)


def _show_warning(message: Warning | str, *_: object) -> None:
    from stac_policy.urls import mask

    click.echo(f"Warning: {mask(str(message))}", err=True)


if __name__ == "__main__":
    main()
