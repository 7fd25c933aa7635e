"""A download as a whole: requests, workers, memory, progress, and its interruption."""

from __future__ import annotations

import threading
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from rucio.common.exception import ServerConnectionException

from stac_client import ConfigurationError, StacClient
from stac_client._parts import Part
from tests.origin import stall

from .downloading import BODY, DOWNLOADED, FAILED, LARGE, Crowd, download, scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fake_rucio import FakeRucio
    from tests.origin import Origin


def test_requests_to_rucio(rucio: FakeRucio, tmp_path: Path) -> None:
    """Rucio is asked once for each 1,000 assets; items are not divided for that."""
    items = [scene(str(number), *map(str, range(7))) for number in range(150)]
    downloads = download(rucio, tmp_path, *items)
    assert len(downloads) == 1050
    assert rucio.asked == [994, 56]


def test_items_are_not_piled_up(rucio: FakeRucio, tmp_path: Path) -> None:
    """Items are read as they are worked off, those without a selected asset too."""
    read, reports = [], []

    def items() -> Iterator[dict[str, Any]]:
        for number in range(2500):
            read.append(number)
            yield scene(str(number))

    with pytest.raises(ConfigurationError, match="no asset is selected: nir"):
        StacClient(rucio).download(
            items(), tmp_path, assets=["nir"], on_progress=lambda _: reports.append(len(read))
        )
    assert reports[0] < 1100
    assert len(read) == 2500


def test_a_slow_file_is_interrupted(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """An interruption does not wait for the end of files that come slowly."""

    def slow(handler: Any, content: Any, _etag: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for begin in range(0, len(content), 100_000):
            handler.wfile.write(content[begin : begin + 100_000])
            if handler.server.gate.wait(1):
                break
        handler.close_connection = True

    def interrupt(progress: Any) -> None:
        if progress.bytes_done:
            raise KeyboardInterrupt

    rucio.add(LARGE, {"A": storage.add("/f", LARGE, slow)})
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        download(rucio, tmp_path, on_progress=interrupt)
    assert time.monotonic() - begin < 15  # of thirty seconds


def test_rucio_does_not_answer(
    rucio: FakeRucio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Rucio cannot be asked, every asset has failed with that reason."""

    def refuse(*_: Any, **__: Any) -> None:
        raise ServerConnectionException

    monkeypatch.setattr(rucio, "list_replicas", refuse)
    downloads = download(rucio, tmp_path, scene("i", "red", "nir"))
    assert downloads.counts == {FAILED: 2}
    assert "the Rucio server does not answer" in downloads[0].reason


def test_the_unexpected(
    rucio: FakeRucio, storage: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody has thought of fails one asset, and no other."""
    url = storage.add("/f", BODY)
    rucio.add(BODY, {"A": url}, "i")
    rucio.add(BODY, {"A": url}, "j")
    finish = Part.finish

    def finish_all_but_one(part: Part) -> None:
        if "/i/" in str(part.path):
            raise ZeroDivisionError("odd")
        finish(part)

    monkeypatch.setattr(Part, "finish", finish_all_but_one)
    downloads = download(rucio, tmp_path, scene("i"), scene("j"))
    assert [outcome.state for outcome in downloads] == [FAILED, DOWNLOADED]
    assert downloads[0].reason == "unexpected ZeroDivisionError: odd"


def test_a_checksum_that_is_none(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A checksum of Rucio's that is no text fails its own file alone."""
    url = storage.add("/f", BODY)
    rucio.add(BODY, {"A": url}, "i", adler32=7)
    rucio.add(BODY, {"A": url}, "j")
    downloads = download(rucio, tmp_path, scene("i"), scene("j"))
    assert [outcome.state for outcome in downloads] == [FAILED, DOWNLOADED]
    assert "adler32" in downloads[0].reason


@pytest.mark.parametrize("workers", [0, -1, "8", None])
def test_no_number_of_workers(rucio: FakeRucio, tmp_path: Path, workers: Any) -> None:
    """It is told by its name."""
    with pytest.raises(ConfigurationError, match=f"workers is {workers!r}, and not 1 or more"):
        download(rucio, tmp_path, workers=workers)


def test_workers(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """No more files are downloaded at a time than there are workers."""
    crowd = Crowd()
    for number in range(9):
        rucio.add(BODY, {"A": storage.add(f"/{number}", BODY, crowd)}, str(number))
    items = [scene(str(number)) for number in range(9)]
    downloads = download(rucio, tmp_path, *items, workers=3)
    assert downloads.counts == {DOWNLOADED: 9}
    assert crowd.most == 3


def test_memory(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A large file is never held as a whole."""
    body = bytes(40 << 20)
    rucio.add(body, {"A": storage.add("/f", body)})
    tracemalloc.start()
    (outcome,) = download(rucio, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert outcome.state is DOWNLOADED
    assert peak < 10 << 20


def test_progress(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """Progress comes in the caller's thread, ends with all done, and counts what is there."""

    def fail(handler: Any, *_: Any) -> None:
        storage.gate.wait(10)  # as of what has failed no bytes are to come
        handler.answer(404, b"no")

    for number in range(3):
        rucio.add(LARGE, {"A": storage.add(f"/{number}", LARGE)}, str(number))
    rucio.add(LARGE, {"A": storage.add("/none", fail)}, "3")
    items = [scene(str(number)) for number in range(5)]
    events, threads = [], set()

    def follow(progress: Any) -> None:
        storage.gate.set()
        events.append(progress)
        threads.add(threading.get_ident())

    download(rucio, tmp_path, items[0])
    download(rucio, tmp_path, *items, on_progress=follow)
    assert threads == {threading.get_ident()}
    assert (events[0].files_total, events[0].bytes_total) == (4, 4 * len(LARGE))
    assert all(event.files_done <= event.files_total for event in events)
    assert all(event.bytes_done <= event.bytes_total for event in events)
    last = events[-1]
    assert (last.files_done, last.files_total) == (4, 4)
    assert last.bytes_done == last.bytes_total == 3 * len(LARGE)


def test_an_interruption(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """What the progress function raises ends the download soon; the next one goes on with it."""
    for number in range(9):
        rucio.add(LARGE, {"A": storage.add(f"/{number}", LARGE, stall(2 << 20))}, str(number))
    items = [scene(str(number)) for number in range(9)]

    def interrupt(progress: Any) -> None:
        if progress.bytes_done == 4 << 20:  # what two of them give at first
            threading.Timer(0.2, storage.gate.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(rucio, tmp_path, *items, workers=2, on_progress=interrupt)
    assert len(storage.seen) == 2
    storage.seen.clear()
    downloads = download(rucio, tmp_path, *items, workers=2)
    assert downloads.counts == {DOWNLOADED: 9}
    first = {request.path: request.headers.get("Range") for request in reversed(storage.seen)}
    rest = f"bytes={2 << 20}-"
    assert first == {"/0": rest, "/1": rest} | {f"/{number}": None for number in range(2, 9)}
