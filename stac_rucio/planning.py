"""What a registration would do, shown."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from .output import Column, write_json
from .progress import progress

if TYPE_CHECKING:
    from stac_client import Plan

    from .assets import AssetOptions
    from .connection import Connection
    from .output import Output
    from .source import ItemSource

_FACTS = (
    Column("items", "items", "number"),
    Column("files", "files that can be registered", "number"),
    Column("already_there", "of these already there", "number"),
    Column("files_without_size", "without size in their item", "number"),
    Column("files_without_checksum", "without checksum in their item", "number"),
    Column("size_bytes", "size, as far as items say", "bytes"),
)
_HOSTS = (Column("host", "host"), Column("files", "files", "number"))
_REJECTED = (
    Column("assets", "assets"),
    Column("reason", "reason"),
    Column("example", "for example"),
)


def show_plan(
    items: ItemSource, rse: str, assets: AssetOptions, rucio: Connection, output: Output
) -> None:
    """Plan the registration of items, and show the plan.

    Raises:
        StacRucioError: There is no such RSE, or a server does not answer.
    """
    with progress() as show:

        def on_read(count: int, total: int | None) -> None:
            show("planning", count, total, f"{count:,} items read")

        found = rucio.stac.plan(items.items(on_read), rse, assets=assets.selection)
    show_planned(found, output)


def show_planned(plan: Plan, output: Output) -> None:
    """Show a plan."""
    found = {field.name: getattr(plan, field.name) for field in fields(plan)}
    if output.as_json:
        write_json(found)
        return
    output.facts(_FACTS, found)
    hosts = ({"host": host, "files": files} for host, files in plan.hosts.most_common())
    output.rows(_HOSTS, hosts, kind="host")
    for reason, count in plan.rejected.most_common():
        example = plan.examples[reason][0]
        if output.for_people:
            output.explain([(count, "can not be registered", reason, example)])
        else:
            row = {"assets": count, "reason": reason, "example": example}
            output.row(_REJECTED, row, kind="rejected")
