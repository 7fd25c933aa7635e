"""Options that several verbs share, gathered into what the verbs work with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from .assets import AssetOptions
from .commands import option
from .connection import Connection
from .copies import CopyOptions
from .exits import set_verbosity
from .gathering import gathered, words
from .logs import set_up_logs
from .output import Output

if TYPE_CHECKING:
    from .gathering import Decorator

_ASSETS = "Assets"
_RUCIO = "Rucio"
_OUTPUT = "Output"


def takes_assets() -> Decorator:
    """Give a verb `assets`, which say what `StacClient` shall select."""
    return gathered(
        "assets",
        lambda values: AssetOptions(
            tuple(values["assets"]), tuple(values["role"]), tuple(values["media_type"])
        ),
        option(
            "--assets",
            multiple=True,
            metavar="KEYS",
            section=_ASSETS,
            callback=words,
            help="Keys of the assets, as in red,nir. By default those with the role data where "
            "an item has any, and otherwise all that are files.",
        ),
        option(
            "--role",
            multiple=True,
            metavar="ROLE",
            section=_ASSETS,
            callback=words,
            help="Only assets with one of these roles.",
        ),
        option(
            "--media-type",
            multiple=True,
            metavar="TYPE",
            section=_ASSETS,
            callback=words,
            help="Only assets of one of these media types, whatever their parameters.",
        ),
    )


def takes_copies() -> Decorator:
    """Give a verb `copies`, which say what a modifier shall list and prefer."""
    return gathered(
        "copies",
        lambda values: CopyOptions(
            tuple(values["prefer"]), tuple(values["only"]), tuple(values["exclude"])
        ),
        option(
            "--prefer",
            multiple=True,
            metavar="RSES",
            callback=words,
            help="RSEs, the most wanted first: the copy at the first that has one becomes "
            "the href.",
        ),
        option(
            "--only",
            multiple=True,
            metavar="RSES",
            callback=words,
            help="Only the copies at these RSEs.",
        ),
        option(
            "--exclude",
            multiple=True,
            metavar="RSES",
            callback=words,
            help="No copies at these RSEs.",
        ),
    )


def takes_registration() -> Decorator:
    """Give a verb `registration`, options that `StacClient.sync` takes."""
    return gathered(
        "registration",
        dict,
        option(
            "--learn-from",
            type=click.Choice(["item", "head", "download"]),
            default="download",
            show_default=True,
            help="How far to go for sizes and checksums that items do not say.",
        ),
        option(
            "--containers",
            is_flag=True,
            help="Put the items' datasets into a container for each collection.",
        ),
        option(
            "--metadata",
            is_flag=True,
            help="Give the datasets metadata from their items, for searches in Rucio.",
        ),
    )


def takes_rucio(*, scope: bool = True) -> Decorator:
    """Give a verb `rucio`, a connection.

    Args:
        scope: Whether the verb deals with assets, which may have a scope of their own.
    """
    options = [
        option("--account", section=_RUCIO, help="Rucio account; by default that of rucio.cfg."),
        option(
            "--config",
            type=click.Path(exists=True, dir_okay=False),
            expose_value=False,
            callback=_use_config,
            section=_RUCIO,
            help="A rucio.cfg other than the usual one.",
        ),
    ]
    if scope:
        options.append(
            option(
                "--scope",
                section=_RUCIO,
                help="One scope for all assets, instead of one for each collection.",
            )
        )
    return gathered(
        "rucio",
        lambda values: Connection(values["account"], values.get("scope")),
        *options,
    )


def takes_output() -> Decorator:
    """Give a verb `output`; and errors as many words as `-v` asks for."""
    return gathered(
        "output",
        lambda values: Output(as_json=values["as_json"]),
        option(
            "--json",
            "as_json",
            is_flag=True,
            section=_OUTPUT,
            help="JSON, one object a line, with all there is to say.",
        ),
        verbose,
    )


def _use_config(_: click.Context, __: click.Parameter, value: str | None) -> None:
    if value:
        # Rucio knows no other way to name it, and reads it when it is imported.
        os.environ["RUCIO_CONFIG"] = value


def _verbose(context: click.Context, parameter: click.Parameter, value: int) -> None:
    set_up_logs(set_verbosity(context, parameter, value))


verbose = option(
    "-v",
    "--verbose",
    count=True,
    is_eager=True,
    expose_value=False,
    callback=_verbose,
    section=_OUTPUT,
    help="Say what is done; twice: log requests too. Shows no secrets.",
)
"""The option alone, for verbs whose output has one form."""

source_rse = option(
    "--rse", required=True, metavar="RSE", help="The source RSE, which has the original URLs."
)
dry_run = option("--dry-run", is_flag=True, help="Only show what would be done.")
yes = option("--yes", is_flag=True, help="Do not ask whether to go on.")
