"""Checksums in the headers of HTTP responses."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from stac_client._checksums import Checksums, digests_of

from .files import ADLER32, MD5, MD5_BASE64

ADLER32_BASE64 = base64.b64encode(bytes.fromhex(ADLER32)).decode()
OF_NOTHING = base64.b64encode(hashlib.md5(b"", usedforsecurity=False).digest()).decode()


def found_in(headers):
    """What headers say, as requests gives them."""
    return digests_of(CaseInsensitiveDict(headers))


@pytest.mark.parametrize(
    ("headers", "adler32", "md5"),
    [
        ({"Digest": f"adler32={ADLER32}"}, ADLER32, None),
        ({"digest": f"ADLER32={ADLER32.upper()},md5={MD5_BASE64}"}, ADLER32, MD5),
        ({"Digest": "adler32=1b2c3d"}, "001b2c3d", None),
        ({"Digest": f"md5={MD5_BASE64}, sha-256=abc="}, None, MD5),
        ({"Content-MD5": MD5_BASE64}, None, MD5),
        ({"x-goog-hash": f"crc32c=n03x6A==,md5={MD5_BASE64}"}, None, MD5),
        ({"Repr-Digest": f"adler=:{ADLER32_BASE64}:"}, ADLER32, None),
        ({"repr-digest": f"sha-256=:YWJj:,md5=:{MD5_BASE64}:;q=1"}, None, MD5),
        ({"Repr-Digest": f"adler=:{ADLER32_BASE64}:  ,\tmd5=:{MD5_BASE64}:"}, ADLER32, MD5),
        ({"Content-Digest": f"adler=:{ADLER32_BASE64}:"}, ADLER32, None),
        (
            {"Repr-Digest": f"md5=:{MD5_BASE64}:", "Content-Digest": f"md5=:{OF_NOTHING}:"},
            None,
            MD5,
        ),
        ({"Digest": "adler32=1", "Repr-Digest": f"adler=:{ADLER32_BASE64}:"}, ADLER32, None),
        ({"Digest": "adler32=1", "Repr-Digest": f"md5=:{MD5_BASE64}:"}, "00000001", MD5),
    ],
)
def test_digests(headers, adler32, md5):
    """Each form of digest is understood; the younger headers go first."""
    assert found_in(headers) == Checksums(adler32, md5)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Digest": "adler32=xyz, md5=!!!!, nonsense, =,"},
        {"Digest": "adler32=123456789"},
        {"Digest": f"md5={MD5}"},
        {"Content-MD5": "\xe9\xe9"},
        {"Content-MD5": "YWJj"},
        {"x-goog-hash": "crc32c=n03x6A=="},
        {"ETag": f'"{MD5}"'},
        {"Repr-Digest": f"md5={MD5_BASE64}"},
        {"Repr-Digest": f"md5=:{MD5}:, adler=:{ADLER32}:"},
        {"Repr-Digest": f"adler=:{MD5_BASE64}:"},
        {"Repr-Digest": f"MD5=:{MD5_BASE64}:"},
        {"Repr-Digest": "md5=:\xe9:, md5=::, :, =::, adler=:AAAA=:"},
    ],
)
def test_what_is_no_digest(headers):
    """What is no whole digest of a known function is not taken for one."""
    assert found_in(headers) == Checksums()


def test_the_digest_of_no_content():
    """What a server says of the empty content of its answer to HEAD is not said of the file."""
    headers = {"Content-Digest": f"md5=:{OF_NOTHING}:, adler=:{ADLER32_BASE64}:"}
    assert found_in(headers) == Checksums()


@given(st.binary(max_size=100).filter(bool))
def test_every_file(body):
    """The digests of any file are read back from each pair of headers."""
    md5 = hashlib.md5(body, usedforsecurity=False)
    adler32 = zlib.adler32(body)
    expected = Checksums(f"{adler32:08x}", md5.hexdigest())
    encoded = base64.b64encode(md5.digest()).decode()
    sequence = base64.b64encode(adler32.to_bytes(4, "big")).decode()
    assert found_in({"Digest": f"adler32={adler32:x}, md5={encoded}"}) == expected
    for header in ("Repr-Digest", "Content-Digest"):
        assert found_in({header: f"adler=:{sequence}:, md5=:{encoded}:"}) == expected


@given(st.dictionaries(st.sampled_from(["Digest", "Repr-Digest", "Content-Digest"]), st.text()))
def test_any_text(headers):
    """No header makes it fail, and what it gives is a checksum."""
    found = found_in(headers)
    assert found.adler32 is None or len(found.adler32) == 8
    assert found.md5 is None or len(found.md5) == 32
