"""What an administrator sets up: configuration files; accounts, scopes, RSEs, distances."""

from __future__ import annotations

import configparser
import secrets
from importlib import metadata
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from stac_client import plan_setup

from .layout import (
    ACCOUNTS,
    BUCKET,
    GATEWAY,
    OBJECT_STORE,
    PRIVATE_BUCKET,
    PRIVATE_STORE,
    SIGNED_BUCKET,
    SIGNED_STORE,
    SOURCE_RSE,
    STORAGE_EXPRESSION,
    STORAGE_PREFIX,
    STORAGE_RSES,
    STORAGES,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rucio.client import Client

    from .layout import Layout

# Nothing listens on the discard port: Rucio then does without the memcached
# that it would otherwise share with whatever else runs on this machine.
_NO_CACHE = "127.0.0.1:9"

_AUTO_APPROVE_BYTES = 1_000_000

_STORE_KEYS = ("access_key", "secret_key")
_UNLIMITED = -1
_ALL = {"read": 1, "write": 1, "delete": 1}
_DOMAINS = {
    "https": {"lan": _ALL, "wan": _ALL},
    "http": {"lan": {}, "wan": {"third_party_copy_read": 1, "third_party_copy_write": 1}},
}
"""What each protocol of a storage is for."""


def write_server(layout: Layout) -> None:
    """Write rucio.cfg of the server and its daemons, and the alembic.ini that it names."""
    sections = {
        "common": {
            "logdir": str(layout.logs),
            "loglevel": "INFO",
            "logformat": "%%(asctime)s\t%%(process)d\t%%(levelname)s\t%%(message)s",
            "mailtemplatedir": str(_mail_templates()),
        },
        "database": {"default": _escaped(layout.database_url)},
        "bootstrap": {
            "userpass_identity": "root",
            "userpass_pwd": layout.passwords["root"],
            "userpass_email": "root@localhost",
        },
        "cache": {"url": _NO_CACHE},
        "api": {"endpoints_add": "metrics"},
        "policy": {
            "package": "stac_policy",
            "lfn2pfn_algorithm_default": "hash",
            "pfn2lfn": "stac",  # as its storages have `lfn2pfn`
        },
        "conveyor": {"transfertool": "fts3", "scheme": "davs,https,http"},
        "rules": {"auto_approve": "stac"},
        "stac": {
            "api": layout.url("stac-api"),
            "auto_approve_bytes": str(_AUTO_APPROVE_BYTES),
            "origins": str(layout.origins_file),
            "gateway": layout.url(GATEWAY),
            "gateway_keys": str(layout.gateway_keys),
            "gateway_open": "true",
        },
        "transfers": {"fts3tape_metadata_plugins": "stac"},
        "alembic": {"cfg": str(layout.etc / "alembic.ini")},
        **_client_sections(layout, "root"),
    }
    _write(layout.server_cfg, sections)
    with_tls = f"https://127.0.0.1:{layout.ports[SIGNED_STORE]}"
    rows = [
        (f"s3://{BUCKET}", "public bucket", layout.url(OBJECT_STORE), "", "the lake"),
        (f"s3://{PRIVATE_BUCKET}", "signed", layout.url(PRIVATE_STORE), "its keys", "the lake"),
        (f"s3://{SIGNED_BUCKET}", "signed", with_tls, "its keys", "the lake"),
    ]
    layout.origins_file.write_text("".join("\t".join(row) + "\n" for row in rows))
    layout.gateway_keys.touch(mode=0o600)
    layout.gateway_keys.write_text(secrets.token_hex(32) + "\n")
    _write(layout.etc / "alembic.ini", _alembic(layout))


def write_gateway(layout: Layout) -> None:
    """Write the configuration of a gateway, and the keys of the private bucket that it has."""
    files = {name: layout.etc / f"private-store.{name}" for name in _STORE_KEYS}
    for file in files.values():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(16) + "\n")
    lines = [
        f'keys = "{layout.gateway_keys}"',
        f'[origins."{layout.url(PRIVATE_STORE)}/{PRIVATE_BUCKET}/"]',
        *('sign = "s3"', "private = true"),
        *(f'{name} = {{ file = "{file}" }}' for name, file in files.items()),
    ]
    layout.gateway_file.write_text("\n".join(lines) + "\n")
    (layout.data(PRIVATE_STORE) / PRIVATE_BUCKET).mkdir(parents=True)


def store_environment(layout: Layout) -> dict[str, str]:
    """Return what the private store is told: its folder, and the keys that it takes."""
    keys = {f"NANIO_{name.upper()}": layout.etc / f"private-store.{name}" for name in _STORE_KEYS}
    told = {name: file.read_text().strip() for name, file in keys.items()}
    return told | {"NANIO_DATA_DIR": str(layout.data(PRIVATE_STORE))}


def write_client(layout: Layout, account: str) -> None:
    """Write the rucio.cfg with which the clients of an account find the lake."""
    sections = {
        # Without this the download client of Rucio 38 takes names with a leading slash for
        # absolute paths. It stands for that behaviour alone: no algorithm has this name.
        "common": {"extract_scope": "belleii"},
        "policy": {"package": "stac_policy"},
        "stac": {"api": layout.url("stac-api"), "origins": str(layout.origins_file)},
        **_client_sections(layout, account),
    }
    _write(layout.client_cfg(account), sections)


def configure_transfers(layout: Layout, storages: Mapping[str, Mapping[str, str]]) -> None:
    """Configure the transfer service for storages.

    Args:
        layout: The lake.
        storages: What is said of each, by its URL: that it cannot fetch files itself
            (`tpc_support=NONE`; FTS wants to know it of both ends of a copy), or what it is told
            of the credential for a source with TLS (`credential`; of FTS, gfal2 is told).
    """
    said = {url: {"se_info": config} for url, config in storages.items()}
    response = requests.post(f"{layout.url('transfers')}/config/se", json=said, timeout=30)
    response.raise_for_status()


def provision(client: Client, layout: Layout, collection_scopes: Iterable[str]) -> None:
    """Set up a new Rucio server.

    Args:
        client: Of the account root.
        layout: The lake.
        collection_scopes: Scopes of the collections that its catalogue holds.
    """
    for service, rse in STORAGE_RSES.items():
        _add_storage_rse(client, layout, service, rse)
    fetching, carried_to = map(layout.url, STORAGES)
    configure_transfers(
        layout, {fetching: {"credential": "none"}, carried_to: {"tpc_support": "NONE"}}
    )
    for source, destination in permutations(STORAGE_RSES.values(), 2):
        client.add_distance(source, destination, {"distance": 1})
    for change in plan_setup(client, SOURCE_RSE, destinations=STORAGE_EXPRESSION).changes:
        change.apply(client)
    for account in ACCOUNTS:
        if account != "root":
            _add_user(client, layout, account)
        for rse in STORAGE_RSES.values():
            client.set_local_account_limit(account, rse, _UNLIMITED)
    client.add_account_attribute("registrar", "stac_registrar", "true")
    for scope in collection_scopes:
        client.add_scope("root", scope)


def _client_sections(layout: Layout, account: str) -> dict[str, dict[str, str]]:
    return {
        "client": {
            "rucio_host": layout.url("rucio-server"),
            "auth_host": layout.url("rucio-server"),
            "auth_type": "userpass",
            "username": account,
            "password": _escaped(layout.passwords[account]),
            "account": account,
            # By default the token is shared by every server that this user of the machine
            # talks to: two lakes would overwrite each other's.
            "auth_token_file_path": str(layout.token_file(account)),
        }
    }


def _mail_templates() -> Path:
    """The folder into which Rucio's package has installed them."""
    (template,) = [
        file for file in metadata.files("rucio") or () if file.name == "rule_approved_user.tmpl"
    ]
    return Path(template.locate()).resolve().parent


def _alembic(layout: Layout) -> dict[str, dict[str, str]]:
    """Rucio's database functions need the logging sections too."""
    return {
        "alembic": {
            "script_location": "rucio.db.sqla:migrate_repo",
            "sqlalchemy.url": _escaped(layout.database_url),
        },
        "loggers": {"keys": "root"},
        "handlers": {"keys": "console"},
        "formatters": {"keys": "generic"},
        "logger_root": {"level": "WARN", "handlers": "console"},
        "handler_console": {
            "class": "StreamHandler",
            "args": "(sys.stderr,)",
            "formatter": "generic",
        },
        "formatter_generic": {"format": "%%(levelname)s %%(name)s %%(message)s"},
    }


def _escaped(value: str) -> str:
    """Rucio and alembic take a per cent sign for the start of a reference."""
    return value.replace("%", "%%")


def _write(path: Path, sections: Mapping[str, Mapping[str, str]]) -> None:
    parser = configparser.RawConfigParser()
    parser.read_dict(sections)
    path.touch(mode=0o600)  # passwords are in it
    with path.open("w") as file:
        parser.write(file)


def _add_storage_rse(client: Client, layout: Layout, service: str, rse: str) -> None:
    client.add_rse(rse)
    # Rucio's WebDAV takes only https:// for the beginning of a URL: over http:// it would delete
    # /rucio/http://…, and find it gone. The origins are of HTTP, and so are copies from there.
    for scheme, domains in _DOMAINS.items():
        client.add_protocol(
            rse,
            {
                "scheme": scheme,
                "hostname": "127.0.0.1",
                "port": layout.ports[service],
                "prefix": STORAGE_PREFIX,
                "impl": "rucio.rse.protocols.webdav.Default",
                "domains": domains,
            },
        )
    attributes = {"fts": layout.url("transfers"), "tier": "disk", "lfn2pfn_algorithm": "stac"}
    for key, value in attributes.items():
        client.add_rse_attribute(rse, key, value)


def _add_user(client: Client, layout: Layout, account: str) -> None:
    email = f"{account}@localhost"
    client.add_account(account, "USER", email)
    client.add_identity(
        account=account,
        identity=account,
        authtype="USERPASS",
        email=email,
        password=layout.passwords[account],
        default=True,
    )
    client.add_scope(account, f"user.{account}")
