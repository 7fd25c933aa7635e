"""The `[stac]` section of rucio.cfg, or of Rucio's config table.

docs/server.md lists every option with its meaning, default and an example.
"""

from __future__ import annotations

import configparser
import logging
import os
import re
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stac_policy.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_PACKAGE = __name__.partition(".")[0]
_VARIABLE = "RUCIO_POLICY_PACKAGE_"
"""With the name of a VO behind it, Rucio prefers it to the option `package-VO`."""


@cache
def vos() -> tuple[str, ...] | None:
    """The VOs whose policy package this is; None on a server that has but one."""
    from rucio.common.config import config_get_bool, get_config

    # Not from the config table: this is asked while Rucio's own modules are being imported.
    if not config_get_bool("common", "multi_vo", False, False, check_config_table=False):  # noqa: FBT003 - Rucio's overloads
        return None
    parser = get_config()
    options = dict(parser.items("policy")) if parser.has_section("policy") else {}
    packages = {
        option.removeprefix("package-"): package
        for option, package in options.items()
        if option.startswith("package-")
    }
    for variable, package in os.environ.items():
        if variable.startswith(_VARIABLE) and package:
            packages[variable.removeprefix(_VARIABLE).lower()] = package
    return tuple(vo for vo, package in packages.items() if package == _PACKAGE)


_LOGGER = logging.getLogger(__name__)
_MOST_DIGITS = 15  # memory, clocks and databases know no larger numbers
_NUMBER = re.compile("[0-9]+")
_DAY_S = 86_400
_HOST = re.compile(r"((\*\.)?[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


@dataclass(frozen=True)
class Settings:
    """What an operator configures; every option has a default."""

    allowed_hosts: tuple[str, ...] = ()
    """Hosts of URLs that may be registered and fetched; all, if empty."""

    api: str = ""
    """STAC API of the collections whose scopes are derived; asked for items that no RSE has."""

    auto_approve_bytes: int = 0
    """Rules over less than this are approved by `auto_approve = stac`."""

    cache_items: int = 10_000
    """How many items of STAC APIs are kept."""

    cache_s: int = 3600
    """How long they are kept, in seconds."""

    connect_timeout_s: int = 5
    """How long to wait for a connection to a STAC API, in seconds."""

    read_timeout_s: int = 30
    """How long to wait for each part of its answer, in seconds."""

    registrar_attribute: str = "stac_registrar"
    """Accounts with this attribute may register STAC assets."""

    response_bytes: int = 16 << 20
    """The largest answer that is taken from a STAC API."""

    scopes: tuple[tuple[str, str], ...] = ()
    """Fixed scopes that hold STAC assets, each with the STAC API of its collections or ''."""

    def api_of(self, scope: str) -> str:
        """The STAC API to ask for the items of a scope, or ''."""
        return dict(self.scopes).get(scope, self.api)

    def is_fixed(self, scope: str) -> bool:
        """Tell whether a scope is one of the fixed ones."""
        return any(scope == fixed for fixed, _ in self.scopes)


def parse(options: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Make settings from the options of the section.

    Returns:
        The settings, and what is wrong with the options, each problem naming
        its option. A wrong one has its default, except that an allow list
        with a mistake still allows no other hosts than those that it names.
    """
    values: dict[str, Any] = {}
    problems = []
    known = {field.name for field in fields(Settings)}
    for option, text in options.items():
        if option not in known:
            problems.append(f"[stac] {option}: there is no such option")
            continue
        try:
            values[option] = _PARSERS[option](text.strip())
        except ValueError as error:
            problems.append(f"[stac] {option}: {error}")
            if option == "allowed_hosts":
                values[option] = _words(text)
    return Settings(**values), problems


@cache
def settings() -> Settings:
    """Read the settings once; like the rest of rucio.cfg they change with a restart.

    What is wrong with them is logged, as errors.
    """
    found, problems = parse(configured_options())
    for problem in problems:
        _LOGGER.error("%s", problem)
    return found


def configured_options() -> dict[str, str]:
    """The options as they stand in rucio.cfg, or else, on a server, in Rucio's config table."""
    from rucio.common import config
    from rucio.common.exception import ConfigNotFound

    try:
        parser = config.get_config()
    except ConfigNotFound:
        return {}  # a client that does without
    names = parser.options("stac") if parser.has_section("stac") else []
    in_file = {name: _text(parser, name) for name in names}
    return in_file if config.is_client() else _config_table() | in_file


def _text(parser: configparser.ConfigParser, option: str) -> str:
    try:
        return parser.get("stac", option)
    except configparser.InterpolationError:  # a `%`, as URLs have it, that is not doubled
        return parser.get("stac", option, raw=True)


def _config_table() -> dict[str, str]:
    from rucio.core.config import items
    from rucio.db.sqla.constants import DatabaseOperationType
    from rucio.db.sqla.session import db_session

    with db_session(DatabaseOperationType.READ) as session:
        return dict(items("stac", convert_type_fnc=str, session=session))


def _hosts(text: str) -> tuple[str, ...]:
    hosts = _words(text)
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ValueError(f"{redact(host)!r} is not a host; give names such as data.example.org")
    return hosts


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises
    except ValueError:  # whose text may repeat a password
        raise ValueError("it can not be parsed as a URL") from None
    if text and (parts.scheme not in {"http", "https"} or not parts.hostname):
        # Of `https://host/x?sig=…` in `scopes`, what follows the first `=` comes here.
        shown = repr(redact(text)) if "://" in text else "what it says"
        raise ValueError(f"{shown} is not an http or https URL")
    if parts.query or parts.fragment:
        raise ValueError(f"{redact(text)!r} has a query or fragment, behind which no path can go")
    return text.rstrip("/")


def _count(text: str, least: int = 0) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"it is no number of up to {_MOST_DIGITS} digits")
    if not _NUMBER.fullmatch(text) or int(text) < least:
        # Redacted, for it may be what belongs into another option.
        raise ValueError(f"{redact(text)!r} is not a whole number of at least {least}")
    return int(text)


def _positive(text: str) -> int:
    return _count(text, least=1)


def _seconds(text: str) -> int:
    if (seconds := _positive(text)) > _DAY_S:
        raise ValueError(f"{seconds} seconds are more than a day")
    return seconds


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


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "allowed_hosts": _hosts,
    "api": _url,
    "auto_approve_bytes": _count,
    "cache_items": _count,
    "cache_s": _count,
    "connect_timeout_s": _seconds,
    "read_timeout_s": _seconds,
    "registrar_attribute": _name,
    "response_bytes": _positive,
    "scopes": _scopes,
}

SOURCE_PROTOCOL = "stac_policy.protocol.Default"
"""What makes an RSE a source RSE."""
