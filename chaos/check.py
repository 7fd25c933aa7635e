"""The independent check: what Rucio and the storages really have, by plain HTTP and plain files.

Nothing of stac_client is used here.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from urllib.parse import quote, urlsplit

import requests

SOURCE = "STAC"
THERE = ("registered", "already there")
FILES_THERE = ("downloaded", "already there")


class Wrong(Exception):  # noqa: N818 - what the check finds
    """Something is not as it must be."""


class Rucio:
    """The Rucio server, asked without any client of Rucio's or ours."""

    def __init__(self, lake: Any) -> None:
        """Log in as root."""
        self._url = lake.rucio_url
        self._session = requests.Session()
        given = {
            "X-Rucio-Account": "root",
            "X-Rucio-Username": "root",
            "X-Rucio-Password": lake.layout.passwords["root"],
        }
        answer = requests.get(f"{self._url}/auth/userpass", headers=given, timeout=60)
        answer.raise_for_status()
        self._headers = {
            "X-Rucio-Auth-Token": answer.headers["X-Rucio-Auth-Token"],
            "X-Rucio-Account": "root",
        }

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> list[Any]:
        """Give the lines of an answer, or nothing for 404."""
        data = None if body is None else json.dumps(body)
        answer = requests.request(
            method, f"{self._url}/{path}", headers=self._headers, data=data, timeout=120
        )
        if answer.status_code == requests.codes.not_found:
            return []
        answer.raise_for_status()
        return [json.loads(line) for line in answer.text.splitlines() if line.strip()]

    def dids(self, scope: Any) -> list[Any]:
        """All DIDs of a scope, by type and name; as often as Rucio names them."""
        found = self.ask("GET", f"dids/{scope}/dids/search?type=all&long=1")
        return [(str(did["did_type"]).upper(), did["name"]) for did in found]

    def content(self, scope: Any, name: Any) -> list[Any]:
        """What is attached to a DID."""
        return [did["name"] for did in self.ask("GET", f"dids/{scope}/{quote(name)}/dids")]

    def replicas(self, scope: str, names: list[Any]) -> dict[Any, Any]:
        """The replicas of files by name, in all states."""
        if not names:
            return {}
        body = {
            "dids": [{"scope": scope, "name": name} for name in names],
            "all_states": True,
            "sort": "random",
        }
        return {entry["name"]: entry for entry in self.ask("POST", "replicas/list", body)}


def check_rucio(rucio: Any, scope: Any, truths: dict[Any, Any]) -> set[Any]:
    """Compare a scope with what is true of its files.

    Args:
        rucio: Rucio.
        scope: The scope of a run.
        truths: What may be there, by name.

    Returns:
        The names of the files that are registered and attached.
    """
    dids = rucio.dids(scope)
    _check_dids(dids, truths)
    names = {name for kind, name in dids if kind == "FILE"}
    datasets = {name for kind, name in dids if kind == "DATASET" if not _is_selection(name)}
    attached: Counter[str] = Counter()
    for dataset in datasets:
        for name in rucio.content(scope, dataset):
            attached[name] += 1
            if truths[name].dataset != dataset:
                raise Wrong(f"{name} is attached to {dataset}")
    if twice := [name for name, count in attached.items() if count > 1]:
        raise Wrong(f"attached twice: {twice}")
    replicas = rucio.replicas(scope, sorted(names))
    for name, entry in replicas.items():
        _check_file(truths[name], entry)
    return {name for name in names if SOURCE in replicas[name]["rses"] and attached[name]}


def _check_dids(dids: Any, truths: dict[Any, Any]) -> None:
    if twice := [did for did, count in Counter(dids).items() if count > 1]:
        raise Wrong(f"twice in Rucio: {twice}")
    names = {name for kind, name in dids if kind == "FILE"}
    datasets = {name for kind, name in dids if kind == "DATASET"}
    selections = {name for name in datasets if _is_selection(name)}
    if odd := names - set(truths):
        raise Wrong(f"files that nobody asked for: {odd}")
    if odd := datasets - selections - {truth.dataset for truth in truths.values()}:
        raise Wrong(f"datasets that nobody asked for: {odd}")
    if others := [did for did in dids if did[0] not in ("FILE", "DATASET")]:
        raise Wrong(f"neither files nor datasets: {others}")
    if len(selections) > 1:
        raise Wrong(f"two selections of the same files: {selections}")


def _is_selection(name: Any) -> Any:
    return name.startswith("stac-selection-")


def require_all(there: set[Any], truths: dict[Any, Any]) -> None:
    """See that nothing is lacking of what must be registered and attached."""
    if missing := set(truths) - there:
        raise Wrong(f"not registered and attached: {sorted(missing)}")


def _check_file(truth: Any, entry: Any) -> None:
    if entry["bytes"] != len(truth.content):
        raise Wrong(f"{truth.name} has {entry['bytes']} bytes in Rucio, not {len(truth.content)}")
    for algorithm in ("adler32", "md5"):
        if entry[algorithm] not in (None, getattr(truth, algorithm)):
            raise Wrong(f"{truth.name} has {algorithm} {entry[algorithm]} in Rucio")
    if not (entry["adler32"] or entry["md5"]):
        raise Wrong(f"{truth.name} has no checksum in Rucio")
    if entry["rses"].get(SOURCE, [truth.url]) != [truth.url]:
        raise Wrong(f"{truth.name} is at {SOURCE} as {entry['rses'][SOURCE]}, not {truth.url}")


def check_outcomes(
    outcomes: list[Any],
    truths: dict[Any, Any],
    there: set[Any],
    states: tuple[str, str] = THERE,
    *,
    whole: Any = False,
    every: bool = True,
) -> None:
    """Compare outcomes, as (collection, item, key, state, reason), with what is there.

    Args:
        outcomes: What the client says.
        truths: What it was asked for.
        there: Names of the files that really are.
        states: The states that say so.
        whole: Whether nothing may have failed.
        every: Whether each asset must have an outcome.
    """
    by_place = {(truth.collection, truth.item, truth.key): truth for truth in truths.values()}
    counts: Counter[str] = Counter()
    for collection, item, key, state, reason in outcomes:
        if (collection, item, key) not in by_place:
            continue  # those that are not data: skipped
        name = by_place[collection, item, key].name
        counts[name] += 1
        if state in states and name not in there:
            raise Wrong(f"{name} is reported as {state}, but is not there")
        if state not in (*states, "failed"):
            raise Wrong(f"{name} is reported as {state}: {reason}")
        if state == "failed" and (not reason or reason.startswith("unexpected ")):
            raise Wrong(f"{name} failed without a reason to act on: {reason!r}")
        if whole and state == "failed":
            raise Wrong(f"{name} failed without a fault: {reason}")
    if twice := [name for name, count in counts.items() if count > 1]:
        raise Wrong(f"two outcomes: {twice}")
    if every and (missing := set(truths) - set(counts)):
        raise Wrong(f"no outcome: {sorted(missing)}")


def check_folder(folder: Any, truths: dict[Any, Any], *, whole: Any) -> set[Any]:
    """Compare downloaded files and their catalogue with what is true; gives the names there."""
    there = set()
    for truth in truths.values():
        path = folder / truth.name[1:]
        if path.exists():
            if path.read_bytes() != truth.content:
                raise Wrong(f"wrong bytes in {path}")
            there.add(truth.name)
    if not whole:
        for path in folder.rglob("*.json"):
            _json(path)
        return there
    if missing := set(truths) - there:
        raise Wrong(f"still not downloaded: {sorted(missing)}")
    expected = {truth.name[1:] for truth in truths.values()}
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    strange = {
        name for name in found - expected - {".stac-rucio.lock"} if not name.endswith(".json")
    }
    if strange:
        raise Wrong(f"left behind: {sorted(strange)}")
    _check_catalogue(folder, truths)
    return there


def _check_catalogue(folder: Any, truths: dict[Any, Any]) -> None:
    listed = []
    for child in _links(folder / "catalog.json", "child"):
        listed += _links(child, "item")
    if len(listed) != len(set(listed)):
        raise Wrong(f"items twice in the catalogue: {listed}")
    assets = {}
    for path in listed:
        for key, asset in _json(path)["assets"].items():
            assets[str((path.parent / asset["href"]).resolve())] = key
    wanted = {str((folder / truth.name[1:]).resolve()) for truth in truths.values()}
    if missing := wanted - set(assets):
        raise Wrong(f"not in the catalogue: {sorted(missing)}")


def _links(path: Any, rel: str) -> list[Any]:
    links = _json(path)["links"]
    return [(path.parent / link["href"]).resolve() for link in links if link["rel"] == rel]


def _json(path: Any) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise Wrong(f"{path} is no JSON: {error}") from error


def check_storage(
    rucio: Any, scope: Any, truths: dict[Any, Any], rse: Any, storage: Any, *, whole: Any
) -> set[Any]:
    """Compare the replicas at an RSE with the files below its storage's folder."""
    there = set()
    for name, entry in rucio.replicas(scope, sorted(truths)).items():
        if rse not in entry["rses"]:
            continue
        (pfn,) = entry["rses"][rse]
        path = storage / urlsplit(pfn).path.lstrip("/")
        if entry["states"][rse] != "AVAILABLE":
            continue
        if not path.is_file():
            raise Wrong(f"{name} is AVAILABLE at {rse}, but there is no {path}")
        if path.read_bytes() != truths[name].content:
            raise Wrong(f"{name} is AVAILABLE at {rse} with wrong bytes")
        there.add(name)
    if whole and (missing := set(truths) - there):
        raise Wrong(f"still not at {rse}: {sorted(missing)}")
    return there
