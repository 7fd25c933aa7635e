"""How requests are signed, and how tokens are got."""

from __future__ import annotations

import json
import re
import socket
import string
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlsplit

import obstore
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import GCSStore

from stac_policy import http, signing
from stac_policy.access import origins
from stac_rucio.gateway import _signers
from stac_rucio.gateway._origins import Origin as Entry
from stac_testbed.processes import free_ports
from tests import origin as answers
from tests.clock import own_time
from tests.gateway.fronts import SECRET_KEY
from tests.gateway.running import running, s3
from tests.origin import running_origin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.origin import Origin

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
CONTENT = b"content"


@pytest.fixture
def origin() -> Iterator[Origin]:
    """An origin that answers as it is told."""
    with running_origin() as server:
        yield server


def query_of(url: str) -> dict[str, str]:
    """The parameters of a URL."""
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))


def stopped(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    """Stop the clock of signatures."""
    monkeypatch.setattr(_signers, "datetime", SimpleNamespace(now=lambda _: now))


# Stores.


def test_plus_signs(tmp_path: Path) -> None:
    """S3 takes a plus sign in a path for a space: the table of origins and signatures do so."""
    for name in ("id", "secret"):
        (tmp_path / name).write_text("x" * 20)
    url = "https://b.s3.amazonaws.com/a+b%2Bc"
    signed = Entry("https://b.s3.amazonaws.com/", s3(tmp_path)).sign("GET", url).url
    assert signed.startswith("https://b.s3.amazonaws.com/a%20b%2Bc?")
    assert query_of(signed)["X-Amz-Expires"] == "900"
    assert origins().place(url) == origins().place(signed.partition("?")[0])


@given(st.binary(max_size=30), st.sampled_from("+ "))
def test_paths_as_stores_sign_them(key: bytes, plus: str) -> None:
    """Whatever the bytes of a key are, they are the same, spelled in one way."""
    for spelled in (quote(key), "".join(f"%{byte:02x}" for byte in key)):
        path = urlsplit(signing.escaped(f"https://h.example.org/b/{spelled}?x=1", plus)).path
        assert unquote_to_bytes(path) == b"/b/" + key
        assert re.fullmatch("(?:[A-Za-z0-9/_.~-]|%[0-9A-F]{2})*", path)
        url = f"https://h.example.org{path}"
        assert signing.escaped(url, plus) == url


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=20))
def test_any_token(text: str) -> None:
    """A token is taken if it may stand in a header and a query as it is, and not otherwise."""
    for pattern in (signing._SAS, signing._BEARER):
        try:
            token = signing._matched(pattern, text)
        except ValueError:
            continue
        assert token in {text, text[1:]}
        assert set(token) <= set(string.ascii_letters + string.digits + "%&=._~+:/,-")


@pytest.mark.parametrize(
    ("prefix", "account", "protocols"),
    [
        ("https://account.blob.core.windows.net/data/", {}, "https"),
        ("http://azure.example.org:10000/other/data/", {"account": "other"}, "https,http"),
    ],
)
def test_azure_by_key(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prefix: str,
    account: dict[str, str],
    protocols: str,
) -> None:
    """A SAS is for one blob, to be read, by TLS, for a quarter of an hour; clocks may differ."""
    stopped(monkeypatch, NOW)
    (tmp_path / "key").write_text(b64encode(b"k" * 64).decode())
    said = {"sign": "sas", "account_key": {"file": str(tmp_path / "key")}, **account}
    entry = Entry(prefix, said)
    signed = entry.sign("GET", f"{prefix}a%20b/c.tif").url
    assert signed.startswith(f"{prefix}a%20b/c.tif?")
    query = query_of(signed)
    assert len(b64encode(b"x" * 32)) == len(query.pop("sig"))
    assert query == {
        "sp": "r",
        "sr": "b",
        "sv": "2022-11-02",
        "spr": protocols,
        "st": "2026-01-02T02:49:05Z",
        "se": "2026-01-02T03:19:05Z",
    }
    assert entry.refusal(f"{prefix}a?comp=list") == "it is none of one object"
    (tmp_path / "key").write_text("no base64!")
    with pytest.raises(http.FetchError, match="no key of an account"):
        entry.sign("GET", f"{prefix}a")


def service_account(key: Any) -> str:
    """The file that Google gives for a key."""
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    email = "gateway@project.iam.gserviceaccount.com"
    said = {"type": "service_account", "client_email": email, "private_key": pem.decode()}
    return json.dumps(
        {**said, "private_key_id": "1", "token_uri": "https://oauth2.googleapis.com/token"},
        indent=1,
    )


def test_google_as_obstore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature of Google is that which another library makes of the same request."""
    text = service_account(rsa.generate_private_key(65537, 2048))
    (tmp_path / "account.json").write_text(text)
    entry = Entry(
        "https://storage.googleapis.com/bucket/",
        {"sign": "google", "service_account": {"file": str(tmp_path / "account.json")}},
    )
    store = GCSStore("bucket", service_account_key=text)
    for method in ("GET", "HEAD"):
        lifetime = timedelta(seconds=signing.SIGNED_S)
        theirs = obstore.sign(store, method, "a b/\xfc~.tif", expires_in=lifetime)
        when = datetime.strptime(query_of(theirs)["X-Goog-Date"], "%Y%m%dT%H%M%S%z")
        stopped(monkeypatch, when)
        asked = entry.sign(method, "https://storage.googleapis.com/bucket/a%20b/%c3%bc%7E.tif")
        assert asked.url == theirs


def test_google_whose_requester_pays(tmp_path: Path) -> None:
    """The project that pays is signed with the rest; parameters are in their order."""
    text = service_account(rsa.generate_private_key(65537, 2048))
    (tmp_path / "account.json").write_text(text)
    said = {"sign": "google", "service_account": {"file": str(tmp_path / "account.json")}}
    entry = Entry("https://b.storage.googleapis.com/", {**said, "user_project": "payer"})
    names = [*query_of(entry.sign("GET", "https://b.storage.googleapis.com/a+b").url)]
    assert names == [*sorted(names[:-1]), "X-Goog-Signature"]
    assert "userProject" in names


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"client_email": "x", "private_key": "none"}', "elliptic"],
)
def test_service_accounts_that_are_none(tmp_path: Path, text: str) -> None:
    """A file that holds no key of a service account is said to, without what is in it."""
    elliptic = service_account(ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "account.json").write_text(elliptic if text == "elliptic" else text)
    said = {"sign": "google", "service_account": {"file": str(tmp_path / "account.json")}}
    with pytest.raises(http.FetchError, match=r"account\.json holds no key of a service account"):
        Entry("https://b.storage.googleapis.com/", said).sign("GET", "https://b/a")


# Tokens.


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        """As `time.monotonic`."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of tokens."""
    clock = Clock()
    monkeypatch.setattr(signing, "time", clock)
    return clock


def test_tokens_are_renewed_before_they_end(clock: Clock) -> None:
    """A token is kept until a minute before its end, a short one for half its time."""
    given = iter([("a", 3600.0), ("b", 20.0), ("c", 1e300), ("d", 1.0)])
    token = signing.Token(lambda: next(given))
    for seconds, value in [(0, "a"), (3539, "a"), (1, "b"), (9, "b"), (1, "c"), (86_339, "c")]:
        clock.now_s += seconds
        assert token() == value
    clock.now_s += 1  # whatever it says, it is good for a day
    assert token() == "d"
    assert token.renewals == {"ok": 4, "failed": 0}


def test_tokens_that_are_not_renewed(clock: Clock) -> None:
    """An endpoint that fails is left alone for a while; the old token is used to its end."""
    failed = http.PassingError("it is down")
    failed.retry_after_s = 20.0
    outcomes: list[Any] = [("a", 100.0), failed, failed, failed, ("b", 100.0)]

    def ask() -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    token = signing.Token(ask)
    assert token() == "a"
    clock.now_s += 50  # renewed from here on
    assert [token(), token(), len(outcomes)] == ["a", "a", 3]
    clock.now_s += 20
    assert [token(), token(), len(outcomes)] == ["a", "a", 2]
    clock.now_s += 30  # it is over
    for _ in range(3):
        with pytest.raises(http.FetchError, match="it is down"):
            token()
    assert len(outcomes) == 1
    clock.now_s += 20
    assert token() == "b"
    assert token.renewals == {"ok": 2, "failed": 3}


def test_nobody_waits_for_the_next_token(clock: Clock) -> None:
    """While one is renewed, others have the old one; once it is over, they wait for the new."""
    asked, gate = threading.Event(), threading.Event()
    given = iter([("a", 100.0), ("b", 100.0), ("c", 100.0)])

    def ask() -> tuple[str, float]:
        asked.set()
        assert gate.wait(60)
        return next(given)

    token = signing.Token(ask)
    gate.set()
    assert token() == "a"
    gate.clear()
    asked.clear()
    clock.now_s += 60
    with ThreadPoolExecutor(5) as threads:
        first = threads.submit(token)
        assert asked.wait(60)
        assert token() == "a"
        gate.set()
        assert first.result() == "b"
        gate.clear()
        clock.now_s += 200
        waiting = [threads.submit(token) for _ in range(5)]
        gate.set()
        assert [each.result() for each in waiting] == ["c"] * 5
    assert token.renewals["ok"] == 3


def test_tokens_that_the_origin_refuses(clock: Clock) -> None:
    """A token that was taken back is asked for anew, a new one is not: it is not the fault."""
    given = iter([("a", 3600.0), ("b", 3600.0)])
    token = signing.Token(lambda: next(given))
    assert token() == "a"
    token.forget()
    assert token() == "a"
    clock.now_s += 61
    token.forget()
    assert token() == "b"


def sas(origin: Origin, **more: Any) -> dict[str, Any]:
    """An entry for a container whose tokens an endpoint hands out."""
    return {"sign": "sas", "token_url": f"{origin.url}/token/{{account}}/{{container}}", **more}


GOOD = {"token": "?sv=1&sig=S4S%3D", "msft:expiry": "2096-10-02T07:06:40Z"}


def test_requests_for_a_token_that_is_over(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a thousand requests at once for one token that is over one renews it, and all have it."""
    opened, ahead = threading.Event(), SimpleNamespace(s=0.0)
    own_time(monkeypatch, "stac_policy.signing", monotonic=lambda: time.monotonic() + ahead.s)

    def answer(handler: Any, *_: Any) -> None:
        assert opened.wait(60)
        handler.answer(200, json.dumps(GOOD).encode())

    origin.add("/token/127/data", answer)
    entry = {f"{origin.url}/data/": sas(origin, at_a_time=1000)}
    with running(tmp_path, entry) as gateway, ExitStack() as stack:
        opened.set()
        gateway.get(f"{origin.url}/data/a", allow_redirects=False)
        opened.clear()
        ahead.s = 86_401.0
        at = urlsplit(gateway.url)
        paths = [
            urlsplit(gateway.url_of(f"{origin.url}/data/{number}")).path for number in range(1000)
        ]
        asked = [
            stack.enter_context(socket.create_connection((at.hostname or "", at.port or 0), 60))
            for _ in paths
        ]
        for connection, path in zip(asked, paths, strict=True):
            request = f"GET {path} HTTP/1.1\r\nHost: {at.netloc}\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
        opened.set()
        for number, connection in enumerate(asked):
            with connection.makefile("rb") as given:
                location = f"location: {origin.url}/data/{number}?sv=1&sig=S4S%3D\r\n"
                assert location.encode() in given.read()
    assert [seen.path for seen in origin.seen] == ["/token/127/data"] * 2


def said(**changed: Any) -> bytes:
    """An answer of a token endpoint."""
    return json.dumps({**GOOD, **changed}).encode()


@pytest.mark.parametrize(
    "answer",
    [
        answers.status(200, b"<html>login</html>"),
        answers.status(200, b"[]"),
        answers.status(200, b"{}"),
        answers.status(200, b"5"),
        answers.status(200, said(token=5)),
        answers.status(200, said(token="")),
        answers.status(200, said(token="a\r\nX-Header: b")),  # noqa: S106 - none
        answers.status(200, said(token="a#b")),  # noqa: S106 - none
        answers.status(200, said(**{"msft:expiry": "soon"})),
        answers.status(200, said(**{"msft:expiry": 5})),
        answers.status(200, said(**{"msft:expiry": "2001-01-01T00:00:00Z"})),
        answers.status(200, b'{"a":' * 1000),
        answers.status(200, b" " * (1 << 20)),
        answers.status(429, Retry_After="7"),
        answers.status(503),
        answers.redirect("/elsewhere"),
        answers.cut(5, said()),
    ],
)
def test_endpoints_that_give_no_token(origin: Origin, tmp_path: Path, answer: Any) -> None:
    """What is no token is none, and the endpoint is not asked by each request that wants one."""
    origin.add("/token/127/data", answer)
    with running(tmp_path, {f"{origin.url}/data/": sas(origin)}) as gateway:
        for method in ("HEAD", "GET", "GET"):
            found = gateway.get(f"{origin.url}/data/a", method, allow_redirects=False)
            assert found.status_code == 503
            assert int(found.headers["Retry-After"]) > 0
        assert f"no token from {origin.url}/token/127/data: " in found.text
    assert [seen.path for seen in origin.seen] == ["/token/127/data"]


def test_endpoints_that_are_down_or_slow(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever for a token, and others than those who want it for none."""
    monkeypatch.setattr(signing, "_TOKEN_WAIT_S", 0.5)
    origin.add("/slow/127/data", said() + b" " * 100, answers.stall(50))
    origin.add("/silent/127/data", b"", lambda *_: origin.gate.wait(60))
    url = origin.add("/other/a", CONTENT)
    down = f"http://127.0.0.1:{free_ports(1)[0]}/token/{{account}}/{{container}}"
    for endpoint in (down, f"{origin.url}/slow/127/data", f"{origin.url}/silent/127/data"):
        entries = {f"{origin.url}/data/": sas(origin, token_url=endpoint)}
        entries[f"{origin.url}/other/"] = {"mode": "stream"}
        with running(tmp_path, entries) as gateway:
            found = gateway.get(f"{origin.url}/data/a")
            assert found.status_code == 503
            assert "no token from" in found.text
            assert int(found.headers["Retry-After"]) > 0
            assert gateway.get(url).content == CONTENT


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {"access_token": "t0k3n", "expires_in": 60}),
        (200, {"access_token": "t0k3n", "expires_in": "60"}),
        (200, {"access_token": "t0k3n"}),
        (503, {"access_token": "t0k3n", "expires_in": None}),
        (503, {"access_token": "t0k3n", "expires_in": "soon"}),
        (503, {"access_token": "t0k3n", "expires_in": -1}),
        (503, {"access_token": "t0k3n", "expires_in": float("nan")}),
        (503, {"access_token": "t0k3n\nX: y"}),
        (503, {"access_token": ["t0k3n"]}),
        (503, {"error": "invalid_client"}),
    ],
)
def test_answers_to_a_grant(
    origin: Origin, tmp_path: Path, status: int, answer: dict[str, Any]
) -> None:
    """A grant gives a token that may stand in a header, for a time, or none."""
    url = origin.add("/data/a", CONTENT)
    origin.add("/oauth/token", json.dumps(answer).encode())
    entry = {
        "sign": "bearer",
        "mode": "stream",
        "grant_url": f"{origin.url}/oauth/token",
        "client_id": "us",
        "client_secret": {"file": str(tmp_path / "secret")},
    }
    with running(tmp_path, {f"{origin.url}/data/": entry}) as gateway:
        found = gateway.get(url)
    assert found.status_code == status
    assert "t0k3n" not in found.text
    if status == 200:
        assert origin.seen[-1].headers["Authorization"] == "Bearer t0k3n"


def test_container_behind_a_grant(origin: Origin, tmp_path: Path) -> None:
    """A token endpoint that wants a token itself, as that of Planetary Computer Pro, gets one."""
    grant = {"access_token": "entra", "expires_in": 3599}
    origin.add("/oauth/token", json.dumps(grant).encode())
    origin.add("/token/127/data", said())
    url = origin.add("/data/a", CONTENT)
    entry = sas(
        origin,
        grant_url=f"{origin.url}/oauth/token",
        client_id="us",
        scope="https://geocatalog.spatial.azure.com/.default",
        token_endpoint_auth_method="client_secret_basic",  # noqa: S106 - none
        client_secret={"file": str(tmp_path / "secret")},
    )
    with running(tmp_path, {f"{origin.url}/data/": entry}) as gateway:
        for _ in range(2):
            assert gateway.get(url).content == CONTENT
    paths = [seen.path for seen in origin.seen]
    assert paths == ["/oauth/token", "/token/127/data", *["/data/a?sv=1&sig=S4S%3D"] * 2]
    form = {"grant_type": "client_credentials", "scope": entry["scope"]}
    assert dict(parse_qsl(origin.seen[0].body.decode())) == form
    secret = quote(SECRET_KEY, "")
    shown = b64encode(f"us:{secret}".encode()).decode()
    assert origin.seen[0].headers["Authorization"] == f"Basic {shown}"
    assert origin.seen[1].headers["Authorization"] == "Bearer entra"
