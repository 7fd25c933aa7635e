"""The `[stac]` section of rucio.cfg, or of Rucio's config table."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache


@dataclass(frozen=True)
class Settings:
    """What an operator configures; every option has a default."""

    allowed_hosts: tuple[str, ...] = field(default=())
    """Hosts of URLs that may be registered and fetched; all, if empty.

    See `stac_policy.urls.refusal` for their form.
    """

    scopes: frozenset[str] = field(default=frozenset())
    """Fixed scopes that hold STAC assets, besides those derived from collections."""


@cache
def settings() -> Settings:
    """Read the settings once; like the rest of rucio.cfg they change with a restart."""
    return Settings(
        allowed_hosts=_words("allowed_hosts"),
        scopes=frozenset(_words("scopes")),
    )


def _words(option: str) -> tuple[str, ...]:
    from rucio.common.config import config_get_list

    words = config_get_list("stac", option, raise_exception=False, default=[])
    # Rucio leaves the line breaks of a list that goes over several lines.
    return tuple(word.strip() for word in words)
