"""How scripts run commands."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def run(
    *command: str, folder: Path | str = "/", environment: Mapping[str, str] | None = None
) -> str:
    """Run a command and return what it prints; if it fails, end with its output.

    Args:
        command: Program and arguments.
        folder: Where it runs; by default not in the project, whose packages it would find.
        environment: Environment variables besides those of this process.
    """
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, **(environment or {})},
    )
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def run_in_vain(says: str, *command: str) -> None:
    """Run a command that has to fail and to say something; end if it does not."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if not result.returncode or says not in result.stderr:
        sys.exit(f"{' '.join(command)} does not fail with {says!r}: {result.stderr}")
