"""Downloads that were interrupted: they go on where they stopped, or begin anew."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.origin import cut, part, ranges, rest_cut, stall, status, whole_or_part

from .downloading import ALREADY_THERE, DOWNLOADED, FAILED, LARGE, download, files_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fake_rucio import FakeRucio
    from tests.origin import Origin


RED = "alps/i/red.tif"
HALF = ".red.tif.part"
HALF_BYTES = 2 << 20


pytestmark = pytest.mark.usefixtures("_no_pauses")


def test_broken_off(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A download that breaks off goes on where it stopped, as often as it gets any further."""
    answers = [cut(500_000), *[rest_cut(500_000)] * 5]
    rucio.add(LARGE, {"A": storage.add("/f", LARGE, *answers), "B": storage.add("/g", LARGE)})
    (outcome,) = download(rucio, tmp_path)
    assert (outcome.state, outcome.rse) == (DOWNLOADED, "A")
    assert outcome.path is not None
    assert outcome.path.read_bytes() == LARGE
    assert ranges(storage) == [
        None,
        *(f"bytes={begin}-" for begin in range(500_000, 3_000_001, 500_000)),
    ]
    assert storage.seen[1].headers["If-Range"] == '"1"'


def test_no_further(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A replica that gives nothing more is left for another one."""
    answers = [cut(500_000), *[rest_cut(0)] * 9]
    rucio.add(LARGE, {"A": storage.add("/f", LARGE, *answers), "B": storage.add("/g", LARGE)})
    (outcome,) = download(rucio, tmp_path)
    assert (outcome.state, outcome.rse) == (DOWNLOADED, "B")
    assert outcome.path is not None
    assert outcome.path.read_bytes() == LARGE


def test_a_killed_process(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """What a killed process has left is gone on with, and not fetched again."""
    url = storage.add("/f", LARGE, stall(len(LARGE) - 10))
    rucio.add(LARGE, {"A": url})
    script = (
        "import sys; from pathlib import Path; from tests.client.downloading import *; "
        "from tests.fake_rucio import FakeRucio; "
        "rucio = FakeRucio(); rucio.add(LARGE, {'A': sys.argv[1]}); "
        "download(rucio, Path(sys.argv[2]))"
    )
    process = subprocess.Popen(  # noqa: S603 - a program of our own
        [sys.executable, "-c", script, url, tmp_path], cwd=Path(__file__).parents[2]
    )
    half = tmp_path / "alps/i" / HALF
    deadline = time.monotonic() + 30
    while not half.exists() or half.stat().st_size < HALF_BYTES:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    begun_bytes = half.stat().st_size
    assert not (tmp_path / RED).exists()
    (outcome,) = download(rucio, tmp_path)
    assert outcome.path is not None
    assert outcome.path.read_bytes() == LARGE
    assert ranges(storage) == [None, f"bytes={begun_bytes}-"]
    assert files_in(tmp_path) == [RED]


def leave_half(rucio: Any, storage: Any, folder: Any, etag: Any = '"1"') -> Any:
    """Let a download fail half-way, and give what is there."""
    storage.add("/f", LARGE, cut(HALF_BYTES), *[status(404)] * 9, etag=etag)
    (outcome,) = download(rucio, folder)
    assert outcome.state is FAILED
    storage.seen.clear()
    return folder / "alps/i" / HALF


def test_a_failed_download(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """What a failed download has left is gone on with, even by a run that prefers another RSE."""
    rucio.add(LARGE, {"A": storage.url + "/f"})
    assert leave_half(rucio, storage, tmp_path).stat().st_size == HALF_BYTES
    storage.add("/f", LARGE)
    rucio.add(LARGE, {"0": storage.add("/0", LARGE), "A": storage.url + "/f"})
    (outcome,) = download(rucio, tmp_path)
    assert (outcome.state, outcome.rse) == (DOWNLOADED, "A")
    assert ranges(storage) == [f"bytes={HALF_BYTES}-"]


def test_nothing_to_go_on_with(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """Without an ETag nothing can be continued, and no part is left."""
    rucio.add(LARGE, {"A": storage.url + "/f"})
    assert not leave_half(rucio, storage, tmp_path, etag=None).exists()
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    "answer", [whole_or_part, part(0, '"2"'), part(0, '"1"'), status(416), part(HALF_BYTES, '"2"')]
)
def test_the_file_has_changed(
    rucio: FakeRucio,
    storage: Origin,
    tmp_path: Path,
    answer: Callable[..., Any],
) -> None:
    """Where the server does not give the rest of the same file, it is fetched anew."""
    rucio.add(LARGE, {"A": storage.url + "/f"})
    leave_half(rucio, storage, tmp_path)
    storage.add("/f", LARGE, answer, etag='"2"')
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is DOWNLOADED
    assert outcome.path is not None
    assert outcome.path.read_bytes() == LARGE


@pytest.mark.parametrize("answer", [whole_or_part, part(HALF_BYTES, '"2"')])
def test_the_file_has_changed_and_nothing_is_known(
    rucio: FakeRucio,
    storage: Origin,
    tmp_path: Path,
    answer: Callable[..., Any],
) -> None:
    """Two versions of a file are never joined, even where no checksum would tell."""
    rucio.add(LARGE, {"A": storage.url + "/f"}, adler32=None)
    half = leave_half(rucio, storage, tmp_path)
    half.write_bytes(bytes(half.stat().st_size))
    storage.add("/f", LARGE, answer, etag='"2"')
    (outcome,) = download(rucio, tmp_path)
    assert outcome.path is not None
    assert outcome.path.read_bytes() == LARGE


def test_the_half_is_a_link(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A half that has become a link is not continued: nothing is added to what it leads to."""
    rucio.add(LARGE, {"A": storage.url + "/f"})
    half = leave_half(rucio, storage, tmp_path / "folder")
    outside = half.rename(tmp_path / "outside")
    half.symlink_to(outside)
    storage.add("/f", LARGE)
    (outcome,) = download(rucio, tmp_path / "folder")
    assert outcome.state is DOWNLOADED
    assert outside.stat().st_size == HALF_BYTES


def test_what_was_left_is_wrong(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A wrong half is found by the checksum of the whole, which is then fetched anew."""
    rucio.add(LARGE, {"A": storage.url + "/f"})
    half = leave_half(rucio, storage, tmp_path)
    half.write_bytes(bytes(half.stat().st_size))
    storage.add("/f", LARGE)
    (outcome,) = download(rucio, tmp_path)
    assert outcome.path is not None
    assert outcome.path.read_bytes() == LARGE
    assert ranges(storage) == [f"bytes={HALF_BYTES}-", None]


def test_the_half_is_complete(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A part that only lacked its verification needs no request."""
    rucio.add(LARGE, {"A": storage.url + "/f"})
    leave_half(rucio, storage, tmp_path).write_bytes(LARGE)
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is DOWNLOADED
    assert storage.seen == []


def test_the_half_of_another_replica(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """What one replica gave is not continued by another."""
    rucio.add(LARGE, {"A": storage.url + "/f", "B": storage.add("/g", LARGE)})
    storage.add("/f", LARGE, cut(HALF_BYTES), *[status(404)] * 9)
    (outcome,) = download(rucio, tmp_path)
    assert outcome.rse == "B"
    assert ranges(storage, "/g") == [None]
    assert outcome.path is not None
    assert outcome.path.read_bytes() == LARGE


def test_killed_as_it_was_finished(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """Where a file was put in its place, and its note left behind, the next run tidies up."""
    rucio.add(LARGE, {"A": storage.url + "/f"})
    half = leave_half(rucio, storage, tmp_path)
    half.write_bytes(LARGE)
    half.replace(half.with_name("red.tif"))
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is ALREADY_THERE
    assert files_in(tmp_path) == ["alps/i/red.tif"]
