"""rucio-jupyterlab beside the names of assets: it searches them, and has no details of them.

Not among the tests that are found by themselves, but run by its name: `make jupyterlab`, which
installs the newest rucio-jupyterlab 41 into an environment of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stac_client import StacClient
from tests.items import make_item

if TYPE_CHECKING:
    from stac_testbed.lake import Lake

PYTHON = Path(".venv/jupyterlab/bin/python")
ACCOUNT = "alice"
CONTENT = b"bytes of a scene"

ASKED = """
import json, sys
from rucio_jupyterlab.rucio.exceptions import RucioHTTPException
from rucio_jupyterlab.rucio.rucio import RucioAPI
from rucio_jupyterlab.rucio.download import RucioFileDownloader

url, account, password, scope, item, asset, folder = sys.argv[1:]
login = {"username": account, "password": password, "account": account}
api = RucioAPI({"name": "lake", "rucio_base_url": url}, "userpass", login)

def answered(method, name):
    try:
        return getattr(api, method)(scope, name)
    except RucioHTTPException as error:
        return str(error.exception_class)

print(json.dumps({
    "search": [did["name"] for did in api.search_did(scope, f"/{scope}/*", "all")],
    **{method: answered(method, item) for method in ("get_files", "get_metadata", "get_rules")},
    "get_replicas": answered("get_replicas", asset),
    "rules": api.add_replication_rule([{"scope": scope, "name": item}], 1, "DISK-A"),
    "downloaded": [each["dest_file_paths"] for each in
                   RucioFileDownloader.download(folder, f"{scope}:{item}")],
}))
"""


@pytest.fixture
def registered(stac_lake: Lake) -> dict[str, Any]:
    """An item with one file of an origin."""
    rucio = stac_lake.client()
    rucio.add_scope("root", "jupyter")
    (stac_lake.layout.data("origin-a") / "jupyter.tif").write_bytes(CONTENT)
    url = f"{stac_lake.layout.url('origin-a')}/jupyter.tif"
    item = make_item("jupyter", "scene", {"red": {"href": url, "roles": ["data"]}})
    StacClient(rucio).create_replicas(item, "STAC").raise_for_failed()
    return item


@pytest.mark.usefixtures("registered")
def test_what_works_and_what_does_not(stac_lake: Lake, tmp_path: Path) -> None:
    """Searches, rules and downloads name DIDs in full; what has a name in its path loses a slash.

    Where that is mended, docs/tools.md can say so.
    """
    asked = ("jupyter", "/jupyter/scene", "/jupyter/scene/red.tif", str(tmp_path))
    result = subprocess.run(  # noqa: S603 - of an environment of its own
        [
            *(PYTHON, "-c", ASKED, stac_lake.rucio_url),
            *(ACCOUNT, stac_lake.layout.passwords[ACCOUNT], *asked),
        ],
        env={**os.environ, **stac_lake.environment(ACCOUNT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert sorted(found["search"]) == ["/jupyter/scene", "/jupyter/scene/red.tif"]
    for method in ("get_files", "get_metadata", "get_rules"):
        assert found[method] == "DataIdentifierNotFound"
    assert found["get_replicas"] in ([], "DataIdentifierNotFound", "ReplicaNotFound")
    (rule_id,) = found["rules"]
    assert stac_lake.client().get_replication_rule(rule_id)["name"] == "/jupyter/scene"
    ((path,),) = found["downloaded"]
    assert Path(path).read_bytes() == CONTENT
