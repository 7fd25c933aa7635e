"""Runs the notebook on a lake.

python -m scripts.notebook

stores it with its outputs, for those who only read it.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient import NotebookClient

from stac_testbed.lake import running

if TYPE_CHECKING:
    from stac_testbed import Lake

NOTEBOOK = Path(__file__).parents[1] / "examples" / "stac-rucio.ipynb"
_TIMEOUT_S = 300


def read() -> Any:
    """Return the notebook as it is stored."""
    return nbformat.read(NOTEBOOK, as_version=4)


def execute(notebook: Any, lake: Lake, folder: Path) -> None:
    """Run all cells of a notebook, as its reader would who runs it from top to bottom.

    Args:
        notebook: The notebook; gets the outputs.
        lake: The lake that it connects to.
        folder: The working directory of its kernel.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    client = NotebookClient(
        notebook,
        timeout=_TIMEOUT_S,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(
        env={
            **os.environ,
            **lake.environment(),
            "IPYTHONDIR": str(folder / ".ipython"),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "NO_PROXY": "127.0.0.1",
        }
    )


def anonymous(notebook: Any, lake: Lake) -> Any:
    """Return a notebook with names of hosts in place of the ports of a lake."""
    text = json.dumps(notebook)
    for name, port in lake.layout.ports.items():
        # About as long, as it stands in aligned text.
        text = text.replace(f"127.0.0.1:{port}", f"{name}.example")
    return nbformat.from_dict(json.loads(text))


def main() -> None:
    """Run the notebook on a lake of its own, and store it."""
    notebook = read()
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "lake") as lake:
        execute(notebook, lake, Path(name))
        nbformat.write(anonymous(notebook, lake), NOTEBOOK)


if __name__ == "__main__":
    main()
