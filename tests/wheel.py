"""Builds the wheel and tests it as a user gets it: contents, and imports with each extra alone.

Run by `make wheel`. It makes virtual environments, which is why it is no test
of the test suite.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

PROJECT = Path(__file__).parent.parent
PACKAGES = {"stac_client", "stac_policy", "stac_rucio", "stac_testbed"}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(PROJECT))
        (wheel,) = folder.glob("*.whl")
        check_contents(wheel)
        check_policy_alone(wheel, folder)
        check_client_extra(wheel, folder)
    print("wheel: 3 passed, 0 failed")


def check_contents(wheel: Path) -> None:
    """The three packages, each with py.typed, and nothing else: no tests."""
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    expect(top == PACKAGES, f"the wheel holds {top}")
    for package in PACKAGES:
        expect(f"{package}/py.typed" in names, f"{package} lacks py.typed")
    expect("stac_testbed/alternate-assets.schema.json" in names, "the schema is missing")
    tests = [name for name in names if Path(name).name.startswith(("test_", "conftest"))]
    expect(not tests, f"the wheel holds tests: {tests}")
    licence = [name for name in names if name.endswith("licenses/LICENSE")]
    expect(bool(licence), "the wheel lacks the licence")


def check_policy_alone(wheel: Path, folder: Path) -> None:
    """Without extras, names and URLs work, and the rest says which extra it needs."""
    python = environment(folder / "plain", str(wheel))
    run(python, "-c", "from stac_policy.naming import item_name; import stac_policy.urls")
    check_hint("client", python, "-c", "import stac_client")
    check_hint("client", python, "-m", "stac_rucio", "--help")


def check_client_extra(wheel: Path, folder: Path) -> None:
    """With [client] alone, stac_client imports; it needs no Rucio server package."""
    python = environment(folder / "client", f"{wheel}[client]")
    run(python, "-W", "error", "-c", "from stac_client import StacClient")
    run(python, "-W", "error", "-m", "stac_rucio", "--help")
    check_hint("serve", python, "-c", "import stac_rucio.serve")
    check_hint("serve", python, "-m", "stac_rucio", "serve", "--api", "http://127.0.0.1:9")
    result = run(python, "-m", "pip", "list", "--format", "freeze")
    installed = {line.partition("==")[0].lower() for line in result.splitlines()}
    expect("rucio-clients" in installed, "rucio-clients is missing")
    expect("rucio" not in installed, "rucio and rucio-clients are installed together")


def check_hint(extra: str, *command: str) -> None:
    """Without an extra, the command fails and says so."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    expect(result.returncode, f"{' '.join(command)} worked")
    expect(f"stac-rucio[{extra}]" in result.stderr, f"no hint to the extra: {result.stderr}")


def environment(folder: Path, requirement: str) -> str:
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement)
    return python


def run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def expect(condition: object, otherwise: str) -> None:
    if not condition:
        sys.exit(f"wheel: {otherwise}")


if __name__ == "__main__":
    main()
