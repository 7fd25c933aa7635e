"""Checks of the server: whether it answers, its version, the policy package on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packaging.specifiers import SpecifierSet
from rucio.common.exception import (
    CannotAuthenticate,
    ReplicaNotFound,
    RucioException,
    ServerConnectionException,
)

from stac_client.errors import (
    AccessError,
    ConfigurationError,
    StacRucioError,
    rucio_errors,
)
from stac_client.setup.source_rse import is_on, is_source_protocol
from stac_policy import SUPPORTED_VERSION

from .findings import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rucio.client import Client

    from .destinations import Destination
    from .findings import Finding

_INSTALL = "pip install 'stac-rucio[server]'  # where the Rucio server runs; then restart it"
_NAME = "[policy]\npackage = stac_policy"
# A DID that nobody has: what it takes to look for it is what is of interest.
_NOBODYS = "stac-rucio:/stac-rucio/doctor/none.tif"


def connect_to(connect: Callable[[], Client]) -> Client | Finding:
    """Make a client, or say why that fails."""
    try:
        with rucio_errors("connecting to Rucio"):
            client = connect()
            client.ping()["version"]
            return client
    except AccessError as reason:
        return error(
            "login-refused",
            str(reason),
            "nothing can be asked of Rucio without an account",
            "[client]\n"
            "account = ACCOUNT\nauth_type = userpass\nusername = USER\npassword = PASSWORD",
        )
    except ConfigurationError as reason:
        return error(
            "no-configuration",
            str(reason),
            "rucio.cfg says where the Rucio server is",
            "export RUCIO_CONFIG=/path/to/rucio.cfg",
        )
    except StacRucioError as reason:
        return _unreachable(str(reason))
    except (KeyError, TypeError, ValueError):  # Rucio's client takes any answer for one of Rucio
        return _unreachable("what answers at rucio_host or auth_host is no Rucio server")


def _unreachable(what: str) -> Finding:
    return error(
        "server-unreachable",
        what,
        "everything is asked of the Rucio server",
        "[client]\nrucio_host = https://rucio.example.org\nauth_host = https://rucio.example.org",
    )


def version_finding(version: str, host: str) -> Finding:
    """Whether a version of Rucio is supported.

    Args:
        version: As the server gives it.
        host: The server.
    """
    supported = ", ".join(SUPPORTED_VERSION)
    if SpecifierSet(",".join(SUPPORTED_VERSION), prereleases=True).contains(version):
        return ok("server-version", f"{host} answers, Rucio {version}")
    return warning(
        "server-version",
        f"{host} runs Rucio {version}; {supported} is supported",
        "other versions are not tested, and they do not load the policy package",
        f"pip install 'rucio{''.join(SUPPORTED_VERSION)}'  # where the Rucio server runs",
    )


def policy_findings(
    client: Client, rse: dict[str, Any], destinations: list[Destination], version: str
) -> Iterator[Finding]:
    """Whether the server has the policy package, as far as its answers show it.

    Args:
        client: A Rucio client.
        rse: The source RSE.
        destinations: The destination RSEs.
        version: The version of the server.
    """
    readable = [p for p in rse["protocols"] if is_on(p["domains"]["wan"].get("read"), version)]
    scheme = next((p["scheme"] for p in readable if is_source_protocol(p)), None)
    if scheme and not _translates(client, rse["rse"], scheme):
        yield error(
            "policy-not-installed",
            f"the Rucio server can not load the protocol of {rse['rse']} ({scheme})",
            "every registration at that RSE fails on the server",
            _INSTALL,
        )
        return
    asking = [destination for destination in destinations if destination.algorithm]
    for destination in asking:
        if not _translates(client, destination.rse, destination.read_scheme):
            yield error(
                "policy-not-named",
                f"the Rucio server does not know lfn2pfn_algorithm={destination.algorithm} "
                f"of {destination.rse}",
                "it can give no path to any file there: no transfers to it and no downloads",
                _NAME,
            )
            return
    if asking:
        yield ok("policy-package", "the Rucio server has loaded the policy package")
    elif scheme:
        yield ok(
            "policy-package",
            "stac_policy is installed on the Rucio server; whether [policy] of its rucio.cfg names "
            "it shows `python -m stac_policy` there",
        )


def _translates(client: Client, rse: str, scheme: str) -> bool:
    """Whether the server finds the way from a DID to a PFN at an RSE."""
    with rucio_errors(f"asking for a path at RSE {rse}"):
        try:
            client.lfns2pfns(rse, [_NOBODYS], operation="read", scheme=scheme)
        except ReplicaNotFound:
            return True
        except (CannotAuthenticate, ServerConnectionException):
            raise
        except RucioException:
            return False
    return True
