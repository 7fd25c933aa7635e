"""Source RSEs: their protocols' priorities, and PFNs with them and with Rucio's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client._assets import Asset
from stac_client._checksums import Checksums
from stac_client._results import State
from stac_client._source_rse import (
    source_domains,
    source_protocol,
    with_pfn,
    wrong_priorities,
)
from stac_policy.naming import DID
from stac_policy.settings import SOURCE_PROTOCOL


def protocol(**changed: Any) -> dict[Any, Any]:
    """A protocol of Rucio's for one host."""
    return {
        "scheme": "https",
        "hostname": "data.example.org",
        "port": 443,
        "prefix": "/archive",
        "impl": "rucio.rse.protocols.gfal.Default",
        **changed,
    }


def placed(url: Any, protocols: Any) -> Any:
    """An asset at a URL, with its PFN or why it has none."""
    did, dataset = DID("c", "/c/i/a"), DID("c", "/c/i")
    return with_pfn(Asset("c", "i", "a", did, dataset, url, "", None, Checksums()), protocols)


@given(st.sampled_from(["http", "https"]), st.text("ab/?=&%+()$.:", max_size=20))
def test_our_protocol_keeps_every_url(scheme: Any, rest: str) -> None:
    """With it, the PFN is the URL, byte for byte."""
    ours = [protocol(scheme=name, impl=SOURCE_PROTOCOL) for name in ("http", "https")]
    url = f"{scheme}://other.example.org/{rest}"
    assert placed(url, ours).url == url


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
def test_rucios_protocols_need_the_port(url: str, pfn: str) -> None:
    """A URL that such a protocol can hold gets its port."""
    assert placed(url, [protocol()]).url == pfn


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
def test_what_rucios_protocols_cannot_hold(url: str, reason: str) -> None:
    """What they would change is refused, with the reason."""
    outcome = placed(url, [protocol()])
    assert outcome.state is State.SKIPPED
    assert reason in outcome.reason


def test_priorities_of_an_upgraded_server() -> None:
    """A priority of 0 switches off before Rucio 39, and is the highest of all since."""
    protocol = source_protocol("https") | {"domains": source_domains("38.6.4")}
    assert [*wrong_priorities(protocol, "38.6.4")] == []
    assert [*wrong_priorities(protocol, "39.0.0")] == [
        ("lan", "write", False),
        ("lan", "delete", False),
        ("wan", "delete", False),
        ("wan", "third_party_copy_write", False),
    ]
    assert source_domains("41.5.1") == source_protocol("https")["domains"]
