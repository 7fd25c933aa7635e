"""Errors of connecting to Rucio and STAC: one clear line each, from a new process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pystac_client
import pytest

from stac_client import (
    AccessError,
    AlternatesWarning,
    ConfigurationError,
    StacClient,
    UnreachableError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from stac_testbed.lake import Lake


_CONNECT = """
from stac_client import StacClient, StacRucioError
try:
    StacClient()
except StacRucioError as error:
    print(f"{type(error).__name__}: {error}")
else:
    print("connected")
"""


def connect(config: Any, tmp_path: Any, **overrides: Any) -> str:
    """Connect in a new process with the rucio.cfg `config`, and give what it says."""
    text = config.read_text() if config else "[client]\n"
    for key, value in overrides.items():
        lines = [f"{key} = {value}" if line.startswith(key) else line for line in text.splitlines()]
        text = "\n".join(lines)
    path = tmp_path / "rucio.cfg"
    path.write_text(text)
    environment = {name: value for name, value in os.environ.items() if "RUCIO" not in name}
    result = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-c", _CONNECT],
        env=environment | {"RUCIO_CONFIG": str(path), "STAC_RUCIO_RETRY_S": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    (line,) = result.stdout.splitlines()
    return line


def test_rucio_cfg_suffices(stac_lake: Lake, tmp_path: Path) -> None:
    """StacClient() connects as rucio.cfg says."""
    assert connect(stac_lake.layout.client_cfg("alice"), tmp_path) == "connected"


def test_account_and_rucio_cfg_as_arguments(
    stac_lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are for this client alone, and are not those of a client that is given."""
    given = stac_lake.client()
    monkeypatch.setenv("RUCIO_CONFIG", str(tmp_path / "none.cfg"))
    alice, root = (stac_lake.layout.client_cfg(each) for each in ("alice", "root"))
    clients = [StacClient(config=alice), StacClient(config=str(root), account="root")]
    assert [each.replication_rules().to_dicts() is not None for each in clients] == [True, True]
    assert "account alice" in repr(clients[0])
    assert "account root" in repr(clients[1])
    with pytest.raises(AccessError, match="for account alice, not root"):
        StacClient(config=alice, account="root")
    with pytest.raises(ConfigurationError, match=r"none\.cfg: there is no such"):
        StacClient(config=tmp_path / "none.cfg")
    with pytest.raises(ConfigurationError, match=r"no usable rucio\.cfg"):
        StacClient()
    with pytest.raises(ConfigurationError, match="made here"):
        StacClient(given, account="root")


def test_no_rucio_cfg(tmp_path: Path) -> None:
    """Without a usable rucio.cfg it says what to set."""
    line = connect(None, tmp_path)
    assert line.startswith("ConfigurationError")
    assert "RUCIO_CONFIG" in line


_LOAD = """
import traceback
try:
    import stac_client
    stac_client.StacClient()
except Exception:
    traceback.print_exc()
"""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "Rucio tried loading the following configuration file: {path})"),
        ("[client]\npassword hunter2\n", "{path} cannot be parsed)"),
        ("password = hunter2\n", "{path} cannot be parsed)"),
        ("[client]\npassword = \xff\n", "'utf-8' codec can't decode byte"),
        ("{config}[x]\n", "While reading from '{path}'"),
        ("{config}", "a % in option password of section client has to be doubled)"),
    ],
)
def test_a_rucio_cfg_that_cannot_be_used(
    stac_lake: Lake, tmp_path: Path, content: str | None, said: str
) -> None:
    """A file that is gone or damaged is named in one error, and the password in none."""
    path = tmp_path / "rucio.cfg"
    config = stac_lake.layout.client_cfg("alice").read_text()
    password = next(line for line in config.splitlines() if line.startswith("password"))
    config = config.replace(password, "password = 50%hunter2") + "[x]\n"
    if content is not None:
        path.write_text(content.replace("{config}", config), encoding="latin-1")
    environment = os.environ | {"RUCIO_CONFIG": str(path)}
    library = run([sys.executable, "-c", _LOAD], environment)
    assert library.stderr.count("Traceback") == 1
    shell = run([sys.executable, "-m", "stac_rucio", "status", "0" * 32, "-v"], environment)
    assert shell.returncode == 5
    (error,) = (line for line in shell.stderr.splitlines() if not line.startswith("INFO"))
    assert error.startswith("Error: ")
    for told in (library.stderr, shell.stderr):
        assert "no usable rucio.cfg (" in told
        assert said.format(path=path) in told
        assert "hunter2" not in told


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(  # noqa: S603 - this very Python
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_unreachable_server(stac_lake: Lake, tmp_path: Path) -> None:
    """An unreachable server is named as what it is."""
    config = stac_lake.layout.client_cfg("alice")
    hosts = dict.fromkeys(("rucio_host", "auth_host"), "http://127.0.0.1:9")
    line = connect(config, tmp_path, **hosts, auth_token_file_path=tmp_path / "token")
    said = "the Rucio server at http://127.0.0.1:9 does not answer (Connection refused); is it"
    assert line.startswith(f"UnreachableError: connecting to Rucio: {said}")


def test_wrong_password(stac_lake: Lake, tmp_path: Path) -> None:
    """Refused credentials are told from an unreachable server, and not repeated."""
    config = stac_lake.layout.client_cfg("alice")
    token = tmp_path / "token"
    line = connect(config, tmp_path, password="WRONG", auth_token_file_path=token)  # noqa: S106
    assert line.startswith("AccessError")
    assert "WRONG" not in line


def test_unreachable_stac_api(stac_lake: Lake, client: StacClient) -> None:
    """A STAC API that stops answering after the search began is named as what it is."""
    catalogue = pystac_client.Client.open(stac_lake.stac_url)
    search = catalogue.search(collections=stac_lake.collections)
    search.url = "http://127.0.0.1:9/search"
    with pytest.raises(UnreachableError, match="STAC API"):
        client.create_replicas(search, "STAC")


def test_unreachable_rucio_leaves_items_as_they_are(stac_lake: Lake) -> None:
    """Without Rucio, a search with the modifier gives the catalogue's items, and warns."""
    rucio = stac_lake.client()
    rucio.list_hosts = ["http://127.0.0.1:9"]
    plain = pystac_client.Client.open(stac_lake.stac_url)
    modified = pystac_client.Client.open(stac_lake.stac_url, modifier=StacClient(rucio).modifier)
    wanted: dict[str, Any] = {
        "collections": stac_lake.collections[:1],
        "ids": ["mont-blanc-20250601"],
    }
    with pytest.warns(AlternatesWarning, match="does not answer"):
        (item,) = modified.search(**wanted).items()
    (original,) = plain.search(**wanted).items()
    assert item.to_dict() == original.to_dict()
