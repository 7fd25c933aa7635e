"""`stac-rucio demo`, which belongs to the test bed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command("demo", add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def demo(args: Sequence[str]) -> None:
    """Show the whole journey on a test bed of its own."""
    from stac_testbed.__main__ import main

    # By way of the test bed's group, which sees to proxies.
    main.main(["demo", *args], prog_name="stac-rucio", standalone_mode=False)
