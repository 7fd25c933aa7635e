"""Registering items with their datasets, beside bare bulk calls and beside asset by asset."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from statistics import median
from typing import TYPE_CHECKING, Any

from stac_client import StacClient, State
from stac_policy.naming import asset_name, item_name

from .harness import Goal, Rounds, Row, counted, one_by_one, seconds, side_by_side
from .items import make_items
from .setting import COPY_RSES, SOURCE_RSE, cut, requests_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rucio.client import Client

    from .setting import Setting

_AT_A_TIME = 4  # as many requests as ours has on their way


def run(setting: Setting) -> Iterator[Row]:
    """Register the same items again and again, in new scopes."""
    size, client = setting.size, setting.lake.client()
    stac = StacClient(client)
    count = size.items * size.assets
    what = f"register {count:,} assets of {size.items:,} items with datasets"
    warm = min(2 * 1000 // size.assets, size.items)
    # It then knows how much the database takes in one request.
    stac.create_replicas(make_items(setting.new_collection(client), warm, size.assets), SOURCE_RSE)

    def rounds_against(bare: Callable[[Client, Any, int], None], count: int) -> Rounds:
        ours = [setting.new_collection(client) for _ in range(count)]
        others = [setting.new_collection(client) for _ in range(count)]
        return side_by_side(
            lambda number: _register(stac, make_items(ours[number], size.items, size.assets)),
            lambda number: bare(
                client, make_items(others[number], size.items, size.assets), setting.batch
            ),
            count,
        )

    rounds = rounds_against(_bare_together, min(size.rounds, 3))
    yield rounds.slower(what, f"bare bulk calls, {_AT_A_TIME} at a time", Goal(most=1.15))
    in_turn = rounds_against(_bare_in_turn, min(size.rounds, 2))
    yield in_turn.slower(what, "bare bulk calls, in turn", Goal(most=1.15))

    collection = setting.new_collection(client)
    with requests_of(client) as sent:
        _register(stac, make_items(collection, size.items, size.assets))
    per_batch = len(sent) / max(count / 1000, 1)
    note = "a first request asks for the RSE"
    yield counted("requests for 1,000 assets", per_batch, "requests", Goal(most=6), note)

    yield from _again(setting, client)

    scope = setting.new_collection(client)
    files = _files(make_items(scope, size.singles, 1))
    single_s = seconds(lambda: _one_by_one(client, files))
    yield one_by_one(
        what,
        "list_replicas, add_replica of each",
        Goal(least=20),
        whole_s=median(rounds.ours_s),
        single_s=single_s,
        scale=count / len(files),
    )


def _again(setting: Setting, client: Client) -> Iterator[Row]:
    """Register what is there, by the processor time of client, server and database."""
    size, stac = setting.size, StacClient(client)
    collection = setting.new_collection(client)
    items = [*make_items(collection, size.items, size.assets)]
    datasets = [{"scope": collection, "name": item_name(collection, item["id"])} for item in items]
    options = {"rse_expression": SOURCE_RSE, "all_states": True, "sort": "random", "domain": "wan"}

    def clock() -> float:
        return time.process_time() + setting.servers_busy_s

    def bare(_: int) -> None:
        of_request = max(1000 // size.assets, 1)
        for part in cut(datasets, of_request):
            list(client.list_replicas(part, resolve_archives=False, **options))

    def again(_: int) -> None:
        assert stac.create_replicas(items, SOURCE_RSE).counts == {State.ALREADY_THERE: count}  # noqa: S101

    count = size.items * size.assets
    first_s = seconds(lambda: _register(stac, items), clock)
    for where in ("at the source RSE alone", f"at {len(COPY_RSES)} other RSEs, too"):
        rounds = side_by_side(again, bare, max(size.rounds, 3), clock)
        what = f"register {count:,} assets again, replicas {where}: processor time"
        note = f"{median(rounds.ours_s) / first_s:.2f} of the first time"
        against = "bare list_replicas of the items' datasets at the source RSE"
        yield rounds.slower(what, against, Goal(most=1.25), note)
        if where.startswith("at the source"):
            setting.add_copies(client, stac.create_replicas(items, SOURCE_RSE).dids)
    with requests_of(client) as sent:
        again(0)
    batches = -(-size.items // max(1000 // size.assets, 1))
    note = "whole items; a first request asks for the RSE"
    yield counted("requests for a batch of 1,000 again", (len(sent) - 1) / batches, "requests",
                  Goal(most=2), note)  # fmt: skip


def _register(stac: StacClient, items: Any) -> None:
    stac.create_replicas(items, SOURCE_RSE).raise_for_failed()


def _files(items: Any) -> list[dict[str, Any]]:
    """What Rucio's client needs to know of the assets, and their datasets."""
    return [
        {
            "scope": item["collection"],
            "name": asset_name(item["collection"], item["id"], key, asset["href"]),
            "bytes": asset["file:size"],
            "adler32": asset["rucio:adler32"],
            "pfn": asset["href"],
            "dataset": item_name(item["collection"], item["id"]),
        }
        for item in items
        for key, asset in item["assets"].items()
    ]


def _bare_together(client: Client, items: Any, batch: int) -> None:
    """The same with Rucio's client alone: names by hand, nothing looked up or compared."""
    with ThreadPoolExecutor(_AT_A_TIME) as executor:
        list(executor.map(lambda part: _bare(_twin(client), part), _batches(_files(items), batch)))


def _bare_in_turn(client: Client, items: Any, batch: int) -> None:
    for part in _batches(_files(items), batch):
        _bare(client, part)


def _batches(files: list[dict[str, Any]], batch: int) -> list[list[dict[str, Any]]]:
    """Whole items, as many as go in one request."""
    of_item = sum(file["dataset"] == files[0]["dataset"] for file in files)
    return cut(files, max(batch // of_item, 1) * of_item)


def _bare(client: Client, files: list[dict[str, Any]]) -> None:
    fields = ("scope", "name", "bytes", "adler32", "pfn")
    client.add_replicas(SOURCE_RSE, [{field: file[field] for field in fields} for file in files])
    scope = files[0]["scope"]
    content: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        content.setdefault(file["dataset"], []).append({"scope": scope, "name": file["name"]})
    client.add_dids([{"scope": scope, "name": name, "type": "DATASET"} for name in content])
    client.attach_dids_to_dids(
        [{"scope": scope, "name": name, "dids": dids} for name, dids in content.items()]
    )


def _one_by_one(client: Client, files: list[dict[str, Any]]) -> None:
    for file in files:
        did = {"scope": file["scope"], "name": file["name"]}
        list(client.list_replicas([did], sort="random", resolve_archives=False))
        client.add_replica(
            SOURCE_RSE, file["scope"], file["name"], file["bytes"], file["adler32"], file["pfn"]
        )


def _twin(client: Client) -> Client:
    twin = copy(client)
    twin.session = copy(client.session)
    return twin
