"""The transfer service copies: where the bytes end up, and what it says when they don't."""

from __future__ import annotations

import hashlib
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from .support import ADLER32, CONTENT, entry

if TYPE_CHECKING:
    from tests.testbed.awkward import Origin
    from tests.testbed.support import Storage


MD5 = f"MD5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"


# Copies


def test_grid_storage_fetches_the_file(
    transfers: Any, grid: Storage, source: str, name: str
) -> None:
    """A storage that can copies the file itself, into folders made for it."""
    path = f"/rse/eo/c/{name}"
    job = transfers.run(entry(source, grid.url + path))
    assert (job.state, job.states, job.reasons) == ("FINISHED", ["FINISHED"], [None])
    assert (grid.folder / path[1:]).read_bytes() == CONTENT
    assert grid.ways(path) == ["COPY 201"]


def test_plain_storage_gets_the_file(
    transfers: Any, plain: Storage, source: str, name: str
) -> None:
    """To a storage that cannot fetch, the bytes are written; its file is read for the checksum."""
    path = f"/rse/eo/c/{name}"
    job = transfers.run(entry(source, plain.url.replace("http", "dav") + path))
    assert job.state == "FINISHED", job.reasons
    assert (plain.folder / path[1:]).read_bytes() == CONTENT
    assert plain.ways(path) == ["COPY 404", "PUT 201"]
    assert plain.server.has_answered(path, "HEAD 200", "GET 200")


@pytest.mark.parametrize("how", ["redirect", "nohead", "chunked"])
def test_awkward_sources(transfers: Any, storage: Any, source: str, name: str, how: str) -> None:
    """Redirects to signed URLs, sources without HEAD and bodies without a length are copied."""
    job = transfers.run(entry(source.replace("plain", how), f"{storage.url}/{name}"))
    assert job.state == "FINISHED", job.reasons
    assert (storage.folder / name).read_bytes() == CONTENT


def test_empty_file(transfers: Any, storage: Any, origin: Origin, name: str) -> None:
    """A file without a byte is copied like any other."""
    empty = origin.add("empty.bin", b"")
    file = entry(empty, f"{storage.url}/{name}", filesize=0, checksum="ADLER32:00000001")
    assert transfers.run(file).state == "FINISHED"
    assert (storage.folder / name).read_bytes() == b""


def test_many_files_into_one_new_folder(
    transfers: Any, plain: Storage, source: str, name: str
) -> None:
    """Concurrent copies make the folders they share without getting in each other's way."""
    files = [entry(source, f"{plain.url}/{name}/x/y/{number}") for number in range(12)]
    job = transfers.run(*files)
    assert job.states == ["FINISHED"] * 12, job.reasons
    assert len(list((plain.folder / name / "x" / "y").iterdir())) == 12


def test_second_way_when_the_first_fails(
    transfers: Any, grid: Storage, source: str, name: str
) -> None:
    """When a storage fails to fetch a file, the bytes are written to it."""
    job = transfers.run(entry(source.replace("plain", "cut-once"), f"{grid.url}/{name}"))
    assert job.state == "FINISHED", job.reasons
    assert grid.ways(f"/{name}") == ["COPY 201", "PUT 201"]
    assert (grid.folder / name).read_bytes() == CONTENT


def test_copy_without_a_verdict(transfers: Any, origin: Origin, source: str) -> None:
    """A storage that stops talking in the middle of a copy has not copied."""
    job = transfers.run(entry(source, f"{origin.url}/plain/storage-that-stops"))
    assert job.state == "FAILED"
    assert "ended without a verdict" in job.reasons[0]
    assert "HTTP 507" in job.reasons[0]


def test_storage_without_sizes(transfers: Any, origin: Origin, source: str, name: str) -> None:
    """What a storage says nothing about has not been verified."""
    job = transfers.run(entry(source, f"{origin.url}/chunked/{name}"), verify_checksum="none")
    assert origin.files[name] == CONTENT
    assert job.reasons == [f"{origin.url}/chunked/{name}: the storage tells no size"]


def test_folder_that_another_copy_makes(transfers: Any, origin: Origin, source: str) -> None:
    """A folder need not be made by this copy, but it must be there in the end."""
    job = transfers.run(
        entry(source, f"{origin.url}/plain/storage-that-stops"),
        entry(source, f"{origin.url}/never/storage-that-stops"),
    )
    assert "MKCOL" not in job.reasons[0]
    assert job.reasons[1] == f"MKCOL {origin.url}/never: HTTP 500"


# Overwriting


def test_overwrite(transfers: Any, storage: Any, source: str, name: str) -> None:
    """With overwrite the new file replaces the old one."""
    (storage.folder / name).write_bytes(b"old")
    assert transfers.run(entry(source, f"{storage.url}/{name}")).state == "FINISHED"
    assert (storage.folder / name).read_bytes() == CONTENT


def test_no_overwrite(transfers: Any, storage: Any, source: str, name: str) -> None:
    """Without overwrite an existing file stays, and the reason is the one Rucio knows."""
    (storage.folder / name).write_bytes(b"old")
    job = transfers.run(entry(source, f"{storage.url}/{name}"), overwrite=False)
    assert job.state == "FAILED"
    assert "Destination file exists and overwrite is not enabled" in job.reasons[0]
    assert (storage.folder / name).read_bytes() == b"old"


def test_folders_are_never_overwritten(
    transfers: Any, storage: Any, source: str, name: str
) -> None:
    """A folder at the destination is left as it is, with all that is in it."""
    (storage.folder / name).mkdir()
    (storage.folder / name / "inside").write_bytes(b"old")
    job = transfers.run(entry(source, f"{storage.url}/{name}"))
    assert job.state == "FAILED"
    assert "folder" in job.reasons[0]
    assert (storage.folder / name / "inside").read_bytes() == b"old"


def test_onto_itself(transfers: Any, storage: Any, name: str) -> None:
    """A file is not deleted to make room for itself."""
    (storage.folder / name).write_bytes(CONTENT)
    url = f"{storage.url}/{name}"
    job = transfers.run(entry(url.replace("http", "dav"), url))
    assert "are the same" in job.reasons[0]
    assert (storage.folder / name).read_bytes() == CONTENT


# Verification


@pytest.mark.parametrize("checksum", ["ADLER32:00000bad", "MD5:" + "0bad" * 8])
def test_wrong_checksum(
    transfers: Any, storage: Any, source: str, name: str, checksum: str
) -> None:
    """What arrived with another checksum is deleted again."""
    job = transfers.run(entry(source, f"{storage.url}/{name}", checksum=checksum))
    assert job.state == "FAILED"
    algorithm, expected = checksum.lower().split(":")
    assert job.reasons[0].startswith(f"{storage.url}/{name}: {algorithm} ")
    assert job.reasons[0].endswith(f" instead of {expected}")
    assert not (storage.folder / name).exists()
    assert storage.ways(f"/{name}")[-1].endswith("201")


@pytest.mark.parametrize("how", ["plain", "nohead", "chunked"])
def test_wrong_size(transfers: Any, storage: Any, source: str, name: str, how: str) -> None:
    """What has another size than the catalogue says is refused, early or late."""
    url = source.replace("plain", how)
    job = transfers.run(entry(url, f"{storage.url}/{name}", filesize=9), verify_checksum="none")
    assert job.state == "FAILED"
    assert f"{len(CONTENT)} bytes instead of 9" in job.reasons[0]
    assert not (storage.folder / name).exists()


@pytest.mark.parametrize("checksum", [ADLER32, MD5, None])
@pytest.mark.parametrize("verify", ["both", "target", "source", "none", True, False])
def test_right_checksum(
    transfers: Any, storage: Any, source: str, checksum: str | None, verify: str | bool
) -> None:
    """Every way to verify accepts the right bytes, whoever knows their checksum."""
    destination = f"{storage.url}/right.bin"
    job = transfers.run(entry(source, destination, checksum=checksum), verify_checksum=verify)
    assert job.state == "FINISHED", job.reasons


@pytest.mark.parametrize("verify", ["both", "source"])
def test_source_tells_another_checksum(
    transfers: Any, grid: Storage, plain: Storage, name: str, verify: str
) -> None:
    """A source that tells a wrong checksum is not copied and costs no file."""
    (grid.folder / name).write_bytes(CONTENT[::-1])
    (plain.folder / name).write_bytes(b"old")
    job = transfers.run(entry(f"{grid.url}/{name}", f"{plain.url}/{name}"), verify_checksum=verify)
    assert job.reasons[0].startswith(f"{grid.url}/{name}: adler32 ")
    assert (plain.folder / name).read_bytes() == b"old"


@pytest.mark.parametrize("verify", ["both", "source"])
def test_source_tells_no_checksum(
    transfers: Any, storage: Any, source: str, name: str, verify: str
) -> None:
    """A source that tells no checksum is read for it, and blamed if it is wrong."""
    file = entry(source, f"{storage.url}/{name}", checksum="ADLER32:1")
    job = transfers.run(file, verify_checksum=verify)
    assert job.reasons[0].startswith(f"{source}: adler32 ")
    assert not (storage.folder / name).exists()


def test_no_verification(transfers: Any, grid: Storage, source: str, name: str) -> None:
    """With strict_copy nothing at all is compared."""
    file = entry(source, f"{grid.url}/{name}", filesize=9, checksum="ADLER32:00000bad")
    assert transfers.run(file, strict_copy=True).state == "FINISHED"
    assert (grid.folder / name).read_bytes() == CONTENT


def test_unknown_checksum(transfers: Any, grid: Storage, source: str, name: str) -> None:
    """A checksum of a kind that cannot be verified is an error, not ignored."""
    job = transfers.run(entry(source, f"{grid.url}/{name}", checksum="CRC32:12345678"))
    assert "CRC32" in job.reasons[0]


# Failures


_COMPLAINTS = {
    "plain/no": "HTTP 404 Not Found",
    "broken": "HTTP 503",
    "cut": f"closed after {len(CONTENT) // 2} of {len(CONTENT)} bytes",
    "chunk-cut": "connection closed in the middle",
    "silent": "connection closed without an answer",
}


@pytest.mark.parametrize("how", _COMPLAINTS)
def test_failing_sources(transfers: Any, storage: Any, source: str, name: str, how: str) -> None:
    """A source that is missing, broken or ends early fails the copy and leaves nothing."""
    url = source.replace("plain", how)
    job = transfers.run(entry(url, f"{storage.url}/{name}"))
    assert job.state == "FAILED"
    assert url in job.reasons[0]
    assert _COMPLAINTS[how] in job.reasons[0]
    assert not (storage.folder / name).exists()


def test_missing_source_costs_nothing(transfers: Any, storage: Any, source: str, name: str) -> None:
    """The old file is not deleted for a new one that does not exist."""
    (storage.folder / name).write_bytes(b"old")
    assert transfers.run(entry(f"{source}.no", f"{storage.url}/{name}")).state == "FAILED"
    assert (storage.folder / name).read_bytes() == b"old"


def test_unreachable_servers(transfers: Any, grid: Storage, source: str, name: str) -> None:
    """A server that is down, or a scheme that is not HTTP, is named in the reason."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    job = transfers.run(
        entry(f"{nobody}/a", f"{grid.url}/{name}"),
        entry(source, f"{nobody}/b"),
        entry("root://host//a", f"{grid.url}/{name}"),
    )
    assert job.reasons == [
        f"HEAD {nobody}/a: Connection refused",
        f"HEAD {nobody}/b: Connection refused",
        "root://host//a: only davs, dav, https and http URLs can be copied",
    ]


@pytest.mark.parametrize("how", ["signed", "cut"])
def test_no_secrets_in_reasons(
    transfers: Any, storage: Any, source: str, name: str, how: str
) -> None:
    """Neither the password nor the query of a URL appears in a reason."""
    url = source.replace("//", "//user:pass@word@").replace("plain", how) + "?sig=geheim#geheim"
    job = transfers.run(entry(url, f"{storage.url}/{name}"))
    assert job.state == "FAILED"
    assert source.replace("plain", how) in job.reasons[0]
    assert not re.search("geheim|pass|word|user", job.reasons[0])
