"""Which copy of an asset is wanted most; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, Union

from stac_client.errors import ConfigurationError

from .alternates import MOUNTED

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable

    from .alternates import Location

Chooser = Callable[[Mapping[str, Sequence[str]]], Optional[str]]
"""Given the hrefs of an asset's copies by RSE, names the RSE whose copy is wanted, or None."""
Preference = Union[str, Chooser]
"""An RSE, an RSE expression, a URL scheme (`davs`; `file` is what is mounted), or a chooser."""
Resolved = Mapping[str, "Collection[str]"]
"""The RSEs of each RSE expression."""

# fmt: off
SCHEMES = (
    "davs", "https", "root", "http", "dav", "s3s", "s3", "gs", "gsiftp", "srm", "srm+https",
    "file", "storm", "scp", "rsync", "rclone",
)
# fmt: on
"""The schemes of the protocols that RSEs have."""

_WORD = re.compile(r"[A-Za-z0-9_.+-]+")


@dataclass(frozen=True)
class Choice:
    """A copy, and the preference that led to it."""

    location: Location
    preference: Preference


def is_expression(text: str) -> bool:
    """Tell an RSE expression, which Rucio must resolve, from an RSE's name or a scheme."""
    return not _WORD.fullmatch(text)


def choose(
    found: Iterable[Location],
    prefer: Sequence[Preference],
    rses: Container[str],
    resolved: Resolved,
) -> Choice | None:
    """Choose among the ways to an asset's replicas.

    The first preference that any of them meets decides. Where several meet it,
    a mounted RSE comes first, then the RSEs come by name, and the ways to one
    of them in Rucio's order, so that the choice is always the same.

    Args:
        found: The ways.
        prefer: What is wanted, the most wanted first.
        rses: The RSEs that come into question.
        resolved: The RSEs of each RSE expression among it.

    Raises:
        ConfigurationError: A chooser names an RSE without a replica.
    """
    if not prefer:
        return None
    ordered = sorted(
        (place for place in found if place.rse in rses),
        key=lambda place: (place.scheme != MOUNTED, place.rse),
    )
    for preference in prefer:
        place = next((each for each in ordered if _meets(each, preference, resolved)), None)
        if not isinstance(preference, str):
            place = _by_chooser(ordered, preference)
        if place is not None:
            return Choice(place, preference)
    return None


def allowed(
    rses: Collection[str], only: Sequence[str], exclude: Sequence[str], resolved: Resolved
) -> list[str]:
    """Give the RSEs that are in one of `only`, if there are any, and in none of `exclude`.

    Args:
        rses: The RSEs that have a replica.
        only: RSEs and RSE expressions.
        exclude: RSEs and RSE expressions.
        resolved: The RSEs of each of these RSE expressions.
    """
    if not (only or exclude):
        return list(rses)
    let_in = _rses(only, resolved) if only else rses
    kept_out = _rses(exclude, resolved)
    return [rse for rse in rses if rse in let_in and rse not in kept_out]


def _rses(wanted: Sequence[str], resolved: Resolved) -> set[str]:
    return {rse for each in wanted for rse in (each, *resolved.get(each, ()))}


def preferences(given: Preference | Sequence[Preference]) -> tuple[Preference, ...]:
    """Give preferences as a tuple; a single one needs no list.

    Raises:
        ConfigurationError: Something among them is no preference.
    """
    several = [given] if isinstance(given, str) or callable(given) else given
    if not isinstance(several, Sequence):
        raise ConfigurationError(f"prefer is {given!r}; give RSEs, RSE expressions or schemes")
    for each in several:
        if not callable(each):
            _check("prefer", each)
    return tuple(several)


def expressions(name: str, given: str | Sequence[str]) -> tuple[str, ...]:
    """Give RSEs and RSE expressions as a tuple; a single one needs no list.

    Args:
        name: Name of the option that they are given for.
        given: The value of that option.

    Raises:
        ConfigurationError: Something among them is neither.
    """
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, Sequence):
        raise ConfigurationError(f"{name} is {given!r}; give RSEs or RSE expressions")
    for each in several:
        _check(name, each)
    return tuple(several)


def _check(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{name} has {value!r}, which is neither an RSE nor an expression")


def _meets(place: Location, preference: Preference, resolved: Resolved) -> bool:
    if not isinstance(preference, str):
        return False
    return preference in {place.rse, place.scheme} or place.rse in resolved.get(preference, ())


def _by_chooser(ordered: Sequence[Location], chooser: Chooser) -> Location | None:
    hrefs: dict[str, list[str]] = {}
    for place in ordered:
        hrefs.setdefault(place.rse, []).append(place.href)
    rse = chooser(hrefs)
    if rse is None:
        return None
    if rse not in hrefs:
        raise ConfigurationError(
            f"a function given as prefer chose {rse!r}, where no replica is; let it return "
            "one of the RSEs that it is given, or None"
        )
    return next(place for place in ordered if place.rse == rse)
