"""Redirects, each to an allowed host."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
import requests

from stac_policy.http import GuardedAdapter, HostNotAllowedError
from tests import origin as answers
from tests.origin import ranges

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


CONTENT = bytes(range(256)) * 1000
OTHER = CONTENT[::-1]
HALF = len(CONTENT) // 2
NO_HOST = [
    "s3://bucket/x",
    "file:///etc/hostname",
    "ftp://127.0.0.1/x",
    "http://[::1",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:x/",
    "http://*.example.org/",
    "http://" + "x" * 300,
]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects(
    origin: answers.Origin, other_origin: answers.Origin, fetch: Callable[..., Any], code: int
) -> None:
    """Redirects are followed, relative ones too, with the headers of the download."""
    final = other_origin.add("/f", CONTENT)
    origin.add("/b", b"", answers.redirect(final, code))
    assert fetch(origin.add("/a", b"", answers.redirect("b", code))).read_bytes() == CONTENT
    assert other_origin.seen[0].headers["Accept-Encoding"] == "identity"


def test_a_redirected_download_goes_on(
    origin: answers.Origin, other_origin: answers.Origin, fetch: Callable[..., Any]
) -> None:
    """An interrupted download goes on behind a redirect as well."""
    final = other_origin.add("/f", CONTENT, answers.cut(HALF))
    url = origin.add("/a", b"", *[answers.redirect(final)] * 2)
    assert fetch(url).read_bytes() == CONTENT
    assert ranges(other_origin) == [None, f"bytes={HALF}-"]


def test_too_many_redirects(
    origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    pauses: list[float],
) -> None:
    """Five redirects are followed; a sixth is taken for a loop, and not tried again."""
    for number in range(6):
        origin.add(f"/{number}", b"", *[answers.redirect(f"/{number + 1}")] * 2)
    with fails() as caught:
        fetch(origin.url + "/0")
    assert "more than 5 times" in str(caught.value)
    assert [request.path for request in origin.seen] == [f"/{number}" for number in range(6)]
    assert pauses == []
    assert fetch(origin.add("/6", CONTENT).replace("/6", "/1")).read_bytes() == CONTENT


def test_redirects_to_allowed_hosts(
    origin: answers.Origin,
    other_origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    pauses: list[float],
) -> None:
    """A redirect to another host is followed only if that host is allowed."""
    final = other_origin.add("/f", CONTENT)
    url = origin.add("/a", b"", *[answers.redirect(final)] * 2)
    ours, others = (f"127.0.0.1:{server.server_port}" for server in (origin, other_origin))
    with fails(HostNotAllowedError):
        fetch(url, [ours])
    assert other_origin.seen == []
    assert pauses == []
    assert fetch(url, [ours, others]).read_bytes() == CONTENT


def test_hosts_that_are_not_allowed(
    origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
) -> None:
    """A host that is not allowed gets no request at all."""
    with fails(HostNotAllowedError):
        fetch(origin.add("/f", CONTENT), ["data.example.org", "*.example.org"])
    assert origin.seen == []


@pytest.mark.parametrize("form", ["http://{evil}\\@{good}/f", "http://{evil}\\.{good}/f"])
def test_what_is_checked_is_what_is_requested(
    origin: answers.Origin,
    other_origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    form: str,
) -> None:
    """A host cannot hide behind a backslash, neither in a URL nor in a redirect."""
    evil = f"127.0.0.1:{other_origin.server_port}"
    good = f"localhost:{origin.server_port}"
    url = form.format(evil=evil, good=good)
    other_origin.add("/f", OTHER)
    with fails(HostNotAllowedError):
        fetch(url, ["localhost", "*.localhost"])
    with fails(HostNotAllowedError):
        fetch(
            origin.add("/a", b"", answers.redirect(url)).replace("127.0.0.1", "localhost"),
            ["localhost", "*.localhost"],
        )
    assert len(origin.seen) == 1
    assert other_origin.seen == []


@pytest.mark.parametrize("url", ["", "x.tif", "//", "http://", "https:x.tif", *NO_HOST])
def test_urls_of_no_host(
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    pauses: list[float],
    url: Any,
) -> None:
    """What is no URL of an HTTP server is refused at once."""
    with fails(HostNotAllowedError):
        fetch(url)
    assert pauses == []


@pytest.mark.parametrize("url", NO_HOST)
def test_redirects_to_no_host(
    origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    pauses: list[float],
    url: str,
) -> None:
    """A redirect to what is no HTTP server is refused at once."""
    with fails(HostNotAllowedError):
        fetch(origin.add("/a", b"", answers.redirect(url)))
    assert len(origin.seen) == 1
    assert pauses == []


class _Files(requests.adapters.BaseAdapter):
    """Answers to whatever it is asked, as adapters for other schemes do."""

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
        """Answer."""
        response = requests.Response()
        response.status_code, response.url, response.raw = 200, request.url, io.BytesIO(OTHER)
        return response

    def close(self) -> None:
        """Have nothing to close."""


def test_only_http_is_spoken(
    origin: answers.Origin,
    session: requests.Session,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
) -> None:
    """Even a session that knows other schemes is not used for them."""
    session.mount("file://", _Files())
    assert session.get("file:///etc/hostname").content == OTHER
    with fails(HostNotAllowedError):
        fetch("file:///etc/hostname")
    with fails(HostNotAllowedError):
        fetch(origin.add("/a", b"", answers.redirect("file:///etc/hostname")))


def test_redirects_in_utf8(origin: answers.Origin, fetch: Callable[..., Any]) -> None:
    """A redirect may hold letters that ought to be escaped."""
    origin.add("/%C3%A9", CONTENT)
    location = "/é".encode().decode("latin-1")
    assert fetch(origin.add("/a", b"", answers.redirect(location))).read_bytes() == CONTENT


def test_a_proxy_may_be_anywhere(
    origin: answers.Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind a proxy it is the proxy that connects, and refuses."""
    monkeypatch.setattr("stac_policy.http.is_forbidden", lambda _: True)
    origin.add("http://data.example.org/f", CONTENT)
    with fails(HostNotAllowedError):
        fetch(origin.add("/f", CONTENT))
    monkeypatch.setenv("http_proxy", origin.url)
    assert fetch("http://data.example.org/f").read_bytes() == CONTENT


@pytest.mark.parametrize("path", ["//a//b?c=//d", "///x", "/a//b", "/"])
def test_slashes_are_kept(path: str) -> None:
    """All slashes of a URL are sent, where an object may be called by them."""
    request = requests.Request("GET", f"https://data.example.org{path}").prepare()
    assert GuardedAdapter().request_url(request, {}) == path
