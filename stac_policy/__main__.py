"""Shows what of this package is active in this Rucio: `python -m stac_policy`.

To be run where and as the Rucio server or daemon runs, with its rucio.cfg. A
table on a terminal and JSON elsewhere; exit code 1 if anything is wrong.

Rucio ignores a policy package, or parts of it, that it cannot import. So the
question is put to Rucio's own loader, and what it says nothing about is tried
again in the open. To be asked in a fresh process: Rucio remembers its answers.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from stac_policy import installed_rucios
from stac_policy.algorithms import named
from stac_policy.settings import PACKAGE, configured_options, options_of, parse, vos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    ok: bool
    found: str
    """Where it comes from, or what is wrong with it."""


class _WrongError(Exception):
    """Something is wrong; the message says what."""


def main() -> int:
    """Print what was found, and return the exit code."""
    found = list(findings())
    if sys.stdout.isatty():
        width = max(len(finding.what) for finding in found)
        for finding in found:
            mark = "ok   " if finding.ok else "WRONG"
            sys.stdout.write(f"{mark} {finding.what:<{width}}  {finding.found}\n")
    else:
        json.dump([finding._asdict() for finding in found], sys.stdout, indent=2)
        sys.stdout.write("\n")
    return 0 if all(finding.ok for finding in found) else 1


def findings() -> Iterator[Finding]:
    """Yield what is active: package, version, modules, algorithms and settings."""
    for what, look in _looks():
        try:
            yield Finding(what, ok=True, found=look())
        except _WrongError as error:
            yield Finding(what, ok=False, found=str(error))
        except Exception as error:  # noqa: BLE001 - what Rucio would swallow is shown
            yield Finding(what, ok=False, found=f"{type(error).__name__}: {error}")


def _looks() -> Iterator[tuple[str, Callable[[], str]]]:
    from rucio.common.config import is_client

    yield "policy package", _package
    yield "Rucio's version", _version
    yield "Rucio's distribution", _distribution
    for module in ("permission", "schema"):
        yield f"module {module}", partial(_module, module)
    # Whatever their VO is, Rucio's clients do not name it when they ask for a default.
    for vo in ("",) if is_client() else vos() or ("",):
        for kind in ("non_deterministic_pfn", "scope"):
            of_vo = f" of VO {vo}" if vo else ""
            yield f"default {kind}{of_vo}", partial(_default, kind, vo)
    for kind, algorithms in named().items():
        for name in algorithms:
            yield f"{kind} {name}", partial(_named, kind, name)
    yield "settings", _settings


def _package() -> str:
    from rucio.common.config import is_client

    where = str(importlib.import_module(PACKAGE).__file__)
    sharing = None if is_client() else vos()
    if sharing:
        return f"{where} for VO {', '.join(sharing)}"
    packages = {
        option: package
        for option, package in options_of("policy").items()
        if option.partition("-")[0] == "package"
    }
    variable = os.environ.get("RUCIO_POLICY_PACKAGE")
    if sharing is not None:
        raise _WrongError(f"[policy] names {packages or 'no package'}, not package-VO = {PACKAGE}")
    if variable and variable != PACKAGE:
        raise _WrongError(f"the environment variable RUCIO_POLICY_PACKAGE says {variable}")
    if PACKAGE not in packages.values() and not variable:
        raise _WrongError(f"[policy] names {packages or 'no package'}, not {PACKAGE}")
    return where


def _version() -> str:
    from rucio.common.plugins import check_policy_module_version
    from rucio.version import current_version

    check_policy_module_version(importlib.import_module(PACKAGE))
    return str(current_version())


def _distribution() -> str:
    found = " and ".join(map(" ".join, installed_rucios().items()))
    if " and " in found:
        raise _WrongError(f"{found} ship the same files; uninstall both, install one again")
    return found or "installed without a package manager of Python"


def _module(name: str) -> str:
    return str(importlib.import_module(f"{PACKAGE}.{name}").__file__)


def _default(kind: str, vo: str) -> str:
    from rucio.common.plugins import PolicyPackageAlgorithms

    return _ours(PolicyPackageAlgorithms._get_default_algorithm(kind, vo))  # noqa: SLF001 - Rucio's loader


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
    if not where.startswith(f"{PACKAGE}."):
        raise _WrongError(f"Rucio uses {where}")
    return where


if __name__ == "__main__":
    sys.exit(main())
