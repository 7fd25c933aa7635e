"""Answers of Rucio that are not of the form that its answers have."""

from __future__ import annotations

import copy
import datetime as dt
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stac_client import StacClient, StacRucioError
from stac_client._source_rse import source_protocol
from tests.items import make_asset, make_item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - as Rucio's client gives them
RULE_ID = "0" * 32
DATASET = {"scope": "alps", "name": "/alps/scene"}
RED = {"scope": "alps", "name": "/alps/scene/red.tif"}
NIR = {"scope": "alps", "name": "/alps/scene/nir.tif"}
ITEM = make_item(
    "alps",
    "scene",
    {key: make_asset(f"https://data.example.org/{key}.tif") for key in ("red", "nir", "blue")},
)
RULE = {
    **DATASET,
    "id": RULE_ID,
    "account": "root",
    "rse_expression": "DISK",
    "copies": 1,
    "state": "STUCK",
    "locks_ok_cnt": 0,
    "locks_replicating_cnt": 0,
    "locks_stuck_cnt": 1,
    "error": "no sources",
    "expires_at": None,
    "grouping": "DATASET",
    "activity": "User Subscriptions",
    "child_rule_id": None,
    "comments": None,
}
ANSWERS: dict[str, Any] = {
    "get_rse": {
        "rse": "STAC",
        "id": "x",
        "rse_type": "DISK",
        "deterministic": False,
        "availability_read": True,
        "protocols": [source_protocol("https")],
    },
    "list_rse_attributes": {"STAC": True, "country": "CH"},
    "list_rses": [{"rse": "STAC"}],
    "list_replicas": [
        {
            **did,
            "bytes": 10,
            "adler32": "0000000a",
            "md5": None,
            "rses": {"STAC": [f"https://data.example.org/{key}.tif"]},
            "states": {"STAC": "AVAILABLE"},
        }
        for key, did in (("red", RED), ("nir", NIR))
    ],
    "bulk_list_files": [{**RED, "parent_scope": "alps", "parent_name": "/alps/scene"}],
    "get_metadata_bulk": [{**NIR, "availability": "AVAILABLE", "created_at": NOW}],
    "list_scopes": ["alps"],
    "list_did_rules": [RULE],
    "get_replication_rule": RULE,
    "get_did": {"length": 1},
    "list_dataset_replicas": [{"rse": "DISK", "available_length": 1}],
    "list_replica_locks": [{**RED, "rse": "DISK", "state": "STUCK"}],
    "examine_replication_rule": {
        "transfers": [
            {**RED, "rse": "DISK", "attempts": 1, "last_error": "x.NO", "last_source": None}
        ]
    },
    "add_replication_rule": [RULE_ID],
    "get_local_account_usage": [{"rse": "DISK", "bytes": 1, "bytes_limit": 2}],
}


class Liar:
    """A client of Rucio that answers as it is told; what writes, succeeds."""

    account = "root"
    host = "https://rucio.example.org"
    timeout = 600
    session = None

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        answer = copy.deepcopy(self._answers.get(name, True))
        return lambda *_, **__: (
            iter(answer) if name.startswith(("list_repl", "list_dataset")) else answer
        )


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in an answer."""
    yield path
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, child in children:
        yield from places(child, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The value with another one in a place."""
    if not path:
        return new
    result = copy.copy(value)
    result[path[0]] = changed(value[path[0]], path[1:], new)
    return result


ALL = [(method, path) for method, answer in ANSWERS.items() for path in places(answer)]
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 1.5, "", "odd", [], {}, [1], {"a": 1}, [None], [[]], [{}]]
)
VERBS: dict[str, Callable[[StacClient], object]] = {
    "plan": lambda stac: str(stac.plan(ITEM, "STAC")),
    "create_replicas": lambda stac: stac.create_replicas(ITEM, "STAC", probe="item"),
    "delete_replicas": lambda stac: stac.delete_replicas(ITEM, "STAC", only_bad=True),
    "create_replication_rules": lambda stac: stac.create_replication_rules(ITEM, "DISK"),
    "rules": lambda stac: str(stac.replication_rules(RULE_ID)),
    "rule_status": lambda stac: str(stac.rule_status(RULE_ID)),
    "rule_status by item": lambda stac: str(stac.rule_status(RULE_ID, by_item=True)),
    "availability": lambda stac: str(stac.replication_availability(ITEM)),
    "modifier": lambda stac: stac.modifier.with_options(prefer=["country=CH"], strict=False)(
        copy.deepcopy(ITEM)
    ),
}


@pytest.mark.parametrize("verb", VERBS)
@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(ALL), new=ODD)
def test_one_value_is_of_another_type(
    verb: str, place: tuple[str, tuple[Any, ...]], new: Any
) -> None:
    """Each verb goes on or says so, with nothing of how Python sees it."""
    method, path = place
    client = Liar({**ANSWERS, method: changed(ANSWERS[method], path, new)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = VERBS[verb](StacClient(client, retry_s=0))
        except StacRucioError as error:
            found = str(error)
    assert "unexpected" not in str(getattr(found, "to_dicts", lambda: found)())
