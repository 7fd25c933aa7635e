"""A configuration of Rucio for the tests, and Rucio in a process of its own."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from stac_policy.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def configured(**stac: Any) -> Iterator[None]:
    """Let Rucio's configuration be that of a client with these options of `[stac]`."""
    parser = configparser.ConfigParser()
    parser.read_dict({"client": {}, "stac": stac})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rucio.common.config.get_config", lambda: parser)
        settings.cache_clear()
        try:
            yield
        finally:
            settings.cache_clear()


def run_with_rucio(script: Any, folder: Any, **sections: Any) -> Any:
    """Run a script in a new Python with a rucio.cfg, and give what it prints as JSON."""
    parser = configparser.ConfigParser()
    parser.read_dict(sections)
    path = folder / "rucio.cfg"
    with path.open("w") as file:
        parser.write(file)
    result = subprocess.run(
        [sys.executable, "-"],
        input=script,
        env={name: value for name, value in os.environ.items() if not name.startswith("RUCIO_")}
        | {"RUCIO_CONFIG": str(path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)
