"""Help, completion and start-up of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from stac_rucio.cli import LazyCommand, cli
from stac_rucio.errors import ExitCode

from .conftest import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator


DOCUMENTATION = Path(__file__).parents[2] / "docs" / "cli.md"
BORROWED = {"testbed", "demo"}


def verbs(group: Any, *path: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """All verbs with the words that name them, those of groups too."""
    for name, command in group.commands.items():
        if name in BORROWED:
            continue
        loaded = command.load() if isinstance(command, LazyCommand) else command
        if isinstance(loaded, click.Group):
            yield from verbs(loaded, *path, name)
        else:
            yield (*path, name), loaded


def python(code: str, **options: Any) -> subprocess.CompletedProcess[Any]:
    """Run Python code, or the program, in a process of its own."""
    command = [sys.executable, "-c", code] if code else PROGRAM
    return subprocess.run(  # noqa: S603 - our own code
        command, capture_output=True, text=True, check=bool(code), **options
    )


VERBS = dict(verbs(cli))


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_help_with_an_example(verb: tuple[Any, ...]) -> None:
    """The help of every verb ends with a command line of it, and fits into 80 columns."""
    result = CliRunner().invoke(cli, [*verb, "--help"])
    assert result.exit_code == 0
    examples = result.stdout.partition("Examples:")[2]
    assert f"stac-rucio {' '.join(verb)}" in examples
    assert max(map(len, result.stdout.splitlines())) <= 100


@pytest.mark.parametrize("name", [name for name in cli.commands if name not in BORROWED])
def test_the_list_says_what_the_help_says(name: Any) -> None:
    """The line of a verb in the list of all is the first of its own help."""
    lazy = cli.commands[name]
    assert isinstance(lazy, LazyCommand)
    assert lazy.help == str(lazy.load().help).splitlines()[0]


def test_the_list_is_complete_and_not_cut() -> None:
    """`stac-rucio --help` has every verb with its whole line, and all exit codes."""
    listed = CliRunner().invoke(cli, ["--help"], terminal_width=80).stdout
    for name, command in cli.commands.items():
        assert f"  {name} " in listed
        assert str(command.help) in listed
    for code in ExitCode:
        assert f"{code.value:3}  {code.meaning}" in listed


def test_help_imports_neither_rucio_nor_pystac_nor_rich() -> None:
    """Help comes at once, because nothing is imported that is slow to import."""
    code = (
        "import sys; sys.argv = ['stac-rucio', '--help']\n"
        "from stac_rucio.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = python(code)
    imported = done.stderr.splitlines()[-1]
    assert "'click'" in imported
    for slow in ("rucio", "pystac", "rich", "requests", "stac_client", "email"):
        assert f"'{slow}'" not in imported


def test_a_verbs_help_imports_neither_rucio_nor_pystac_nor_rich() -> None:
    """Nor does the help of a verb import what it will need."""
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom stac_rucio.cli import cli\n"
        "assert CliRunner().invoke(cli, ['admin', 'doctor', '--help']).exit_code == 0\n"
        "assert CliRunner().invoke(cli, ['alternates', '--help']).exit_code == 0\n"
        "assert not {'rucio', 'pystac', 'rich', 'stac_client', 'stac_policy.urls'} & {*sys.modules}"
    )
    python(code)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_printed(shell: str) -> None:
    """The completion of each shell is for `stac-rucio`."""
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert "_STAC_RUCIO_COMPLETE" in result.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("stac-rucio reg", "register"),
        ("stac-rucio admin set", "setup-rse"),
        ("stac-rucio register --probe he", "head"),
        ("stac-rucio download --wor", "--workers"),
    ],
)
def test_completion_completes(typed: str, offered: str) -> None:
    """Verbs, their options and the values of these are completed."""
    environment = {
        **os.environ,
        "_STAC_RUCIO_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    done = python("", env=environment)
    assert done.stdout.split(",")[-1].strip() == offered


def test_the_documentation_has_every_verb_and_exit_code() -> None:
    """docs/cli.md names every verb and every exit code."""
    text = DOCUMENTATION.read_text()
    for verb in [*VERBS, ("testbed",), ("demo",)]:
        assert f"`stac-rucio {' '.join(verb)}`" in text
    for code in ExitCode:
        assert f"| {code.value} |" in text


@pytest.mark.parametrize("name", sorted(BORROWED))
def test_the_test_bed_answers_for_itself(name: str) -> None:
    """`testbed` and `demo` show the test bed's own help."""
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert ("--keep" if name == "demo" else "logs") in result.stdout


def test_the_version_is_the_packages() -> None:
    """`--version` gives the version of the installed package."""
    from importlib.metadata import version

    assert CliRunner().invoke(cli, ["--version"]).stdout.split()[-1] == version("stac-rucio")
