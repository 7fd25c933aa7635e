"""The command `stac-rucio`: all verbs, none of which is imported before it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from stac_rucio.errors import MEANINGS, RootGroup

_VERBS = "stac_rucio.verbs"

_EXIT_CODES = "\n".join(f"  {code.value:3}  {meaning}" for code, meaning in MEANINGS.items())
_EXAMPLE = """  stac-client search https://stac.example.org/v1 -c alps > alps.json
  stac-rucio register alps.json --rse STAC
  stac-rucio replicate alps.json --rses tier=disk | stac-rucio wait -
  stac-rucio alternates alps.json --prefer DISK-A > near.json"""


class LazyCommand(click.Command):
    """Stands for a command until it is used."""

    def __init__(self, name: str, text: str, where: str = "") -> None:
        """Make one.

        Args:
            name: Of the command.
            text: Its help in one line; the first of its own.
            where: Where it is, as MODULE:NAME, or the module of verbs.
        """
        super().__init__(name, help=text)
        self._where = where if ":" in where else f"{_VERBS}.{where or name}:{name}"

    def load(self) -> click.Command:
        """Import it."""
        module, _, name = self._where.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Let the command itself understand its arguments."""
        return self.load().make_context(info_name, args, parent, **extra)


@click.group(
    cls=RootGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"\b\nExamples:\n{_EXAMPLE}\n\n\b\nExit codes:\n{_EXIT_CODES}",
)
@click.version_option(package_name="stac-rucio")
def cli() -> None:
    """STAC searches as Rucio data: register, replicate, find the copies again."""


for command in (
    LazyCommand("plan", "Show what `register` would do.", "catalogue"),
    LazyCommand("register", "Register assets in Rucio at their original URLs.", "catalogue"),
    LazyCommand("sync", "Register a whole catalogue, and later what is new in it.", "catalogue"),
    LazyCommand("replicate", "Ask Rucio for copies of registered assets.", "rules"),
    LazyCommand("status", "Show how far rules are, or where the assets of items are.", "rules"),
    LazyCommand("wait", "Wait until rules are OK.", "rules"),
    LazyCommand("alternates", "Write items with every copy as an alternate asset.", "copies"),
    LazyCommand(
        "download", "Download assets, verified, as a STAC catalogue of their own.", "copies"
    ),
    LazyCommand("rules", "Delete replication rules.", "rules"),
    LazyCommand("deregister", "Take assets out of Rucio again, at one RSE.", "catalogue"),
    LazyCommand("serve", "Serve another STAC API with every copy in its items.", "copies"),
    LazyCommand("admin", "Set up a Rucio server for STAC assets, and check it."),
    LazyCommand(
        "testbed", "Run a whole Rucio data lake on this machine.", "stac_testbed.__main__:main"
    ),
    LazyCommand("demo", "Show the whole journey on a test bed of its own."),
    LazyCommand("completion", "Print what makes a shell complete the command line.", "copies"),
):
    cli.add_command(command)
