"""Shows what of this package is active in this Rucio: `python -m stac_policy`.

To be run where and as the Rucio server, a daemon or a client runs, with its rucio.cfg.
A table on a terminal and JSON elsewhere; exit code 1 if anything is wrong.

Rucio ignores a policy package, or parts of it, that it cannot import. So the question is
put to Rucio's own loader, and what it has loaded is ours, or is tried: a site's own policy
package may ask ours. To be asked in a fresh process: Rucio remembers its answers.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rucio.common.config import is_client

from stac_policy import access, bodies, http, installed_rucios
from stac_policy.algorithms import named
from stac_policy.gateway import read_keys
from stac_policy.naming import DID, SAMPLES, item_name
from stac_policy.settings import (
    PACKAGE,
    SOURCE_PROTOCOL,
    configured_options,
    parse,
    policy_packages,
    unreadable,
    vos,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ITEM = DID("stac-rucio", item_name("stac-rucio", "doctor"))  # that nobody has
_URL = "https://data.example.org/x.tif"
_WAIT_S = 3.0
_HOW = "see docs/algorithms.md, In a policy package of your own"


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
    """Yield what is active: package, version, protocol, modules, algorithms and settings."""
    try:
        packages = _packages()
    except Exception as error:  # noqa: BLE001 - Rucio's modules read it when they are imported
        yield Finding("rucio.cfg", ok=False, found=unreadable(error))
        return
    parts = {vo: [_look(*part) for part in _parts(vo)] for vo in packages}
    # A VO may have a package that has nothing to do with STAC.
    ours = {
        vo: package
        for vo, package in packages.items()
        if package == PACKAGE or any(part.ok for part in parts[vo])
    }
    yield _look("policy package", partial(_package, ours))
    yield _look("Rucio's version", partial(_version, sorted({PACKAGE, *ours.values()})))
    yield _look("Rucio's distribution", _distribution)
    yield _look("protocol", _protocol)
    for vo in ours or packages:
        yield from parts[vo]
    algorithms = _algorithms(packages)
    for kind, name in algorithms:
        yield _look(f"{kind} {name}", partial(_named, kind, name))
    if not is_client():
        names = {name for kind, name in algorithms if kind == "lfn2pfn"}
        for vo in ours or packages:
            yield _look(f"paths back to DIDs{_of(vo)}", partial(_paths_back, vo, names))
        yield _look("memcached", _memcached)
    yield _look("settings", _settings)
    if {"gateway", "gateway_keys"} & {*configured_options()}:
        yield _look("gateway", _gateway)


def _look(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, ok=True, found=look())
    except _WrongError as error:
        return Finding(what, ok=False, found=str(error))
    except Exception as error:  # noqa: BLE001 - what Rucio would swallow is shown
        return Finding(what, ok=False, found=f"{type(error).__name__}: {error}")


def _packages() -> dict[str, str]:
    """Return the policy packages that Rucio looks into here, by VO; '' if it does not say."""
    found = policy_packages()
    if is_client():
        # Whatever their VO is, Rucio's clients do not name it when they ask for a default.
        return {"": found.get("") or next(iter(found.values()), "")}
    multi_vo = vos() is not None
    return {vo: package for vo, package in found.items() if bool(vo) is multi_vo}


def _parts(vo: str) -> Iterator[tuple[str, Callable[[], str]]]:
    if not is_client():  # Rucio's clients have neither
        yield f"permission{_of(vo)}", partial(_permission, vo)
        yield f"schema{_of(vo)}", partial(_schema, vo)
    for kind in ("non_deterministic_pfn", "scope"):
        yield f"default {kind}{_of(vo)}", partial(_default, kind, vo)


def _of(vo: str) -> str:
    return f" of VO {vo}" if vo else ""


def _package(packages: dict[str, str]) -> str:
    if not packages:
        wanted = "package" if vos() is None or is_client() else "package-VO"
        raise _WrongError(
            f"[policy], or the environment variable RUCIO_POLICY_PACKAGE, names "
            f"{policy_packages() or 'no package'}, not {wanted} = {PACKAGE} or one that asks it"
        )
    return ", ".join(
        str(importlib.import_module(package).__file__) + (f" for VO {vo}" if vo else "")
        for vo, package in packages.items()
    )


def _version(packages: list[str]) -> str:
    from rucio.common.plugins import check_policy_module_version
    from rucio.version import current_version

    for package in filter(None, packages):
        check_policy_module_version(importlib.import_module(package))
    return str(current_version())


def _distribution() -> str:
    found = " and ".join(map(" ".join, installed_rucios().items()))
    if " and " in found:
        raise _WrongError(f"{found} ship the same files; uninstall both, install one again")
    return found or "installed without a package manager of Python"


def _protocol() -> str:
    module, _, name = SOURCE_PROTOCOL.rpartition(".")
    getattr(importlib.import_module(module), name)
    return SOURCE_PROTOCOL


def _memcached() -> str:
    from rucio.common import cache

    if cache.ENABLE_CACHING:
        return str(cache.CACHE_URL)
    return f"none at {cache.CACHE_URL}: Rucio works, and asks its database the same all the time"


def _permission(vo: str) -> str:
    from rucio.common.constants import DEFAULT_VO
    from rucio.common.types import InternalAccount, InternalScope
    from rucio.core import permission
    from rucio.db.sqla.constants import DatabaseOperationType
    from rucio.db.sqla.session import db_session

    vo = vo or DEFAULT_VO
    if vo not in permission.permission_modules:
        permission.load_permission_for_vo(vo)
    asked = permission.permission_modules[vo]
    account, scope = InternalAccount("stac-rucio", vo=vo), InternalScope(_ITEM.scope, vo=vo)
    item = {"scope": scope, "name": _ITEM.name, "type": "DATASET"}
    read = db_session(DatabaseOperationType.READ)
    with read as session, _instead("permission", "is_registrar", lambda *_: True):
        may = asked.has_permission(account, "add_dids", {"dids": [item]}, session=session)
    if not may:
        raise _WrongError(f"{asked.__name__} keeps registrars from registering: {_HOW}")
    return str(asked.__name__)


def _schema(vo: str) -> str:
    from rucio.common import schema
    from rucio.common.constants import DEFAULT_VO

    vo = vo or DEFAULT_VO
    dids = [{"scope": _ITEM.scope, "name": name} for name in SAMPLES]
    schema.validate_schema("dids", dids, vo)
    parts = re.match(
        schema.get_schema_value("SCOPE_NAME_REGEXP", vo), f"/{_ITEM.scope}/{SAMPLES[0]}"
    )
    where = str(schema.schema_modules[vo].__name__)
    if not parts or parts.groups() != (_ITEM.scope, SAMPLES[0]):
        raise _WrongError(f"SCOPE_NAME_REGEXP of {where} finds no names with slashes: {_HOW}")
    return where


def _default(kind: str, vo: str) -> str:
    from rucio.common.plugins import PolicyPackageAlgorithms

    active = PolicyPackageAlgorithms._get_default_algorithm(kind, vo)  # noqa: SLF001 - Rucio's loader
    if active is None:
        raise _WrongError("Rucio has not loaded it")
    where = f"{active.__module__}.{active.__qualname__}"
    with _instead("non_deterministic_pfn", "original_url", lambda _: _URL):
        if kind == "scope":
            asks = tuple(active(_ITEM.name, None)) == _ITEM
        else:
            asks = active("dataset", _ITEM.scope, SAMPLES[0]) == _URL
    if not asks:
        raise _WrongError(f"Rucio uses {where}, which does not ask {PACKAGE}: {_HOW}")
    return where


def _algorithms(packages: dict[str, str]) -> list[tuple[str, str]]:
    """Return types and names of our algorithms: those there must be, and those that are there."""
    import rucio.common.utils
    from rucio.common.plugins import PolicyPackageAlgorithms

    if not is_client():
        import rucio.core.rule
        import rucio.rse.translation
        import rucio.transfertool.fts3_plugins  # noqa: F401 - they register Rucio's own
    PolicyPackageAlgorithms()
    wanted = named() if PACKAGE in packages.values() else {}
    found = {(kind, name): None for kind, algorithms in wanted.items() for name in algorithms}
    for kind, algorithms in PolicyPackageAlgorithms._ALGORITHMS.items():  # noqa: SLF001
        for name, algorithm in algorithms.items():
            if _is_ours(algorithm):
                found[kind, name] = None
    return list(found)


def _named(kind: str, name: str) -> str:
    from rucio.common.plugins import PolicyPackageAlgorithms

    active = PolicyPackageAlgorithms._ALGORITHMS.get(kind, {}).get(name)  # noqa: SLF001 - Rucio's loader
    if active is None:
        raise _WrongError("Rucio has not loaded it")
    where = f"{active.__module__}.{active.__qualname__}"
    if not _is_ours(active):
        raise _WrongError(f"Rucio uses {where}")
    return where


def _paths_back(vo: str, names: set[str]) -> str:
    """Return what gives DIDs for PFNs; no request to a server shows it.

    There is one for all RSEs, and Rucio's own is wrong where paths are ours.
    """
    from rucio.common.constants import DEFAULT_VO
    from rucio.common.exception import DatabaseException
    from rucio.db.sqla.constants import DatabaseOperationType
    from rucio.db.sqla.models import RSE, RSEAttrAssociation
    from rucio.db.sqla.session import db_session
    from rucio.rse.rsemanager import get_scope_protocol
    from sqlalchemy import select

    vo = vo or DEFAULT_VO
    active = get_scope_protocol(vo)
    where = f"{active.__module__}.{active.__qualname__}"
    folder, _, file = SAMPLES[0].rpartition("/")
    if active({"path": f"{folder}/", "name": file}) == (SAMPLES[0], _ITEM.scope):
        return where
    statement = select(RSE.rse, RSE.deleted, RSEAttrAssociation.value)
    statement = statement.join(RSEAttrAssociation, RSE.id == RSEAttrAssociation.rse_id)
    statement = statement.where(RSE.vo == vo, RSEAttrAssociation.key == "lfn2pfn_algorithm")
    try:
        with db_session(DatabaseOperationType.READ) as session:
            found = session.execute(statement)
            rses = sorted(rse for rse, deleted, value in found if value in names and not deleted)
    except DatabaseException:
        return f"{where}; whether RSEs need another cannot be seen, as the database does not say"
    if rses:
        raise _WrongError(
            f"Rucio uses {where}, which gives wrong DIDs for PFNs at {', '.join(rses)} "
            "(lfn2pfn_algorithm): set [policy] pfn2lfn, see docs/algorithms.md"
        )
    return f"{where}, which no RSE needs to be another"


def _is_ours(algorithm: Any) -> bool:
    return str(algorithm.__module__).partition(".")[0] == PACKAGE


def _settings() -> str:
    options = configured_options()
    _, problems = parse(options)
    if problems:
        raise _WrongError("; ".join(problems))
    return ", ".join(options) or "all have their defaults"


def _gateway() -> str:
    """Return by which keys and table files lead through the gateway, to compare hosts by.

    A URL by a key that the gateway does not have gets 403, and FTS takes the file for lost.
    """
    ours, _ = parse(configured_options())
    if not (ours.gateway and ours.gateway_keys):
        raise _WrongError("[stac] has to name both, gateway and gateway_keys")
    keys = [key.id for key in read_keys(ours.gateway_keys)]
    tables = [Path(access.__file__).with_name("origins.tsv")]
    tables += [Path(ours.origins)] if ours.origins else []
    digest = hashlib.sha256(b"".join(table.read_bytes() for table in tables)).hexdigest()
    found = f"{ours.gateway}: keys {', '.join(keys)}; table of origins {digest[:16]}"
    url = f"{ours.gateway.replace('{origin}', 'healthz').rstrip('/')}/healthz"
    try:
        with http.make_session() as session, http.open_url(session, url, (), _WAIT_S) as answer:
            there = bodies.read_json(answer, 1 << 16, time.monotonic() + _WAIT_S)["keys"]
    except (http.FetchError, KeyError, TypeError) as error:
        return f"{found}; not compared with the gateway's: {error}"
    if keys[0] not in there:
        raise _WrongError(f"{found}; the gateway does not have the first of the keys")
    return f"{found}; the gateway has the first of the keys"


@contextmanager
def _instead(module: str, name: str, stand_in: object) -> Iterator[None]:
    """Let a function of ours be another one: what asks it has the answer of that."""
    asked = importlib.import_module(f"{PACKAGE}.{module}")
    ours = getattr(asked, name)
    setattr(asked, name, stand_in)
    try:
        yield
    finally:
        setattr(asked, name, ours)


if __name__ == "__main__":
    sys.exit(main())
