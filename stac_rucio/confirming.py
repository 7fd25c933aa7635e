"""Questions before something is deleted."""

from __future__ import annotations

import sys

import click

from .exits import Failure


def must_be_answerable(*, yes: bool) -> None:
    """See to it that questions can be answered.

    Args:
        yes: Whether they were on the command line already.

    Raises:
        click.UsageError: Nobody can be asked.
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError(
            "this deletes or changes something, and nobody can be asked here: give --yes"
        )


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if somebody says so.

    Args:
        question: What to ask.
        yes: Whether that was said on the command line already.

    Raises:
        click.UsageError: Nobody can be asked.
        Failure: They said no.
    """
    must_be_answerable(yes=yes)
    if not yes and not click.confirm(question, err=True):
        raise Failure("nothing was deleted")
