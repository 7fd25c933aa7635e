"""The algorithms that can be asked for by name, by Rucio's algorithm types."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from .approval import approve
from .non_deterministic_pfn import non_deterministic_pfn, rucio_default
from .scope import scope
from .storage_paths import lfn2pfn, pfn2lfn, tape_path
from .tape import collocation_hints

if TYPE_CHECKING:
    from collections.abc import Callable

_PACKAGE = __name__.partition(".")[0]
_VARIABLE = "RUCIO_POLICY_PACKAGE_"
"""With the name of a VO behind it, Rucio prefers it to the option `package-VO`."""

BY_TYPE: dict[str, dict[str, Callable[..., Any]]] = {
    "auto_approve": {"stac": approve},
    "fts3_tape_metadata_plugins": {"stac": collocation_hints},
    "lfn2pfn": {"stac": lfn2pfn},
    "non_deterministic_pfn": {
        "stac": non_deterministic_pfn,
        "stac_path": tape_path,
        "rucio_default": rucio_default,
    },
    "pfn2lfn": {"stac": pfn2lfn},
    "scope": {"stac": scope},
}


def named() -> dict[str, dict[str, Callable[..., Any]]]:
    """The algorithms by the names that this server knows them by.

    On a multi-VO server the names begin with that of the VO (`VO_stac`). Rucio
    does not say for which VO it asks, so a package that several VOs share can
    give them none: they have the defaults alone, or a package of their own that
    passes on `of_vo`.
    """
    sharing = vos()
    if sharing is None:
        return {kind: dict(algorithms) for kind, algorithms in BY_TYPE.items()}
    return of_vo(sharing[0]) if len(sharing) == 1 else {}


def of_vo(vo: str) -> dict[str, dict[str, Callable[..., Any]]]:
    """The algorithms by the names that a VO of a multi-VO server knows them by."""
    return {
        kind: {f"{vo}_{name}": algorithm for name, algorithm in algorithms.items()}
        for kind, algorithms in BY_TYPE.items()
    }


@cache
def vos() -> tuple[str, ...] | None:
    """The VOs whose policy package this is; None on a server that has but one."""
    from rucio.common.config import config_get_bool, get_config

    # Not from the config table: this is asked while Rucio's own modules are being imported.
    if not config_get_bool("common", "multi_vo", False, False, check_config_table=False):  # noqa: FBT003 - Rucio's overloads
        return None
    parser = get_config()
    options = dict(parser.items("policy")) if parser.has_section("policy") else {}
    packages = {
        option.removeprefix("package-"): package
        for option, package in options.items()
        if option.startswith("package-")
    }
    for variable, package in os.environ.items():
        if variable.startswith(_VARIABLE) and package:
            packages[variable.removeprefix(_VARIABLE).lower()] = package
    return tuple(vo for vo, package in packages.items() if package == _PACKAGE)
