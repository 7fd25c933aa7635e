"""Why a modifier chose a copy, for people to read; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stac_policy.urls import redact

from .prefer import is_expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stac_policy.naming import DID

    from .annotating import Asset, Copies
    from .prefer import Choice, Preference


@dataclass(frozen=True)
class Candidate:
    """A way to a replica of an asset."""

    key: str
    """Its key among the alternates: the RSE, with the scheme where the RSE has several."""
    rse: str
    href: str
    allowed: bool
    """Whether `only` and `exclude` let it through."""
    chosen: bool

    def __str__(self) -> str:
        mark = "*" if self.chosen else " "
        why = "" if self.allowed else "  (left out by only or exclude)"
        return f"{mark} {self.key}  {redact(self.href)}{why}"


@dataclass(frozen=True)
class Explanation:
    """What a modifier does to an asset, and why."""

    item: str
    asset: str
    did: DID | None
    """The file in Rucio; none where Rucio knows none."""
    candidates: tuple[Candidate, ...]
    """The ways to its available replicas."""
    chosen: Candidate | None
    """The one that becomes the `href`; if there is none, the `href` stays."""
    reason: str

    def __str__(self) -> str:
        did = "" if self.did is None else f" ({self.did})"
        lines = [f"{self.item}/{self.asset}{did}: {self.reason}", *map(str, self.candidates)]
        return "\n  ".join(lines)


def explain(asset: Asset, copies: Copies | None, prefer: Sequence[Preference]) -> Explanation:
    """Explain what becomes of an asset.

    Args:
        asset: The asset.
        copies: Its copies, if Rucio knows it.
        prefer: What is wanted.
    """
    item = str(asset.item.id)
    if copies is None:
        reason = "the href stays, because Rucio does not know the asset"
        return Explanation(item, asset.key, None, (), None, reason)
    choice = copies.choice
    candidates = tuple(
        Candidate(
            place.key,
            place.rse,
            place.href,
            allowed=place.rse in copies.rses,
            chosen=choice is not None and choice.location == place,
        )
        for place in copies.found.values()
    )
    chosen = next((each for each in candidates if each.chosen), None)
    reason = _reason(candidates, prefer, choice)
    return Explanation(item, asset.key, copies.did, candidates, chosen, reason)


def _reason(
    candidates: Sequence[Candidate], prefer: Sequence[Preference], choice: Choice | None
) -> str:
    if choice is not None:
        return f"{choice.location.key} becomes the href, because {_because(choice)}"
    if not candidates:
        return "the href stays, because no replica is available"
    if not any(each.allowed for each in candidates):
        return "the href stays, because only and exclude leave no replica"
    if not prefer:
        return "the href stays, because nothing is preferred"
    wanted = ", ".join(_text(each) for each in prefer)
    return f"the href stays, because no replica is at any that is preferred: {wanted}"


def _because(choice: Choice) -> str:
    preference, place = choice.preference, choice.location
    if not isinstance(preference, str):
        return f"{_text(preference)} chose it"
    if is_expression(preference):
        return f"its RSE is the first by name that {preference} gives"
    if preference == place.rse:
        return f"{preference} is preferred"
    return f"its scheme {preference} is preferred"


def _text(preference: Preference) -> str:
    if isinstance(preference, str):
        return preference
    return f"the function {getattr(preference, '__name__', type(preference).__name__)}"
