"""`stac-rucio replicate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stac_rucio.commands import option, verb
from stac_rucio.exits import resumable
from stac_rucio.options import dry_run, takes_assets, takes_output, takes_rucio
from stac_rucio.output import write_line
from stac_rucio.progress import progress
from stac_rucio.replication import show_replication
from stac_rucio.rules import show_rules
from stac_rucio.search import takes_items

if TYPE_CHECKING:
    from stac_rucio.assets import AssetOptions
    from stac_rucio.connection import Connection
    from stac_rucio.output import Output
    from stac_rucio.source import ItemSource


@verb(
    "replicate",
    "stac-rucio replicate --api https://stac.example.org/v1 -c alps --rses tier=disk",
    "stac-rucio replicate items.json --assets red,nir --rses 'tier=disk' --copies 2 \\\n"
    "    --lifetime 2592000 | stac-rucio wait -",
)
@takes_items()
@option(
    "--rses", required=True, metavar="EXPRESSION", help="RSE expression: where copies shall be."
)
@option("--copies", type=click.IntRange(min=1), default=1, show_default=True, help="How many.")
@option(
    "--lifetime", type=click.IntRange(min=1), metavar="SECONDS", help="Time until the rule ends."
)
@option("--activity", help="Activity of the transfers; one of the server's.")
@option("--comment", help="For people who look at the rule.")
@option(
    "--grouping",
    type=click.Choice(["DATASET", "ALL", "NONE"]),
    default="DATASET",
    show_default=True,
    help="What is kept together at an RSE.",
)
@option("--per-item", is_flag=True, help="One rule for each item, over all its assets.")
@option(
    "--dataset-scope",
    metavar="SCOPE",
    help="Scope of the dataset that holds the files; by default user.ACCOUNT if there is one.",
)
@takes_assets()
@dry_run
@takes_rucio()
@takes_output()
def replicate(  # noqa: PLR0917 - click gives them by name
    items: ItemSource,
    rses: str,
    copies: int,
    lifetime: int | None,
    activity: str | None,
    comment: str | None,
    grouping: str,
    dataset_scope: str | None,
    assets: AssetOptions,
    rucio: Connection,
    output: Output,
    *,
    per_item: bool,
    dry_run: bool,
) -> None:
    """Ask Rucio for copies of registered assets.

    One replication rule is made, over one dataset that holds the files of all items; or one
    for each item with --per-item. Asking again gives the same rules.

    Lines: the ids of the rules, which `wait`, `status` and `rules delete` take.
    """
    if per_item and (assets.selection is not None or dataset_scope):
        raise click.UsageError(
            "--per-item makes rules over whole items: it goes with none of --assets, --role, "
            "--media-type and --dataset-scope"
        )
    if dry_run:
        show_replication(items, rses, copies, assets, rucio, output, per_item=per_item)
        return
    resumable("Run it again: a rule that was made by then is found.")
    with progress() as show:

        def on_read(count: int, total: int | None) -> None:
            show("replicating", count, total, f"{count:,} items read")

        rules = rucio.stac.create_replication_rules(
            items.items(on_read),
            rses,
            assets=assets.selection,
            copies=copies,
            lifetime_s=lifetime,
            activity=activity,
            comment=comment,
            grouping=grouping,
            scope=dataset_scope,
            per_item=per_item,
        )
    if output.as_json or output.for_people:
        show_rules(output, rules)
        return
    for rule in rules:
        write_line(rule.id)
