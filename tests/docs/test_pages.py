"""Every code block of the README and of the documentation runs, each page's in a plain lake."""

from __future__ import annotations

import fcntl
import inspect
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import stac_client
from stac_testbed.lake import running
from stac_testbed.layout import STORAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_testbed import Lake

PROJECT = Path(__file__).parents[2]
PAGES = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(PROJECT / folder / "README.md" for folder in ("etc", "extensions", "testbed")),
    *sorted((PROJECT / "docs").rglob("*.md")),
]
LANGUAGES = {"html", "ini", "json", "python", "sh", "text", "toml", "yaml"}
BLOCK = re.compile(r"^( *)```(.*)\n(?:.*\n)*?\1```$", re.MULTILINE)
COMMAND = re.compile(
    r"\n *(\$|(apt|curl|docker|eval|git|kubectl|make|openssl|pip|python3?|rucio|stac-\w+|uvicorn) )"
)
NOT_RUN = re.compile(r"^<!-- not run: (.+) -->\n(.*)$", re.MULTILINE)
RUN = re.compile(r"(?<! -->\n)^ *```(?:python|sh)$", re.MULTILINE)


def _name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


RUNNING = [page for page in PAGES if RUN.search(page.read_text())]
CODE = re.compile(r"^([\w.]+\(.*\)|for .+: .+)$", re.MULTILINE)
INDENTED = re.compile(r"\n\n {4}(?! *([-*]|\d+\.)).*")


@pytest.fixture(scope="module")
def new_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake as it is when it is new, with a copy of its database."""
    with running(tmp_path_factory.mktemp("docs") / "lake", gateway=True) as started:
        database = started.layout.folder / "rucio.db"
        _copy(database, database.with_name("new.db"))
        yield started


@pytest.fixture
def lake(new_lake: Lake) -> Lake:
    """The lake, without what another page has put into it."""
    database = new_lake.layout.folder / "rucio.db"
    _copy(database.with_name("new.db"), database)
    for storage in STORAGES:
        shutil.rmtree(new_lake.layout.data(storage) / "rucio", ignore_errors=True)
    return new_lake


def _copy(database: Path, to: Path) -> None:
    """Copy a database of SQLite, in one transaction of those that are in use."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


@pytest.mark.parametrize("page", RUNNING, ids=_name)
def test_page(page: Path, lake: Lake, tmp_path: Path) -> None:
    """All blocks of a page run one after the other, as its reader would run them."""
    folder = tmp_path / "reader"
    folder.mkdir()
    programs = Path(sys.executable).parent
    # What others wrote may be deprecated; Rucio's own code is when it is compiled.
    others = ("default::DeprecationWarning", "default::PendingDeprecationWarning")
    warnings = [f"-W{rule}" for rule in ("error", *others)]
    with Path(tempfile.gettempdir(), "stac-rucio-pages.lock").open("w") as lock:
        if ":8080" in page.read_text():  # the port of `serve`, of which a machine has one
            fcntl.flock(lock, fcntl.LOCK_EX)
        result = subprocess.run(  # noqa: S603 - a program of this project
            [sys.executable, *warnings, str(Path(__file__).with_name("page.py")), str(page)],
            cwd=folder,
            env={
                **os.environ,
                **lake.environment(),
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
                "NO_PROXY": "127.0.0.1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_blocks_say_their_language(page: Path) -> None:
    """A block without a known language would not be run, and nobody would see it."""
    text = page.read_text()
    assert {language for _, language in BLOCK.findall(text)} <= LANGUAGES
    prose = BLOCK.sub("", text)
    assert "```" not in prose, "a block that does not end"
    assert not INDENTED.search(prose), "an indented block: give it a fence and a language"


def test_public_names_are_in_the_api() -> None:
    """The page of the API has everything that `stac_client` exports, and each type of arguments."""
    text = (PROJECT / "docs" / "api.md").read_text()
    named = {*re.findall(r"^::: stac_client\.(\w+)$|\b(\w+Error)\b", text, re.MULTILINE)}
    assert {*stac_client.__all__} - {name for each in named for name in each} == {
        "ALTERNATE_ASSETS",  # a URL, and the version
        "__version__",
    }
    signatures = (PROJECT / "stac_client" / "client.py").read_text()
    types = {"AssetSelection", "ItemsLike", "Prefer", "Prefixes", "RulesLike"}
    assert types <= {*re.findall(r"\w+", signatures)}
    assert types <= {*re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)}


def test_examples_are_code() -> None:
    """What is code in a docstring is marked as such; the site would show it as prose."""
    for name in stac_client.__all__:
        thing = getattr(stac_client, name)
        for each in (thing, *(vars(thing).values() if isinstance(thing, type) else ())):
            assert not CODE.search(inspect.getdoc(each) or ""), name


def test_blocks_that_do_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Commands run, or the page says why they do not; this test prints which those are."""
    for page in PAGES:
        text = page.read_text()
        for block in BLOCK.finditer(text):
            commands = block[2] == "text" and COMMAND.search(block[0])
            assert not commands, f"{page.name}: give {block[0]} the language sh"
        for mark in NOT_RUN.finditer(text):
            assert mark[2] in {"```sh", "```python"}, f"{page.name}: {mark[1]}: before no block"
            with capsys.disabled():
                line = text.count("\n", 0, mark.start()) + 1
                print(f"\nnot run: {_name(page)}:{line}: {mark[1]}", end="")  # noqa: T201
