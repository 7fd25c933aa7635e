"""Every code block of the README and of the documentation runs, on a lake of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stac_testbed.lake import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_testbed import Lake

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
EXAMPLE_API = "https://stac.example.org/v1"
"""The STAC API of the pages, in whose place that of the lake is used."""
LANGUAGES = {"console", "html", "ini", "json", "python", "sh", "text", "toml", "yaml"}
BLOCK = re.compile(r"^( *)```(.*)\n(?:.*\n)*?\1```$", re.MULTILINE)
INDENTED = re.compile(r"\n\n {4}(?! *([-*]|\d+\.)).*")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake that no other test has put anything into."""
    with running(tmp_path_factory.mktemp("docs") / "lake") as started:
        yield started


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path, lake: Lake, tmp_path: Path) -> None:
    """All blocks of a page run one after the other, as its reader would run them."""
    copy = tmp_path / page.name
    copy.write_text(page.read_text().replace(EXAMPLE_API, lake.stac_url))
    folder = tmp_path / "reader"
    folder.mkdir()
    programs = Path(sys.executable).parent
    # What others wrote may be deprecated; Rucio's own code is when it is compiled.
    others = ("default::DeprecationWarning", "default::PendingDeprecationWarning")
    warnings = [f"-W{rule}" for rule in ("error", *others)]
    result = subprocess.run(  # noqa: S603 - a program of this project
        [sys.executable, *warnings, str(Path(__file__).with_name("page.py")), str(copy)],
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_say_their_language(page: Path) -> None:
    """A block without a known language would not be run, and nobody would see it."""
    text = page.read_text()
    assert {language for _, language in BLOCK.findall(text)} <= LANGUAGES
    prose = BLOCK.sub("", text)
    assert "```" not in prose, "a block that does not end"
    assert not INDENTED.search(prose), "an indented block: give it a fence and a language"
