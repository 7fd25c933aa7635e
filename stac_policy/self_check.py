"""What of this package is active in this Rucio, and what Rucio has swallowed without a word.

Rucio ignores a policy package, or parts of it, that it can not import. So the
question is put to Rucio's own loader, and what it says nothing about is tried
again in the open. To be asked in a fresh process: Rucio remembers its answers.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from stac_policy.algorithms import named
from stac_policy.settings import configured_options, parse, vos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_PACKAGE = __name__.partition(".")[0]
_DEFAULTS = ("non_deterministic_pfn", "scope")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    found: str
    """Where it comes from, or what is wrong with it."""


def findings() -> Iterator[Finding]:
    """Look at everything: package, version, modules, algorithms and settings."""
    yield _try("policy package", _package)
    yield _try("Rucio's version", _version)
    for module in ("permission", "schema"):
        yield _try(f"module {module}", partial(_module, module))
    for vo in _vos():
        for kind in _DEFAULTS:
            what = f"default {kind} of VO {vo}" if vo else f"default {kind}"
            yield _try(what, partial(_default, kind, vo))
    for kind, algorithms in named().items():
        for name in algorithms:
            yield _try(f"{kind} {name}", partial(_named, kind, name))
    yield _try("settings", _settings)


class _WrongError(Exception):
    """Says what is wrong."""


def _try(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, ok=True, found=look())
    except Exception as error:  # noqa: BLE001 - whatever Rucio would swallow is told
        reason = (
            str(error) if isinstance(error, _WrongError) else f"{type(error).__name__}: {error}"
        )
        return Finding(what, ok=False, found=reason)


def _package() -> str:
    from rucio.common import config

    where = f"{importlib.import_module(_PACKAGE).__file__}"
    sharing = None if config.is_client() else vos()
    if sharing:
        return f"{where} for VO {', '.join(sharing)}"
    parser = config.get_config()
    options = dict(parser.items("policy")) if parser.has_section("policy") else {}
    packages = {
        option: value for option, value in options.items() if option.partition("-")[0] == "package"
    }
    if sharing is not None:
        raise _WrongError(f"[policy] names {packages or 'no package'}, not package-VO = {_PACKAGE}")
    variable = os.environ.get("RUCIO_POLICY_PACKAGE")
    if variable and variable != _PACKAGE:
        raise _WrongError(f"the environment variable RUCIO_POLICY_PACKAGE says {variable}")
    if _PACKAGE not in packages.values() and not variable:
        raise _WrongError(f"[policy] names {packages or 'no package'}, not {_PACKAGE}")
    return where


def _version() -> str:
    from rucio.common.plugins import check_policy_module_version
    from rucio.version import current_version

    check_policy_module_version(importlib.import_module(_PACKAGE))
    return str(current_version())


def _module(name: str) -> str:
    return str(importlib.import_module(f"{_PACKAGE}.{name}").__file__)


def _default(kind: str, vo: str) -> str:
    from rucio.common.plugins import PolicyPackageAlgorithms

    active = PolicyPackageAlgorithms._get_default_algorithm(kind, vo)  # noqa: SLF001 - Rucio's loader
    return _ours(active)


def _named(kind: str, name: str) -> str:
    import rucio.common.utils
    from rucio.common.config import is_client
    from rucio.common.plugins import PolicyPackageAlgorithms

    if not is_client():
        import rucio.core.rule
        import rucio.rse.translation
        import rucio.transfertool.fts3_plugins  # noqa: F401 - they register Rucio's own
    PolicyPackageAlgorithms()
    return _ours(PolicyPackageAlgorithms._get_algorithms(kind).get(name))  # noqa: SLF001 - Rucio's loader


def _settings() -> str:
    options = configured_options()
    _, problems = parse(options)
    if problems:
        raise _WrongError("; ".join(problems))
    return ", ".join(options) or "all have their defaults"


def _ours(active: Callable[..., object] | None) -> str:
    if active is None:
        raise _WrongError("Rucio has not loaded it")
    where = f"{active.__module__}.{active.__qualname__}"
    if not where.startswith(f"{_PACKAGE}."):
        raise _WrongError(f"Rucio uses {where}")
    return where


def _vos() -> tuple[str, ...]:
    """The VOs whose default algorithms are asked for; '' is the one of `[policy] package`."""
    from rucio.common.config import is_client

    # Whatever their VO is, Rucio's clients do not name it when they ask for a default.
    return ("",) if is_client() else vos() or ("",)
