"""Nothing is requested from a host that is not allowed, whatever a catalogue or a redirect says."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import BaseAdapter

from stac_policy import http as addresses
from stac_policy.http import FetchError, HostNotAllowedError, make_session, open_url
from stac_policy.settings import Settings
from stac_policy.stac_api import StacApiError, fetch_item
from stac_policy.urls import redact
from tests.origin import running_origin

from .campaign import SEED
from .material import SECRET, Material

if TYPE_CHECKING:
    from collections.abc import Callable


ALLOWED = ("data.example.org",)
URLS = 2_000
FORBIDDEN = [
    *["192.0.0.192", "fd00:42::42", "::169.254.169.254", "::ffff:0:169.254.169.254"],
    *["169.254.169.254", "169.254.0.1", "169.254.170.2", "fe80::1", "fe80::1%eth0"],
    *["fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe"],
    *["100.100.100.200", "168.63.129.16"],
    # Of IPv4 in IPv6: mapped, NAT64 (with prefixes of 96, 48, 56 and 64 bits), 6to4, Teredo.
    *["::ffff:169.254.169.254", "::ffff:168.63.129.16", "::ffff:100.100.100.200"],
    *["64:ff9b::a9fe:a9fe", "64:ff9b::6464:64c8", "64:ff9b:1::a9fe:a9fe"],
    *["64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00:0"],
    *["2002:a9fe:a9fe::", "2002:a9fe:a9fe:1::1", "2002:a83f:8110::1", "2001:0:808:808::5601:5601"],
]


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The names that are looked up; none of them is known."""
    names = []

    def look_up(name: Any, *_args: Any, **_options: Any) -> None:
        names.append(name)
        raise socket.gaierror(name)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


def attempt(session: requests.Session, url: str) -> str:
    """Request a URL, and tell how far that goes."""
    try:
        with open_url(session, url, ALLOWED, 1):
            return "answered"
    except HostNotAllowedError as error:
        return "refused, with a secret" if SECRET in str(error) else "refused"
    except FetchError:
        return "requested"


def test_urls(looked_up: list[Any], count: Callable[..., Any]) -> None:
    """Of any URLs, no other name is ever looked up than that of the allowed host."""
    with make_session() as session:
        ends = {attempt(session, Material(f"{SEED} hosts {n}").url()) for n in range(URLS)}
    assert ends == {"refused", "requested"}
    assert {name.rstrip(".") for name in looked_up} == {"data.example.org"}
    count(URLS)


class _Redirecting(BaseAdapter):
    """Answers the first request with a redirect, and remembers where others lead."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts: set[str | None] = set()
        self.location = ""

    def send(self, request: Any, *_arguments: Any, **_options: Any) -> requests.Response:
        response = requests.Response()
        response.url, response.request, response.raw = request.url, request, _Nothing()
        is_first = request.url == "https://data.example.org/first"
        response.status_code = 302 if is_first else 200
        if is_first:
            response.headers["Location"] = self.location
        else:
            self.hosts.add(urlsplit(request.url).hostname)
        return response

    def close(self) -> None:
        """Nothing is open."""


class _Nothing:
    """The body of an answer, without content."""

    def read(self, *_args: Any, **_options: Any) -> bytes:
        """Give none."""
        return b""

    def release_conn(self) -> None:
        """Nothing is open."""

    close = release_conn


def test_redirects(count: Callable[..., Any]) -> None:
    """Of any redirects, only those to the allowed host are followed."""
    adapter = _Redirecting()
    with make_session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, adapter)
        for number in range(URLS):
            # Headers are Latin-1, and hold no line breaks.
            location = Material(f"{SEED} redirects {number}").url()
            adapter.location = location.encode("latin-1", "ignore").decode("latin-1")
            attempt(session, "https://data.example.org/first")
    assert adapter.hosts == {"data.example.org"}
    count(URLS)


@pytest.mark.parametrize("address", FORBIDDEN)
def test_forbidden_addresses(address: str) -> None:
    """Link-local addresses and metadata services of clouds are forbidden, however written."""
    assert addresses.is_forbidden(address)


@pytest.mark.parametrize(
    "address",
    [
        *["127.0.0.1", "10.0.0.1", "192.168.1.1", "::1", "fd00::1", "8.8.8.8", "2001:db8::1"],
        *["::ffff:127.0.0.1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "2002:808:808::", "::"],
    ],
)
def test_other_addresses(address: Any) -> None:
    """Data may lie in private networks and on this machine: that is for the allow list."""
    assert not addresses.is_forbidden(address)


def test_a_name_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is the address of the connection, not one that was looked up before it."""
    with running_origin() as origin, make_session() as session:
        url = origin.add("/f", b"x").replace("127.0.0.1", "rebind.example.org")
        answers = iter(["203.0.113.1", "127.0.0.1", "127.0.0.1"])
        real = socket.getaddrinfo

        def look_up(name: Any, *args: Any, **options: Any) -> list[tuple[Any, ...]]:
            return real(next(answers) if name == "rebind.example.org" else name, *args, **options)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        monkeypatch.setattr(addresses, "is_forbidden", lambda address: address == "127.0.0.1")
        assert socket.getaddrinfo("rebind.example.org", 80)[0][4][0] == "203.0.113.1"
        with (
            pytest.raises(HostNotAllowedError, match=r"rebind\.example\.org leads to 127\.0\.0\.1"),
            open_url(session, url, ["rebind.example.org"], 1),
        ):
            pass
        assert origin.seen == []  # not even the request went there


def test_the_stac_api_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A STAC API whose name leads to a forbidden address is not asked."""
    with running_origin() as origin:
        monkeypatch.setattr(addresses, "is_forbidden", lambda _: True)
        with pytest.raises(StacApiError, match="from where nothing is fetched"):
            fetch_item(origin.url, "c", "i", Settings(cache_s=0))
        assert origin.seen == []


@pytest.mark.parametrize(
    "url",
    [
        f"h ttps://u:{SECRET}@h/x",
        f"@https://u:{SECRET}@h/x",
        f"https:///\\u:{SECRET}@h/u:{SECRET}@[::1/x",
        f"https://h/proxy/https://u:{SECRET}@h/x",
        f"://u:{SECRET}@h/x",
    ],
)
def test_redacted(url: str) -> None:
    """Where a URL is broken, what looks like a password is not shown either."""
    assert SECRET not in redact(url)
