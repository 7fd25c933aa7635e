"""Options gathered into one value for the verb that takes them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import click

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def gathered(name: str, make: Callable[[Mapping[str, Any]], Any], *options: Decorator) -> Decorator:
    """Make a decorator that gives a verb one value made from several options.

    Args:
        name: Of the value, among the verb's arguments.
        make: Makes it from the values of the options by their names.
        options: The options, as click's decorators.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        names: list[str | None] = []

        @functools.wraps(function)
        def wrapper(**values: Any) -> Any:
            taken = {key: values.pop(key) for key in names if key in values}
            return function(**values, **{name: make(taken)})

        before = len(_parameters(wrapper))
        for option in reversed(options):
            option(wrapper)
        names += [parameter.name for parameter in _parameters(wrapper)[before:]]
        return wrapper

    return decorate


def _parameters(function: Callable[..., Any]) -> list[click.Parameter]:
    """What click's decorators have noted on a function; a wrapper shares it with what it wraps."""
    parameters: list[click.Parameter] = vars(function).setdefault("__click_params__", [])
    return parameters


def words(_: click.Context, __: click.Parameter, value: Sequence[str]) -> list[str]:
    """Split each value at its commas."""
    words = [word.strip() for text in value for word in text.split(",")]
    return [word for word in words if word]
