"""`stac-rucio admin`: what an administrator of a Rucio sets up and checks."""

from __future__ import annotations

import click

from .doctor import doctor
from .scope import scope
from .setup_rse import setup_rse


@click.group()
def admin() -> None:
    """Set up a Rucio server for STAC assets, and check it."""


for command in (setup_rse, doctor, scope):
    admin.add_command(command)
