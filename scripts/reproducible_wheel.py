"""Builds each wheel twice, in two places, and compares: the same source gives the same bytes.

Run by `make reproducible-wheel`. What it prints can be compared with what another
machine prints for the same commit.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from scripts.commands import run

PROJECT = Path(__file__).parent.parent
DISTRIBUTIONS = {
    PROJECT: ("stac_client", "stac_policy", "stac_rucio"),
    PROJECT / "testbed": ("stac_testbed",),
}
FILES = ("LICENSE", "README.md", "pyproject.toml")


def main() -> None:
    """Build, with other paths, times of files and umask, and compare."""
    epoch = {"SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or last_commit_s()}
    for project in DISTRIBUTIONS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            wheels = [
                build(project, folder / "first", epoch, umask=0o022),
                build(project, folder / "second" / "elsewhere", epoch, umask=0o077),
            ]
            first, second = (wheel.read_bytes() for wheel in wheels)
            if first != second or wheels[0].name != wheels[1].name:
                sys.exit("reproducible wheel: two builds of the same source differ")
            print(f"{hashlib.sha256(first).hexdigest()}  {wheels[0].name}")
    print(f"reproducible wheel: {len(DISTRIBUTIONS)} passed, 0 failed")


def build(project: Path, folder: Path, epoch: dict[str, str], umask: int) -> Path:
    """Build the wheel from a copy of the source, whose files are as old as the copy."""
    before = os.umask(umask)
    try:
        folder.mkdir(parents=True)
        for name in DISTRIBUTIONS[project]:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(
                project / name, folder / name, copy_function=shutil.copyfile, ignore=ignored
            )
        for name in FILES:
            shutil.copyfile(project / name, folder / name)
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", "dist", "."]
        run(*command, folder=folder, environment=epoch)
    finally:
        os.umask(before)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def last_commit_s() -> str:
    """The time of the last commit, in seconds since 1970."""
    return run("git", "log", "-1", "--format=%ct", folder=PROJECT).strip()


if __name__ == "__main__":
    main()
