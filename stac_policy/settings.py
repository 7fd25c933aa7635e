"""The `[stac]` section of rucio.cfg, or of Rucio's config table.

docs/server.md lists every option with its meaning, default and an example.
"""

from __future__ import annotations

import configparser
import logging
import os
import re
from dataclasses import dataclass, field, fields
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stac_policy.access import Origins, origins
from stac_policy.gateway import VALID_S
from stac_policy.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


SOURCE_PROTOCOL = "stac_policy.protocol.Default"
"""What makes an RSE a source RSE."""
GATEWAY_PROTOCOL = "stac_policy.protocol.Gateway"
"""What has its transfers go through the credential gateway."""

_LOGGER = logging.getLogger(__name__)
PACKAGE = __name__.partition(".")[0]
_VARIABLE = "RUCIO_POLICY_PACKAGE"
"""Rucio prefers it to the option `package`, and with `_VO` behind it to `package-VO`."""
_NUMBER = re.compile("[0-9]{1,16}")
_MOST = 10**15  # memory, clocks and databases know no larger numbers
_DAY_S = 86_400
_HOST = re.compile(r"((\*\.)?[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


def hosts(text: str) -> tuple[str, ...]:
    """Read a list of hosts, as `stac_policy.urls.refusal` takes them.

    Raises:
        ValueError: One is none.
    """
    found = _words(text)
    for host in found:
        if not _HOST.fullmatch(host):
            raise ValueError(f"{redact(host)!r} is not a host; give names such as data.example.org")
    return found


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises
    except ValueError:  # whose text may repeat a password
        raise ValueError("it cannot be parsed as a URL") from None
    if text and (parts.scheme not in {"http", "https"} or not parts.hostname):
        # Of `https://host/x?sig=…` in `scopes`, what follows the first `=` comes here.
        shown = repr(redact(text)) if "://" in text else "what it says"
        raise ValueError(f"{shown} is not an http or https URL")
    if parts.query or parts.fragment:
        raise ValueError(f"{redact(text)!r} has a query or fragment, behind which no path can go")
    return text.rstrip("/")


def _number(text: str, least: int = 0, most: int = _MOST) -> int:
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        # Redacted, for it may be what belongs into another option.
        raise ValueError(f"{redact(text)!r} is not a whole number from {least} to {most}")
    return int(text)


def _name(text: str) -> str:
    if not text:
        raise ValueError("it is empty")
    return text


def _scopes(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [word.partition("=") for word in _words(text)]
    if not all(scope.strip() for scope, _, _ in pairs):
        raise ValueError("a scope is missing before '='")
    return tuple((scope.strip(), _url(api.strip())) for scope, _, api in pairs)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _flag(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{redact(text)!r} is neither true nor false")
    return text.lower() == "true"


def _table(text: str) -> str:
    origins(text)  # raises
    return text


def _option(default: Any, parser: Callable[[str], Any]) -> Any:
    return field(default=default, metadata={"parser": parser})


@dataclass(frozen=True)
class Settings:
    """What an operator configures; every option has a default."""

    allowed_hosts: tuple[str, ...] = _option((), hosts)
    """Hosts of URLs that may be registered and fetched; all, if empty."""

    api: str = _option("", _url)
    """STAC API of the collections with derived scopes that have a container in Rucio."""

    auto_approve_bytes: int = _option(0, _number)
    """Rules over less than this are approved by `auto_approve = stac`."""

    cache_items: int = _option(10_000, _number)
    """How many items of STAC APIs are kept."""

    cache_s: int = _option(3600, _number)
    """How long they are kept, in seconds."""

    connect_timeout_s: int = _option(5, partial(_number, least=1, most=_DAY_S))
    """How long to wait for a connection to a STAC API, in seconds."""

    gateway: str = _option("", _url)
    """URL of the credential gateway, as storages and FTS reach it."""

    gateway_keys: str = _option("", str)
    """File of the keys that vouch for URLs there; for its owner alone."""

    gateway_open: bool = _option(default=False, parser=_flag)
    """Whether URLs with TLS that anybody may read lead through the gateway, too."""

    gateway_valid_s: int = _option(VALID_S, partial(_number, least=_DAY_S))
    """How long its URLs are good for, in seconds: FTS queues transfers, which then take a while."""

    origins: str = _option("", _table)
    """File with rows that come before those of the table of origins."""

    read_timeout_s: int = _option(30, partial(_number, least=1, most=_DAY_S))
    """How long to wait for each part of its answer, in seconds."""

    registrar_attribute: str = _option("stac_registrar", _name)
    """Accounts with this attribute may register STAC assets."""

    response_bytes: int = _option(16 << 20, partial(_number, least=1))
    """The largest answer that is taken from a STAC API."""

    scopes: tuple[tuple[str, str], ...] = _option((), _scopes)
    """Fixed scopes that hold STAC assets, each with the STAC API of its collections or ''."""

    def api_of(self, scope: str) -> str:
        """Return the STAC API to ask for the items of a scope, or ''."""
        return self._apis.get(scope, self.api)

    def is_fixed(self, scope: str) -> bool:
        """Return whether a scope is one of the fixed ones."""
        return scope in self._apis

    @cached_property
    def _apis(self) -> Mapping[str, str]:
        return dict(self.scopes)


def parse(options: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Return the settings that the options of the section make.

    Returns:
        The settings, and what is wrong with the options, each problem naming
        its option. A wrong one has its default, except that an allow list
        with a mistake still allows no other hosts than those that it names.
    """
    values: dict[str, Any] = {}
    problems = []
    parsers = {each.name: each.metadata["parser"] for each in fields(Settings)}
    for option, text in options.items():
        if option not in parsers:
            problems.append(f"[stac] {option}: there is no such option")
            continue
        try:
            values[option] = parsers[option](text.strip())
        except ValueError as error:
            problems.append(f"[stac] {option}: {error}")
            if option == "allowed_hosts":
                values[option] = _words(text)
    return Settings(**values), problems


@cache
def settings() -> Settings:
    """Return the settings, read once; like the rest of rucio.cfg they change with a restart.

    What is wrong with them is logged, as errors.
    """
    found, problems = parse(configured_options())
    for problem in problems:
        _LOGGER.error("%s", problem)
    return found


def known_origins() -> Origins:
    """Return the table of origins, with what the operator adds."""
    return origins(settings().origins)


def configured_options() -> dict[str, str]:
    """Return the options of rucio.cfg, and on a server those that Rucio's config table has."""
    from rucio.common import config
    from rucio.common.exception import ConfigNotFound

    try:
        in_file = options_of("stac")
    except ConfigNotFound:
        return {}  # a client that does without
    return in_file if config.is_client() else _config_table() | in_file


def unreadable(error: Exception) -> str:
    """Return why rucio.cfg cannot be read, by what Rucio's modules raised.

    It repeats no line of the file, which may be the one with the password.
    """
    if isinstance(error, configparser.ParsingError):
        return f"{error.source} cannot be parsed"
    if isinstance(error, configparser.InterpolationError):
        return f"a % in option {error.option} of section {error.section} has to be doubled"
    return " ".join(str(error).rpartition("Details: ")[2].split())


def options_of(section: str) -> dict[str, str]:
    """Return the options of a section of rucio.cfg."""
    from rucio.common.config import get_config

    parser = get_config()
    names = parser.options(section) if parser.has_section(section) else []
    return {name: _text(parser, section, name) for name in names}


def _text(parser: configparser.ConfigParser, section: str, option: str) -> str:
    try:
        return parser.get(section, option)
    except configparser.InterpolationError:  # a `%`, as URLs have it, that is not doubled
        return parser.get(section, option, raw=True)


def _config_table() -> dict[str, str]:
    from rucio.core.config import items
    from rucio.db.sqla.constants import DatabaseOperationType
    from rucio.db.sqla.session import db_session

    with db_session(DatabaseOperationType.READ) as session:
        return dict(items("stac", convert_type_fnc=str, session=session))


@cache
def vos(package: str = PACKAGE) -> tuple[str, ...] | None:
    """Return the VOs that have a policy package; None on a server that has but one VO."""
    from rucio.common.config import config_get_bool

    # Not from the config table: this is asked while Rucio's own modules are being imported.
    if not config_get_bool("common", "multi_vo", False, False, check_config_table=False):  # noqa: FBT003 - Rucio's overloads
        return None
    return tuple(vo for vo, named in policy_packages().items() if vo and named == package)


def policy_packages() -> dict[str, str]:
    """Return the policy package of each VO that has one; of a server with but one VO for ''."""
    packages = {
        option.removeprefix("package").removeprefix("-"): package
        for option, package in options_of("policy").items()
        if option.partition("-")[0] == "package"
    }
    for variable, package in os.environ.items():
        if variable.startswith(_VARIABLE) and package:
            packages[variable.removeprefix(_VARIABLE).removeprefix("_").lower()] = package
    return packages
