"""PFNs at source RSEs with our protocol, and with Rucio's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client._source_rse import SOURCE_PROTOCOL, NoPfnError, pfn_of


def protocol(**changed):
    """A protocol of Rucio's for one host."""
    return {
        "scheme": "https",
        "hostname": "data.example.org",
        "port": 443,
        "prefix": "/archive",
        "impl": "rucio.rse.protocols.gfal.Default",
        **changed,
    }


@given(st.sampled_from(["http", "https"]), st.text("ab/?=&%+()$.:", max_size=20))
def test_our_protocol_keeps_every_url(scheme, rest):
    """With it, the PFN is the URL, byte for byte."""
    ours = [protocol(scheme=name, impl=SOURCE_PROTOCOL) for name in ("http", "https")]
    url = f"{scheme}://other.example.org/{rest}"
    assert pfn_of(url, ours) == url


@pytest.mark.parametrize(
    ("url", "pfn"),
    [
        (
            "https://data.example.org/archive/a/b.tif",
            "https://data.example.org:443/archive/a/b.tif",
        ),
        (
            "https://data.example.org:443/archive/b.tif",
            "https://data.example.org:443/archive/b.tif",
        ),
    ],
)
def test_rucios_protocols_need_the_port(url, pfn):
    """A URL that such a protocol can hold gets its port."""
    assert pfn_of(url, [protocol()]) == pfn


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://other.example.org/archive/b.tif", "is for data.example.org:443 alone"),
        ("https://data.example.org:8443/archive/b.tif", "is for data.example.org:443 alone"),
        ("https://data.example.org/archive/b.tif?version=1", "drops the query string"),
        ("https://data.example.org/archive//b.tif", "doubled slashes"),
        ("https://data.example.org/archive/b/", "doubled slashes"),
        ("https://data.example.org/elsewhere/b.tif", "below /archive/ alone"),
        ("http://data.example.org/archive/b.tif", "no protocol for http"),
    ],
)
def test_what_rucios_protocols_can_not_hold(url, reason):
    """What they would change is refused, with the reason."""
    with pytest.raises(NoPfnError, match=reason):
        pfn_of(url, [protocol()])
