"""Under which URL a client reaches the served API."""

from __future__ import annotations

import pytest

from stac_client.errors import ConfigurationError
from stac_rucio.serve._pages import Refusal, Root


def scope(headers=(), *, server=("127.0.0.1", 8080), scheme="http", root_path=""):
    """What an ASGI server says of a request."""
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    return {"headers": pairs, "server": server, "scheme": scheme, "root_path": root_path}


FORWARDED = [
    ("host", "inner:8080"),
    ("x-forwarded-host", "stac.example.org"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-prefix", "/near/"),
]


def test_configured():
    """What the operator says is right, whatever a client says."""
    root = Root("https://stac.example.org/near/", trust_forwarded=True)
    assert root.of(scope([("host", "evil.org")])) == "https://stac.example.org/near"


def test_untrusted():
    """By default nothing that a client says gets into a link."""
    root = Root(None, trust_forwarded=False)
    assert root.of(scope(FORWARDED)) == "http://127.0.0.1:8080"
    assert root.of(scope(server=("::1", 8080))) == "http://[::1]:8080"
    assert root.of(scope(server=("10.0.0.1", 443), scheme="https")) == "https://10.0.0.1"
    assert root.of(scope(root_path="/near")) == "http://127.0.0.1:8080/near"


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        (FORWARDED, "https://stac.example.org/near"),
        ([("host", "stac.example.org")], "http://stac.example.org"),
        ([("host", "a"), ("x-forwarded-host", "b:1, c")], "http://b:1"),
        ([("host", "[::1]:80"), ("x-forwarded-proto", "HTTPS, http")], "https://[::1]:80"),
    ],
)
def test_trusted(headers, url):
    """A trusted proxy in front says where it is reached."""
    assert Root(None, trust_forwarded=True).of(scope(headers)) == url


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
def test_no_url(headers):
    """What makes no URL is not made one."""
    assert Root(None, trust_forwarded=True).of(scope(headers)) == "http://127.0.0.1:8080"


def test_unknown():
    """A server that listens on no TCP port has to be told its URL."""
    with pytest.raises(Refusal):
        Root(None, trust_forwarded=False).of(scope(server=("/run/stac.sock", None)))


@pytest.mark.parametrize("url", ["stac.example.org", "https://a.org/?x=1", "ftp://a.org", ""])
def test_configured_wrongly(url):
    """A root URL that is none is said at once."""
    with pytest.raises(ConfigurationError):
        Root(url, trust_forwarded=False)
