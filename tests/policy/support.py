"""A configuration of Rucio for the tests, Rucio in a process of its own, and the real items."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from stac_policy.settings import settings

DATA = Path(__file__).parent.parent / "data"


@contextmanager
def configured(**stac):
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


def run_with_rucio(script, folder, **sections):
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


def real_assets():
    """Give the collection, item, key and href of every real asset, and the keys of its item."""
    for path in (DATA / "earth-search.json", DATA / "planetary-computer.json"):
        for item in json.loads(path.read_text())["features"]:
            for key, asset in item["assets"].items():
                yield item["collection"], item["id"], key, asset.get("href"), list(item["assets"])
