"""Makes a page of the site from the example notebook and its outputs; a hook of MkDocs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

NOTEBOOK = Path(__file__).parents[1] / "examples" / "stac-rucio.ipynb"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to the files of the site."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    content = "\n\n".join(part for cell in cells for part in _parts(cell))
    files.append(File.generated(config, "notebook.md", content=content))
    return files


def _parts(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
    for output in cell.get("outputs", ()):
        data = output.get("data") or {"text/plain": output.get("text", "")}
        if "text/html" in data:
            yield f"<div>{''.join(data['text/html'])}</div>".replace("\n", "")
        elif "image/png" in data:
            yield f"![plot](data:image/png;base64,{''.join(data['image/png']).strip()})"
        else:
            yield f"```text\n{''.join(data['text/plain']).rstrip()}\n```"
