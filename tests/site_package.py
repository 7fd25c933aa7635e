"""What a server does whose policy package is that of a site: `examples/policy-package`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rucio.common.exception import AccessDenied, InvalidObject

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parents[1] / "examples" / "policy-package"
PACKAGE = "met_policy"
NO_SLASHES = """
NAME = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"}
SCHEMAS = {"dids": {"type": "array", "items": {"properties": {"name": NAME}}}}
"""
"""A schema, as some published packages have it, whose names know no slash."""


def file(scope: str, name: str, **more: Any) -> dict[str, Any]:
    """A replica as Rucio's client takes it."""
    return {"scope": scope, "name": name, "bytes": 1, "adler32": "00000001", **more}


def check(client: Callable[[str], Any], scope: str, source: str, disk: str) -> None:
    """Check that the rules of the site, those of registrars and else Rucio's hold together.

    Args:
        client: Returns a client of an account: root, alice or registrar.
        scope: The scope of a collection of that name.
        source: A source RSE.
        disk: An RSE at which alice has a limit.
    """
    root, alice, registrar = map(client, ("root", "alice", "registrar"))
    name = f"/{scope}/by-a-registrar"
    item, asset = {"scope": scope, "name": name}, file(scope, f"{name}/x.tif")
    url = "https://data.example.org/x.tif"
    with pytest.raises(AccessDenied):
        alice.add_replicas(source, [asset | {"pfn": url}])
    registrar.add_replicas(source, [asset | {"pfn": url}])
    registrar.add_dids([item | {"type": "DATASET"}])
    content = [{"scope": scope, "name": asset["name"]}]
    registrar.attach_dids_to_dids([item | {"dids": content}])
    assert [each["name"] for each in alice.list_content(**item)] == [asset["name"]]

    with pytest.raises(AccessDenied):
        registrar.add_dids([{"scope": scope, "name": "run-1", "type": "DATASET"}])
    root.add_dids([{"scope": scope, "name": "run-1", "type": "DATASET"}])
    with pytest.raises(InvalidObject):
        root.add_dataset(scope, "RUN-1")

    with pytest.raises(AccessDenied):
        alice.add_scope("alice", "met-forecast")
    root.add_account_attribute("alice", "forecaster", "yes")
    alice.add_scope("alice", "met-forecast")
    with pytest.raises(AccessDenied):
        alice.add_rse("MINE")

    with pytest.raises(AccessDenied):
        alice.add_replication_rule([item], 1, "TAPE")
    assert alice.add_replication_rule([item], 1, disk)
