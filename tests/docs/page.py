"""Runs the code blocks of one page, in their order, as a reader would who copies them.

python tests/docs/page.py PAGE [--write]

Python blocks share their names. Shell blocks run one by one, in the same folder and on a terminal.
What cannot run has a comment before it, <!-- not run: REASON -->. What a block printed has to be
what the block of text behind it shows, if there is one; with --write, it is written there.
"""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

if TYPE_CHECKING:
    from sybil import Example
    from sybil.typing import Parser


NOT_RUN = re.compile(r"<!-- not run: (.+) -->\n\Z")
SHOWN = re.compile(r"(?:```)?\n\n```text\n(.*?)\n```\n", re.DOTALL)
# What differs from lake to lake, and from run to run.
DIFFERS = {
    r"\x1b\[[0-9;]*m": "",
    r"(?<=127\.0\.0\.1:)\d+": "PORT",
    r"\b(?=[a-f]*\d)[0-9a-f]{8}(?:[0-9a-f]{24})?\b": "ID",
    r"\d+:\d\d:\d\d": "TIME",
    r"([─━-]){3,}": r"\1",
    r"[ \t]+": " ",
}


def comparable(output: str) -> str:
    """Return an output without what differs from lake to lake."""
    for pattern, replacement in DIFFERS.items():
        output = re.sub(pattern, replacement, output)
    return "\n".join(line.strip() for line in output.splitlines() if line.strip())


def main(page: Path, *, write: bool = False) -> None:
    """Run the blocks of a page; the first that fails ends it."""
    parsers: list[Parser] = [PythonCodeBlockParser(), CodeBlockParser("sh", evaluator=_shell)]
    text = page.read_text()
    new, done = "", 0
    for example in Sybil(parsers).parse(page).examples():
        if NOT_RUN.search(text[: example.region.start]):
            continue
        print(f"{page.name}:{example.line}", flush=True)
        output = io.StringIO()
        try:
            with redirect_stdout(output):
                example.evaluate()
        finally:
            printed = output.getvalue().replace(str(Path.cwd()), "…")
            printed = re.sub(r"[ \t]+\n", "\n", printed).strip("\n")
            print(printed, flush=True)
        shown = SHOWN.match(text, example.region.end)
        if shown is None or comparable(shown[1]) == comparable(printed):
            continue
        if not write:
            where = f"{page.name}:{example.line}"
            raise AssertionError(f"{where} shows\n\n{shown[1]}\n\nand printed\n\n{printed}")
        new, done = f"{new}{text[done : shown.start(1)]}{printed}", shown.end(1)
    if new:
        page.write_text(f"{new}{text[done:]}")


def _shell(example: Example) -> None:
    """Run a block on a terminal of 80 columns that can do nothing but print."""
    script = ("/bin/bash", "-c", f"set -euo pipefail\n{example.parsed}")
    ours, its = pty.openpty()
    terminal = {"TERM": "dumb", "COLUMNS": "80", "LESS": "-d"}
    printed = b""
    with subprocess.Popen(
        script, stdin=subprocess.DEVNULL, stdout=its, stderr=its, env={**os.environ, **terminal}
    ) as process:
        os.close(its)
        with suppress(OSError):  # nobody has it any more
            while chunk := os.read(ours, 1 << 16):
                printed += chunk
    os.close(ours)
    print(printed.decode().replace("\r", ""))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, script)


if __name__ == "__main__":
    os.setpgrp()  # servers that a page has left end with it
    try:
        main(Path(sys.argv[1]), write="--write" in sys.argv[2:])
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
