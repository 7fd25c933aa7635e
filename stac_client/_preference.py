"""Which replicas of an asset are shown, and which one is preferred; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from stac_client._pfns import MOUNTED, SCHEMES, Mounts, replicas_by_key, without_secrets
from stac_client._rucio import grouped
from stac_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from stac_client._pfns import Prefixes, Replica

Chooser = Callable[[Mapping[str, Sequence[str]]], str | None]
"""Given the URLs of an asset's replicas by RSE, returns the RSE of the wanted one, or None."""
Preference = str | Chooser
"""An RSE, an RSE expression, a URL scheme (`davs`; `file` is what is mounted), or a chooser."""
Prefer = Preference | Sequence[Preference]
RSEs = str | Sequence[str]
Resolved = Mapping[str, "Collection[str]"]
"""The RSEs of each RSE expression."""

_WORD = re.compile(r"[A-Za-z0-9_.+-]+")


class Choice(NamedTuple):
    """A replica, and the preference that led to it."""

    replica: Replica
    preference: Preference


class Selector:
    """Selects the replicas of an asset that are shown, and the one that is preferred."""

    def __init__(
        self, prefer: Prefer, only: RSEs, exclude: RSEs, mounts: Prefixes | None = None
    ) -> None:
        """Check what is wanted; a single preference or RSE needs no list.

        Raises:
            ConfigurationError: Something is neither an RSE nor an expression, nor a
                function among the preferences, or a mount does not fit.
        """
        self.prefer = (prefer,) if callable(prefer) else _terms("prefer", prefer)
        self._only = _terms("only", only)
        self._exclude = _terms("exclude", exclude)
        self._mounts = Mounts(mounts)
        texts = [each for each in self.prefer if isinstance(each, str)]
        self.expressions = [
            each for each in (*texts, *self._only, *self._exclude) if is_expression(each)
        ]
        """The RSE expressions, which Rucio must resolve."""
        self.needs_protocols = bool(mounts) or not {*SCHEMES}.isdisjoint(texts)
        """Whether the best PFN of each RSE does not suffice."""

    def replicas(self, pfns: Mapping[str, Sequence[str]]) -> dict[str, Replica]:
        """Return the replicas with these PFNs by RSE, as they are reached from here."""
        return replicas_by_key(without_secrets(pfns), self._mounts)

    def shown(self, rses: Collection[str], resolved: Resolved) -> list[str]:
        """Return the RSEs that are in one of `only`, if there are any, and in none of `exclude`."""
        if not (self._only or self._exclude):
            return list(rses)
        kept = _rses(self._only, resolved) if self._only else rses
        left_out = _rses(self._exclude, resolved)
        return [rse for rse in rses if rse in kept and rse not in left_out]

    def choose(self, replicas: Iterable[Replica], resolved: Resolved) -> Choice | None:
        """Choose one of the replicas that are shown.

        The first preference that any of them meets decides. Where several meet it,
        a mounted RSE comes first, then the RSEs come by name, and the URLs of one
        of them in Rucio's order, so that the choice is always the same.

        Raises:
            ConfigurationError: A chooser names an RSE without a replica.
        """
        if not self.prefer:
            return None
        ordered = sorted(replicas, key=lambda each: (each.scheme != MOUNTED, each.rse))
        for preference in self.prefer:
            found: Iterator[Replica]
            if isinstance(preference, str):
                found = (each for each in ordered if _meets(each, preference, resolved))
            else:
                found = _chosen(ordered, preference)
            if (replica := next(found, None)) is not None:
                return Choice(replica, preference)
        return None


def is_expression(text: str) -> bool:
    """Return whether a text is an RSE expression, and neither an RSE's name nor a scheme."""
    return not _WORD.fullmatch(text)


def _meets(replica: Replica, preference: str, resolved: Resolved) -> bool:
    if preference in resolved:
        return replica.rse in resolved[preference]
    return preference == replica.rse or preference in replica.schemes


def _chosen(ordered: Sequence[Replica], chooser: Chooser) -> Iterator[Replica]:
    replicas = grouped(ordered, attrgetter("rse"))
    rse = chooser({rse: [each.url for each in some] for rse, some in replicas.items()})
    if rse is not None and rse not in replicas:
        raise ConfigurationError(
            f"a function given as prefer chose {rse!r}, where no replica is",
            hint="let it return one of the RSEs that it is given, or None",
        )
    return (each for each in ordered if each.rse == rse)


def _rses(terms: Iterable[str], resolved: Resolved) -> set[str]:
    return {rse for each in terms for rse in (each, *resolved.get(each, ()))}


def _terms(option: str, given: Any) -> tuple[Any, ...]:
    """The RSEs and RSE expressions of an option, and the functions of `prefer`."""
    several = [given] if isinstance(given, str) else given
    for each in several if isinstance(several, Sequence) else [several]:
        is_text = isinstance(each, str) and each.strip()
        if not is_text and not (option == "prefer" and callable(each)):
            raise ConfigurationError(f"{option} has {each!r}, which is no RSE nor RSE expression")
    return tuple(several)
