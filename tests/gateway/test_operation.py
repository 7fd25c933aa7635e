"""What operators see of a gateway and limit, and what becomes of it while transfers go on."""

from __future__ import annotations

import logging
import time
from ipaddress import ip_address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import botocore.auth
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request

from stac_client.errors import ConfigurationError
from stac_policy.__main__ import findings
from stac_policy.gateway import Claim, Key, make_url
from stac_rucio.gateway import _origins
from stac_rucio.gateway._clients import Clients, networks
from tests import origin as answers
from tests.gateway.fronts import object_store
from tests.gateway.running import NOW_S, running, s3
from tests.origin import running_origin
from tests.policy.support import configured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stac_policy.__main__ import Finding
    from tests.origin import Origin

CONTENT = bytes(range(256)) * 40
DAY_S = 86_400
LABELS = ("origin", "method", "status", "outcome")


@pytest.fixture
def origin() -> Iterator[Origin]:
    """An origin that answers as it is told."""
    with running_origin() as server:
        yield server


def metrics(url: str) -> dict[tuple[str | None, ...], float]:
    """What Prometheus reads at a gateway, by name and labels."""
    families = text_string_to_metric_families(requests.get(f"{url}/metrics", timeout=30).text)
    return {
        (
            sample.name.removeprefix("stac_gateway_"),
            *map(sample.labels.get, [each for each in LABELS if each in sample.labels]),
        ): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("mode", "answer"),
    [("stream", answers.whole_or_part), ("stream", answers.chunked), ("redirect", None)],
)
def test_bytes_of_a_day(  # noqa: PLR0917 - fixtures
    origin: Origin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: str,
    answer: Any,
) -> None:
    """What is used up is there again on the next day of UTC; others go on; the log tells once."""
    clock = SimpleNamespace(now_s=20_000.25 * DAY_S)
    monkeypatch.setattr(_origins, "time", SimpleNamespace(time=lambda: clock.now_s))
    url = origin.add("/data/a", CONTENT, *([answer] * 4 if answer else []))
    other = origin.add("/other/a", CONTENT)
    entries: dict[str, dict[str, Any]] = {
        f"{origin.url}/data/": {"mode": mode, "bytes_a_day": 2 * len(CONTENT)},
        f"{origin.url}/other/": {"mode": mode},
    }
    with running(tmp_path, entries) as gateway:
        for _ in range(2):
            assert gateway.get(url).content == CONTENT
        for method in ("GET", "HEAD"):
            refused = gateway.get(url, method)
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) == DAY_S * 3 // 4 + 1
        assert gateway.get(other).content == CONTENT
        assert metrics(gateway.url)["left_bytes", f"{origin.url}/data/"] == 0
        clock.now_s += DAY_S * 3 // 4 - 1
        assert gateway.get(url).headers["Retry-After"] == "2"
        clock.now_s += 1
        assert gateway.get(url).content == CONTENT
        assert metrics(gateway.url)["left_bytes", f"{origin.url}/data/"] == len(CONTENT)
    told = [each.getMessage() for each in caplog.records if each.name == "stac_rucio.gateway"]
    (line,) = [line for line in told if "of today" in line]
    assert line.startswith(f"{origin.url}/data/ has given its {2 * len(CONTENT)} bytes of today")


def test_metrics(origin: Origin, tmp_path: Path) -> None:
    """They tell of each origin what was asked and answered, and of tokens, without a secret."""
    url = origin.add("/data/a", CONTENT)
    origin.add("/grant", answers.status(429))
    data, paid = f"{origin.url}/data/", f"{origin.url}/paid/"
    entries: dict[str, dict[str, Any]] = {
        data: {"mode": "stream"},
        paid: {
            "sign": "bearer",
            "grant_url": f"{origin.url}/grant",
            "client_secret": {"file": str(tmp_path / "secret")},
        },
    }
    with running(tmp_path, entries) as gateway:
        gateway.get(url)
        gateway.get(url, "HEAD")
        gateway.get(f"{origin.url}/data/none")
        gateway.get(f"{origin.url}/paid/a")
        gateway.get(f"{origin.url}/elsewhere")
        requests.get(f"{gateway.url}/1/x", timeout=30)
        expected = {
            ("requests_total", data, "GET", "200"): 1,
            ("requests_total", data, "HEAD", "200"): 1,
            ("requests_total", data, "GET", "404"): 1,
            ("requests_total", paid, "GET", "503"): 1,
            ("requests_total", "", "GET", "503"): 1,
            ("requests_total", "", "GET", "403"): 1,
            ("bytes_total", data): len(CONTENT),
            ("bytes_total", paid): 0,
            ("waiting", data): 0,
            ("waiting", paid): 0,
            ("renewals_total", paid, "ok"): 0,
            ("renewals_total", paid, "failed"): 1,
        }
        # A request is counted when it has ended, which may be after its answer.
        until_s = time.monotonic() + 30
        while (found := metrics(gateway.url)) != expected and time.monotonic() < until_s:
            pass
        assert found == expected


def asked(peer: str, *forwarded: str) -> Request:
    """A request from an address, with what it says of itself."""
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    return Request({"type": "http", "client": (peer, 1), "headers": headers})


def test_hosts_of_submitters(tmp_path: Path) -> None:
    """Each is asked for its keys, and told wrong where the gateway would refuse its URLs."""
    keys, other = tmp_path / "keys", tmp_path / "other"
    other.write_text("o" * 40)
    other.chmod(0o600)

    def check(gateway: str, file: Path) -> Finding:
        with configured(gateway=gateway, gateway_keys=str(file)):
            (found,) = [each for each in findings() if each.what == "gateway"]
        return found

    with running(tmp_path, {}) as gateway:
        found = check(gateway.url, keys)
        assert found.ok
        assert f"keys {gateway.keys[0].id}; table of origins " in found.found
        assert found.found.endswith("the gateway has the first of the keys")
        for file, said in ((other, "does not have the first"), (tmp_path / "none", "No such file")):
            found = check(gateway.url, file)
            assert not found.ok
            assert said in found.found
    found = check(gateway.url, keys)
    assert found.ok
    assert "not compared with the gateway's: no answer (Connection refused)" in found.found


@pytest.mark.parametrize(
    ("peer", "forwarded", "address", "may"),
    [
        ("10.1.2.3", [], "10.1.2.3", True),
        ("192.0.2.1", [], "192.0.2.1", False),
        ("::ffff:10.1.2.3", [], "::ffff:10.1.2.3", True),
        ("2001:db8::1", [], "2001:db8::1", True),
        ("192.0.2.1", ["10.1.2.3"], "192.0.2.1", False),
        ("127.0.0.1", ["10.1.2.3"], "10.1.2.3", True),
        ("127.0.0.1", ["10.1.2.3, 192.0.2.1"], "192.0.2.1", False),
        ("127.0.0.1", ["10.1.2.3", "192.0.2.1"], "192.0.2.1", False),
        ("127.0.0.1", ["10.1.2.3, 127.0.0.1"], "10.1.2.3", True),
        ("127.0.0.1", ["10.1.2.3, unknown"], "-", False),
        ("127.0.0.1", ["10.1.2.3\x1b[2J"], "-", False),
        ("127.0.0.1", ["2001:db8::1%\x1b[2J"], "2001:db8::1", True),
        ("127.0.0.1", [], "-", False),
    ],
)
def test_clients(peer: str, forwarded: list[str], address: str, may: bool) -> None:
    """A client is where the last proxy that is named got the request from."""
    clients = Clients(networks(["10.0.0.0/8", "2001:db8::/32"]), networks(["127.0.0.1"]))
    assert clients.address(asked(peer, *forwarded)) == address
    assert clients.may(address) is may


@given(st.lists(st.text(st.characters(max_codepoint=0x2FF)).map(lambda text: text[:20])))
def test_any_header(forwarded: list[str]) -> None:
    """Whatever stands in the header, there is an address or none, fit for a log."""
    clients = Clients(networks(["10.0.0.0/8"]), networks(["127.0.0.1"]))
    found = clients.address(asked("127.0.0.1", *forwarded))
    assert found == "-" or ip_address(found.partition("%")[0])
    assert found.isprintable()


def test_networks(origin: Origin, tmp_path: Path) -> None:
    """From other networks than those that are named nothing is to be had, with an HMAC either."""
    url = origin.add("/data/a", CONTENT)
    entry = {f"{origin.url}/data/": {"mode": "stream"}}
    more: dict[str, Any] = {"from": ["10.0.0.0/8"], "proxies": ["127.0.0.1"]}
    with running(tmp_path, entry, **more) as gateway:
        refused = gateway.get(url)
        assert refused.status_code == 503
        assert "from - nothing is to be had" in refused.text
        assert origin.seen == []
        headers = {"X-Forwarded-For": "192.0.2.1, 10.1.2.3"}
        assert gateway.get(url, headers=headers).content == CONTENT


def test_handed_over_to_nginx(origin: Origin, tmp_path: Path) -> None:
    """Only a proxy that is named is told what to ask the origin; others get the bytes."""
    url = origin.add("/data/a", CONTENT)
    entry = {
        f"{origin.url}/data/": {
            "mode": "nginx",
            "bytes_a_day": 1 << 30,
            "sign": "bearer",
            "token": {"file": str(tmp_path / "token")},
        }
    }
    with pytest.raises(ConfigurationError, match="in proxies"), running(tmp_path, entry):
        pass
    with running(tmp_path, entry, proxies=["192.0.2.1"]) as gateway:
        answer = gateway.get(url)
        assert answer.content == CONTENT
        assert "t0k3n" not in str(answer.headers)
    with running(tmp_path, entry, proxies=["127.0.0.1"]) as gateway:
        answer = gateway.get(url, headers={"Range": "bytes=0-9"})
        assert answer.content == b""
        assert answer.headers["X-Accel-Redirect"] == "/.origin"
        assert answer.headers["X-Origin-URL"] == url
        assert answer.headers["X-Origin-Range"] == "bytes=0-9"
        assert answer.headers["X-Origin-Authorization"] == "Bearer t0k3n-of-test"
        assert metrics(gateway.url)["bytes_total", f"{origin.url}/data/"] == len(CONTENT)


def test_restarted_in_the_middle(origin: Origin, tmp_path: Path) -> None:
    """A transfer that breaks off as the gateway ends goes on behind another one."""
    large = CONTENT * 4000
    url = origin.add("/data/a", large)
    entry = {f"{origin.url}/data/": {"mode": "stream"}}
    with running(tmp_path, entry) as gateway:
        port = int(gateway.url.rpartition(":")[2])
        with gateway.get(url, stream=True) as answer:
            received = answer.raw.read(1 << 20)
    with running(tmp_path, entry, port=port) as gateway:
        rest = gateway.get(url, headers={"Range": f"bytes={len(received)}-"})
        assert rest.status_code == 206
        assert received + rest.content == large


def test_keys_that_change_while_transfers_wait(origin: Origin, tmp_path: Path) -> None:
    """A URL is good as long as its key is in the file, whichever is the first."""
    url = origin.add("/data/a", CONTENT)
    keys = tmp_path / "keys"
    with running(tmp_path, {f"{origin.url}/data/": {"mode": "stream"}}) as gateway:
        waiting = gateway.url_of(url)
        keys.write_text(f"{'n' * 40}\n{'k' * 40}")
        assert requests.get(waiting, timeout=30).content == CONTENT
        keys.write_text("n" * 40)
        assert requests.get(waiting, timeout=30).status_code == 403
        assert len(origin.seen) == 1


def test_urls_that_are_used_again(origin: Origin, tmp_path: Path) -> None:
    """A URL may be asked again until it ends; its HMAC is for no other file, RSE, VO or time."""
    url = origin.add("/data/a", CONTENT)
    origin.add("/data/b", CONTENT)
    now_s = int(time.time())
    with running(tmp_path, {f"{origin.url}/data/": {"mode": "stream"}}) as gateway:
        (key,) = gateway.keys
        for _ in range(2):
            assert gateway.get(url).content == CONTENT
        over = Claim("def", "STAC", url, now_s - 1000)
        assert requests.get(make_url(gateway.url, over, key), timeout=30).status_code == 403
        right = make_url(gateway.url, over._replace(expires_s=NOW_S), key)
        for wrong in (
            right.replace("/data/a", "/data/b"),
            right.replace("/STAC/", "/OTHER/"),
            right.replace("/def/", "/abc/"),
            right.replace(str(NOW_S), str(NOW_S + 1)),
            make_url(gateway.url, over._replace(expires_s=NOW_S), Key(key.id, "x" * 40)),
        ):
            assert requests.get(wrong, timeout=30).status_code == 403
    assert len(origin.seen) == 2


@pytest.mark.parametrize(
    "url",
    [
        "{origin}@evil.example.org/data/a",
        "http://user:pass@{host}/data/a",
        "http://{host}.evil.example.org/data/a",
        "http://{name}:1/data/a",
        "HTTP://{host}/data/a",
        "{origin}/data",
        "{origin}/data%2Fa",
        "{origin}/data/%2e%2e/secret",
        "{origin}/data/..%2fsecret",
        "{origin}/data/.%252e/secret",
        "{origin}/data/..\\secret",
        "{origin}//data/a",
    ],
)
def test_urls_that_somebody_registered(origin: Origin, tmp_path: Path, url: str) -> None:
    """The submitter vouches for what is registered, which is a reason to ask for nothing."""
    host = origin.url.removeprefix("http://")
    url = url.format(origin=origin.url, host=host, name=host.partition(":")[0])
    for entry in ({"mode": "stream"}, {**s3(tmp_path), "mode": "redirect"}):
        with running(tmp_path, {f"{origin.url}/data/": entry}) as gateway:
            for method in ("GET", "HEAD"):
                try:
                    answer = gateway.get(url, method, allow_redirects=False)
                except ValueError:  # no submitter makes one of it
                    continue
                assert answer.status_code in {403, 503}
    assert origin.seen == []


def test_stores_that_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys that are over or unknown and a clock that is wrong are the gateway's fault, not 404.

    The log says of each what the store says.
    """
    caplog.set_level(logging.INFO, "stac_rucio.gateway")
    with object_store(tmp_path / "store", {"bucket/a": CONTENT}) as store:
        entries = {f"{store}/bucket/": s3(tmp_path), f"{store}/other/": s3(tmp_path)}
        with running(tmp_path, entries) as gateway:
            url = f"{store}/bucket/a"
            assert gateway.get(url, "HEAD").status_code == 200
            assert gateway.get(f"{store}/other/a", "HEAD").status_code == 404
            for name, secret in (("id", "AKIDUNKNOWN"), ("secret", "wrong")):
                kept = (tmp_path / name).read_text()
                (tmp_path / name).write_text(secret)
                refused = gateway.get(url, "HEAD")
                assert refused.status_code == 503
                (tmp_path / name).write_text(kept)  # as operators rotate them
                assert gateway.get(url, "HEAD").status_code == 200
            monkeypatch.setattr(botocore.auth, "SIGV4_TIMESTAMP", "20200101T%H%M%SZ")
            assert gateway.get(url, "HEAD").status_code == 503
    for code in (
        *("404 NoSuchBucket", "403 InvalidAccessKeyId"),
        *("403 SignatureDoesNotMatch", "403 RequestTimeTooSkewed"),
    ):
        assert f": the origin answers HTTP {code}" in caplog.text
