"""What rules would be made, over what, shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .output import Column

if TYPE_CHECKING:
    from .assets import AssetOptions
    from .connection import Connection
    from .output import Output
    from .source import ItemSource

_FACTS = (
    Column("rules", "rules", "number"),
    Column("copies", "copies of each file", "number"),
    Column("rses", "at RSEs"),
    Column("files", "files", "number"),
    Column("size_bytes", "size", "bytes"),
    Column("not_registered", "not registered yet", "number"),
)


def show_replication(  # noqa: PLR0917 - as many things are shown
    items: ItemSource,
    rses: str,
    copies: int,
    assets: AssetOptions,
    rucio: Connection,
    output: Output,
    *,
    per_item: bool,
) -> None:
    """Show what rules would be made, over how many files.

    Raises:
        StacRucioError: The RSE expression is wrong, or a server does not answer.
    """
    from stac_client.catalogue.assets import registrable
    from stac_client.catalogue.items import iter_items
    from stac_client.errors import rucio_errors
    from stac_client.listing import list_files
    from stac_client.requests_in_bulk import batched

    with rucio_errors(f"asking for the RSEs of {rses}"):
        names = sorted(entry["rse"] for entry in rucio.rucio.list_rses(rses))
    found: dict[str, Any] = {"copies": copies, "rses": ", ".join(names)}
    files = size_bytes = missing = 0
    datasets = set()
    wanted = registrable(iter_items(items.items()), assets.selection, rucio.scope)
    for batch in batched(wanted):
        known = list_files(rucio.rucio, [asset.did for asset in batch], all_states=True)
        files += len(known)
        size_bytes += sum(file.size_bytes for file in known.values())
        missing += len({asset.did for asset in batch} - {*known})
        datasets |= {asset.dataset for asset in batch if asset.did in known}
    found |= {"files": files, "size_bytes": size_bytes, "not_registered": missing}
    found["rules"] = len(datasets) if per_item else min(files, 1)
    if output.as_json:
        output.row(_FACTS, {**found, "rses": names})
    else:
        output.facts(_FACTS, found)
