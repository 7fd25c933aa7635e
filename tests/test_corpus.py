"""Tests over real items are never left out in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .corpus import ABSENT, real_items


@pytest.mark.parametrize("files", [[], ["earth-search.json", "planetary-computer.json"]])
def test_a_folder_that_holds_no_items(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: list[Any]
) -> None:
    """A folder that is named and lacks the items fails the tests."""
    for name in files:
        (tmp_path / name).write_text('{"features": []}')
    monkeypatch.setenv("STAC_CORPUS", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match="STAC_CORPUS"):
        real_items()


def test_no_folder() -> None:
    """A run without a folder says that it left them out."""
    environment = {name: value for name, value in os.environ.items() if name != "STAC_CORPUS"}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/policy/test_urls.py", "-k", "test_real_urls"],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert ABSENT in ran.stdout
