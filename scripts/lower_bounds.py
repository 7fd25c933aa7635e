"""Runs the unit tests with the oldest versions of every dependency that pyproject.toml allows.

Run by `make lower-bounds`. It makes virtual environments, which is why it is no
test of the test suite. The upper bounds are what everything else runs with: the
newest versions that resolve.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from scripts.commands import run

PROJECT = Path(__file__).parent.parent
UV = str(Path(sys.executable).parent / "uv")
# Tools of the tests, whose versions nobody is promised.
TOOLS = ("hypothesis", "pytest", "pytest-timeout")
in_project = partial(run, folder=PROJECT)


class Check(NamedTuple):
    """What is installed, and what then must work."""

    extras: tuple[str, ...]
    folder: str
    """The tests; of the conftest.py only that in it is used, and none needs a lake."""
    tools: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


CHECKS = (
    Check(
        ("client", "serve", "geoparquet", "fsspec", "zstd"),
        "tests/client",
        # stac_testbed holds the schema of an extension that the tests validate with.
        tools=("jsonschema", "matplotlib"),
        # Types are the same for all; pystac itself reads version 2 of an extension only lately,
        # and obstore goes with newer fsspecs.
        without=(
            "test_typing.py",
            "test_modifier_storage.py::test_pystac_reads_it",
            "test_item_streams.py::test_s3",
        ),
    ),
    Check(("client", "serve"), "tests/serving", without=("test_lake.py", "test_process.py")),
    Check(("client", "gateway"), "tests/gateway", tools=("nanio", "obstore", "psutil")),
    # Several VOs need the servers of a test bed: `make older-rucios` tries them.
    Check(("server",), "tests/policy", without=("test_multi_vo.py",)),
)


def main() -> None:
    """Try all extras, side by side."""
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as executor:
        folders = [Path(scratch, str(number)) for number in range(len(CHECKS))]
        for passed in executor.map(tried, folders, CHECKS):
            print(passed)
    print(f"lower bounds: {len(CHECKS)} passed, 0 failed")


def tried(folder: Path, check: Check) -> str:
    """Run the tests of a check, and say so; whatever fails ends the program."""
    python = environment(folder, check)
    ignored = [
        f"--{'deselect' if '::' in name else 'ignore'}={check.folder}/{name}"
        for name in check.without
    ]
    plugins = ("-p", "no:cacheprovider", "-p", "tests.common")
    options = ("-q", *plugins, f"--confcutdir={check.folder}")
    in_project(python, "-m", "pytest", *options, *ignored, check.folder)
    return f"lower bounds of [{','.join(check.extras)}]: {check.folder} passes"


def environment(folder: Path, check: Check) -> str:
    """A virtual environment with the oldest versions, and its Python."""
    oldest = folder / "oldest.txt"
    python = str(folder / "bin" / "python")
    in_project(UV, "venv", "--quiet", "--python", sys.executable, str(folder))
    extras = [word for extra in check.extras for word in ("--extra", extra)]
    lowest = ("--resolution", "lowest-direct", "--output-file", str(oldest))
    in_project(UV, "pip", "compile", "--quiet", *lowest, *extras, "pyproject.toml")
    install = (UV, "pip", "install", "--quiet", "--python", python)
    in_project(*install, "-r", str(oldest), "-c", str(oldest), *TOOLS, *check.tools)
    in_project(*install, "--no-deps", "--editable", ".", "--editable", "testbed")
    return python


if __name__ == "__main__":
    main()
