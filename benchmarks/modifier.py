"""Annotating a page with its copies, beside the bare listing of the same replicas."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from statistics import median
from typing import TYPE_CHECKING, Any

from stac_client import StacClient

from .harness import Goal, Row, counted, one_by_one, seconds, side_by_side
from .items import make_items
from .setting import SOURCE_RSE, cut, requests_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rucio.client import Client

    from .setting import Setting

_QUICKLY = {
    "sort": "random",
    "domain": "wan",
    "resolve_archives": False,
    "ignore_availability": False,
}


def run(setting: Setting) -> Iterator[Row]:
    """Annotate the same page again and again."""
    size, client = setting.size, setting.lake.client()
    stac = StacClient(client)
    items = list(make_items(setting.new_collection(client), size.page, size.assets))
    registration = stac.create_replicas(items, SOURCE_RSE)
    registration.raise_for_failed()
    dids = [outcome.did for outcome in registration if outcome.did]
    setting.add_copies(client, dids)
    page = {"type": "FeatureCollection", "features": items}
    entries = [did._asdict() for did in dids]
    what = f"annotate a page of {len(dids):,} assets, 3 RSEs"

    modifier = stac.modifier.with_options(cache_s=0, strict=True, timeout_s=None)
    pages = [deepcopy(page) for _ in range(size.rounds)]
    rounds = side_by_side(
        lambda number: modifier(pages[number]), lambda _: listed(client, entries), size.rounds
    )
    _check(pages)
    yield rounds.slower(what, "bare list_replicas, best options", Goal(most=1.15))

    part = entries[: size.singles]
    single_s = seconds(lambda: [_list(client, [entry]) for entry in part])
    yield one_by_one(
        what,
        "list_replicas of each asset",
        Goal(least=20),
        whole_s=median(rounds.ours_s),
        single_s=single_s,
        scale=len(entries) / len(part),
    )

    remembering = modifier.with_options(cache_s=3600)
    remembering(deepcopy(page))
    calls = max(size.rounds * 3, 3)
    pages = [deepcopy(page) for _ in range(calls)]
    with requests_of(client) as sent:
        rounds = side_by_side(
            lambda number: remembering(pages[number]),
            lambda _: _copied(pages[0]),
            calls,
            time.process_time,
        )
    _check(pages)
    yield rounds.slower(
        f"annotate {len(dids):,} assets again", "a loop that copies the dicts", Goal(most=3)
    )
    yield counted("requests for that", len(sent), "requests", Goal(most=0))


def _check(pages: list[dict[str, Any]]) -> None:
    """What is measured must have been done."""
    for page in pages:
        for item in page["features"]:
            for asset in item["assets"].values():
                assert len(asset["alternate"]) == 2  # noqa: S101, PLR2004 - and the href


def listed(client: Client, entries: list[dict[str, str]]) -> None:
    """List replicas with Rucio's client alone, 1,000 in a request, the requests together."""
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(lambda part: _list(client, part), cut(entries, 1000)))


def _list(client: Client, entries: list[dict[str, str]]) -> int:
    found = len(list(client.list_replicas(entries, **_QUICKLY)))
    assert found == len(entries)  # noqa: S101 - see _check
    return found


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [*map(_copied, value)] if isinstance(value, list) else value
