"""Tests what runs in Rucio's official images on the Python that these have, 3.9.

Run by `make python39`: a checker of syntax and a resolver come first, and are left when
bullseye leaves the mirrors. Then Debian bullseye's own interpreter is unpacked, nothing of
it installed; in it the wheel is put beside Rucio by the commands of the images and of Helm's
charts, which have to fail where it cannot be, and the tests of the policy package run.
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from scripts.commands import run, run_in_vain

PROJECT = Path(__file__).parent.parent
UV = str(Path(sys.executable).parent / "uv")
RUCIOS = ("38", "41")
SUITE = "bullseye"
PACKAGES = (
    *("python3.9-minimal", "libpython3.9-minimal", "libpython3.9-stdlib"),
    *("python3-distutils", "python3-lib2to3", "libssl1.1", "libffi7"),
)
PIP = "pip==21.3.1"  # of AlmaLinux 9
NONE = "No matching distribution"  # what pip says, which then fails
CONFIGURATION = """\
[policy]
package = stac_policy
[database]
default = sqlite:///{folder}/rucio.db
"""


def main() -> None:
    """Try each way in."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        static(folder)
        run(UV, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(PROJECT))
        (wheel,) = map(str, folder.glob("*.whl"))
        interpreter = unpack(folder / SUITE)
        for rucio in RUCIOS:
            python = environment(folder / f"rucio-{rucio}", interpreter, f"rucio=={rucio}.*")
            configure(folder / f"rucio-{rucio}")
            as_helm(folder / f"helm-{rucio}", python)
            as_images(python, wheel)
            tests(python)
            print(f"Python 3.9 with Rucio {rucio}: images, Helm's way and tests/policy pass")
        refused(python)
    print(f"python39: {2 * len(RUCIOS) + 2} passed, 0 failed")


def unpack(folder: Path) -> str:
    """Unpack Debian's Python 3.9, and return the interpreter."""
    mirror = next(
        uri
        for uri, codename in map(
            str.split,
            run("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)").splitlines(),
        )
        if "-" not in codename and uri.rstrip("/").endswith("/debian")
    )
    (folder / "lists" / "partial").mkdir(parents=True)
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (folder / "sources.list").write_text(f"deb [signed-by={keys}] {mirror} {SUITE} main\n")
    options: dict[str, str | Path] = {
        "APT::Sandbox::User": "root",
        "Dir::Cache": folder,
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::Status": "/dev/null",
    }
    apt = ("apt-get", "-qq", *(word for pair in options.items() for word in option(*pair)))
    run(*apt, "update")
    run(*apt, "download", *PACKAGES, folder=folder)
    for package in folder.glob("*.deb"):
        run("dpkg", "-x", str(package), str(folder))
    (library,) = (folder / "usr" / "lib").glob("*-linux-gnu")
    os.environ["LD_LIBRARY_PATH"] = str(library)
    return str(folder / "usr" / "bin" / "python3.9")


def option(name: str, value: str | Path) -> tuple[str, str]:
    return "-o", f"{name}={value}"


def environment(folder: Path, interpreter: str, rucio: str) -> str:
    """Make a virtual environment with Rucio and the tools of the tests, and return its Python."""
    run(UV, "venv", "--quiet", "--seed", "--python", interpreter, str(folder))
    python = str(folder / "bin" / "python")
    tools = ("hypothesis", "pytest", "pytest-timeout", "pytest-xdist")
    install = (UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", python)
    run(*install, rucio, *tools)
    return python


def configure(folder: Path) -> None:
    """Write a configuration of Rucio, and a database with the table that settings may be in."""
    (folder / "rucio.cfg").write_text(CONFIGURATION.format(folder=folder))
    os.environ["RUCIO_CONFIG"] = str(folder / "rucio.cfg")
    with closing(sqlite3.connect(folder / "rucio.db")) as database:
        database.execute("CREATE TABLE configs (section, opt, value)")


def as_helm(target: Path, python: str) -> None:
    """Install into a folder of its own, as the init container does, and find it there.

    From the sources, as of a repository: Python 3.9 builds them, too.
    """
    pips = target.with_name("pip-of-almalinux")
    run(python, "-m", "pip", "install", "--quiet", "--upgrade", PIP, "--target", str(pips))
    pip = ("env", f"PYTHONPATH={pips}", python, "-m", "pip", "install", "--target", str(target))
    run_in_vain(NONE, *pip, "--no-index", "stac-rucio")
    run(*pip, "--quiet", str(PROJECT))
    brought = {path.name for path in target.iterdir() if path.suffix != ".dist-info"}
    if not brought <= {"bin", "stac_client", "stac_policy", "stac_rucio"}:
        sys.exit(f"python39: what pip put beside Rucio shadows its own packages: {brought}")
    values = yaml.safe_load((PROJECT / "etc" / "helm.yaml").read_text())
    (package,) = values["policyPackages"]["packages"]
    # What the charts look for, to install nothing that is there already.
    known = "from importlib.metadata import version; assert version({moduleName!r}) == {version!r}"
    for command in (("-c", known.format_map(package)), ("-m", "stac_policy")):
        run("env", f"PYTHONPATH={target}", python, *command)


def as_images(python: str, wheel: str) -> None:
    """Install by the line of an image of one's own, whose pip is that of Rucio's images, too.

    These go on where it fails: the guide then has the package imported.
    """
    run_in_vain("No module named 'stac_policy'", python, "-c", "import stac_policy")
    containerfile = (PROJECT / "etc" / "Containerfile").read_text()
    (line,) = re.findall("^RUN (.*)$", containerfile, re.MULTILINE)
    line = line.replace("python3", python)
    run_in_vain(NONE, "sh", "-c", line.replace("stac-rucio", "--no-index stac-rucio"))
    run("sh", "-c", line.replace("stac-rucio", wheel))
    run(python, "-m", "stac_policy")


def tests(python: str) -> None:
    """Run the tests of the policy package; those of several VOs need a whole test bed."""
    plugins = ("-p", "no:cacheprovider", "-p", "tests.common", "--confcutdir=tests/policy")
    warnings = ("-W", "ignore::FutureWarning")  # google-auth speaks of the end of 3.9
    pytest = (python, "-m", "pytest", "-q", "-n", "2", *plugins, *warnings)
    run(*pytest, "--ignore=tests/policy/test_multi_vo.py", "tests/policy", folder=PROJECT)


def refused(python: str) -> None:
    """What needs a newer Python says so."""
    for module in ("stac_client", "stac_rucio.__main__"):
        run_in_vain("Python 3.10", python, "-c", f"import {module}")


def static(folder: Path) -> None:
    """Check syntax and library for 3.9, and that the dependencies can be met there."""
    run(
        str(Path(UV).parent / "vermin"),
        "--target=3.9-",
        "--no-tips",
        "--quiet",
        "stac_policy",
        folder=PROJECT,
    )
    for extra in ("server", "client"):
        compiled = ("--output-file", str(folder / f"{extra}.txt"), "--python-version", "3.9")
        pip_compile = (UV, "pip", "compile", "--quiet", *compiled, "--extra", extra)
        run(*pip_compile, "pyproject.toml", folder=PROJECT)


if __name__ == "__main__":
    main()
