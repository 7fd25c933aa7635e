"""A Rucio server with a database of its own, for a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .support import run_with_rucio

if TYPE_CHECKING:
    from pathlib import Path


_DATABASE = """
import json
from rucio.db.sqla import models, session
from rucio.db.sqla.constants import DatabaseOperationType
from rucio.db.sqla.util import create_base_vo
from sqlalchemy import event

# Nothing here has to outlive a power cut.
event.listen(
    session.get_engine(), "connect", lambda opened, _: opened.execute("PRAGMA synchronous=OFF")
)
models.BASE.metadata.create_all(session.get_engine())
create_base_vo()

def read():
    return session.db_session(DatabaseOperationType.READ)

def write():
    return session.db_session(DatabaseOperationType.WRITE)
"""


def run_with_server(script: Any, folder: Path, **sections: Any) -> Any:
    """Run a script in a new Python as a Rucio server, and give what it prints as JSON.

    It finds `json`, and sessions of an empty database: `read()` and `write()`.
    """
    server = {
        "database": {"default": f"sqlite:///{folder}/rucio.db"},
        "policy": {"package": "stac_policy"},
        "cache": {"url": "127.0.0.1:9"},  # no cache that the machine may have
    }
    return run_with_rucio(_DATABASE + script, folder, **(server | sections))
