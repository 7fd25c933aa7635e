"""From hrefs to URLs: absolute ones stay, relative ones are resolved."""

from __future__ import annotations

import pytest

from stac_client._results import Outcome

from .files import only


@pytest.mark.parametrize(
    "href",
    [
        "https://data.example.org/a/../b//c/./x.tif",
        "https://data.example.org:443/x.tif",
        "https://data.example.org/%7Eme/%2e%2E/x.tif?b=2&a=1&a=&c",
        "https://data.example.org",
        "https://data.example.org/x;v=1/y.tif",
        "http://[2001:db8::1]:8080/x.tif",
    ],
)
def test_absolute_hrefs_stay_as_they_are(href):
    """An absolute href is not tidied in any way, whatever the item's own URL is."""
    links = [{"rel": "self", "href": "https://stac.example.org/items/i"}]
    assert only({"href": href}, links=links).url == href
    assert only({"href": href}).url == href


@pytest.mark.parametrize(
    ("href", "url"),
    [
        ("x.tif", "https://stac.example.org:8443/c/items/x.tif"),
        ("./x.tif", "https://stac.example.org:8443/c/items/x.tif"),
        ("../../d/x.tif?v=1", "https://stac.example.org:8443/d/x.tif?v=1"),
        ("/x.tif", "https://stac.example.org:8443/x.tif"),
        ("//data.example.org/x.tif", "https://data.example.org/x.tif"),
        ("?asset=x", "https://stac.example.org:8443/c/items/i.json?asset=x"),
    ],
)
def test_relative_hrefs(href, url):
    """A relative href is resolved against the item's own URL, whose query stays behind."""
    links = [
        {"rel": "parent", "href": "https://wrong.example.org/"},
        {"rel": "self", "href": "https://stac.example.org:8443/c/items/i.json?token=SECRET"},
    ]
    assert only({"href": href}, links=links).url == url


def test_secrets_of_the_self_link_are_not_registered():
    """Where a relative href takes a secret from the item's own URL, it is refused."""
    for base in ("https://user:SECRET@h.example.org/i", "https://h.example.org/i?sig=SECRET"):
        outcome = only({"href": "#x"}, links=[{"rel": "self", "href": base}])
        assert isinstance(outcome, Outcome)
        assert "SECRET" not in str(outcome)
