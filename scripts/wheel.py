"""Builds the wheels and tests them as a user gets them: contents, and imports with each extra.

Run by `make wheel`. It makes virtual environments, which is why it is no test
of the test suite.
"""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from scripts.commands import run, run_in_vain

PROJECT = Path(__file__).parent.parent
TESTBED = PROJECT / "testbed"
PACKAGES = {"stac_client", "stac_policy", "stac_rucio"}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wheel = build(PROJECT, folder / "product")
        testbed = build(TESTBED, folder / "testbed")
        check_contents(wheel, PACKAGES)
        check_contents(testbed, {"stac_testbed"})
        check_testbed(testbed, wheel)
        check_policy_alone(wheel, folder)
        check_client_extra(wheel, folder)
    print("wheel: 5 passed, 0 failed")


def build(project: Path, folder: Path) -> Path:
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(project))
    (wheel,) = folder.glob("*.whl")
    return wheel


def check_contents(wheel: Path, packages: set[str]) -> None:
    """The packages, each with py.typed, and nothing else: no tests."""
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    expect(top == packages, f"the wheel holds {top}")
    for package in packages:
        expect(f"{package}/py.typed" in names, f"{package} lacks py.typed")
    tests = [name for name in names if Path(name).name.startswith(("test_", "conftest"))]
    expect(not tests, f"the wheel holds tests: {tests}")
    licence = [name for name in names if name.endswith("licenses/LICENSE")]
    expect(bool(licence), "the wheel lacks the licence")


def check_testbed(testbed: Path, wheel: Path) -> None:
    """It has its schema, the version of the product, and never brings rucio-clients along."""
    expect(
        "stac_testbed/alternate-assets.schema.json" in zipfile.ZipFile(testbed).namelist(),
        "the schema is missing",
    )
    (metadata,) = importlib.metadata.distributions(path=[str(testbed)])
    (product,) = importlib.metadata.distributions(path=[str(wheel)])
    expect(metadata.version == product.version, f"versions differ: {metadata.version}")
    needed = metadata.requires or []
    clients = [name for name in needed if name.startswith(("rucio-clients", "stac-rucio[client"))]
    expect("stac-rucio[tools]" in needed and not clients, f"the test bed needs {needed}")


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
    cfg = folder / "rucio.cfg"
    cfg.write_text("[client]\n[policy]\npackage = stac_policy\n")
    run("env", f"RUCIO_CONFIG={cfg}", python, "-m", "stac_policy")
    check_versions(python)
    check_hint("serve", python, "-c", "import stac_rucio.serve")
    check_hint("tools,gateway", python, "-c", "import stac_rucio.gateway")
    own = "an environment of its own, with: pip install -e . -e testbed"
    run_in_vain(own, python, "-m", "stac_rucio", "demo")
    check_hint("serve", python, "-m", "stac_rucio", "serve", "--api", "http://127.0.0.1:9")
    result = run(python, "-m", "pip", "list", "--format", "freeze")
    installed = {line.partition("==")[0].lower() for line in result.splitlines()}
    expect("rucio-clients" in installed, "rucio-clients is missing")
    expect("rucio" not in installed, "rucio and rucio-clients are installed together")


def check_versions(python: str) -> None:
    """The packages and the command give the version that pip shows."""
    program = (
        "import importlib.metadata, stac_client, stac_policy, stac_rucio\n"
        "print(importlib.metadata.version('stac-rucio'))\n"
        "print(*(each.__version__ for each in (stac_client, stac_policy, stac_rucio)))"
    )
    version, found = run(python, "-c", program).splitlines()
    expect(found.split() == [version] * 3, f"version {version} is given as {found}")
    said = run(python, "-m", "stac_rucio", "--version")
    expect(said.split()[-1] == version, f"stac-rucio says {said}")


def check_hint(extra: str, *command: str) -> None:
    """Without an extra, the command fails and says so."""
    run_in_vain(f"stac-rucio[{extra}]", *command)


def environment(folder: Path, requirement: str) -> str:
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement)
    return python


def expect(condition: object, otherwise: str) -> None:
    if not condition:
        sys.exit(f"wheel: {otherwise}")


if __name__ == "__main__":
    main()
