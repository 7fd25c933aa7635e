"""What a modifier is told to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stac_client.errors import ConfigurationError

from .alternates import locations
from .annotating import Copies
from .mounts import Mounts
from .prefer import SCHEMES, allowed, choose, expressions, is_expression, preferences

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from stac_client.listing import PFNs
    from stac_policy.naming import DID

    from .annotating import Asset
    from .prefer import Preference, Resolved

    Prefer = Preference | Sequence[Preference]
    RSEs = str | Sequence[str]
    Prefixes = Mapping[str, str | os.PathLike[str]]

TIMEOUT_S = 30.0
CACHE_S = 30.0


@dataclass(frozen=True)
class Options:
    """The options of a modifier, checked."""

    prefer: tuple[Preference, ...]
    only: tuple[str, ...]
    exclude: tuple[str, ...]
    mounts: Mounts | None
    protocols: bool
    """Whether every protocol of each RSE is needed, not the best one only."""
    storage: bool
    strict: bool
    timeout_s: float | None
    cache_s: float

    @property
    def expressions(self) -> list[str]:
        """The RSE expressions, which Rucio must resolve."""
        texts = [each for each in self.prefer if isinstance(each, str)]
        return [text for text in (*texts, *self.only, *self.exclude) if is_expression(text)]

    def select(self, asset: Asset, did: DID, pfns: PFNs, resolved: Resolved) -> Copies:
        """Give the ways to an asset's replicas, and choose among them.

        Args:
            asset: The asset.
            did: Its DID.
            pfns: The PFNs of its available replicas.
            resolved: The RSEs of each RSE expression.

        Raises:
            ConfigurationError: A function given as `prefer` chose an RSE without
                a replica.
        """
        found = locations(pfns, self.mounts.path if self.mounts else None)
        rses = allowed(pfns, self.only, self.exclude, resolved)
        choice = choose(found.values(), self.prefer, rses, resolved)
        return Copies(asset, did, found, rses, choice)


def make_options(
    *,
    prefer: Prefer,
    only: RSEs,
    exclude: RSEs,
    mounts: Prefixes,
    protocols: bool,
    storage: bool,
    strict: bool,
    timeout_s: float | None,
    cache_s: float,
) -> Options:
    """Check options, and give them in their strict form.

    Raises:
        ConfigurationError: An option does not fit.
    """
    if timeout_s is not None and not timeout_s > 0:
        raise ConfigurationError(f"timeout_s is {timeout_s!r}; give seconds, or None for any time")
    if not cache_s >= 0:
        raise ConfigurationError(f"cache_s is {cache_s!r}; give seconds, or 0 for no cache")
    wanted = preferences(prefer)
    return Options(
        prefer=wanted,
        only=expressions("only", only),
        exclude=expressions("exclude", exclude),
        mounts=Mounts(mounts) if mounts else None,
        protocols=protocols or bool(mounts) or any(each in SCHEMES for each in wanted),
        storage=storage,
        strict=strict,
        timeout_s=timeout_s,
        cache_s=cache_s,
    )
