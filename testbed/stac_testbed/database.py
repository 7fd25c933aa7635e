"""Rucio's database, built by Rucio's own functions.

RUCIO_CONFIG=…/etc/server.cfg python -m stac_testbed.database
"""

from __future__ import annotations

from rucio.db.sqla.session import get_engine
from rucio.db.sqla.util import build_database, create_base_vo, create_root_account


def main() -> None:
    """Create the tables, the base VO and the root account."""
    engine = get_engine()
    if engine.dialect.name == "sqlite":
        # Kept in the file: readers no longer wait for the writer.
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    build_database()
    create_base_vo()
    create_root_account()


if __name__ == "__main__":
    main()
