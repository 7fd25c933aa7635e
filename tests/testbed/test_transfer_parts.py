"""The small parts of the transfer service that need no server."""

from __future__ import annotations

import pytest

from stac_testbed._http import TransferError, from_header, http_url, readable, same_digest


def test_readable() -> None:
    """Messages are one line and show URLs without credentials, query and fragment."""
    assert readable("https://me:p@ss@h:1/a/b?sig=1&x#y") == "https://h:1/a/b?…"
    assert readable("failure:\n GET http://a/b?c=d no ") == "failure: GET http://a/b?… no"
    assert readable("what? nothing") == "what? nothing"


def test_http_url() -> None:
    """URLs of grid schemes become http(s) ones, fit for a header; others are refused."""
    assert http_url("davs://h/ä b%20c?x=%2B") == "https://h/%C3%A4%20b%20c?x=%2B"
    assert http_url("DAV://h/a") == "http://h/a"
    assert http_url("s3s://h/a") == "https://h/a"
    for url in ("gs://b/k", "gsiftp://h/a", "/a/b", ""):
        with pytest.raises(TransferError):
            http_url(url)


def test_digest_headers() -> None:
    """Of a Digest header the value of the algorithm asked for is taken, md5 in either form."""
    md5 = "d41d8cd98f00b204e9800998ecf8427e"
    assert from_header("ADLER32=0A0B0C0D", "adler32") == "0a0b0c0d"
    assert from_header(f"adler32=1, md5={md5.upper()}", "md5") == md5
    assert from_header("md5=1B2M2Y8AsgTpgAmY7PhCfg==", "md5") == md5
    for header in ("", "adler32=1", "md5=", "md5=***"):
        assert from_header(header, "md5") is None
    assert same_digest("00AB", "ab")
    assert not same_digest("ab", "abc")
