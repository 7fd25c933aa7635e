"""`stac-rucio completion`."""

from __future__ import annotations

import click

from stac_rucio.commands import verb


@verb(
    "completion",
    'eval "$(stac-rucio completion bash)"',
    "stac-rucio completion fish > ~/.config/fish/completions/stac-rucio.fish",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete the command line."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found  # noqa: S101 - click has all three
    root = context.find_root()
    click.echo(found(root.command, {}, "stac-rucio", "_STAC_RUCIO_COMPLETE").source())
