"""What clients, URLs that somebody registered, and answers of origins cannot do to the gateway."""

from __future__ import annotations

import logging
import posixpath
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
import requests
import urllib3
from hypothesis import example, given
from hypothesis import strategies as st

from stac_client.errors import ConfigurationError
from stac_policy import http
from stac_policy.urls import refusal
from stac_rucio import listening
from stac_rucio.gateway import _app, load
from stac_rucio.gateway._origins import Origin as Entry
from stac_testbed.processes import free_ports
from tests import origin as answers
from tests.gateway.running import running, s3, write
from tests.gateway.test_push import TOKENS
from tests.origin import running_origin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.origin import Origin

CONTENT = bytes(range(256)) * 64
LARGE = bytes(1 << 25)


@pytest.fixture
def origin() -> Iterator[Origin]:
    """An origin that answers as it is told."""
    with running_origin() as server:
        yield server


def bearer(folder: Path, **more: Any) -> dict[str, Any]:
    """An entry with a token."""
    return {"sign": "bearer", "token": {"file": str(folder / "token")}, "mode": "stream", **more}


@pytest.mark.parametrize("head", [answers.status(405), answers.status(200, b"")])
def test_head_takes_one_turn(origin: Origin, tmp_path: Path, head: Any) -> None:
    """A HEAD that the origin refuses, or answers with no bytes, is asked as a GET in its turn."""
    url = origin.add("/data/a", CONTENT, head=head)
    with running(tmp_path, {f"{origin.url}/data/": {"at_a_time": 1}}) as gateway:
        began_s = time.monotonic()
        found = gateway.get(url, "HEAD")
        assert (found.status_code, found.headers["Content-Length"]) == (200, str(len(CONTENT)))
        assert time.monotonic() - began_s < 5
        assert "Content-Range" not in found.headers


def test_clients_that_leave(origin: Origin, tmp_path: Path) -> None:
    """Who leaves before or in the middle of an answer gives its turn back."""
    url = origin.add("/data/a", LARGE)
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path, at_a_time=1)}) as gateway:
        for read_bytes in (0, 1, 1 << 20) * 3:
            parts = urlsplit(gateway.url_of(url))
            with socket.create_connection((parts.hostname, parts.port), 30) as client:
                client.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                left = read_bytes
                while left > 0:
                    left -= len(client.recv(left))
        assert len(gateway.get(url).content) == len(LARGE)


def test_no_origin_takes_the_turns_of_others(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many wait for an origin that hangs, others and the health are answered.

    They do not wait for ever.
    """
    monkeypatch.setattr(_app, "_WAIT_S", 3)
    hanging = origin.add("/slow/a", answers.stall(10))
    url = origin.add("/data/a", CONTENT)
    origin.add("/slow/b", CONTENT)
    entries = {f"{origin.url}/slow/": bearer(tmp_path, at_a_time=2)}
    entries[f"{origin.url}/data/"] = bearer(tmp_path)
    with running(tmp_path, entries) as gateway, ThreadPoolExecutor(60) as clients:
        waiting = [clients.submit(gateway.get, hanging, stream=True) for _ in range(60)]
        while len(origin.requests_of("/slow/a")) < 2:
            assert not any(each.done() and each.exception() for each in waiting)
        began_s = time.monotonic()
        assert gateway.get(url).content == CONTENT
        assert requests.get(f"{gateway.url}/healthz", timeout=30).status_code == 200
        assert time.monotonic() - began_s < 5
        refused = gateway.get(f"{origin.url}/slow/b")
        assert refused.status_code == 503
        assert f"all turns of {origin.url}/slow/ are taken" in refused.text
        origin.gate.set()
        for each in waiting:
            each.result().close()


def test_clients_that_do_not_ask(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever never gets to the end of its headers is left, and a long answer is not."""
    monkeypatch.setattr(listening, "_HEADERS_S", 0.5)

    def late(handler: Any, content: bytes, _: Any) -> None:
        assert origin.gate.wait(60)
        handler.answer(200, content)

    url = origin.add("/data/a", CONTENT, late)
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path)}) as gateway:
        parts = urlsplit(gateway.url_of(url))
        asked = f"GET {parts.path} HTTP/1.1\r\nHost: x\r\n"
        answered = socket.create_connection((parts.hostname, parts.port), 30)
        answered.sendall(f"{asked}\r\n".encode())
        for before in ("", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"):
            with socket.create_connection((parts.hostname, parts.port), 30) as client:
                client.sendall(f"{before}{asked}".encode())
                received = b""
                with suppress(ConnectionResetError):
                    while piece := client.recv(1 << 16):
                        received += piece
            assert received.count(b"HTTP/1.1 ") == bool(before)
        origin.gate.set()
        with answered:
            received = b""
            while piece := answered.recv(1 << 16):
                received += piece
        assert received.endswith(CONTENT)


def test_it_ends(origin: Origin, tmp_path: Path) -> None:
    """SIGTERM ends the program while a client reads nothing of an answer."""
    url = origin.add("/data/a", LARGE)
    port = free_ports(1)[0]
    gateway = write(tmp_path, {f"{origin.url}/data/": bearer(tmp_path)}, port=port)
    command = (sys.executable, "-m", "stac_rucio", "gateway", str(tmp_path / "gateway.toml"))
    with subprocess.Popen(  # noqa: S603 - a program of this package
        (*command, "--port", str(port), "-v"), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while True:
                try:
                    assert requests.get(f"{gateway.url}/healthz", timeout=30).ok
                    break
                except requests.ConnectionError:
                    assert process.poll() is None
            with gateway.get(url, stream=True) as answer:
                assert answer.status_code == 200
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) in {0, 143, -signal.SIGTERM}
            assert process.stderr is not None
            written = process.stderr.read()
        finally:
            process.kill()
    assert "Traceback" not in written
    assert "t0k3n" not in written
    assert "/data/a: 200" in written


@pytest.mark.parametrize(
    "location",
    [
        "http://evil.example.org\\@{host}/data/b",
        "http://{host}@evil.example.org/data/b",
        "//evil.example.org/data/b",
        "http://{name}:1/data/b",
        "ftp://{host}/data/b",
        "http://[/data/b",
    ],
)
@pytest.mark.parametrize("mode", ["redirect", "stream"])
def test_redirects_elsewhere(origin: Origin, tmp_path: Path, location: str, mode: str) -> None:
    """A redirect to another host or port than the entry names is followed by nobody."""
    host = urlsplit(origin.url).netloc
    location = location.format(host=host, name=host.partition(":")[0])
    url = origin.add("/data/a", answers.redirect(location))
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path, mode=mode)}) as gateway:
        answer = gateway.get(url, allow_redirects=False)
    assert answer.status_code == 503
    assert "leads to" in answer.text
    assert [seen.path for seen in origin.seen] == ["/data/a"]


def test_redirects_within(origin: Origin, tmp_path: Path) -> None:
    """A token goes with redirects below its entry's beginning, and not elsewhere on the host."""
    url = origin.add("/data/a", answers.redirect("/data/b"))
    origin.add("/data/b", answers.redirect("/other/c"))
    origin.add("/other/c", CONTENT)
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path)}) as gateway:
        assert gateway.get(url).content == CONTENT
        seen = [(each.path, "Authorization" in each.headers) for each in origin.seen]
        assert seen == [("/data/a", True), ("/data/b", True), ("/other/c", False)]
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path, mode="redirect")}) as gateway:
        answer = gateway.get(url, allow_redirects=False)
        assert answer.headers["Location"] == f"{origin.url}/other/c"
        origin.add("/other/c", answers.status(403))
        assert gateway.get(url, allow_redirects=False).status_code == 503


def test_redirects_to_where_the_token_is_for_as_well(origin: Origin, tmp_path: Path) -> None:
    """It goes along below each beginning that the entry names, and not beside it."""
    with running_origin() as other:
        url = origin.add("/data/a", answers.redirect(f"{other.url}/files/b"))
        named = other.add("/files/b", answers.redirect("/beside/c"))
        other.add("/beside/c", CONTENT)
        entry = bearer(tmp_path, also=[f"{other.url}/files/"])
        with running(tmp_path, {f"{origin.url}/data/": entry}) as gateway:
            assert gateway.get(url).content == gateway.get(named).content == CONTENT
            assert gateway.get(f"{other.url}/beside/c").status_code == 503
        seen = [(each.path, "Authorization" in each.headers) for each in other.seen]
        assert seen == [("/files/b", True), ("/beside/c", False)] * 2


def test_logins_of_the_origin(origin: Origin, tmp_path: Path) -> None:
    """A page that the origin leads to or gives is no file; one whose URL is that of a page is."""
    page = answers.status(200, b"<html>Your name?", Content_Type="text/html; charset=utf-8")
    url = origin.add("/data/a", answers.redirect("/login"))
    origin.add("/login", page)
    expired = origin.add("/data/b.tif", page)
    itself = origin.add("/data/index.html", page)
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path)}) as gateway:
        for method in ("GET", "HEAD"):
            for each in (url, expired):
                answer = gateway.get(each, method)
                assert answer.status_code == 503
                assert "Your name" not in answer.text
            assert gateway.get(itself, method).status_code == 200
            for status in (404, 410):  # that servers tell people on a page
                gone = answers.status(status, b"<html>Sorry", Content_Type="text/html")
                assert gateway.get(origin.add("/data/c.tif", gone), method).status_code == 404
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path, mode="redirect")}) as gateway:
        for each in (url, expired):
            assert gateway.get(each, allow_redirects=False).status_code == 503


def test_redirects_without_tls() -> None:
    """What came by TLS goes on by TLS, wherever the entry leads."""
    more = {"sign": "none", "leads_to": ["cdn.example.org"]}
    entry = Entry("https://h.example.org/data/", more)
    found = entry.led_to("https://h.example.org/data/a", "https://cdn.example.org/a")
    assert found == "https://cdn.example.org/a"
    for location in ("http://h.example.org/data/a", "http://cdn.example.org/a"):
        with pytest.raises(http.FetchError):
            entry.led_to("https://h.example.org/data/a", location)


@pytest.mark.parametrize(
    "answer",
    [
        answers.redirect("/data/a"),
        answers.status(300),
        answers.status(301),
        answers.status(400),
        answers.status(202),
        answers.status(204, b""),
        answers.status(401),
        answers.status(403),
        answers.status(200, Content_Encoding="gzip"),
        answers.status(206, Content_Range="bytes 0-1/x"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_answers_that_are_no_file(origin: Origin, tmp_path: Path, answer: Any, method: str) -> None:
    """Whatever is not the whole file is no file, and none that is lost."""
    url = origin.add("/data/a", answer)
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path)}) as gateway:
        found = gateway.get(url, method, allow_redirects=False)
    assert found.status_code == 503


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=0-1,5-9"},
        {"Range": "lines=0-1"},
        {"Range": "bytes=0-1", "If-Range": '"other"'},
    ],
)
def test_ranges_that_are_none(origin: Origin, tmp_path: Path, headers: dict[str, str]) -> None:
    """One range or none: for all else the whole file is a right answer."""
    url = origin.add("/data/a", CONTENT)
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path)}) as gateway:
        answer = gateway.get(url, headers=headers)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert "Range" not in origin.seen[-1].headers


def test_ranges_beyond_the_end(origin: Origin, tmp_path: Path) -> None:
    """What the origin says of a range that its file does not have is passed on."""
    url, empty = origin.add("/data/a", CONTENT), origin.add("/data/empty", b"")
    without_head = origin.add("/data/b", b"", head=answers.status(405))
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path)}) as gateway:
        beyond = gateway.get(url, headers={"Range": f"bytes={len(CONTENT)}-"})
        assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */16384")
        for each, method in ((empty, "HEAD"), (empty, "GET"), (without_head, "HEAD")):
            answer = gateway.get(each, method)
            assert (answer.status_code, answer.headers["Content-Length"]) == (200, "0")


def test_broken_off(origin: Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What breaks off at the origin breaks off for the client, and the log says it."""
    caplog.set_level(logging.INFO)
    url = origin.add("/data/a", answers.cut(len(CONTENT) // 2, CONTENT))
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path, at_a_time=1)}) as gateway:
        for _ in range(2):  # of which requests tells nothing
            answer = gateway.get(url)
            assert answer.headers["Content-Length"] == str(len(CONTENT))
            assert len(answer.content) < len(CONTENT)
    lines = [each.getMessage() for each in caplog.records if each.name == "stac_rucio.gateway"]
    assert [line.endswith("of 16,384 bytes") for line in lines] == [True, True]
    assert "Traceback" not in caplog.text


def test_parts_that_are_others(origin: Origin, tmp_path: Path) -> None:
    """An answer to one range with another, or with none that is said, is no part of the file."""
    entry = {f"{origin.url}/data/": bearer(tmp_path)}
    with running(tmp_path, entry) as gateway:
        for covered, wanted, status in [
            ("bytes 5-7/10", "bytes=5-7", 206),
            ("bytes 7-9/10", "bytes=-3", 206),
            ("bytes 50-52/100", "bytes=5-7", 503),
            ("bytes 0-2/10", "bytes=5-7", 503),
            (None, "bytes=5-7", 503),
        ]:
            url = origin.add("/data/a", answers.status(206, b"abc", Content_Range=covered))
            assert gateway.get(url, headers={"Range": wanted}).status_code == status


def test_lengths_that_do_not_count(origin: Origin, tmp_path: Path) -> None:
    """A body in chunks ends with the last of them, whatever length its headers say."""
    url = origin.add("/data/a", answers.chunks(CONTENT, Content_Length="5"))
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path)}) as gateway:
        found = gateway.get(url)
    assert "Content-Length" not in found.headers
    assert found.content == CONTENT


def test_paths_of_all_kinds(
    origin: Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever characters a path has in the end, it is a file's, and each request is logged."""
    caplog.set_level(logging.INFO)
    url = origin.add("/data/a%0Ab%0D%00", CONTENT)
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path)}) as gateway:
        assert gateway.get(url).content == CONTENT
        for path, method, status in [
            ("/healthz/", "GET", 403),
            ("/%0A", "GET", 403),
            ("/%0A", "POST", 405),
            (f"/{'x' * 1000}", "TRACE", 405),
        ]:
            found = requests.request(method, gateway.url + path, timeout=30, allow_redirects=False)
            assert found.status_code == status
        assert found.headers["Allow"] == "GET, HEAD"
        counted = requests.get(f"{gateway.url}/metrics", timeout=30).text
    assert "TRACE" not in counted
    lines = [each.getMessage() for each in caplog.records if each.name == "stac_rucio.gateway"]
    # A request is logged when it has ended, which may be after the next one.
    assert sorted(line.split(" ", 4)[1:4] for line in lines) == [
        *[["-", "-", "-:"]] * 2,
        *[["GET", "-", "-:"]] * 2,
        ["GET", "STAC", f"{url}:"],
    ]


def test_cookies(origin: Origin, tmp_path: Path) -> None:
    """No origin has the gateway remember anything for the next request."""
    url = origin.add("/data/a", answers.status(200, CONTENT, Set_Cookie="session=of-somebody"))
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path)}) as gateway:
        for _ in range(2):
            assert gateway.get(url).headers.get("Set-Cookie") is None
    assert all("Cookie" not in seen.headers for seen in origin.seen)


def test_headers_that_are_malformed(
    origin: Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A library that warns of an answer's headers does not tell the signed URL with them."""

    def answer(handler: Any, *_: Any) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno header\r\nX: y\r\n\r\nok")

    url = origin.add("/data/a", answer)
    entry = {"sign": "query", "name": "apikey", "value": {"file": str(tmp_path / "token")}}
    with running(tmp_path, {f"{origin.url}/data/": {**entry, "mode": "stream"}}) as gateway:
        gateway.get(url)
    assert "t0k3n" in origin.seen[-1].path
    assert "t0k3n" not in caplog.text


@pytest.mark.parametrize(
    "path",
    [
        "bucket/?list-type=2&prefix=secret",
        "bucket/folder/",
        "bucket/a?acl",
        "bucket/a?X-Amz-Expires=604800",
        "bucket/a?versionId=1&acl",
        "bucket/..;/other/a",
        "bucket/%252e%252e/other/a",
        "bucket/..%5Cother/a",
    ],
)
def test_requests_that_read_more_than_an_object(origin: Origin, tmp_path: Path, path: str) -> None:
    """No listing, permission or other bucket is had with the keys of a bucket."""
    with running(tmp_path, {f"{origin.url}/bucket/": s3(tmp_path)}) as gateway:
        for method in ("GET", "HEAD"):
            answer = gateway.get(f"{origin.url}/{path}", method, allow_redirects=False)
            assert answer.status_code == 503
    assert origin.seen == []


def test_keys_that_are_no_text(tmp_path: Path) -> None:
    """A key that is not UTF-8 is signed as it is, not as another one; versions are."""
    for name in ("id", "secret"):
        (tmp_path / name).write_text("x" * 20)
    entry = Entry("https://b.s3.amazonaws.com/", s3(tmp_path))
    url = "https://b.s3.amazonaws.com/%FF%2B/%C3%BC"
    assert entry.sign("GET", url).url.startswith(f"{url}?")
    assert entry.refusal(f"{url}?versionId=3HL4.kqt_-") is None


@pytest.mark.parametrize("secret", ["", "two\nlines", "nón-ascii"])
def test_secrets_that_are_none(origin: Origin, tmp_path: Path, secret: str) -> None:
    """A secret that may not stand in a header is no reason to ask without or to tell it."""
    url = origin.add("/data/a", CONTENT)
    with running(tmp_path, {f"{origin.url}/data/": bearer(tmp_path)}) as gateway:
        (tmp_path / "token").write_text(secret)
        answer = gateway.get(url)
    assert answer.status_code == 503
    assert "holds no secret" in answer.text
    assert not secret or secret not in answer.text
    assert origin.seen == []


def test_health_needs_no_key_and_misses_them(origin: Origin, tmp_path: Path) -> None:
    """The health tells ids of keys to anybody, and that there are none, but no key."""
    with running(tmp_path, {f"{origin.url}/data/": {}}) as gateway:
        answer = requests.get(f"{gateway.url}/healthz", timeout=30)
        assert answer.json()["keys"] == [gateway.keys[0].id]
        assert "kkkk" not in answer.text
        url = gateway.url_of(f"{origin.url}/data/a")
        (tmp_path / "keys").chmod(0o644)
        for asked in (f"{gateway.url}/healthz", url):
            assert requests.get(asked, timeout=30).status_code == 503
        (tmp_path / "keys").unlink()
        for asked in (f"{gateway.url}/healthz", url):
            assert requests.get(asked, timeout=30).status_code == 503


HOST = "https://h.example.org/"


@pytest.mark.parametrize(
    ("prefix", "entry", "said"),
    [
        ("https://user:pass@h.example.org/", {}, "beginning"),
        ("https://h.example.org/data", {}, "beginning"),
        ("https://h.example.org/?a/", {}, "beginning"),
        ("s3://bucket/", {}, "beginning"),
        (HOST, {"mode": "straem"}, "mode"),
        (HOST, {"private": "false"}, "private"),
        (HOST, {"at_a_time": 0}, "at_a_time"),
        (HOST, {"bytes_a_day": 0}, "bytes_a_day"),
        (HOST, {"bytes_a_day": "1 TB"}, "bytes_a_day"),
        (HOST, {"at_a_time": "4"}, "at_a_time"),
        (HOST, {"leads_to": "cdn.example.org"}, "leads_to"),
        (HOST, {"sign": "sigv4"}, "sign"),
        (HOST, {"sign": "bearer"}, "token"),
        (HOST, {"sign": "bearer", "token": "t0k3n"}, "token"),
        (HOST, {"sign": "bearer", "token": {"env": 5}}, "token"),
        (HOST, {"sign": "bearer", "token": {"env": "NONE"}}, "token cannot be read from env NONE"),
        (HOST, {"sign": "bearer", "token": {"file": "/dev/null"}}, "nothing in file /dev/null"),
        (HOST, {"sign": "bearer", "token": {"file": "/no/such"}}, "(No such file or directory)"),
        (HOST, {"sign": "bearer", "grant_url": "login.example.org"}, "grant_url"),
        (
            HOST,
            {"sign": "bearer", "grant_url": HOST, "token_endpoint_auth_method": "none"},
            "client_secret_basic",
        ),
        (HOST, {"sign": "header", "value": {"env": "PATH"}}, "name"),
        (
            HOST,
            {"sign": "query", "name": "a", "value": {"env": "PATH"}},
            "would get the key itself",
        ),
        (HOST, {"sign": "header", "name": "a:b", "value": {"env": "PATH"}}, "name"),
        (HOST, {"sign": "s3", "access_key": {"env": "PATH"}}, "secret_key"),
        (HOST, {"sign": "sas", "token_url": "https://t.example.org/"}, "container"),
        (HOST, {"leads_to": ["https://cdn.example.org/"]}, "leads_to"),
        (HOST, {"leads_to": ["*"]}, "leads_to"),
        (HOST, {"leads_to": [5, "cdn.example.org/a"]}, "leads_to"),
        (f"{HOST}../", {}, "`..`"),
        (f"{HOST}%2e/", {}, "`..`"),
        (HOST, {"token": "t0k3n"}, "no option token"),
        (HOST, {"regions": "x"}, "no option regions"),
        (HOST, {"also": "https://h.example.org/a/"}, "also"),
        (HOST, {"also": ["https://user:pass@h.example.org/"]}, "beginning"),
        (
            HOST,
            {"sign": "google", "service_account": {"env": "PATH"}, "also": [f"{HOST}b/"]},
            "not for stores",
        ),
    ],
)
def test_configuration_that_is_wrong(prefix: str, entry: dict[str, Any], said: str) -> None:
    """It is told with the origin and the option, and without a secret."""
    with pytest.raises(ConfigurationError) as error:
        Entry(prefix, entry)
    assert said in str(error.value)
    assert "h.example.org" in str(error.value) or "s3://bucket/" in str(error.value)
    assert "pass" not in str(error.value)
    assert "t0k3n" not in str(error.value)


@pytest.mark.parametrize(
    ("prefix", "is_wrong"),
    [
        ("https://s3.us-west-2.amazonaws.com/", True),
        ("https://S3.amazonaws.com:443//", True),
        ("https://storage.googleapis.com/", True),
        ("https://s3.us-west-2.amazonaws.com/bucket/", False),
        ("https://bucket.s3.us-west-2.amazonaws.com/", False),
        ("https://a.s3-accesspoint.us-west-2.amazonaws.com/", False),
        ("https://s3.example.org/", False),
    ],
)
def test_keys_for_any_bucket(tmp_path: Path, prefix: str, *, is_wrong: bool) -> None:
    """Keys meant for one bucket are not for all that a provider has, which they might read."""
    for name in ("id", "secret"):
        (tmp_path / name).write_text("x" * 20)
    Entry(prefix, {})
    wrong = pytest.raises(ConfigurationError, match="begin with it")
    with wrong if is_wrong else nullcontext():
        Entry(prefix, s3(tmp_path))


@given(st.lists(TOKENS, max_size=9).map("".join), st.sampled_from(["", "https://h.example.org"]))
@example("/data/..%252f", "https://h.example.org")
def test_a_credential_goes_nowhere_else(text: str, before: str) -> None:
    """Whatever a registered URL or a redirect looks like, a token goes below its entry alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKEN", "t0k3n")
        said = {"sign": "bearer", "token": {"env": "TOKEN"}, "leads_to": ["s3.example.org"]}
        entry = Entry(f"{HOST}copies/", said)
        with suppress(http.FetchError):
            text = entry.led_to(f"{HOST}copies/a", before + text)
        if refusal(text) or entry.refusal(text):
            return
        asked = urllib3.util.parse_url(str(requests.Request("GET", text).prepare().url))
    assert (asked.scheme, asked.host, asked.port or 443) == ("https", "h.example.org", 443)
    assert f"{posixpath.normpath(unquote(unquote(asked.path or '')))}/".startswith("/copies/")


@pytest.mark.parametrize(
    "text",
    [
        "keys = 5",
        'keys = "k"\norigins = 5',
        'keys = "k"\nfrom = ["lan"]',
        'keys = "k"\nfrom = [10]',
        "[",
        "",
        'keys = "none"',
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a file that is no configuration."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k").write_text("k" * 40)
    (tmp_path / "k").chmod(0o600)
    (tmp_path / "gateway.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"gateway\.toml"):
        load(tmp_path / "gateway.toml")


def test_paths_that_are_no_text(origin: Origin, tmp_path: Path) -> None:
    """A path with bytes of no text is one that nobody has made."""
    with running(tmp_path, {f"{origin.url}/data/": {}}) as gateway:
        parts = urlsplit(gateway.url)
        path = urlsplit(gateway.url_of(f"{origin.url}/data/a")).path.split("/")
        path[6] = "\xff\xfe"
        for name in ("/".join(path), "/\xff"):
            with socket.create_connection((parts.hostname, parts.port), 30) as client:
                client.sendall(f"GET {name} HTTP/1.0\r\n\r\n".encode("latin-1"))
                status = client.recv(1 << 16).split(b" ", 2)[1]
            assert status in {b"400", b"403"}
