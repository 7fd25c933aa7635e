"""What new processes on and beside the server of `multi_vo` say, each asked by a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from .support import run_with_rucio

if TYPE_CHECKING:
    from pathlib import Path

    from tests.policy.multi_vo import Server


_DECISIONS = """
import inspect, json, re
from rucio.common.types import InternalAccount, InternalScope
from rucio.core.permission import generic, generic_multi_vo, has_permission
from rucio.core.rse import get_rse_id
from rucio.db.sqla.constants import DatabaseOperationType
from rucio.db.sqla.session import db_session

source = "".join(inspect.getsource(module.has_permission) for module in (generic, generic_multi_vo))
actions = sorted({*re.findall(r"'(\\w+)': perm_", source), "unknown"})

def decision(ask, issuer, action, kwargs, session):
    try:
        return bool(ask(issuer, action, kwargs, session=session))
    except Exception as error:
        return type(error).__name__

def decisions(ask, vo, session):
    disk = get_rse_id("DISK", vo=vo, session=session)
    dids = [{"scope": InternalScope("c", vo=vo), "name": "raw.dat"}]
    kwargs = {
        "scope": dids[0]["scope"], "name": "raw.dat", "dids": dids, "attachments": dids,
        "account": InternalAccount("alice", vo=vo), "rse": "DISK", "rse_id": disk,
        "rse_exp": "DISK", "rse_expression": "DISK", "locked": False, "subscription_id": "s",
        "parameters": {}, "meta": {}, "rule_id": "0" * 32, "request_id": "0" * 32,
    }
    return {
        f"{account} {action}": decision(
            ask, InternalAccount(account, vo=vo), action, kwargs, session
        )
        for account in ("root", "alice", "registrar", "manager")
        for action in actions
    }

with db_session(DatabaseOperationType.READ) as session:
    print(json.dumps({
        "ours": decisions(has_permission, "eoc", session),
        "other": decisions(has_permission, "met", session),
        "single": decisions(generic.has_permission, "eoc", session),
    }))
"""


def ask_decisions(server: Server, folder: Path) -> Any:
    """The decision of every action, for accounts of both VOs and by the rules of a single VO."""
    return run_with_rucio(_DECISIONS, folder, **server.sections())


_ALGORITHMS = """
import json, sys
sys.path.append(FOLDER)
from rucio.common.utils import construct_non_deterministic_pfn, extract_scope
# First of all, before anything else is asked: the first path must not be another one.
answer = {"first": construct_non_deterministic_pfn("a.b", "c", "/c/item/port.tif", vo="eoc")}

from rucio.common.exception import RucioException
from rucio.common.plugins import PolicyPackageAlgorithms
from rucio.common.schema import get_schema_value
from rucio.common.types import InternalAccount
from rucio.core.permission import has_permission, permission_modules
from rucio.core.rse import get_rse_id
from rucio.db.sqla.constants import DatabaseOperationType
from rucio.db.sqla.session import db_session
from stac_policy.__main__ import findings

def pfn(label, vo):
    try:
        return construct_non_deterministic_pfn("a.b", "c", f"/c/item/{label}.tif", vo=vo)
    except RucioException as error:
        return f"{type(error).__name__}: {error}"

def of_vo(vo, session):
    registrar = InternalAccount("registrar", vo=vo)
    source = {"rse_id": get_rse_id("STAC", vo=vo, session=session)}
    return {
        "scope": extract_scope("c/item", vo=vo),
        "registrar": bool(has_permission(registrar, "add_replicas", source, session=session)),
        "permission": permission_modules[vo].__name__,
        "regexp": get_schema_value("SCOPE_NAME_REGEXP", vo),
        "pfns": {
            label: pfn(label, vo) for label in ("port", "alike", "differing", "source-elsewhere")
        },
    }

answer["wrong"] = [str(finding) for finding in findings() if not finding.ok]
answer["named"] = {
    kind: ours
    for kind, algorithms in PolicyPackageAlgorithms._ALGORITHMS.items()
    if (ours := sorted(n for n, a in algorithms.items() if a.__module__.startswith("stac_policy")))
}
with db_session(DatabaseOperationType.READ) as session:
    answer |= {vo: of_vo(vo, session) for vo in ("eoc", "met")}
print(json.dumps(answer))
"""


def ask_algorithms(server: Server, folder: Path, policy: dict[str, Any]) -> Any:
    """What a new server process says with a `[policy]` section."""
    script = f"FOLDER = {str(folder)!r}\n{_ALGORITHMS}"
    return run_with_rucio(script, folder, **server.sections(policy=policy))


_CLIENT = """
import json
from stac_policy.__main__ import findings
wrong = [finding.what for finding in findings() if not finding.ok]

from rucio.client import Client
from rucio.common.config import is_client
from rucio.common.utils import ScopeExtractionAlgorithms, extract_scope

client = Client()
print(json.dumps({
    "wrong": wrong,
    "is_client": is_client(),
    "vo": client.vo,
    "names": [n for n in ("stac", "eoc_stac") if ScopeExtractionAlgorithms.supports(n)],
    "did": client.get_did(*extract_scope("c/item"))["name"],
}))
"""


def ask_client(server: Server, folder: Path, sections: dict[str, Any]) -> Any:
    """What a new client of `eoc` says with these sections in its rucio.cfg."""
    client = {
        "rucio_host": server.url,
        "auth_host": server.url,
        "auth_type": "userpass",
        "username": "alice@eoc",
        "password": "password",
        "account": "alice",
        "vo": "eoc",
        "auth_token_file_path": f"{folder}/token",
    }
    return run_with_rucio(_CLIENT, folder, client=client, **sections)


def run_module(rucio_cfg: Path) -> tuple[int, Any]:
    """Run `python -m stac_policy` with a rucio.cfg, and give its exit code and findings."""
    result = subprocess.run(
        [sys.executable, "-m", "stac_policy"],
        env={name: value for name, value in os.environ.items() if not name.startswith("RUCIO_")}
        | {"RUCIO_CONFIG": str(rucio_cfg)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return result.returncode, json.loads(result.stdout)
