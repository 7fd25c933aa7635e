"""The policy package's algorithms as Rucio calls them, in processes like the server's."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from stac_client import StacClient
from stac_policy.naming import DID

from .harness import Goal, Row, per_call
from .items import make_items
from .setting import COPY_RSES, SOURCE_RSE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .setting import Setting

_OTHER = DID("cms", "/store/data/Run2018A/x.root")
_ALIKE = DID("dune", "/dune/raw/run1.root")


def run(setting: Setting) -> Iterator[Row]:
    """Resolve a registered asset, one that only a STAC API knows, and one that is not STAC's."""
    stac = StacClient(setting.lake.client())
    collection = setting.new_collection(setting.lake.client())
    registration = stac.create_replicas(make_items(collection, 100, 1), SOURCE_RSE)
    did = next(outcome.did for outcome in registration if outcome.did)
    catalogued = _catalogued(setting)
    for part, found, server in (("server", did, True), ("client", catalogued, False)):
        arguments = (part, str(setting.size.rounds), str(setting.size.calls), *found)
        for row in json.loads(setting.run_module("policy", *arguments, server=server)):
            yield Row(**{**row, "goal": Goal(**row["goal"])})


def _catalogued(setting: Setting) -> DID:
    """An asset of the lake's own catalogue."""
    import pystac_client

    search = pystac_client.Client.open(setting.lake.stac_url).search(max_items=1)
    (asset, *_) = (
        outcome
        for outcome in StacClient(setting.lake.client()).create_replicas(search, SOURCE_RSE)
        if outcome.did
    )
    assert asset.did is not None  # noqa: S101 - chosen so
    return asset.did


def _server(rounds: int, calls: int, did: DID) -> Iterator[Row]:
    """What runs in the Rucio server."""
    from rucio.common.types import InternalAccount, InternalScope
    from rucio.core.rse import get_rse_id
    from rucio.db.sqla.constants import DatabaseOperationType
    from rucio.db.sqla.models import RSEFileAssociation
    from rucio.db.sqla.session import db_session
    from sqlalchemy import select

    from stac_policy.non_deterministic_pfn import non_deterministic_pfn, rucio_default
    from stac_policy.permission import may_register

    with db_session(DatabaseOperationType.READ) as session:
        rse_id = get_rse_id(SOURCE_RSE, session=session)

    def bare() -> str:
        with db_session(DatabaseOperationType.READ) as session:
            statement = select(RSEFileAssociation.path).where(
                RSEFileAssociation.rse_id == rse_id,
                RSEFileAssociation.scope == InternalScope(did.scope),
                RSEFileAssociation.name == did.name,
            )
            return str(session.execute(statement).scalar_one())

    assert non_deterministic_pfn("", *did) == bare()  # noqa: S101 - the same is compared
    yield per_call(
        lambda: non_deterministic_pfn("", *did),
        bare,
        rounds,
        max(calls // 20, 5),
        time.perf_counter,
    ).slower(
        "non_deterministic_pfn of a STAC name, from the replica catalogue",
        "a bare primary-key select", Goal(most=1.5),
    )  # fmt: skip
    yield per_call(
        lambda: non_deterministic_pfn("d", *_ALIKE), bare, rounds, max(calls // 20, 5),
        time.perf_counter,
    ).slower(
        "non_deterministic_pfn of another name of three parts in its scope",
        "a bare primary-key select", Goal(most=1.5),
    )  # fmt: skip
    yield per_call(
        lambda: non_deterministic_pfn("d", *_OTHER), lambda: rucio_default("d", *_OTHER),
        rounds, calls,
    ).extra_us(
        "non_deterministic_pfn of another name", "Rucio's default", Goal(most=5)
    )  # fmt: skip

    account = InternalAccount("root")
    with db_session(DatabaseOperationType.READ) as session:
        other_rse = {"rse": COPY_RSES[0], "rse_id": get_rse_id(COPY_RSES[0], session=session)}
        for what, action, asked in (
            ("DIDs that are not STAC's", "add_dids", _new(_OTHER, 100)),
            ("new replicas at other RSEs", "add_replicas", other_rse),
            ("deleting replicas at other RSEs", "delete_replicas", other_rse),
        ):
            ask = partial(may_register, account, action, asked, session=session)
            yield per_call(ask, lambda: None, rounds, calls).extra_us(
                f"permission for {what}", "Rucio's own", Goal(most=5)
            )
        ask = partial(may_register, account, "add_dids", _new(_ALIKE, 1), session=session)
        yield per_call(ask, bare, rounds, max(calls // 20, 5), time.perf_counter).slower(
            "permission for another name of three parts in its scope",
            "a bare primary-key select", Goal(most=1.5),
        )  # fmt: skip


def _new(did: DID, count: int) -> dict[str, Any]:
    """What a request for new files asks permission with."""
    return {"dids": [{"scope": did.scope, "name": did.name, "type": "FILE"}] * count}


def _client(rounds: int, calls: int, did: DID) -> Iterator[Row]:
    """What runs in clients, such as rucio-admin."""
    from rucio.common.utils import ScopeExtractionAlgorithms

    from stac_policy.non_deterministic_pfn import non_deterministic_pfn
    from stac_policy.scope import scope

    known = {did: non_deterministic_pfn("", *did)}
    yield per_call(
        lambda: non_deterministic_pfn("", *did), lambda: known[did], rounds, calls
    ).extra_us(
        "non_deterministic_pfn of a STAC name, from the STAC API, cached", "a dict look-up",
        Goal(most=10),
    )  # fmt: skip
    default = ScopeExtractionAlgorithms.extract_scope_default
    for what, text in (
        ("scope extraction of `scope:name`", "cms:/store/data/x.root"),
        ("scope extraction of `user.alice.x`", "user.alice.x"),
        ("scope extraction of `/collection/item/asset`", did.name),
    ):
        against = text if not text.startswith("/") else "user.alice.x"
        yield per_call(
            partial(scope, text, None), partial(default, against, None), rounds, calls
        ).extra_us(what, "Rucio's default", Goal(most=10))


def _main(part: str, rounds: int, calls: int, did: DID) -> None:
    measure: Any = {"server": _server, "client": _client}[part]
    print(json.dumps([asdict(row) for row in measure(rounds, calls, did)]))  # noqa: T201 - the answer


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), DID(sys.argv[4], sys.argv[5]))
