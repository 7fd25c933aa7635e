"""Types: what users write passes mypy --strict."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import stac_client

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


def test_every_public_name_is_found_where_it_is_said_to_be() -> None:
    """Names are imported when they are first used: type checkers and the table agree on them."""
    assert {*stac_client.__all__} == {*stac_client._MODULES, "__version__"}
    for name in stac_client.__all__:
        assert getattr(stac_client, name) is not None
    assert "StacClient" in dir(stac_client)
    with pytest.raises(AttributeError, match="no attribute 'StacClients'"):
        _ = stac_client.StacClients
