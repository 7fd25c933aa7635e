"""What processes do alone, without any server: quick benchmarks, of any commit.

`python -m benchmarks.quick` answers each line of its standard input, the name of a benchmark, by
the microseconds of processor time that a unit of its work took in one round.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from rucio.common.exception import UnsupportedOperation

from tests.fake_rucio import FakeRucio

from .harness import processor_s
from .items import SIZE_BYTES, make_items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Prepared = tuple[Callable[[], object], int, Callable[[], object]]
    """The work, how many units it has, and what comes before it each time, unmeasured."""

SOURCE_RSE = "STAC"
_ROUND_S = 0.2  # a round lasts for so long, or for one time of what takes longer
_OTHER = "cms", "/store/data/x.root"


class InstantRucio(FakeRucio):
    """Has copies of all files at some RSEs, and what is registered."""

    def __init__(self, *rses: str) -> None:
        super().__init__()
        self.headers: dict[str, str] = {}
        self.session = requests.Session()
        self._rses = rses
        self.rses = {SOURCE_RSE: {"deterministic": False}}
        self.registered: dict[str, dict[str, list[str]]] = {}
        """The PFNs by RSE of files by their names."""

    def add_replicas(self, rse: str, files: Any, **_: Any) -> bool:
        """Add replicas; without PFNs none is taken."""
        if any("pfn" not in file for file in files):
            raise UnsupportedOperation
        self.registered.update({file["name"]: {rse: [file["pfn"]]} for file in files})
        return True

    def list_replicas(self, dids: Any, **_: Any) -> Iterator[Any]:
        """List the replicas of files."""
        for did in dids:
            name = did["name"]
            pfns = {rse: [f"davs://{rse}.example.org:443{name}"] for rse in self._rses}
            if pfns := pfns or self.registered.get(name, {}):
                sums = {"bytes": SIZE_BYTES, "adler32": "0000000a", "md5": None}
                yield {**did, **sums, "rses": pfns, "states": dict.fromkeys(pfns, "AVAILABLE")}

    def list_scopes(self) -> list[str]:
        """List the one scope."""
        return ["bench"]

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_"):
            raise AttributeError(method)
        return lambda *_, **__: ()


def _nothing() -> None:
    pass


def _assets() -> Iterator[tuple[str, str, str, str, Any]]:
    for item in make_items("bench", 100, 12):
        for key, asset in item["assets"].items():
            yield item["collection"], item["id"], key, asset["href"], item["assets"]


def names_encoded() -> Prepared:
    """Name assets."""
    from stac_policy.naming import asset_name

    assets = [*_assets()]
    return lambda: [asset_name(*asset) for asset in assets], len(assets), _nothing


def names_decoded() -> Prepared:
    """Read names."""
    from stac_policy.naming import asset_name, split_name, unescape

    names = [asset_name(*asset) for asset in _assets()]

    def decode() -> None:
        for name in names:
            for part in split_name(name):
                unescape(part)

    return decode, len(names), _nothing


def policy_other_name() -> Prepared:
    """Ask the policy package for the path of a file that is not STAC's."""
    from stac_policy.non_deterministic_pfn import non_deterministic_pfn

    return _often(lambda: non_deterministic_pfn("d", *_OTHER))


def policy_scope() -> Prepared:
    """Extract the scope of what a user types."""
    from stac_policy.scope import scope

    return _often(lambda: scope("/alps/S2B_32TPS/red.tif", None))


def policy_permission() -> Prepared:
    """Ask whether an account may register 100 files that are not STAC's."""
    from stac_policy.permission import may_register

    scope, name = _OTHER
    asked = {"dids": [{"scope": scope, "name": name, "type": "FILE"}] * 100}
    return _often(lambda: may_register(None, "add_dids", asked, session=None))


def _often(work: Callable[[], object]) -> Prepared:
    return lambda: [work() for _ in range(1000)], 1000, _nothing


def plan() -> Prepared:
    """Plan the registration of items in a file, which say neither sizes nor checksums."""
    from stac_client import StacClient

    path = Path("items.ndjson")
    with path.open("w", encoding="utf-8") as file:
        for item in make_items("bench", 100, 20):
            for number, asset in enumerate(item["assets"].values()):
                del asset["file:size"], asset["rucio:adler32"]
                if number % 5 in {1, 3}:
                    about = asset["href"].replace(".tif", ".xml")
                    asset |= {"href": about, "roles": ["metadata"], "type": "application/xml"}
            file.write(json.dumps(item) + "\n")
    stac = StacClient(InstantRucio())
    return lambda: stac.plan(path, SOURCE_RSE), 100, _nothing


def registration() -> Prepared:
    """Register assets, with a Rucio that answers at once."""
    from stac_client import StacClient

    items, rucio = [*make_items("bench", 100, 12)], InstantRucio()
    stac = StacClient(rucio)

    def register() -> None:
        stac.create_replicas(items, SOURCE_RSE).raise_for_failed()

    return register, 1200, rucio.registered.clear


def modifier_again() -> Prepared:
    """Annotate assets whose replicas are known."""
    return _modifier(lambda modifier, page: modifier(deepcopy(page)))


def modifier_first() -> Prepared:
    """Annotate assets that Rucio, which answers at once, is asked for."""
    return _modifier(lambda modifier, _: modifier.clear())


def _modifier(prepare: Callable[[Any, Any], object]) -> Prepared:
    from stac_client import StacClient

    page: Any = {"type": "FeatureCollection", "features": [*make_items("bench", 50, 12)]}
    modifier: Any = StacClient(InstantRucio(SOURCE_RSE, "DISK-A", "DISK-B")).modifier
    copies: list[Any] = []

    def before() -> None:
        prepare(modifier, page)
        copies[:] = [deepcopy(page)]

    return lambda: modifier(copies[0]), 600, before


def importing_client() -> Prepared:
    """Import the client, in a new process."""
    return _python("from stac_client import StacClient")


def importing_policy() -> Prepared:
    """Import what servers and daemons need of the policy package, in a new process."""
    return _python("import stac_policy.algorithms, stac_policy.protocol, stac_policy.schema")


def _python(code: str) -> Prepared:
    # What is not compiled beforehand takes thrice as long; the first time, unmeasured, it is.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", code]
    return lambda: subprocess.run(command, check=True, env=environment), 1, _nothing


QUICK: dict[str, Callable[[], Prepared]] = {
    each.__name__: each
    for each in (
        names_encoded, names_decoded, policy_other_name, policy_scope, policy_permission, plan,
        registration, modifier_again, modifier_first, importing_client, importing_policy,
    )
}  # fmt: skip


def measure(prepared: Prepared) -> float:
    """Return the microseconds of processor time that a unit takes, in one round."""
    work, units, before = prepared
    took_s = done = 0.0
    while took_s < _ROUND_S:
        before()
        start_s = processor_s()
        work()
        took_s += processor_s() - start_s
        done += units
    return took_s * 1e6 / done


def _main() -> None:
    prepared: dict[str, Prepared] = {}
    for line in sys.stdin:
        name = line.strip()
        with suppress(ImportError):  # of what a commit does not have there is no time
            if name not in prepared:
                prepared[name] = QUICK[name]()
                measure(prepared[name])  # what is done once is no part of it
        time_us = measure(prepared[name]) if name in prepared else math.nan
        print(time_us, flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    _main()
