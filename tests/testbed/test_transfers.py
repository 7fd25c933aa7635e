"""The transfer service copies: where the bytes end up, and what it says when they don't."""

from __future__ import annotations

import gzip
import hashlib
import re
import socket
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from .awkward import LOGIN_PAGE
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
    """To a storage that cannot fetch, the bytes are written, as the service is configured to."""
    path = f"/rse/eo/c/{name}"
    job = transfers.run(entry(source, plain.url.replace("http", "dav") + path))
    assert job.state == "FINISHED", job.reasons
    assert (plain.folder / path[1:]).read_bytes() == CONTENT
    assert plain.ways(path) == ["PUT 201"]


_ARRIVED = None
_SIZES = "DESTINATION [22] Source and destination file size mismatch"
_PULL = "TRANSFER [5] TRANSFER ERROR: Copy failed (3rd pull). Last attempt: Transfer failure: "
_NOT_FOUND = "SOURCE [2] Result HTTP {} : File not found  after 1 attempts"
_UNEXPECTED = "SOURCE [5] Result HTTP {0} : Unexpected server error: {0}  after 1 attempts"


def _other_sum(arrived: bytes) -> str:
    sums = f"46a47789 != {zlib.adler32(arrived):08x}"
    return f"DESTINATION [5] User-defined and destination ADLER32 checksum do not match ({sums})"


_CASES = {
    "plain": (_ARRIVED, _ARRIVED),
    "redirect": (_ARRIVED, _ARRIVED),
    "tls": (f"{_PULL}GET {{url}}: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",) * 2,
    "nohead": ("SOURCE [1] HTTP 405 : Method Not Allowed, Permission refused ",) * 2,
    "nohead403": ("SOURCE [1] HTTP 403 : Permission refused ",) * 2,
    "chunked": (_SIZES, _SIZES),
    "nolength": (_SIZES, _SIZES),
    "headzero": (_SIZES, _SIZES),
    "gzip": (_ARRIVED, _ARRIVED),
    "gzipalways": (_other_sum(gzip.compress(CONTENT, mtime=0)), _ARRIVED),
    "login": (_other_sum(LOGIN_PAGE), _ARRIVED),
    "tologin": (_other_sum(LOGIN_PAGE), _ARRIVED),
    "headoklogin": (_SIZES, _SIZES),
    "headok403": (f"{_PULL}GET {{url}}: HTTP 403 Forbidden",) * 2,
    "headok503": (f"{_PULL}GET {{url}}: HTTP 503 Service Unavailable",) * 2,
    "cut": (f"{_PULL}{{url}}: closed after {len(CONTENT) // 2} of {len(CONTENT)} bytes",) * 2,
    "half": (_SIZES, _SIZES),
    "gone": (_NOT_FOUND.format(410),) * 2,
    "plain/none": (_NOT_FOUND.format(404),) * 2,
    "broken": (_UNEXPECTED.format(503),) * 2,
    "busy": (_UNEXPECTED.format(429),) * 2,
}
"""What becomes of a file with and without a registered checksum, by what its origin does."""


@pytest.mark.parametrize("how", _CASES)
def test_as_a_real_fts(
    transfers: Any, grid: Storage, origin: Origin, source: str, how: str
) -> None:
    """Each origin ends as a real FTS was seen to end it, in the same words."""
    url = source.replace("plain", how, 1)
    leads_to = f"{origin.tls_url}/plain/a.bin" if how == "tls" else url
    for expected, checksum in zip(_CASES[how], (ADLER32, None), strict=True):
        name = f"as-a-real-fts-{how.replace('/', '-')}-{checksum}"
        file = entry(url, f"{grid.url}/{name}", checksum=checksum)
        job = transfers.run(file, verify_checksum="target" if checksum else "none")
        assert job.state == ("FAILED" if expected else "FINISHED"), job.reasons
        (reason,) = job.reasons
        text = expected and expected.format(url=leads_to)
        if text and how == "tls":  # why not, OpenSSL goes on to say
            reason = reason[: len(text)]
        assert reason == text
        assert (grid.folder / name).exists() == (expected is None)


def test_streamed_without_a_size(transfers: Any, plain: Storage, source: str, name: str) -> None:
    """A file whose size nobody tells counts as empty, and is, where nothing verifies it."""
    url = source.replace("plain", "chunked")
    assert transfers.run(entry(url, f"{plain.url}/{name}", checksum=None)).state == "FINISHED"
    assert (plain.folder / name).read_bytes() == b""


def test_storage_that_is_not_configured(
    transfers: Any, bare: Storage, source: str, name: str
) -> None:
    """A storage that cannot fetch, of which nobody said so, gets nothing: there is one way."""
    job = transfers.run(entry(source, f"{bare.url}/{name}"))
    assert job.reasons == [f"{_PULL}COPY {bare.url}/{name}: HTTP 404 Not Found"]
    assert bare.ways(f"/{name}") == ["COPY 404"]


def test_credential(transfers: Any, grid: Storage, origin: Origin, source: str, name: str) -> None:
    """For a source with TLS a storage is told `gridsite`, which it refuses, or what is set."""
    file = entry(source.replace(origin.url, origin.tls_url), f"{grid.url}/{name}")
    assert transfers.run(file).reasons == [f"{_PULL}COPY {grid.url}/{name}: HTTP 400 Bad Request"]
    transfers.configure(grid.url, credential="none")
    (reason,) = transfers.run(file).reasons
    transfers.configure(grid.url)
    assert "CERTIFICATE_VERIFY_FAILED" in reason  # the storage has tried to fetch it


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


def test_no_second_way(transfers: Any, grid: Storage, source: str, name: str) -> None:
    """When a storage fails to fetch a file, nothing else is tried."""
    job = transfers.run(entry(source.replace("plain", "cut-once"), f"{grid.url}/{name}"))
    assert job.state == "FAILED"
    assert grid.ways(f"/{name}") == ["COPY 201"]


def test_copy_without_a_verdict(transfers: Any, origin: Origin, source: str) -> None:
    """A storage that stops talking in the middle of a copy has not copied."""
    job = transfers.run(entry(source, f"{origin.url}/plain/storage-that-stops"))
    assert job.state == "FAILED"
    assert "ended without a verdict" in job.reasons[0]


def test_storage_without_sizes(transfers: Any, origin: Origin, source: str, name: str) -> None:
    """What a storage tells no size of counts as empty."""
    transfers.configure(origin.url, tpc_support="NONE")
    job = transfers.run(entry(source, f"{origin.url}/chunked/{name}"), verify_checksum="none")
    transfers.configure(origin.url, tpc_support="FULL")
    assert origin.files[name] == CONTENT
    assert job.reasons == [_SIZES]


def test_folder_that_another_copy_makes(transfers: Any, origin: Origin, source: str) -> None:
    """A folder need not be made by this copy, but it must be there in the end."""
    job = transfers.run(
        entry(source, f"{origin.url}/plain/storage-that-stops"),
        entry(source, f"{origin.url}/never/storage-that-stops"),
    )
    assert "MKCOL" not in job.reasons[0]
    assert job.reasons[1] == f"DESTINATION [5] MKCOL {origin.url}/never: HTTP 500"


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
    assert job.reasons[0].endswith("is source and destination")
    assert (storage.folder / name).read_bytes() == CONTENT


# Verification


@pytest.mark.parametrize("checksum", ["ADLER32:00000bad", "MD5:" + "0bad" * 8])
def test_wrong_checksum(
    transfers: Any, storage: Any, source: str, name: str, checksum: str
) -> None:
    """What arrived with another checksum is deleted again."""
    job = transfers.run(entry(source, f"{storage.url}/{name}", checksum=checksum))
    assert job.state == "FAILED"
    algorithm, expected = checksum.split(":")
    text = f"DESTINATION [5] User-defined and destination {algorithm} checksum do not match"
    assert job.reasons[0].startswith(f"{text} ({expected} != ")
    assert not (storage.folder / name).exists()
    assert storage.ways(f"/{name}")[-1].endswith("201")


def test_size_of_the_catalogue(transfers: Any, storage: Any, source: str, name: str) -> None:
    """What size the catalogue says is not looked at."""
    job = transfers.run(entry(source, f"{storage.url}/{name}", filesize=9), verify_checksum="none")
    assert job.state == "FINISHED"


@pytest.mark.parametrize("checksum", [ADLER32, MD5])
def test_storage_without_checksums(
    transfers: Any, bare: Storage, source: str, name: str, checksum: str
) -> None:
    """Where the destination cannot verify, the copy fails, and the file stays there."""
    transfers.configure(bare.url, tpc_support="NONE")
    job = transfers.run(entry(source, f"{bare.url}/{name}", checksum=checksum))
    transfers.configure(bare.url, tpc_support="FULL")
    algorithm = checksum.partition(":")[0]
    assert job.reasons == [f"DESTINATION [38] checksum calculation for {algorithm} not supported"]
    assert (bare.folder / name).read_bytes() == CONTENT


@pytest.mark.parametrize("checksum", [ADLER32, MD5, None])
@pytest.mark.parametrize("verify", ["both", "target", "source", "none", True, False])
def test_right_checksum(
    transfers: Any, storage: Any, grid: Storage, checksum: str | None, verify: str | bool
) -> None:
    """Every way to verify accepts the right bytes, where both ends tell their checksums."""
    (grid.folder / "original.bin").write_bytes(CONTENT)
    file = entry(f"{grid.url}/original.bin", f"{storage.url}/right.bin", checksum=checksum)
    job = transfers.run(file, verify_checksum=verify)
    assert job.state == "FINISHED", job.reasons


@pytest.mark.parametrize("verify", ["both", "source"])
def test_source_tells_another_checksum(
    transfers: Any, grid: Storage, plain: Storage, name: str, verify: str
) -> None:
    """A source that tells a wrong checksum is not copied and costs no file."""
    (grid.folder / name).write_bytes(CONTENT[::-1])
    (plain.folder / name).write_bytes(b"old")
    job = transfers.run(entry(f"{grid.url}/{name}", f"{plain.url}/{name}"), verify_checksum=verify)
    assert job.reasons[0].startswith("SOURCE [5] User-defined and source ADLER32 checksum do not")
    assert (plain.folder / name).read_bytes() == b"old"


@pytest.mark.parametrize("verify", ["both", "source"])
def test_source_tells_no_checksum(
    transfers: Any, storage: Any, source: str, name: str, verify: str
) -> None:
    """A source that tells no checksum cannot be asked to."""
    job = transfers.run(entry(source, f"{storage.url}/{name}"), verify_checksum=verify)
    assert job.reasons == ["SOURCE [38] checksum calculation for ADLER32 not supported"]
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
    "cut": f"closed after {len(CONTENT) // 2} of {len(CONTENT)} bytes",
    "silent": "connection closed without an answer",
}


@pytest.mark.parametrize("how", _COMPLAINTS)
def test_failing_sources(transfers: Any, storage: Any, source: str, name: str, how: str) -> None:
    """A source that ends early fails the copy, whoever reads it, and leaves nothing."""
    url = source.replace("plain", how)
    job = transfers.run(entry(url, f"{storage.url}/{name}"))
    assert job.reasons[0].startswith("TRANSFER [5] TRANSFER ERROR: Copy failed (")
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
        f"SOURCE [5] HEAD {nobody}/a: Connection refused  after 1 attempts",
        f"DESTINATION [5] HEAD {nobody}/b: Connection refused  after 1 attempts",
        "root://host//a: only URLs of WebDAV, S3 and the web can be copied",
    ]


@pytest.mark.parametrize("how", ["headok403", "cut"])
def test_no_secrets_in_reasons(
    transfers: Any, storage: Any, source: str, name: str, how: str
) -> None:
    """Neither the password nor the query of a URL appears in a reason."""
    url = source.replace("//", "//user:pass@word@").replace("plain", how) + "?sig=geheim#geheim"
    job = transfers.run(entry(url, f"{storage.url}/{name}"))
    assert job.state == "FAILED"
    assert source.replace("plain", how) in job.reasons[0]
    assert not re.search("geheim|pass|word|user", job.reasons[0])
