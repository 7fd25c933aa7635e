"""A metadata plugin for Rucio's server: its own `json_meta`, on every database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rucio.core.did_meta_plugins import json_meta


class Metadata(json_meta.JSONDidMeta):  # type: ignore[misc]  # Rucio has no types
    """Keeps metadata of any key in the database; Rucio's own plugin does so, but not on SQLite."""

    def __init__(self) -> None:
        """Let Rucio's plugin use SQLite too; it knows how."""
        super().__init__()
        json_meta.json_implemented = lambda **_: True

    def manages_key(self, _key: Any, **_: Any) -> bool:
        """Say whether a key is one of this plugin: while the file is there that a test made."""
        return Path(os.environ["TAKES_METADATA"]).exists()
