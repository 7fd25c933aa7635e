"""Which copy of an asset is wanted most; pure."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, Union
from urllib.parse import unquote

from stac_client._replicas import MOUNTED
from stac_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable

    from stac_client._replicas import Location


# Storages that are mounted here: from a PFN to the path of its file; pure.


_PREFIX = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]+/[^?#]*", re.IGNORECASE)
_PERCENT_ENCODED = ("http://", "https://", "dav://", "davs://")
"""In URLs of these schemes, `%20` in the path stands for a space."""


class Mounts:
    """Gives the local path of a PFN that lies below a mounted prefix.

    No PFN leads out of the folder that its prefix is mounted at: one with `..`,
    plainly or percent-encoded, has no path here. (What symbolic links in that
    folder lead to is up to who made them.)
    """

    def __init__(self, prefixes: Mapping[str, str | os.PathLike[str]]) -> None:
        """Take the folder of each prefix: `davs://host:443/rucio/` -> `/eos/rucio/`.

        Raises:
            ConfigurationError: A prefix is no URL with a host and a path, or a
                folder is no absolute path.
        """
        self._folders = {}
        for prefix, folder in prefixes.items():
            path = os.fspath(folder)
            if not _PREFIX.fullmatch(_ended(prefix)):
                raise ConfigurationError(
                    f"mounts: {prefix!r} is not the beginning of a URL (davs://host:443/rucio/ is)"
                )
            if not path.startswith("/") or ".." in path.split("/"):
                raise ConfigurationError(f"mounts: {path!r} is not the absolute path of a folder")
            self._folders[_ended(prefix)] = _ended(path)
        # The longest prefix is the closest.
        self._prefixes = sorted(self._folders, key=len, reverse=True)

    def path(self, pfn: str) -> str | None:
        """Give the local path of a PFN, or None if it has none."""
        for prefix in self._prefixes:
            if pfn.startswith(prefix):
                encoded = prefix.lower().startswith(_PERCENT_ENCODED)
                below = _below(pfn[len(prefix) :], percent_encoded=encoded)
                return None if below is None else self._folders[prefix] + below
        return None


def _below(path: str, *, percent_encoded: bool) -> str | None:
    """A path below a folder, or None if it is none."""
    if "?" in path or "#" in path or path.endswith("/"):
        return None
    parts = [part for part in path.split("/") if part]
    if percent_encoded:
        try:
            parts = [unquote(part, errors="strict") for part in parts]
        except UnicodeDecodeError:
            return None
    if not parts or any(part in {".", ".."} or re.search(r"[/\\\0]", part) for part in parts):
        return None
    return "/".join(parts)


def _ended(prefix: str) -> str:
    return prefix if prefix.endswith("/") else f"{prefix}/"


Chooser = Callable[[Mapping[str, Sequence[str]]], Optional[str]]
"""Given the hrefs of an asset's copies by RSE, names the RSE whose copy is wanted, or None."""
Preference = Union[str, Chooser]
"""An RSE, an RSE expression, a URL scheme (`davs`; `file` is what is mounted), or a chooser."""
Resolved = Mapping[str, "Collection[str]"]
"""The RSEs of each RSE expression."""

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
