"""Runs the code blocks of one page, in their order, as a reader would who copies them.

python tests/docs/page.py PAGE

Python blocks share their names. Shell blocks run one by one, in the same folder. What cannot run
has a comment before it, <!-- not run: REASON -->.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

if TYPE_CHECKING:
    from sybil import Example
    from sybil.typing import Parser


NOT_RUN = re.compile(r"<!-- not run: (.+) -->\n\Z")


def main(page: Path) -> None:
    """Run the blocks of a page; the first that fails ends it."""
    parsers: list[Parser] = [PythonCodeBlockParser(), CodeBlockParser("sh", evaluator=_shell)]
    for example in Sybil(parsers).parse(page).examples():
        if not NOT_RUN.search(example.document.text[: example.region.start]):
            print(f"{page.name}:{example.line}", flush=True)
            example.evaluate()


def _shell(example: Example) -> None:
    script = f"set -euo pipefail\n{example.parsed}"
    subprocess.run(["/bin/bash", "-c", script], check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
