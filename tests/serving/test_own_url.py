"""Under which URL a client reaches the served API."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from stac_client.errors import ConfigurationError
from stac_rucio.serve import make_app
from stac_rucio.serve._app import own_url

from .proxy import Marking


def scope(
    headers: Any = (),
    *,
    server: tuple[Any, ...] = ("127.0.0.1", 8080),
    scheme: str = "http",
    root_path: str = "",
) -> dict[Any, Any]:
    """What an ASGI server says of a request."""
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    return {"headers": pairs, "server": server, "scheme": scheme, "root_path": root_path}


FORWARDED = [
    ("host", "inner:8080"),
    ("x-forwarded-host", "stac.example.org"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-prefix", "/near/"),
]


def test_configured() -> None:
    """What the operator says is right, whatever a client says."""
    found = own_url(scope([("host", "evil.org")]), "https://a.org/near", trust_forwarded=True)
    assert found == "https://a.org/near"


def test_untrusted() -> None:
    """By default nothing that a client says gets into a link."""
    root = partial(own_url, configured=None, trust_forwarded=False)
    assert root(scope(FORWARDED[1:])) == "http://127.0.0.1:8080"
    assert root(scope(server=("::1", 8080))) == "http://[::1]:8080"
    assert root(scope(server=("10.0.0.1", 443), scheme="https")) == "https://10.0.0.1"
    assert root(scope(root_path="/near")) == "http://127.0.0.1:8080/near"


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        (FORWARDED, "https://stac.example.org/near"),
        ([("host", "stac.example.org")], "http://stac.example.org"),
        ([("host", "a"), ("x-forwarded-host", "b:1, c")], "http://b:1"),
        ([("host", "[::1]:80"), ("x-forwarded-proto", "HTTPS, http")], "https://[::1]:80"),
    ],
)
def test_trusted(headers: list[tuple[str, str]], url: str) -> None:
    """A trusted proxy in front says where it is reached."""
    assert own_url(scope(headers), None, trust_forwarded=True) == url


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("host", "evil.org/?")],
        [("host", "a@evil.org")],
        [("host", 'a"><script>')],
        [("host", "a"), ("x-forwarded-proto", "javascript")],
        [("host", "a"), ("x-forwarded-prefix", "//evil.org")],
        [("host", "a"), ("x-forwarded-prefix", "/x?y")],
    ],
)
def test_no_url(headers: list[Any]) -> None:
    """What makes no URL is not made one."""
    assert own_url(scope(headers), None, trust_forwarded=True) == "http://127.0.0.1:8080"


def test_unknown() -> None:
    """A server that listens on no TCP port has to be told its URL."""
    with pytest.raises(HTTPException):
        own_url(scope(server=("/run/stac.sock", None)), None, trust_forwarded=False)


@pytest.mark.parametrize("url", ["stac.example.org", "https://a.org/?x=1", "ftp://a.org", ""])
def test_configured_wrongly(url: str) -> None:
    """A root URL that is none is said at once."""
    with pytest.raises(ConfigurationError):
        make_app("https://a.org", Marking(), root_url=url)
