"""Commands whose help has sections, and whose lists are typed as for pystac-client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LISTS = frozenset({"-c", "--collections", "--ids", "--query", "--sortby", "--fields", "--headers"})
"""Options that take several values: `-c alps dolomites` and `-c alps -c dolomites`."""

_OTHERS = "Options"


class Option(click.Option):
    """An option with the section of the help that it belongs to."""

    def __init__(self, *args: Any, section: str = _OTHERS, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section


class Verb(click.Command):
    """A verb of `stac-rucio`."""

    def __init__(self, *args: Any, examples: Iterable[str] = (), **attributes: Any) -> None:
        """Make one.

        Args:
            args: As those of click.
            examples: Command lines for the end of its help.
            attributes: As those of click.
        """
        lines = "\n".join(f"  {line}" for example in examples for line in example.splitlines())
        attributes["epilog"] = f"\b\nExamples:\n{lines}"
        super().__init__(*args, **attributes)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Understand a command line."""
        return super().parse_args(ctx, spread(args))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {_OTHERS: []}
        for parameter in self.get_params(ctx):
            record = None
            if isinstance(parameter, click.Option):
                record = parameter.get_help_record(ctx)
            if record is not None:
                section = getattr(parameter, "section", _OTHERS)
                sections.setdefault(section, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def verb(name: str, *examples: str) -> Callable[[Callable[..., Any]], Verb]:
    """Make a function the verb of this name; its docstring is the help."""

    def decorate(function: Callable[..., Any]) -> Verb:
        return click.command(name, cls=Verb, examples=examples)(function)

    return decorate


def option(*names: str, section: str = _OTHERS, **attributes: Any) -> Callable[[Any], Any]:
    """Make an option, as `click.option` does."""
    return click.option(*names, cls=Option, section=section, **attributes)


def spread(args: list[str]) -> list[str]:
    """Repeat the name of a list's option before each of its values, as click wants it; pure.

    Only of searches (`--api`): elsewhere words that follow are files.
    """
    if not any(arg == "--api" or arg.startswith("--api=") for arg in args):
        return args
    result: list[str] = []
    current = None  # the list whose values come
    for arg in args:
        is_option = arg.startswith("-") and arg != "-"
        if is_option:
            current = arg if arg in LISTS else None
        elif current and result[-1] != current:
            result.append(current)
        result.append(arg)
    return result
