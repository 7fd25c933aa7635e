"""The gateway between those who have no credential and origins that want one."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import requests

from stac_rucio.gateway import load
from tests import origin as answers
from tests.gateway.fronts import (
    REGION,
    SECRET_KEY,
    SESSION_TOKEN,
    aws,
    aws_by_role,
    cdse,
    front,
    object_store,
)
from tests.gateway.running import running, s3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gateway.fronts import Front
    from tests.origin import Origin

CONTENT = bytes(range(256)) * 4000
ODD = "scene 1/a+b/c,(1)/B04.tif"
ODD_PATH = "scene%201/a%2Bb/c,(1)/B04.tif"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An object store that answers signed requests alone."""
    with object_store(tmp_path_factory.mktemp("store"), {f"bucket/{ODD}": CONTENT}) as url:
        yield url


@pytest.fixture
def fronts(store: str) -> Iterator[tuple[Front, Front]]:
    """A bucket whose requester pays, as at AWS, and one that wants signatures in headers."""
    with ExitStack() as stack:
        yield (
            stack.enter_context(front(store, aws)),
            stack.enter_context(front(store, cdse)),
        )


def test_bucket_whose_requester_pays(fronts: tuple[Front, Front], tmp_path: Path) -> None:
    """A GET is redirected to a signed URL, a HEAD answered; nobody else gets the object."""
    bucket, _ = fronts
    url = f"{bucket.url}/bucket/{ODD_PATH}"
    assert requests.get(url, timeout=30).status_code == 403
    with running(tmp_path, {f"{bucket.url}/bucket/": s3(tmp_path, requester_pays=True)}) as gateway:
        answer = gateway.get(url)
        assert answer.content == CONTENT
        assert [each.status_code for each in answer.history] == [302]
        head = gateway.get(url, "HEAD")
        assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(CONTENT)))
        part = gateway.get(url, headers={"Range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, CONTENT[5:10])


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer theirs"}, {"User-Agent": "theirs gfal2/2.23.5 neon/0.0.29"}],
)
def test_who_is_not_redirected(
    fronts: tuple[Front, Front], tmp_path: Path, headers: dict[str, str]
) -> None:
    """XRootD may send its own Authorization on, davix HEAD: to them the bytes are passed on."""
    bucket, _ = fronts
    url = f"{bucket.url}/bucket/{ODD_PATH}"
    with running(tmp_path, {f"{bucket.url}/bucket/": s3(tmp_path, requester_pays=True)}) as gateway:
        answer = gateway.get(url, headers=headers)
    assert answer.content == CONTENT
    assert answer.history == []
    assert all("theirs" not in str(seen) for seen in bucket.seen)


def test_bucket_that_wants_headers(fronts: tuple[Front, Front], tmp_path: Path) -> None:
    """Where signatures in the query are refused, the bytes are passed on."""
    _, bucket = fronts
    url = f"{bucket.url}/bucket/{ODD_PATH}"
    entry = s3(tmp_path, mode="stream")
    with running(tmp_path, {f"{bucket.url}/": entry}) as gateway:
        answer = gateway.get(url)
        assert answer.content == CONTENT
        assert answer.history == []
        part = gateway.get(url, headers={"Range": "bytes=0-9"})
        assert (part.status_code, part.content) == (206, CONTENT[:10])
        assert part.headers["Content-Range"] == f"bytes 0-9/{len(CONTENT)}"
        missing = gateway.get(f"{bucket.url}/bucket/none.tif")
        assert missing.status_code == 404


def test_wrong_keys(
    fronts: tuple[Front, Front], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys that the origin refuses are the gateway's fault: FTS takes no file for lost.

    Why, FTS tells nobody, so the log does.
    """
    caplog.set_level(logging.INFO)
    _, bucket = fronts
    with running(tmp_path, {f"{bucket.url}/": s3(tmp_path, mode="stream")}) as gateway:
        (tmp_path / "secret").write_text("wrong")  # read again for each request
        answer = gateway.get(f"{bucket.url}/bucket/{ODD_PATH}")
    assert answer.status_code == 503
    reason = "the origin answers HTTP 403 SignatureDoesNotMatch"
    assert reason in answer.text
    assert f" s: {reason}" in caplog.text
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("mode", ["redirect", "stream"])
def test_keys_of_a_role(
    store: str, tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys that go with a token, in the region of the bucket; what is wrong of them is told."""
    caplog.set_level(logging.INFO)
    token = tmp_path / "session"
    token.write_text(SESSION_TOKEN)
    entry = s3(tmp_path, mode=mode, region=REGION, session_token={"file": str(token)})
    elsewhere = {name: value for name, value in entry.items() if name != "region"}
    with front(store, aws_by_role) as bucket, front(store, aws_by_role) as other:
        url, wrong = (f"{each.url}/bucket/{ODD_PATH}" for each in (bucket, other))
        with running(tmp_path, {f"{bucket.url}/": entry, f"{other.url}/": elsewhere}) as gateway:
            assert gateway.get(url).content == CONTENT
            assert gateway.get(url, "HEAD").headers["Content-Length"] == str(len(CONTENT))
            refused = gateway.get(wrong, "HEAD")
            token.write_text("of yesterday")
            assert gateway.get(url, "HEAD").status_code == 503
            streamed = gateway.get(url, headers={"Authorization": "Bearer theirs"})
    assert refused.status_code == streamed.status_code == 503
    malformed = "the origin answers HTTP 400 AuthorizationHeaderMalformed"
    assert f"{malformed}, and that the bucket is in region {REGION}" in caplog.text
    assert "the origin answers HTTP 400 InvalidToken" in streamed.text
    assert "of yesterday" not in caplog.text


def test_signatures_of_a_token_endpoint(origin: Origin, tmp_path: Path) -> None:
    """A SAS is asked for once, and appended to the URL of each blob in its container."""
    body = {"token": "sig=S4S&se=2096", "msft:expiry": "2096-10-02T07:06:40Z"}
    origin.add("/token/127/data", json.dumps(body).encode())
    for name in ("a", "b"):
        origin.add(f"/data/{name}.tif?sig=S4S&se=2096", CONTENT)
    entry = {"sign": "sas", "token_url": f"{origin.url}/token/{{account}}/{{container}}"}
    with running(tmp_path, {f"{origin.url}/data/": entry}) as gateway:
        threads = [
            threading.Thread(target=gateway.get, args=(f"{origin.url}/data/{name}.tif",))
            for name in "abab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert gateway.get(f"{origin.url}/data/a.tif").content == CONTENT
    asked = [seen.path for seen in origin.seen if seen.path.startswith("/token/")]
    assert asked == ["/token/127/data"]


@pytest.mark.parametrize("status", [404, 429, 500])
def test_token_endpoint_that_fails(origin: Origin, tmp_path: Path, status: int) -> None:
    """No token is no lost file."""
    origin.add("/token/127/data", answers.status(status))
    entry = {"sign": "sas", "token_url": f"{origin.url}/token/{{account}}/{{container}}"}
    with running(tmp_path, {f"{origin.url}/data/": entry}) as gateway:
        assert gateway.get(f"{origin.url}/data/a.tif").status_code == 503


@pytest.mark.parametrize(
    ("entry", "secret", "header"),
    [
        ({"sign": "bearer"}, "token", ("Authorization", "Bearer t0k3n-of-test")),
        ({"sign": "header", "name": "X-API-Key"}, "value", ("X-API-Key", "t0k3n-of-test")),
    ],
)
def test_headers(
    origin: Origin, tmp_path: Path, entry: dict[str, Any], secret: str, header: tuple[str, str]
) -> None:
    """A token in a header goes to its origin and to no other host, redirect or not."""
    entry = {**entry, secret: {"file": str(tmp_path / "token")}}
    url = origin.add("/data/a.tif", CONTENT)
    with running(tmp_path, {f"{origin.url}/data/": {**entry, "mode": "stream"}}) as gateway:
        assert gateway.get(url).content == CONTENT
        assert origin.seen[-1].headers[header[0]] == header[1]
        elsewhere = gateway.get(f"{origin.url}/other/a.tif")
        assert elsewhere.status_code == 503
        assert "no origin is configured" in elsewhere.text


def test_login_is_no_file(origin: Origin, tmp_path: Path) -> None:
    """An origin that leads to another host than its entry says is an error, not a file."""
    url = origin.add("/data/a.tif", answers.redirect("http://login.example.org/?next=/a"))
    entry = {"sign": "bearer", "token": {"file": str(tmp_path / "token")}}
    for mode in ("redirect", "stream"):
        with running(tmp_path, {f"{origin.url}/data/": {**entry, "mode": mode}}) as gateway:
            answer = gateway.get(url, allow_redirects=False)
        assert answer.status_code == 503
        assert "login.example.org" in answer.text


@pytest.mark.parametrize(
    "path", ["../secret/a.tif", "%2e%2e/secret/a.tif", "x/..%2f../secret/a", "./a.tif"]
)
def test_smuggled_paths(origin: Origin, tmp_path: Path, path: str) -> None:
    """A URL that begins as its origin's entry and leads elsewhere is not asked for."""
    with running(tmp_path, {f"{origin.url}/data/": {"mode": "stream"}}) as gateway:
        answer = gateway.get(f"{origin.url}/data/{path}")
    assert answer.status_code in {403, 503}
    assert origin.seen == []


def test_who_has_no_key(origin: Origin, tmp_path: Path) -> None:
    """Without a key there is nothing to be had, and nothing is asked."""
    url = origin.add("/data/a.tif", CONTENT)
    with running(tmp_path, {f"{origin.url}/data/": {"mode": "stream"}}) as gateway:
        right = gateway.url_of(url)
        forged = right.replace("/data/a.tif", "/data/b.tif")
        for wrong in (forged, f"{gateway.url}/", f"{gateway.url}/1/x", right.replace("STAC", "X")):
            assert requests.get(wrong, timeout=30).status_code == 403
        for method in ("POST", "PUT", "PROPFIND", "OPTIONS"):
            assert requests.request(method, right, timeout=30).status_code == 405
        assert origin.seen == []
        assert requests.get(right, timeout=30).content == CONTENT


def test_addresses_of_the_site(origin: Origin, tmp_path: Path) -> None:
    """An origin at an address of the site itself needs an entry that says so."""
    url = origin.add("/data/a.tif", CONTENT)
    entry = {"mode": "stream", "private": False}
    with running(tmp_path, {f"{origin.url}/data/": entry}) as gateway:
        answer = gateway.get(url)
    assert answer.status_code == 503
    assert "127.0.0.1" in answer.text


def test_no_secret_is_told(
    fronts: tuple[Front, Front], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Logs, even of debugging, have neither signature nor token, answers no token."""
    caplog.set_level(logging.DEBUG)
    bucket, other = fronts
    entries = {
        f"{bucket.url}/bucket/": s3(tmp_path, requester_pays=True),
        f"{other.url}/": s3(tmp_path, mode="stream"),
    }
    with running(tmp_path, entries) as gateway:
        for url in (f"{bucket.url}/bucket/{ODD_PATH}", f"{other.url}/bucket/{ODD_PATH}"):
            gateway.get(url, "HEAD")
            requests.get(gateway.url_of(url), allow_redirects=False, timeout=30)
    ours = [each for each in caplog.records if not each.name.startswith("urllib3")]
    text = "\n".join(record.getMessage() for record in ours)
    assert f"{bucket.url}/bucket/" in text
    assert "Signature" not in text
    assert SECRET_KEY not in text
    assert SECRET_KEY not in repr(load(tmp_path / "gateway.toml"))
