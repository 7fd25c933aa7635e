"""The assets that a command line names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stac_client import Outcome
    from stac_client.catalogue.selection import AssetSelection


@dataclass(frozen=True)
class AssetOptions:
    """Which assets are wanted: those for which all that is given holds."""

    keys: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    media_types: tuple[str, ...] = ()

    @property
    def selection(self) -> AssetSelection:
        """The selection, as `StacClient` takes it."""
        if not self.roles and not self.media_types:
            return self.keys or None
        from stac_client.catalogue.selection import by_media_type, by_role

        predicates = [
            by_role(*self.roles) if self.roles else _any,
            by_media_type(*self.media_types) if self.media_types else _any,
            (lambda key, _: key in self.keys) if self.keys else _any,
        ]
        return lambda key, asset: all(predicate(key, asset) for predicate in predicates)

    def watched(self) -> tuple[AssetSelection, Callable[[], Iterator[Outcome]]]:
        """The selection, and afterwards an outcome for each key that no item had.

        For what works through items in groups: it can not tell itself.
        """
        selection = self.selection
        if not isinstance(selection, tuple):
            return selection, lambda: iter(())
        unseen = set(selection)
        looked = False

        def select(key: str, _: Mapping[str, Any]) -> bool:
            nonlocal looked
            looked = True
            unseen.discard(key)
            return key in selection

        def outcomes() -> Iterator[Outcome]:
            from stac_client.results import Outcome, State

            for key in sorted(unseen) if looked else ():
                yield Outcome("", "", key, State.SKIPPED, "no item has an asset with this key")

        return select, outcomes


def _any(_: str, __: Mapping[str, Any]) -> bool:
    return True
