"""Files that the gateway sends to storages that cannot fetch."""

from __future__ import annotations

import base64
import hashlib
import logging
import posixpath
import socket
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from stac_client.errors import ConfigurationError
from stac_rucio.gateway import _push
from stac_rucio.gateway._origins import Destination
from stac_rucio.gateway._push import SIGNED_PUT_BYTES, RefusedError, read_order
from tests import origin as answers
from tests.gateway.fronts import SECRET_KEY, object_store
from tests.gateway.running import presigned, running, s3
from tests.origin import running_origin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gateway.running import Running
    from tests.origin import Origin

CONTENT = bytes(range(256)) * 4000
ENTRY = Destination("https://s3.example.org/copies/eo/", {})
OTHER = hashlib.md5(b"other", usedforsecurity=False).digest()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An object store with a bucket to fill, and an object in a private one."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "copies").mkdir()
    with object_store(folder, {"private/a b.tif": CONTENT, "other/a": CONTENT}) as url:
        yield url


@pytest.fixture
def storage() -> Iterator[Origin]:
    """A storage that writes down what is sent to it."""
    with running_origin() as server:
        yield server


def copy(gateway: Running, url: str, to: str, **headers: str) -> requests.Response:
    """Have a file sent, as FTS does."""
    return gateway.get(url, "COPY", headers={"Destination": to, **headers})


def stored(url: str) -> bytes | None:
    """What an object store has at a URL, or None."""
    answer = requests.get(presigned(url, "GET"), timeout=30)
    return answer.content if answer.ok else None


@pytest.mark.parametrize("mode", ["redirect", "stream"])
def test_from_one_bucket_to_another(store: str, tmp_path: Path, mode: str) -> None:
    """An object that wants keys goes to where a signed URL leads, whole; markers tell of it."""
    entries = {f"{store}/private/": s3(tmp_path, mode=mode)}
    to = f"{store}/copies/eo/{mode}.tif"
    with running(tmp_path, entries, destinations={f"{store}/copies/eo/": {}}) as gateway:
        answer = copy(gateway, f"{store}/private/a%20b.tif", presigned(to))
    assert answer.status_code == 202
    first, *_, last = answer.text.splitlines()
    assert (first, last) == ("Perf Marker", "success: Created")
    assert f"\tStripe Bytes Transferred: {len(CONTENT)}\n" in answer.text
    assert stored(to) == CONTENT
    head = requests.head(presigned(to, "HEAD"), timeout=30)
    assert head.headers["ETag"] == f'"{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"'


@pytest.mark.parametrize("content", [CONTENT, b""])
def test_to_webdav(origin: Origin, storage: Origin, tmp_path: Path, content: bytes) -> None:
    """What FTS has for the destination goes there, and nothing else of what it sends."""
    url = origin.add("/data/a", content)
    storage.add("/dav/a", answers.status(201))
    to = f"dav{storage.url.removeprefix('http')}/dav/a"
    ours = {"TransferHeaderAuthorization": "Bearer theirs", "Authorization": "Bearer of-gateway"}
    with running(
        tmp_path,
        {f"{origin.url}/data/": {}},
        destinations={f"{storage.url}/dav/": {"at_a_time": 1}},
    ) as gateway:
        for _ in range(2):
            answer = copy(gateway, url, to, Credential="none", Overwrite="F", **ours)
            assert answer.text.endswith("success: Created\n")
    for put in storage.seen:
        assert (put.method, put.body) == ("PUT", content)
        assert put.headers["Content-Length"] == str(len(content))
        assert put.headers["Authorization"] == "Bearer theirs"
        assert put.headers["If-None-Match"] == "*"
        assert "Content-Type" not in put.headers  # which older signatures of S3 cover
    assert all("Authorization" not in seen.headers for seen in origin.seen)


@pytest.mark.parametrize(
    "to",
    [
        "",
        "s3s://127.0.0.1/copies/a",
        "{url}/elsewhere/a",
        "{url}/dav/",
        "{url}/dav/../elsewhere/a",
        "{url}/dav/%2e%2e/elsewhere/a",
        "{url}.evil.example.org/dav/a",
        "{url}@evil.example.org/dav/a",
        "http://user@{host}/dav/a",
        "http://{host}\\@evil.example.org/dav/a",
        "http://[/dav/a",
        "https://{host}/dav/a",
    ],
)
def test_where_nothing_is_sent(origin: Origin, storage: Origin, tmp_path: Path, to: str) -> None:
    """A destination that the operator does not name is refused before anybody is asked."""
    url = origin.add("/data/a", CONTENT)
    to = to.format(url=storage.url, host=urlsplit(storage.url).netloc)
    with running(
        tmp_path, {f"{origin.url}/data/": {}}, destinations={f"{storage.url}/dav/": {}}
    ) as gateway:
        answer = copy(gateway, url, f"{to}?X-Amz-Signature=s3cr3t")
        forged = gateway.url_of(url).replace("/data/a", "/data/b")
        assert requests.request("COPY", forged, timeout=30).status_code == 403
    assert answer.status_code == 400
    assert "s3cr3t" not in answer.text
    assert origin.seen == storage.seen == []


def test_only_where_it_is_switched_on(origin: Origin, tmp_path: Path) -> None:
    """A gateway without destinations knows no COPY."""
    with running(tmp_path, {f"{origin.url}/data/": {}}) as gateway:
        assert copy(gateway, f"{origin.url}/data/a", f"{origin.url}/data/b").status_code == 405
    assert origin.seen == []


def test_addresses_of_the_site(origin: Origin, storage: Origin, tmp_path: Path) -> None:
    """A destination at an address of the site itself needs an entry that says so."""
    url = origin.add("/data/a", CONTENT)
    entries = {f"{storage.url}/dav/": {"private": False}}
    with running(tmp_path, {f"{origin.url}/data/": {}}, destinations=entries) as gateway:
        answer = copy(gateway, url, f"{storage.url}/dav/a")
    assert "\nfailure: " in answer.text
    assert "leads to 127.0.0.1" in answer.text
    assert storage.seen == []


def test_hosts_are_hosts() -> None:
    """However a host is written, with or without its default port, it is the same."""
    for prefix in ("https://S3.Example.org/copies/", "https://s3.example.org:443/copies/"):
        entry = Destination(prefix, {})
        for url in ("https://s3.example.org/copies/a", "https://S3.example.org:443/copies/a?X=y"):
            assert entry.refusal(url) is None
        for url in ("https://s3.example.org:80/copies/a", "http://s3.example.org/copies/a"):
            assert entry.refusal(url)


TOKENS = st.sampled_from(
    [
        *("https://", "davs://", "HTTPS://", "s3.example.org", "S3.Example.ORG", ":443", ":80"),
        *("/copies/", "/eo/", "/", "a", "..", ".", "%2e%2e", "%252e", "%2F", "\\", ";", "@", "#"),
        *("?X-Amz-Signature=x", "evil.org", "//", ":", " ", "\t", "[::1]", "\x00", "é", "%"),
    ]
)


@given(st.lists(TOKENS, max_size=9).map("".join))
def test_nothing_is_sent_elsewhere(to: str) -> None:
    """Whatever a Destination looks like, what is sent goes below an entry, or is not."""
    for text in (to, f"https://s3.example.org/copies/eo/{to}"):
        try:
            url = read_order(Headers({"Destination": text}), [ENTRY]).url
            asked = urllib3.util.parse_url(str(requests.Request("PUT", url).prepare().url))
        except (RefusedError, ValueError):  # the latter is no web address to requests
            continue
        assert (asked.scheme, asked.host, asked.port or 443) == ("https", "s3.example.org", 443)
        path = posixpath.normpath(unquote(unquote(asked.path or "")))
        assert f"{path}/".startswith("/copies/eo/")


def test_larger_than_one_signed_put(origin: Origin, store: str, tmp_path: Path) -> None:
    """What S3 would refuse in the end is refused before a byte is sent."""
    url = origin.add("/data/a", answers.Answer(announced=SIGNED_PUT_BYTES + 1))
    to = f"{store}/copies/large"
    with running(
        tmp_path, {f"{origin.url}/data/": {}}, destinations={f"{store}/copies/": {}}
    ) as gateway:
        answer = copy(gateway, url, presigned(to))
    assert answer.text.startswith(f"failure: {url}: ")
    assert "one signed PUT takes 5,368,709,120" in answer.text
    assert stored(to) is None


WRONG = answers.status(200, CONTENT, Content_MD5=base64.b64encode(OTHER).decode())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (answers.status(404), "404 {url}: the origin answers HTTP 404"),
        (answers.status(403), "202 failure: {url}: the origin answers HTTP 403"),
        (answers.chunked, "202 the origin does not say how long the file is"),
        (answers.cut(512_000, CONTENT), "202 it ended after 512,000 of 1,024,000 bytes"),
        (WRONG, "202 the origin gave bytes with another md5"),
    ],
)
def test_origins_that_fail(
    origin: Origin, store: str, tmp_path: Path, answer: Any, said: str
) -> None:
    """What is not there, breaks off or has other bytes than it says leaves no object."""
    url = origin.add("/data/a", answer)
    to = f"{store}/copies/failed"
    with running(
        tmp_path, {f"{origin.url}/data/": {}}, destinations={f"{store}/copies/": {}}
    ) as gateway:
        answer = copy(gateway, url, presigned(to))
    status, _, reason = said.partition(" ")
    assert answer.status_code == int(status)
    assert reason.format(url=url) in answer.text
    assert "success" not in answer.text
    assert "Signature" not in answer.text
    assert stored(to) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Digest", f"adler32={zlib.adler32(CONTENT):08x}"),
        ("Digest", "adler32=01234567"),
        ("Content-MD5", base64.b64encode(OTHER).decode()),
    ],
)
def test_checksums_on_the_way(
    origin: Origin, store: str, tmp_path: Path, name: str, value: str
) -> None:
    """Who says what the file has to be gets that, or nothing."""
    url = origin.add("/data/a", CONTENT)
    to = f"{store}/copies/checked"
    with running(
        tmp_path, {f"{origin.url}/data/": {}}, destinations={f"{store}/copies/": {}}
    ) as gateway:
        answer = copy(gateway, url, presigned(to), **{name: value})
    is_right = f"{zlib.adler32(CONTENT):08x}" in value
    assert ("success: Created" in answer.text, stored(to) == CONTENT) == (is_right, is_right)
    requests.delete(presigned(to, "DELETE"), timeout=30)


def test_destinations_that_fail(
    origin: Origin, store: str, storage: Origin, tmp_path: Path
) -> None:
    """What the storage says is told; of what broke off nothing stays."""
    url = origin.add("/data/a", CONTENT)
    storage.add("/dav/redirected", answers.redirect("http://elsewhere.example.org/"))
    storage.add("/dav/broken", answers.Answer(reset_after=-1), answers.status(204, b""))
    entries: dict[str, dict[str, Any]] = {f"{store}/copies/": {}, f"{storage.url}/dav/": {}}
    with running(tmp_path, {f"{origin.url}/data/": {}}, destinations=entries) as gateway:
        said = copy(gateway, url, f"{store}/copies/x?X-Amz-Signature=s3cr3t").text
        assert said.endswith(f"failure: {store}/copies/x: HTTP 403 MissingAuthenticationToken\n"), (
            said
        )
        said = copy(gateway, url, f"{storage.url}/dav/redirected").text
        assert said.endswith("HTTP 302\n")
        assert "failure" in copy(gateway, url, f"{storage.url}/dav/broken").text
    assert storage.methods == ["PUT", "PUT", "DELETE"]


def test_destinations_that_never_answer(
    origin: Origin, storage: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are waited for as long as a storage may need, and then give their turns back."""
    for name in ("_ANSWER_S", "_PIECE_S"):
        monkeypatch.setattr(_push, name, 0.5)
    url, large = origin.add("/data/a", CONTENT), origin.add("/data/large", bytes(1 << 25))
    storage.add("/dav/silent", lambda *_: storage.gate.wait(60))
    storage.add("/dav/a", answers.status(201))
    deaf = socket.create_server(("127.0.0.1", 0))
    to = f"http://127.0.0.1:{deaf.getsockname()[1]}/a"
    entries = {f"{storage.url}/dav/": {"at_a_time": 1}, to.removesuffix("a"): {}}
    with (
        deaf,
        running(
            tmp_path, {f"{origin.url}/data/": {"at_a_time": 1}}, destinations=entries
        ) as gateway,
    ):
        said = copy(gateway, large, to).text
        assert said.endswith(f"failure: {to}: no answer (it takes nothing of the request)\n")
        said = copy(gateway, url, f"{storage.url}/dav/silent").text
        assert said.endswith(f"failure: {storage.url}/dav/silent: no answer within 0.5 s\n")
        assert copy(gateway, url, f"{storage.url}/dav/a").text.endswith("success: Created\n")
    assert storage.methods == ["PUT", "DELETE", "PUT"]


def test_requests_behind_a_body(origin: Origin, storage: Origin, tmp_path: Path) -> None:
    """No origin gets more bytes to a storage than it says there are: they would be requests."""
    smuggled = b"DELETE /dav/other HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    url = origin.add("/data/a", answers.chunks(b"bytes" + smuggled, Content_Length="5"))
    storage.add("/dav/a", answers.status(201))
    entries: dict[str, dict[str, Any]] = {f"{storage.url}/dav/": {}}
    with running(tmp_path, {f"{origin.url}/data/": {}}, destinations=entries) as gateway:
        said = copy(gateway, url, f"{storage.url}/dav/a").text
    assert said.endswith("the origin does not say how long the file is\n")
    assert storage.seen == []


def test_files_of_others(origin: Origin, storage: Origin, tmp_path: Path) -> None:
    """What was there, and is not to be overwritten, is not deleted when sending breaks off."""
    url = origin.add("/data/a", CONTENT)
    storage.add("/dav/a", answers.Answer(reset_after=-1))
    entries: dict[str, dict[str, Any]] = {f"{storage.url}/dav/": {}}
    with running(tmp_path, {f"{origin.url}/data/": {}}, destinations=entries) as gateway:
        assert "failure" in copy(gateway, url, f"{storage.url}/dav/a", Overwrite="F").text
    assert storage.methods == ["PUT"]


def test_clients_that_leave(origin: Origin, store: str, tmp_path: Path) -> None:
    """When nobody waits for it any more it ends, gives the turns back, and leaves no object."""
    stall = answers.stall(1 << 19)
    url = origin.add("/data/a", lambda handler, *_: stall(handler, CONTENT, None))
    origin.add("/data/b", CONTENT)
    to = f"{store}/copies/left"
    with running(
        tmp_path,
        {f"{origin.url}/data/": {"at_a_time": 1}},
        destinations={f"{store}/copies/": {"at_a_time": 1}},
    ) as gateway:
        parts = urlsplit(gateway.url_of(url))
        with socket.create_connection((parts.hostname, parts.port), 30) as client:
            head = f"COPY {parts.path} HTTP/1.1\r\nHost: x\r\nDestination: {presigned(to)}\r\n\r\n"
            client.sendall(head.encode())
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 202")
        origin.gate.set()
        answer = copy(gateway, f"{origin.url}/data/b", presigned(f"{store}/copies/b"))
        assert answer.text.endswith("success: Created\n")
    assert stored(to) is None


def test_no_secret_is_told(
    origin: Origin, store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Logs have where it goes to, and nothing of what opens the door there."""
    caplog.set_level(logging.DEBUG)
    url = origin.add("/data/a", CONTENT)
    to = presigned(f"{store}/copies/quiet")
    with running(
        tmp_path, {f"{origin.url}/data/": {}}, destinations={f"{store}/copies/": {}}
    ) as gateway:
        answer = copy(gateway, url, to, TransferHeaderAuthorization="Bearer theirs")
    ours = [each for each in caplog.records if not each.name.startswith("urllib3")]
    text = "\n".join(record.getMessage() for record in ours)
    assert f"{url} to {store}/copies/quiet: sent {len(CONTENT)} bytes" in text
    for secret in ("Signature", "theirs", SECRET_KEY):
        assert secret not in text + answer.text
        assert all(secret not in repr(record.__dict__) for record in ours)


@pytest.mark.parametrize("entry", [{"sign": "none"}, {"mode": "stream"}, {"private": 1}])
def test_configuration_that_is_wrong(entry: dict[str, Any]) -> None:
    """It is told with the destination and the option."""
    with pytest.raises(ConfigurationError, match=r"destination https://h\.example\.org/: "):
        Destination("https://h.example.org/", entry)


def test_configuration_with_a_password() -> None:
    """A password that does not belong there is not repeated."""
    with pytest.raises(
        ConfigurationError, match=r"destination https://h\.example\.org/: "
    ) as error:
        Destination("https://user:s3cr3t@h.example.org/", {"sign": "none"})
    assert "s3cr3t" not in str(error.value)


def test_destinations_that_overlap(origin: Origin, storage: Origin, tmp_path: Path) -> None:
    """The longest beginning counts, whichever entry is the first."""
    url = origin.add("/data/a", CONTENT)
    storage.add("/dav/site/a", answers.status(201))
    entries = {f"{storage.url}/dav/": {"private": False}, f"{storage.url}/dav/site/": {}}
    with running(tmp_path, {f"{origin.url}/data/": {}}, destinations=entries) as gateway:
        assert copy(gateway, url, f"{storage.url}/dav/site/a").text.endswith("success: Created\n")
