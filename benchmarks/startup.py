"""How long the command line takes to begin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .harness import Goal, Row, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .setting import Setting


def run(setting: Setting) -> Iterator[Row]:
    """Ask for help, again and again."""
    command = (str(Path(sys.executable).with_name("stac-rucio")), "--help")
    bare = (sys.executable, "-c", "import click")
    for each in (command, bare):
        _run(each)  # their files are in the system's cache now
    rounds = side_by_side(lambda _: _run(command), lambda _: _run(bare), setting.size.rounds * 4)
    yield rounds.slower("stac-rucio --help", 'python -c "import click"', Goal(most=2))


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
