"""The options of `[stac]`: what they may be, and where they are read from."""

from __future__ import annotations

import configparser
import json
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from stac_policy.settings import Settings, configured_options, parse, settings
from stac_policy.urls import refusal

from .server import run_with_server
from .support import configured, run_with_rucio

if TYPE_CHECKING:
    from pathlib import Path


VALID = [
    ("allowed_hosts", "data.example.org", ("data.example.org",)),
    (
        "allowed_hosts",
        " a.org , *.b.org,\n[2001:db8::1]:8443,c.org:80,",
        ("a.org", "*.b.org", "[2001:db8::1]:8443", "c.org:80"),
    ),
    ("allowed_hosts", "", ()),
    ("api", "https://stac.example.org/v1/", "https://stac.example.org/v1"),
    ("api", "\thttp://user:secret@[::1]:8080 ", "http://user:secret@[::1]:8080"),
    ("api", "", ""),
    ("auto_approve_bytes", "0", 0),
    ("auto_approve_bytes", " 1000000000000 ", 10**12),
    ("cache_items", "0", 0),
    ("cache_s", "60", 60),
    ("connect_timeout_s", "1", 1),
    ("read_timeout_s", "90", 90),
    ("registrar_attribute", " registrar ", "registrar"),
    ("response_bytes", "1000", 1000),
    ("scopes", "", ()),
    ("scopes", "user.alice", (("user.alice", ""),)),
    ("scopes", "a=https://a.org/ , b,", (("a", "https://a.org"), ("b", ""))),
]
INVALID = [
    *[
        ("allowed_hosts", f"data.example.org, {wrong}")
        for wrong in ("https://a.org", "a.org/x", "a b", "*", "*.", "a.*.org", "a.org:", "a.org:x")
    ],
    *[
        (option, before + wrong)
        for option, before in (("api", ""), ("scopes", "s="))
        for wrong in ("ftp://a.org", "//a.org", "https://", "https://[", "https://a:b", "a.org")
    ],
    ("api", "https://a.org?key=1"),
    ("api", "https://a.org/#x"),
    ("scopes", "a=https://a.org?key=1"),
    ("scopes", "=https://a.org"),
    *[
        (option, wrong)
        for option in ("auto_approve_bytes", "cache_items", "cache_s", "response_bytes")
        for wrong in ("", "-1", "1.5", "1e9", "1 GB", "\N{SUPERSCRIPT TWO}", "many")
    ],
    *[
        (option, wrong)
        for option in ("connect_timeout_s", "read_timeout_s", "response_bytes")
        for wrong in ("0", "00", "-1", "none", "")
    ],
    ("registrar_attribute", " "),
]


def test_defaults() -> None:
    """Without options all settings have their defaults, and nothing is wrong."""
    assert parse({}) == (Settings(), [])
    assert Settings().api_of("any") == ""
    assert not Settings().is_fixed("any")


@pytest.mark.parametrize(("option", "text", "value"), VALID)
def test_valid(option: str, text: str, value: Any) -> None:
    """A value is taken without the spaces around it."""
    assert parse({option: text}) == (Settings(**{option: value}), [])


@pytest.mark.parametrize(("option", "text"), INVALID)
def test_invalid(option: str, text: str) -> None:
    """The problem with a value names its option; it has its default, the others their values."""
    other = "cache_items" if option == "cache_s" else "cache_s"
    found, (problem,) = parse({option: text, other: "7"})
    assert problem.startswith(f"[stac] {option}: ")
    assert getattr(found, other) == 7
    if option != "allowed_hosts":
        assert getattr(found, option) == getattr(Settings(), option)


def test_unknown_options() -> None:
    """Unknown options are named; the others are read."""
    found, problems = parse({"cache_items": "5", "cahce_s": "60", "hosts": "a.org"})
    assert found == Settings(cache_items=5)
    assert problems == [
        "[stac] cahce_s: there is no such option",
        "[stac] hosts: there is no such option",
    ]


@pytest.mark.parametrize("wrong", ["https://b.org", "b.org/x", "*", "b org", "b.org:x"])
def test_a_mistake_in_the_allow_list_opens_nothing(wrong: str) -> None:
    """With a mistake in `allowed_hosts` only the hosts that it names rightly are allowed."""
    for text in (wrong, f"a.org, {wrong}"):
        found, problems = parse({"allowed_hosts": text})
        assert len(problems) == 1
        assert "not in allowed_hosts" in str(refusal("https://b.org/x", found.allowed_hosts))
    assert refusal("https://a.org/x", found.allowed_hosts) is None


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("api", "ftp://name:s3cr3t@a.org"),
        ("api", "https://name:s3cr3t@a.org/?key=s3cr3t"),
        ("api", "https://name:s3cr3t"),
        ("api", "https://name:s3cr3t@a\N{FULLWIDTH SOLIDUS}b.org"),
        ("scopes", "a=ftp://name:s3cr3t@a.org"),
        ("allowed_hosts", "https://name:s3cr3t@a.org"),
    ],
)
def test_problems_repeat_no_secrets(option: str, text: str) -> None:
    """What is wrong with a URL is said without its password and query."""
    _, (problem,) = parse({option: text})
    assert "s3cr3t" not in problem


def test_apis_of_scopes() -> None:
    """A fixed scope has its own API, or none; every other scope has the general one."""
    found, _ = parse({"api": "https://all.org", "scopes": "a=https://a.org, b"})
    assert [found.api_of(scope) for scope in ("a", "b", "c")] == [
        "https://a.org",
        "",
        "https://all.org",
    ]
    assert [found.is_fixed(scope) for scope in ("a", "b", "c", "")] == [True, True, False, False]


def test_read_once() -> None:
    """The settings are read once."""
    with configured(cache_s="60"):
        assert settings() is settings()
        assert settings().cache_s == 60


def test_percent_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `%` in a URL may be doubled, as in other sections, or not."""
    parser = configparser.ConfigParser()
    parser.read_string(
        "[client]\n[stac]\napi = https://a.org/%20x\nscopes = a=https://b.org/%%20\n"
    )
    monkeypatch.setattr("rucio.common.config.get_config", lambda: parser)
    found, problems = parse(configured_options())
    assert found == Settings(api="https://a.org/%20x", scopes=(("a", "https://b.org/%20"),))
    assert problems == []


def test_problems_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong with the settings is logged as errors, each naming its option."""
    with configured(cache_s="soon", nonsense="1"), caplog.at_level(logging.ERROR):
        assert settings() == Settings()
    assert [(record.levelname, record.name) for record in caplog.records] == [
        ("ERROR", "stac_policy.settings")
    ] * 2
    assert "[stac] cache_s: 'soon'" in caplog.text
    assert "[stac] nonsense" in caplog.text


_OPTIONS = """
import json
from stac_policy.settings import configured_options
print(json.dumps(configured_options()))
"""


def test_client_without_configuration(tmp_path: Path) -> None:
    """A client that does without a rucio.cfg has no options."""
    environment = {name: value for name, value in os.environ.items() if "RUCIO" not in name}
    result = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", _OPTIONS],
        env=environment | {"RUCIO_HOME": str(tmp_path), "VIRTUAL_ENV": str(tmp_path)},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert json.loads(result.stdout) == {}


def test_client(tmp_path: Path) -> None:
    """A client has the options of its rucio.cfg, and none without the section."""
    stac = {"api": "https://a.org", "cache_s": " 60 "}
    assert run_with_rucio(_OPTIONS, tmp_path, client={}, stac=stac) == {
        "api": "https://a.org",
        "cache_s": "60",
    }
    assert run_with_rucio(_OPTIONS, tmp_path, client={}) == {}


_SERVER = """
from rucio.core import config
from stac_policy.settings import configured_options, settings
import logging

heard = []
class Listener(logging.Handler):
    def emit(self, record):
        heard.append([record.levelname, record.getMessage()])
logging.getLogger().addHandler(Listener(logging.WARNING))

with write() as db:
    for option, value in {"api": "https://table.org", "cache_s": "60", "typo": "1"}.items():
        config.set("stac", option, value, session=db)
options = configured_options()
heard.clear()
found = settings()
print(json.dumps([options, [found.api, found.cache_s, found.read_timeout_s], heard]))
"""


def test_server(tmp_path: Path) -> None:
    """A server has the options of its rucio.cfg, and those that only Rucio's config table has."""
    stac = {"api": "https://file.org", "read_timeout_s": "0"}
    options, found, heard = run_with_server(_SERVER, tmp_path, stac=stac)
    assert options == {
        "api": "https://file.org",
        "cache_s": "60",
        "read_timeout_s": "0",
        "typo": "1",
    }
    assert found == ["https://file.org", 60, 30]
    assert heard == [
        ["ERROR", "[stac] typo: there is no such option"],
        ["ERROR", "[stac] read_timeout_s: '0' is not a whole number from 1 to 86400"],
    ]
