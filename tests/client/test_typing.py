"""Types: what users write passes mypy --strict."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_typical_use() -> None:
    """Typical use of the client passes mypy --strict, and wrong use does not."""
    result = subprocess.run(  # noqa: S603 - this very Python
        [
            *(sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores"),
            "tests/client/typed_use.py",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("Success")
