"""What a lake does about PostgreSQL and XRootD where there is neither."""

from __future__ import annotations

import configparser
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from stac_testbed import TestbedError, configuration, start
from stac_testbed.layout import Layout
from stac_testbed.postgresql import Schema, check_database

if TYPE_CHECKING:
    from pathlib import Path


# surrogates have no UTF-8; PostgreSQL's passwords have no null
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
_NOWHERE = "127.0.0.1:9"  # the discard port


@given(user=_TEXT, password=_TEXT)
def test_rucios_url_has_what_the_users_has(user: str, password: str) -> None:
    """Rucio logs in as the user says, whatever characters that takes, and sees one schema."""
    schema = Schema(f"postgresql://{quote(user, '')}:{quote(password, '')}@db.example.org/d")
    url = make_url(schema.url)
    assert (url.username, url.password, url.host) == (user, password, "db.example.org")
    assert url.get_driver_name() == "psycopg"
    assert url.query["options"] == f"-csearch_path={schema.name}"
    assert repr(schema) == f"Schema(name={schema.name!r})"


def test_options_of_the_url_are_kept() -> None:
    """What else a user sets for the connections stays set."""
    url = make_url(Schema("postgresql://h/d?options=-cwork_mem%3D64MB", "mine").url)
    assert url.query["options"] == "-cwork_mem=64MB -csearch_path=mine"


def test_rucios_configuration_has_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A per cent sign in the URL survives the configuration files of Rucio and of alembic."""
    monkeypatch.setattr("stac_testbed.layout.free_ports", lambda count: list(range(count)))
    layout = Layout.create(tmp_path / "lake", database="postgresql://me:50%25@h/d")
    configuration.write_server(layout)
    for name, section, option in [
        ("server.cfg", "database", "default"),
        ("alembic.ini", "alembic", "sqlalchemy.url"),
    ]:
        parser = configparser.ConfigParser()
        parser.read(layout.etc / name)
        assert make_url(parser[section][option]).password == "50%"  # noqa: S105 - as above


@pytest.mark.parametrize(
    "url",
    [
        "s3cret",
        "sqlite:///s3cret",
        "mysql://me:s3cret@h/d",
        "postgresql://me:s3cret@h:port/d",
        "postgresql://me:s3cret@@h/d",
        "postgresql://me:@s3cret@h/d",
        f"postgresql://me:s3cret@{_NOWHERE}/d",
        f"postgresql+psycopg://me:s3cret@{_NOWHERE}/d",
    ],
)
def test_a_refused_url_is_not_repeated(url: str, tmp_path: Path) -> None:
    """A mistyped or unreachable database is refused with nothing made and no password said."""
    with pytest.raises(TestbedError, match=r"postgresql://USER|127\.0\.0\.1.*refused") as caught:
        start(tmp_path / "lake", database=url)
    assert "s3cret" not in str(caught.value)
    assert not (tmp_path / "lake").exists()


@given(password=_TEXT)
def test_no_password_is_ever_repeated(password: str) -> None:
    """Whatever stands for the password, escaped or not, an error says the same without it."""
    said = []
    for written in (password, quote(password, "")):
        with pytest.raises(TestbedError) as caught:
            check_database(f"postgresql://me:{written}x@{_NOWHERE}/d")
        said.append(str(caught.value))
    with pytest.raises(TestbedError) as caught:
        check_database(f"postgresql://me:other@{_NOWHERE}/d")
    wanted = "give the database as postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    assert said[1] == str(caught.value)
    assert said[0].startswith((str(caught.value), wanted))


@pytest.mark.parametrize(
    ("options", "package"),
    [({"database": "postgresql"}, "apt install postgresql"), ({"storage": "xrootd"}, "xrootd-")],
)
def test_a_server_that_is_not_installed(
    options: dict[str, Any], package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a server is missing, the lake says what to install and makes nothing."""
    monkeypatch.setattr("stac_testbed.postgresql._DEBIAN", tmp_path)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(TestbedError, match=package):
        start(tmp_path / "lake", **options)
    assert not (tmp_path / "lake").exists()


def test_xrootd_keeps_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others could reach XRootD, the lake says how to be alone and makes nothing."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: "/usr/bin/xrootd")
    up = SimpleNamespace(isup=True)
    monkeypatch.setattr("psutil.net_if_stats", lambda: {"lo": up, "net-of-others": up})
    with pytest.raises(TestbedError, match=r"on net-of-others too.*unshare --net"):
        start(tmp_path / "lake", storage="xrootd")
    assert not (tmp_path / "lake").exists()
