"""The folder of a download: nothing outside it, nothing half, one download at a time."""

from __future__ import annotations

import resource
import shutil
import threading
import time
from typing import TYPE_CHECKING

import pytest

from stac_client import ConfigurationError
from stac_client._local_catalogue import Places
from stac_policy.naming import DID
from tests.origin import stall, status

from .downloading import BODY, DOWNLOADED, FAILED, LARGE, OTHER, download, files_in, scene

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_rucio import FakeRucio
    from tests.origin import Origin


RED = "alps/i/red.tif"


@pytest.mark.parametrize("link", ["alps", "alps/i"])
def test_links_of_folders(rucio: FakeRucio, storage: Origin, tmp_path: Path, link: str) -> None:
    """Through a folder that is a link nothing is written, neither file nor item."""
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    outside.mkdir()
    (folder / link).parent.mkdir(parents=True)
    (folder / link).symlink_to(outside)
    rucio.add(BODY, {"A": storage.add("/f", BODY)})
    (outcome,) = download(rucio, folder)
    assert outcome.state is FAILED
    assert "symbolic link" in outcome.reason
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["red.tif", ".red.tif.part", ".red.tif.from", "i.json", ".i.json.new"]
)
def test_links_of_files(rucio: FakeRucio, storage: Origin, tmp_path: Path, name: str) -> None:
    """A link in the place of a file is replaced; what it leads to stays as it is."""
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    outside.write_bytes(b"precious")
    (folder / "alps/i").mkdir(parents=True)
    (folder / "alps/i" / name).symlink_to(outside)
    rucio.add(BODY, {"A": storage.add("/f", BODY)})
    (outcome,) = download(rucio, folder)
    assert outcome.state is DOWNLOADED
    assert (folder / RED).read_bytes() == BODY
    assert not (folder / RED).is_symlink()
    assert outside.read_bytes() == b"precious"


def test_a_folder_that_is_a_link(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """The folder itself may be a link; paths in outcomes are the real ones."""
    (tmp_path / "link").symlink_to(tmp_path / "real")
    rucio.add(BODY, {"A": storage.add("/f", BODY)})
    (outcome,) = download(rucio, tmp_path / "link")
    assert outcome.path == tmp_path / "real" / RED


@pytest.mark.parametrize("odd", ["..", ".", "a/../../b", "/etc", "-.2E", "~", "a\\b", "\0", "é"])
def test_odd_ids(rucio: FakeRucio, storage: Origin, tmp_path: Path, odd: str) -> None:
    """Ids and keys of whatever kind give files inside the folder, all of them different."""
    url = storage.add("/f", BODY)
    rucio.add(BODY, {"A": url}, odd, odd, collection=odd)
    folder = tmp_path / "folder"
    (outcome,) = download(rucio, folder, scene(odd, odd, collection=odd))
    assert outcome.state is DOWNLOADED
    assert outcome.path is not None
    assert outcome.path.relative_to(folder).parts[2:]
    assert len(files_in(tmp_path)) == 1


@pytest.mark.parametrize("ids", [("Catalog.json", "i"), ("alps", "collection.json")])
def test_places_of_the_catalogue(
    rucio: FakeRucio, storage: Origin, tmp_path: Path, ids: tuple[str, str]
) -> None:
    """Ids that would put folders in the place of the catalogue's files fail with the reason."""
    collection, item = ids
    rucio.add(BODY, {"A": storage.add("/f", BODY)}, item, collection=collection)
    (outcome,) = download(rucio, tmp_path, scene(item, collection=collection))
    assert outcome.state is FAILED
    assert "catalogue's own file" in outcome.reason


@pytest.mark.parametrize("there", [OTHER, BODY[:-1]])
@pytest.mark.parametrize("gives", ["nothing", "other bytes", "its size only", "no place"])
def test_what_is_there_stays_until_its_replacement(
    rucio: FakeRucio, storage: Origin, tmp_path: Path, there: bytes, gives: str
) -> None:
    """A file that is another one is replaced at once, by what is verified, or not at all."""
    answers = {"nothing": [status(503)] * 9, "other bytes": [status(200, LARGE[: len(BODY)])] * 9}
    pfn = storage.add("/f", BODY, *answers.get(gives, []))
    rucio.add(BODY, {"A": pfn}, **({"adler32": "0000000a"} if gives == "its size only" else {}))
    if gives == "no place":
        (tmp_path / "alps/i/.red.tif.part").mkdir(parents=True)
    (tmp_path / RED).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / RED).write_bytes(there)
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is FAILED
    assert (tmp_path / RED).read_bytes() == there


@pytest.mark.usefixtures("_ignored_case")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("alps", "i", "red"), ("alps", "i", "RED")),
        (("alps", "i", "red"), ("alps", "I", "red")),
        (("alps", "i", "red"), ("Alps", "i", "red")),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_folder_that_ignores_case(
    rucio: FakeRucio,
    storage: Origin,
    tmp_path: Path,
    first: tuple[str, str, str],
    second: tuple[str, str, str],
    *,
    together: bool,
) -> None:
    """Two files whose paths differ in case alone never meet: the second one has failed."""
    items = []
    for body, (collection, item, key) in ((BODY, first), (OTHER, second)):
        url = storage.add(f"/{collection}-{item}-{key}", body)
        rucio.add(body, {"A": url}, item, key, collection=collection)
        items.append(scene(item, key, collection=collection))
    runs = [items] if together else [[each] for each in items]
    for _ in range(2):
        found = [outcome for run in runs for outcome in download(rucio, tmp_path, *run, workers=1)]
        assert found[0].path is not None
        assert found[1].state is FAILED
        assert "it ignores case" in found[1].reason
        assert found[0].path.read_bytes() == BODY
        assert files_in(tmp_path) == [str(found[0].path.relative_to(tmp_path))]
    assert len([*tmp_path.rglob("i.json"), *tmp_path.rglob("I.json")]) == 1


def test_case_counts_here(tmp_path: Path) -> None:
    """Whether a folder ignores case is found out by what it does with a file."""
    places = Places(tmp_path)
    assert places(DID("s", "/c/i/a")) != places(DID("s", "/c/i/A"))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def _ignored_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every folder is one that ignores case, as those of macOS and Windows do."""
    monkeypatch.setattr(Places, "_ignores_case", True)


def test_something_else_is_in_the_place(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A folder in the place of a file fails that file, and leaves nothing of it."""
    (tmp_path / RED / "mine").mkdir(parents=True)
    rucio.add(BODY, {"A": storage.add("/f", BODY)})
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is FAILED
    assert files_in(tmp_path) == []


def test_a_file_can_not_be_written(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """Where the system lets no more be written, what does not fit has failed and leaves nothing."""
    rucio.add(LARGE, {"A": storage.add("/large", LARGE)}, "i")
    rucio.add(BODY, {"A": storage.add("/small", BODY)}, "j")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        large, small = download(rucio, tmp_path, scene("i"), scene("j"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (large.state, small.state) == (FAILED, DOWNLOADED)
    assert large.reason == "its file cannot be written or read: File too large"
    assert files_in(tmp_path) == ["alps/j/red.tif"]


def test_a_file_does_not_fit(
    rucio: FakeRucio, storage: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file larger than the free space is not begun."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1000))
    rucio.add(BODY, {"A": storage.add("/f", BODY)})
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is FAILED
    assert outcome.reason == f"10,240 bytes do not fit into {tmp_path} (1,000 free)"
    assert storage.seen == []


@pytest.mark.parametrize("blocker", ["folder", ".stac-rucio.lock"])
def test_an_unusable_folder(rucio: FakeRucio, tmp_path: Path, blocker: str) -> None:
    """A folder that cannot be made or written is an error that names it."""
    folder = tmp_path / "folder"
    if blocker == "folder":
        folder.touch()
    else:
        (folder / blocker).mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=str(folder)):
        download(rucio, folder)


def test_one_download_at_a_time(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A second download into a folder is refused as long as the first one runs."""
    rucio.add(BODY, {"A": storage.add("/f", BODY, stall(10))})
    first = threading.Thread(target=download, args=(rucio, tmp_path))
    first.start()
    try:
        while not storage.seen:
            time.sleep(0.01)
        with pytest.raises(ConfigurationError, match="another download"):
            download(rucio, tmp_path)
    finally:
        storage.gate.set()
        first.join()
    assert download(rucio, tmp_path).counts != {}
