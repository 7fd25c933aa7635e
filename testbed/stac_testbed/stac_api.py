"""The STAC API of the testbed: `rustac serve` with the catalogue in memory.

It searches by collections, ids, bbox, intersects and datetime, in pages. It has
no filter, query, sortby or fields, and does not claim them: it answers a filter
or query with no items, and ignores the other two. A GET search by a list (as of
collections) that has a next page fails with 500; POST, pystac-client's default, works.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def command(items: Path, collections: Sequence[Path], port: int) -> list[str]:
    """Return the command line of a process that serves a catalogue at ``127.0.0.1:port``.

    Args:
        items: file of one STAC item collection; every item's collection is given too.
        collections: a file of STAC JSON for each collection.
        port: TCP port to listen on.

    Raises:
        FileNotFoundError: rustac is not installed.
    """
    # beside this interpreter first: its folder is not on PATH unless the environment is active
    executable = shutil.which("rustac", path=Path(sys.executable).parent) or shutil.which("rustac")
    if executable is None:
        raise FileNotFoundError("no rustac executable: pip install rustac")
    return [executable, "serve", "--addr", f"127.0.0.1:{port}", *map(str, (*collections, items))]
