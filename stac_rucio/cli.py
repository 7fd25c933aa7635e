"""The command `stac-rucio`: all verbs, none of which is imported before it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from stac_rucio.errors import ExitCode, Failure, RootGroup

_VERBS = "stac_rucio.verbs"
"""Package of the verbs, and group of the entry points that other distributions add some by."""

_EXIT_CODES = "\n".join(f"  {code.value:3}  {code.meaning}" for code in ExitCode)
_EXAMPLE = """  stac-client search https://stac.example.org/v1 -c alps > alps.json
  stac-rucio register alps.json --rse STAC
  stac-rucio replicate alps.json --rses tier=disk | stac-rucio wait -
  stac-rucio alternates alps.json --prefer DISK-A > near.json"""


class LazyCommand(click.Command):
    """Stands for a command until it is used.

    Args:
        name: Of the command.
        text: Its help in one line; the first of its own.
        module: The module of verbs that it is in; by default one of its name.
    """

    def __init__(self, name: str, text: str, module: str = "") -> None:
        super().__init__(name, help=text)
        self._module = module or name

    def load(self) -> click.Command:
        """Import the command from the verb's module."""
        command: click.Command = getattr(import_module(f"{_VERBS}.{self._module}"), str(self.name))
        return command

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Let the command itself understand its arguments."""
        return self.load().make_context(*args, **extra)


class TestbedCommand(LazyCommand):
    """Stands for a command of the test bed, a distribution of its own with entry points."""

    __test__ = False  # pytest takes it for a test case by its name

    def load(self) -> click.Command:
        """Import the command from the test bed.

        Raises:
            Failure: The test bed is not installed.
        """
        from importlib import metadata

        from stac_policy import installed_rucios

        for entry_point in metadata.entry_points(group=_VERBS, name=str(self.name)):
            command: click.Command = entry_point.load()
            return command
        # It brings rucio along, which must never come over rucio-clients.
        where = " and an environment of its own" * ("rucio-clients" in installed_rucios())
        raise Failure(
            f"`stac-rucio {self.name}` belongs to the test bed; install it in a clone of "
            f"stac-rucio{where}, with: pip install -e . -e testbed",
            ExitCode.CONFIGURATION,
        )


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
    LazyCommand("assets", "Show which assets are selected, and where from.", "catalogue"),
    LazyCommand("register", "Register assets in Rucio at their original URLs.", "catalogue"),
    LazyCommand("sync", "Register a whole catalogue, and later what is new in it.", "catalogue"),
    LazyCommand("replicate", "Ask Rucio for copies of registered assets.", "rules"),
    LazyCommand("status", "Show how far rules are, or where the assets of items are.", "rules"),
    LazyCommand("wait", "Wait until rules are OK.", "rules"),
    LazyCommand("alternates", "Write items with every copy as an alternate asset.", "copies"),
    LazyCommand(
        "download", "Download assets, verified, as a STAC catalogue of their own.", "copies"
    ),
    LazyCommand("rules", "List, extend, retry or delete replication rules.", "rules"),
    LazyCommand("deregister", "Unregister assets from one RSE.", "catalogue"),
    LazyCommand("serve", "Serve another STAC API with every copy in its items.", "copies"),
    LazyCommand("gateway", "Fetch originals that need a credential for transfers.", "copies"),
    LazyCommand("admin", "Set up a Rucio server for STAC assets, and check it."),
    TestbedCommand("testbed", "Run a whole Rucio data lake on this machine."),
    TestbedCommand("demo", "Show the whole journey on a test bed of its own."),
    LazyCommand("completion", "Print a shell completion script.", "copies"),
):
    cli.add_command(command)
