"""Rows and bytes that a registration leaves in Rucio's database, where that is PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stac_client import StacClient

from .harness import Row, counted
from .items import make_items
from .setting import SOURCE_RSE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from .setting import Setting

_TABLES = """
    SELECT c.relname, pg_total_relation_size(c.oid), pg_indexes_size(c.oid),
           (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %%I', c.relname),
            false, true, '')))[1]::text::bigint
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname = current_schema()
    """
_PARTS = 2  # of what shall be counted; the first is there before, so that tables have begun
_SHOWN = 0.0005  # rows an asset


def run(setting: Setting) -> Iterator[Row]:
    """Register, add copies, make a rule: after each, see how the tables have grown."""
    if setting.database != "PostgreSQL":
        return
    from sqlalchemy import create_engine

    client = setting.lake.client()
    stac = StacClient(client)
    engine = create_engine(setting.lake.layout.database_url)
    items, assets = setting.size.items, setting.size.assets
    for part in range(_PARTS):
        collection = setting.new_collection(client)
        told = f"of {items * assets:,} in {items:,} items"
        before = sizes(engine)
        registration = stac.create_replicas(make_items(collection, items, assets), SOURCE_RSE)
        after = sizes(engine)
        if part:
            yield from _growth(f"registered asset, {told}", before, after, items * assets)
        before = after
        setting.add_copies(client, (outcome.did for outcome in registration if outcome.did))
        after = sizes(engine)
        if part:
            yield from _growth(f"asset with 2 copies, {told}", before, after, items * assets)
        if part:
            before = after
            rules = stac.create_replication_rules(registration, "tier=disk", copies=2)
            stac.wait(rules, timeout_s=600, poll_s=1)
            after = sizes(engine)
            yield from _growth(
                f"asset under a rule for them, {told}", before, after, items * assets
            )
    engine.dispose()


def sizes(engine: Engine) -> dict[str, tuple[int, int, int]]:
    """Bytes, those of them in indexes, and rows of each table."""
    with engine.connect() as connection:
        return {
            name: (size_bytes, index_bytes, rows)
            for name, size_bytes, index_bytes, rows in connection.exec_driver_sql(_TABLES)
        }


def _growth(
    what: str,
    before: dict[str, tuple[int, int, int]],
    after: dict[str, tuple[int, int, int]],
    count: int,
) -> Iterator[Row]:
    # A table grows in steps: what its rows take is told by all of them, not by the last.
    each = {
        table: (rows - before[table][2], size_bytes / max(rows, 1), index_bytes / max(rows, 1))
        for table, (size_bytes, index_bytes, rows) in after.items()
        if rows - before[table][2] > _SHOWN * count
    }
    shown = [
        f"{table}: {rows / count:.3g} of {size_bytes:,.0f} bytes ({index_bytes:,.0f} in indexes)"
        for table, (rows, size_bytes, index_bytes) in sorted(
            each.items(), key=lambda row: -row[1][0]
        )
    ]
    total_bytes = sum(rows * size_bytes for rows, size_bytes, _ in each.values())
    total_rows = sum(rows for rows, _, _ in each.values())
    yield counted(f"bytes per {what}", total_bytes / count, "bytes", note="; ".join(shown))
    yield counted(f"rows per {what}", total_rows / count, "rows")
