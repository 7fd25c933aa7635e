"""What the doctor finds of the connection, and of servers without the policy package."""

from __future__ import annotations

import configparser
import shutil
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from stac_client._server_checks import server
from stac_client.admin import Level, examine
from tests import site_package
from tests.servers import running_server

from .clients import rucio_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rucio.client import Client

    from stac_testbed.lake import Lake

_WITHOUT = """
import sys
from stac_testbed.rucio_server import create_app

for name in [name for name in sys.modules if name.partition(".")[0] == "stac_policy"]:
    del sys.modules[name]
sys.modules["stac_policy"] = None  # as if it were not installed
application = create_app()
"""


def findings(connect: partial[Any], rse: str = "STAC", **options: Any) -> list[Any]:
    """What the doctor finds, and is not as it should be."""
    found = examine(connect, rse, destinations="tier=disk", **options)
    return [finding for finding in found if finding.level is not Level.OK]


def test_a_server_that_does_not_answer(stac_lake: Lake) -> None:
    """Where no Rucio server answers, that is the only finding."""
    nobody = dict.fromkeys(("rucio_host", "auth_host"), "http://127.0.0.1:9")
    (finding,) = findings(partial(rucio_client, stac_lake, **nobody))
    assert (finding.code, finding.level) == ("server-unreachable", Level.ERROR)
    assert "rucio_host = " in finding.command


def test_a_server_that_is_no_rucio(stac_lake: Lake) -> None:
    """An authentication server alone is not enough: what answers at rucio_host must be Rucio."""
    origin = stac_lake.layout.data("origin-a")
    for answer in ("<html></html>", '{"message": "PONG"}', "[]"):
        (origin / "ping").write_text(answer)
        other = partial(rucio_client, stac_lake, rucio_host=stac_lake.layout.url("origin-a"))
        (finding,) = findings(other)
        assert finding.code == "server-unreachable"
    (origin / "ping").unlink()
    (finding,) = findings(other)
    assert finding.code == "server-unreachable"


def test_credentials_that_are_refused(stac_lake: Lake) -> None:
    """A wrong password is told without repeating it, and so is an account that does not exist."""
    creds = {"username": "root", "password": "WRONG"}
    (finding,) = findings(partial(rucio_client, stac_lake, creds=creds))
    assert finding.code == "login-refused"
    assert "WRONG" not in f"{finding}"
    (finding,) = findings(partial(rucio_client, stac_lake, account="nobody"), account="nobody")
    assert finding.code == "login-refused"
    assert "account = nobody" in finding.command


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("37.7.1", Level.WARNING),
        ("38.0.0", Level.OK),
        ("41.5.1", Level.OK),
        ("41.0.0rc2", Level.OK),
        ("42.0.0", Level.WARNING),
    ],
)
def test_versions(version: str, level: Level) -> None:
    """Versions of the server that the policy package does not support are found."""
    assert server(version, "https://rucio.example.org").level is level


@pytest.fixture(scope="module")
def other_servers(
    stac_lake: Lake, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """More Rucio servers of the lake, by what the doctor finds of each.

    Without the package; with one that its rucio.cfg does not name; with the setting for
    slashes that web servers leave encoded, behind one that decodes them; and with a schema
    that refuses them.
    """
    folder = tmp_path_factory.mktemp("servers")
    (folder / "without.py").write_text(_WITHOUT)
    config = configparser.RawConfigParser()
    config.read(stac_lake.layout.server_cfg)
    for section in ("policy", "rules", "transfers", "stac"):
        config.remove_section(section)
    with (folder / "server.cfg").open("w") as file:
        config.write(file)
    shutil.copytree(site_package.FOLDER / site_package.PACKAGE, folder / "odd_policy")
    with (folder / "odd_policy" / "schema.py").open("a") as file:
        file.write(site_package.NO_SLASHES)
    config.read(stac_lake.layout.server_cfg)
    config.set("policy", "package", "odd_policy")
    with (folder / "odd.cfg").open("w") as file:
        config.write(file)
    cfg = stac_lake.layout.server_cfg
    no_decode = {"RUCIO_HTTPD_ENCODED_SLASHES_NO_DECODE": "True"}
    servers = {
        "policy-not-installed": running_server(
            folder, folder / "server.cfg", folder, application="without:application"
        ),
        "policy-not-named": running_server(folder, folder / "server.cfg"),
        "encoded-slashes": running_server(folder, cfg, **no_decode),
        "names-refused": running_server(folder, folder / "odd.cfg", folder),
    }
    with ExitStack() as stack:
        yield {code: stack.enter_context(server) for code, server in servers.items()}


@pytest.mark.parametrize("code", ["policy-not-installed", "policy-not-named"])
def test_a_server_without_the_policy_package(
    stac_lake: Lake, other_servers: dict[str, str], code: str
) -> None:
    """A server that has not the package, or does not name it, is told from one that does."""
    hosts = dict.fromkeys(("rucio_host", "auth_host"), other_servers[code])
    found = findings(partial(rucio_client, stac_lake, **hosts))
    assert [finding.code for finding in found] == [code]
    assert findings(partial(rucio_client, stac_lake)) == []


@pytest.mark.parametrize(
    ("code", "fix"),
    [("encoded-slashes", "AllowEncodedSlashes NoDecode"), ("names-refused", "NAME_PATTERN")],
)
def test_a_server_that_does_not_take_names(
    stac_lake: Lake, other_servers: dict[str, str], code: str, fix: str
) -> None:
    """Before anything is registered, a server is told that changes slashes or refuses names."""
    hosts = dict.fromkeys(("rucio_host", "auth_host"), other_servers[code])
    (finding,) = findings(partial(rucio_client, stac_lake, **hosts))
    assert (finding.code, finding.level) == (code, Level.ERROR)
    assert fix in finding.command
    before, _ = findings(partial(rucio_client, stac_lake, **hosts), "NOT-YET-THERE")
    assert before == finding


def test_hosts_that_no_request_shows(rucio: Client) -> None:
    """Where all is well, the doctor says what it cannot see, and how that is looked at."""
    for rse in ("STAC", "NOT-YET-THERE"):
        (finding,) = (each for each in examine(rucio, rse) if each.code == "policy-package")
        assert finding.level is Level.OK
        assert "hosts with daemons" in finding.what
        assert "`python -m stac_policy`" in finding.what
