"""Registration of several batches at a time, on a real Rucio server."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pystac
import pytest
from rucio.common.exception import DatabaseException, RucioException

from stac_client import RequestError, StacClient, State
from tests.items import make_asset, make_item, many_items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rucio.client import Client

    from stac_client import Outcome
    from tests.lake.conftest import Requests

pytestmark = pytest.mark.usefixtures("_small_batches")
LOCKED = "(sqlite3.OperationalError) database is locked"


@pytest.fixture
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 100 assets, so that a few hundred are several."""
    monkeypatch.setattr("stac_client._registration.REQUEST_DIDS", 100)


class Crowd:
    """Counts how many calls of a Rucio client's method are under way at a time."""

    def __init__(self, rucio: Any, method: Any, enough: Any = 2) -> None:
        """Let calls wait for each other until there are enough of them, but not for ever."""
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self._enough = threading.Event()
        # On the client itself, so that its copies for other threads have it too.
        setattr(rucio, method, self._counted(getattr(rucio, method), enough))

    def _counted(self, method: Any, enough: Any) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
                if self._now == enough:
                    self._enough.set()
            self._enough.wait(20)
            try:
                return method(*args, **kwargs)
            finally:
                with self._lock:
                    self._now -= 1

        return counted


def test_several_batches_at_a_time(client: StacClient, rucio: Client, collection: str) -> None:
    """Up to four batches are on their way at a time, and each asset ends up where it belongs."""
    crowd = Crowd(rucio, "add_replicas", enough=4)
    registration = client.create_replicas(many_items(collection, 60, 10), "STAC")
    assert registration.counts == {State.REGISTERED: 600}
    assert crowd.most == 4
    assert len(set(registration.dids)) == 600
    for number in range(0, 60, 6):
        content = rucio.list_content(collection, f"/{collection}/item-{number}")
        assert len(list(content)) == 10


def test_fewer_requests_to_a_busy_server(
    client: StacClient, rucio: Client, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After answers that it is too busy, fewer requests are on their way; all is registered."""
    monkeypatch.setattr("stac_client._rucio._FIRST_PAUSE_S", 0.01)
    add_replicas = type(rucio).add_replicas
    refused: list[int] = []
    now: list[int] = []
    seen: list[int] = []

    def add(self: Any, *args: Any, **kwargs: Any) -> Any:  # of each thread's own client
        if len(refused) < 8:
            refused.append(1)
            said = "no error information passed (http status code: 429)"
            raise RucioException(said)
        now.append(1)
        seen.append(len(now))
        try:
            return add_replicas(self, *args, **kwargs)
        finally:
            now.pop()

    monkeypatch.setattr(type(rucio), "add_replicas", add)
    monkeypatch.setattr("stac_client._in_flight._QUICK_S", 0.0)  # and it is slow to recover
    monkeypatch.setattr("stac_client._in_flight._FEW", 0)
    client = StacClient(rucio, retry_s=60)  # the machine may be busy as well
    registration = client.create_replicas(many_items(collection, 60, 10), "STAC", in_flight=4)
    assert registration.counts == {State.REGISTERED: 600}
    assert max(seen) < 4


def test_outcomes_stream_and_items_are_read_as_needed(
    client: StacClient, collection: str, tmp_path: Path
) -> None:
    """The first outcomes come long before the last items are read; few are held."""
    read = []

    def items() -> Iterator[dict[str, Any]]:
        for item in many_items(collection, 80, 10):
            read.append(item["id"])
            yield item

    outcomes = client.sync(items(), "STAC", tmp_path / "journal")
    next(outcomes)
    # Four batches on their way, the one that waits, and the first item of the next.
    assert len(read) <= 51
    assert sum(1 for _ in outcomes) == 799
    assert len(read) == 80


def test_repetitions_in_other_batches(client: StacClient, collection: str) -> None:
    """An asset that comes again is recognised, and other bytes or another URL are drift."""
    items = many_items(collection, 25, 10)
    moved = make_item(
        collection, "item-3", {"band-0": make_asset("https://data.example.org/new/0.tif")}
    )
    changed = make_item(
        collection, "item-4", {"band-0": make_asset("https://data.example.org/4/0.tif", 11)}
    )
    registration = client.create_replicas([*items, *items, moved, changed], "STAC")
    counts = registration.counts
    assert counts[State.REGISTERED] == 250
    assert counts[State.FAILED] == 2
    repeated = counts.get(State.ALREADY_THERE, 0) + counts.get(State.SKIPPED, 0)
    assert repeated == 250
    skipped = registration.by_state(State.SKIPPED)
    assert {outcome.reason for outcome in skipped} <= {"the same asset came before"}
    failed = {outcome.item: outcome.reason for outcome in registration.by_state(State.FAILED)}
    assert "another URL" in failed["item-3"]
    assert "size 10" in failed["item-4"]


def test_a_bad_batch_harms_no_other(
    client: StacClient, rucio: Client, collection: str, tmp_path: Path
) -> None:
    """What nobody has thought of fails one batch; its items stay out of the journal."""
    list_replicas = rucio.list_replicas

    def list_but_one(dids: Any, **kwargs: Any) -> Any:
        if any(did["name"].startswith(f"/{collection}/item-15/") for did in dids):
            raise ZeroDivisionError("odd")
        return list_replicas(dids, **kwargs)

    rucio.list_replicas = list_but_one
    items = many_items(collection, 30, 10)
    outcomes = list(client.sync(items, "STAC", tmp_path / "journal"))
    failed = [outcome for outcome in outcomes if outcome.state is State.FAILED]
    assert len(outcomes) == 300
    assert len(failed) == 100
    assert {outcome.reason for outcome in failed} == {"unexpected ZeroDivisionError: odd"}
    rucio.list_replicas = list_replicas
    again = list(StacClient(rucio).sync(items, "STAC", tmp_path / "journal"))
    assert [outcome.state for outcome in again] == [State.REGISTERED] * 100


def test_a_busy_database(rucio: Client, collection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Rucio's database is locked it is asked again, with requests of the same size."""
    monkeypatch.setattr("stac_client._rucio._FIRST_PAUSE_S", 0.01)
    sizes = []
    for method in ("add_replicas", "list_replicas", "attach_dids_to_dids"):
        real = getattr(rucio, method)
        failures = iter([LOCKED] * 3)

        def busy(*args: Any, real: Any = real, failures: Any = failures, **kwargs: Any) -> Any:
            sizes.append(len(args[-1]))
            if error := next(failures, None):
                raise DatabaseException(error)
            return real(*args, **kwargs)

        setattr(rucio, method, busy)
    registration = StacClient(rucio, retry_s=60).create_replicas(
        many_items(collection, 10, 10), "STAC"
    )
    assert registration.counts == {State.REGISTERED: 100}
    assert sorted(sizes) == [5] * 4 + [10] * 4 + [100] * 6


def test_items_that_end_too_early(client: StacClient, collection: str, tmp_path: Path) -> None:
    """Where the catalogue breaks off, what was read before is registered and in the journal."""
    items = many_items(collection, 23, 10)

    def broken() -> Iterator[Any]:
        yield from items
        raise pystac.STACError("the page is no page")

    outcomes: list[Outcome] = []
    with pytest.raises(RequestError, match="the page is no page"):
        outcomes.extend(client.sync(broken(), "STAC", tmp_path / "journal"))
    assert len(outcomes) == 200
    outcomes.extend(client.sync(items, "STAC", tmp_path / "journal"))
    assert [outcome.state for outcome in outcomes] == [State.REGISTERED] * 230


def test_containers(
    client: StacClient, rucio: Client, collection: str, requests_sent: Requests
) -> None:
    """A collection's container holds the datasets of its items; that costs no request more."""
    items = many_items(collection, 30, 2)
    client.create_replicas(items[:20], "STAC").raise_for_failed()
    assert list(rucio.list_dids(collection, {"name": "*"}, did_type="container")) == []
    requests_sent.sent.clear()
    client.create_replicas(items, "STAC", containers=True).raise_for_failed()
    assert len(requests_sent) == 8, requests_sent.sent
    client.create_replicas(items, "STAC", containers=True).raise_for_failed()
    content = list(rucio.list_content(collection, f"/{collection}"))
    assert {entry["type"] for entry in content} == {"DATASET"}
    assert sorted(entry["name"] for entry in content) == sorted(
        f"/{collection}/item-{number}" for number in range(30)
    )


def test_containers_of_several_collections_in_one_scope(rucio: Client, collection: str) -> None:
    """With a fixed scope each collection has a container of its own."""
    from stac_client import StacClient

    fixed = StacClient(rucio, scope=collection)
    items = [*many_items("first", 3, 1), *many_items("second", 2, 1)]
    fixed.create_replicas(items, "STAC", containers=True).raise_for_failed()
    sizes = [len(list(rucio.list_content(collection, name))) for name in ("/first", "/second")]
    assert sizes == [3, 2]


def test_containers_of_a_sync(
    client: StacClient, rucio: Client, collection: str, tmp_path: Path
) -> None:
    """Batches that are on their way at a time fill one container."""
    items = many_items(collection, 40, 10)
    outcomes = client.sync(items, "STAC", tmp_path / "journal", containers=True)
    assert {outcome.state for outcome in outcomes} == {State.REGISTERED}
    assert len(list(rucio.list_content(collection, f"/{collection}"))) == 40


def test_progress(client: StacClient, scenes: pystac.ItemCollection) -> None:
    """Files are counted as they are read, bytes as they are looked up; all are done in the end."""
    events, threads = [], set()

    def follow(progress: Any) -> None:
        events.append(progress)
        threads.add(threading.get_ident())

    items = json.loads(json.dumps(scenes.to_dict()))["features"]
    for item in items:
        item["id"] += "-progress"
        for asset in item["assets"].values():
            asset.pop("file:size", None)
            asset.pop("file:checksum", None)
    registration = client.create_replicas(items, "STAC", assets="red", on_progress=follow)
    registration.raise_for_failed()
    assert threads == {threading.get_ident()}
    assert all(event.files_done <= event.files_total for event in events)
    assert all(event.bytes_done <= event.bytes_total for event in events)
    last = events[-1]
    assert last.files_done == last.files_total == len(registration) > 0
    assert last.bytes_done == last.bytes_total
