"""Checksums: what items say of them, what streams have, and what headers of HTTP say."""

from __future__ import annotations

import base64
import hashlib
import itertools
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from stac_client._checksums import Checksums, Digester, checksums_of, digests_of

if TYPE_CHECKING:
    from collections.abc import Callable


BODY = b"What an origin sends.\n" * 100
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
ADLER32 = f"{zlib.adler32(BODY):08x}"

# Code and length of the multihash table, and Python's own function.
FUNCTIONS = {
    "d50110": "md5",
    "1114": "sha1",
    "1220": "sha256",
    "2030": "sha384",
    "1340": "sha512",
    "93201c": "sha224",
    "1440": "sha3_512",
    "1530": "sha3_384",
    "1620": "sha3_256",
    "171c": "sha3_224",
    "1820": "shake_128",
    "1940": "shake_256",
    "c0e40240": "blake2b",
    "e0e40220": "blake2s",
}
SIZES = st.one_of(
    st.tuples(st.just((hashlib.blake2b, 0xB200)), st.integers(1, 64)),
    st.tuples(st.just((hashlib.blake2s, 0xB240)), st.integers(1, 32)),
)


def multihash_of(prefix: str, body: bytes) -> str:
    """The multihash of a body, made without what reads it."""
    function = hashlib.new(FUNCTIONS[prefix], body, usedforsecurity=False)
    size = (int(prefix[-2:], 16),) if FUNCTIONS[prefix].startswith("shake") else ()
    return prefix + function.hexdigest(*size)


def digested(expected: Any, *chunks: Any) -> Digester:
    """A digester that was given these chunks."""
    digester = Digester(expected)
    for chunk in chunks:
        digester.update(chunk)
    return digester


@pytest.mark.parametrize("prefix", FUNCTIONS)
@pytest.mark.parametrize("form", [str.lower, str.upper, str.title])
def test_multihashes(prefix: str, form: Callable[..., str]) -> None:
    """A whole digest of a known function is taken, in whichever case it is written."""
    whole = multihash_of(prefix, BODY)
    found = checksums_of({"file:checksum": form(whole)})
    assert found == Checksums(md5=MD5 if prefix == "d50110" else None, multihash=whole)


@given(SIZES, st.binary(max_size=99))
def test_blake2(function_and_size: tuple[tuple[Any, int], int], body: bytes) -> None:
    """BLAKE2 of any size is a function of its own."""
    (function, code), size = function_and_size
    code += size
    digest = function(body, digest_size=size).digest()
    varint = bytes([code & 0x7F | 0x80, code >> 7 & 0x7F | 0x80, code >> 14])
    known = Checksums(multihash=(varint + bytes([size]) + digest).hex())
    assert checksums_of({"file:checksum": known.multihash}) == known
    assert digested(known, body).contradiction() is None
    wrong = bytes([digest[0] ^ 1]) + digest[1:]
    known = Checksums(multihash=(varint + bytes([size]) + wrong).hex())
    assert digested(known, body).contradiction() == f"{function.__name__}-{8 * size}"


@pytest.mark.parametrize("prefix", FUNCTIONS)
@pytest.mark.parametrize(
    "spoilt",
    [
        lambda whole: whole[:-1],
        lambda whole: whole[:-2],
        lambda whole: whole + "00",
        lambda whole: whole[:-1] + "g",
        lambda whole: whole[:20] + " " + whole[20:],
        lambda whole: "0x" + whole,
        lambda whole: whole + "\n",
        lambda whole: whole[:-2] + "０0",  # noqa: RUF001 - a digit, but none of ASCII
    ],
    ids=["half a byte", "short", "long", "no hex", "space", "0x", "newline", "no ASCII"],
)
def test_spoilt_multihashes(prefix: str, spoilt: Callable[..., Any]) -> None:
    """What is no whole multihash says nothing."""
    assert checksums_of({"file:checksum": spoilt(multihash_of(prefix, BODY))}) == Checksums()


@pytest.mark.parametrize(
    "value",
    [
        MD5,  # Planetary Computer sentinel-1-rtc has such
        f"{MD5}-12",
        f'"{MD5}"',
        "9d377b10ce778c4938b3c7e2c63a229a-1",
        hashlib.sha1(BODY, usedforsecurity=False).hexdigest(),
        hashlib.sha256(BODY).hexdigest(),
        "1210" + hashlib.sha256(BODY).hexdigest()[:32],  # truncated, with the length it has
        "d50108" + MD5[:16],
        "0004deadbeef",  # identity
        "1810" + "00" * 16,  # shake-128, of another length than it has
        "1e20" + "00" * 32,  # blake3
        "1b20" + "00" * 32,  # keccak-256, which nobody here can compute
        "d40110" + "00" * 16,  # md4
        "0520" + "00" * 32,  # for private use
        "2304deadbeef",  # murmur3-32
        "2210" + "00" * 16,  # murmur3-128
        "adler32:" + ADLER32,
        "",
        "1",
        "00",
        "ff" * 40,
        "9200" + "20" + "00" * 32,  # the code of sha2-256 in more bytes than it needs
        "12a000" + "00" * 32,  # so the length
        "80" * 8 + "12" + "20" + "00" * 32,
        "d5",
        "d501",
        "12",
        "1220",
        "80" * 40,
    ],
)
def test_what_is_no_multihash(value: str) -> None:
    """A bare digest, an ETag, a truncated or unknown multihash says nothing, and does no harm."""
    assert checksums_of({"file:checksum": value}) == Checksums()
    digester = digested(Checksums(multihash=value), BODY)
    assert digester.contradiction() is None


@pytest.mark.parametrize("value", [True, 12345678, 1.5, [MD5], {"md5": MD5}, None, b"12"])
@pytest.mark.parametrize("field", ["file:checksum", "rucio:adler32", "rucio:md5"])
def test_odd_types(field: str, value: Any) -> None:
    """Only text is a checksum: the digits of a number are none."""
    assert checksums_of({field: value}) == Checksums()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"rucio:adler32": "0A1B2C3D"}, Checksums(adler32="0a1b2c3d")),
        ({"rucio:adler32": "a1b2c3d"}, Checksums()),
        ({"rucio:adler32": "0x0a1b2c"}, Checksums()),
        ({"rucio:md5": MD5.upper()}, Checksums(md5=MD5)),
        ({"rucio:md5": MD5[:-1]}, Checksums()),
        ({"rucio:config": {"rucio:md5": MD5}}, Checksums(md5=MD5)),
        (
            {"rucio:adler32": "00000001", "rucio:config": {"rucio:adler32": "00000002"}},
            Checksums(adler32="00000001"),
        ),
        ({"rucio:config": "rucio:md5"}, Checksums()),
        ({}, Checksums()),
    ],
)
def test_rucios_own_fields(fields: dict[Any, Any], expected: Checksums) -> None:
    """Rucio's own fields are taken, those beside `rucio:config` before those in it."""
    assert checksums_of(fields) == expected


@given(st.binary(max_size=80).map(bytes.hex) | st.text(max_size=90))
@example("1b20" + "00" * 32)
def test_any_text(text: Any) -> None:
    """Whatever a checksum field holds, nothing is raised and only hex digits come out."""
    found = checksums_of({"file:checksum": text, "rucio:adler32": text, "rucio:md5": text})
    for checksum in (found.adler32, found.md5, found.multihash):
        assert checksum is None or set(checksum) <= set("0123456789abcdef")
    assert found.multihash in {None, text.lower()}


def test_truth() -> None:
    """Only adler32 and md5 are what Rucio can verify a transfer with."""
    assert Checksums(adler32="00000001")
    assert Checksums(md5=MD5)
    assert not Checksums(multihash=multihash_of("1220", BODY))


@given(st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=6), st.data())
def test_digester(body: bytes, cuts: list[Any], data: st.DataObject) -> None:
    """However a stream is cut, its size and checksums are those of the whole."""
    prefix = data.draw(st.sampled_from(sorted(FUNCTIONS)))
    expected = Checksums(multihash=multihash_of(prefix, body))
    edges = [0, *sorted(cuts), len(body)]
    digester = digested(expected, *(body[start:end] for start, end in itertools.pairwise(edges)))
    assert digester.size_bytes == len(body)
    assert digester.checksums() == Checksums(
        adler32=f"{zlib.adler32(body):08x}",
        md5=hashlib.md5(body, usedforsecurity=False).hexdigest(),
        multihash=expected.multihash,
    )
    assert digester.contradiction() is None


@pytest.mark.parametrize(
    "expected", [Checksums(), Checksums(md5=MD5), Checksums(multihash=f"d50110{MD5}")]
)
def test_md5_only_to_compare(expected: Checksums) -> None:
    """Who does not want md5 has it computed only where there is one to compare with."""
    digester = Digester(expected, md5=False)
    digester.update(BODY)
    known = bool(expected.md5 or expected.multihash)
    assert digester.checksums() == Checksums(ADLER32, MD5 if known else None, expected.multihash)
    assert digester.contradiction() is None
    digester.update(b"more")
    assert (digester.contradiction() is not None) is known


@given(st.binary(min_size=1, max_size=200), st.data())
def test_one_wrong_bit(body: bytes, data: st.DataObject) -> None:
    """A stream with one wrong bit contradicts each checksum that is expected."""
    position = data.draw(st.integers(0, len(body) * 8 - 1))
    wrong = bytearray(body)
    wrong[position // 8] ^= 1 << position % 8
    whole = Checksums(
        adler32=f"{zlib.adler32(body):08x}",
        md5=hashlib.md5(body, usedforsecurity=False).hexdigest(),
    )
    assert digested(whole, bytes(wrong)).contradiction() == "adler32"
    assert digested(Checksums(md5=whole.md5), bytes(wrong)).contradiction() == "md5"
    for prefix, name in (("1220", "sha2-256"), ("1340", "sha2-512"), ("d50110", "md5")):
        expected = Checksums(multihash=multihash_of(prefix, body))
        assert digested(expected, bytes(wrong)).contradiction() == name
        assert digested(expected, body).contradiction() is None


def test_nothing_expected() -> None:
    """Where nothing is expected, nothing contradicts; an empty stream has checksums, too."""
    assert digested(Checksums(), BODY).contradiction() is None
    assert digested(Checksums()).checksums().adler32 == "00000001"
    assert digested(Checksums(adler32="00000001")).contradiction() is None
    assert digested(Checksums(adler32="00000001"), b"x").contradiction() == "adler32"


# What headers say.

MD5_BASE64 = base64.b64encode(bytes.fromhex(MD5)).decode()
ADLER32_BASE64 = base64.b64encode(bytes.fromhex(ADLER32)).decode()
OF_NOTHING = base64.b64encode(hashlib.md5(b"", usedforsecurity=False).digest()).decode()


def found_in(headers: dict[Any, Any]) -> Checksums:
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
def test_digests(headers: dict[str, Any], adler32: str | None, md5: str | None) -> None:
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
def test_what_is_no_digest(headers: dict[Any, Any]) -> None:
    """What is no whole digest of a known function is not taken for one."""
    assert found_in(headers) == Checksums()


def test_the_digest_of_no_content() -> None:
    """What a server says of the empty content of its answer to HEAD is not said of the file."""
    headers = {"Content-Digest": f"md5=:{OF_NOTHING}:, adler=:{ADLER32_BASE64}:"}
    assert found_in(headers) == Checksums()


@given(st.binary(max_size=100).filter(bool))
def test_every_file(body: bytes) -> None:
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
def test_any_headers(headers: dict[Any, Any]) -> None:
    """No header makes it fail, and what it gives is a checksum."""
    found = found_in(headers)
    assert found.adler32 is None or len(found.adler32) == 8
    assert found.md5 is None or len(found.md5) == 32


@pytest.mark.parametrize("unit", [" ", "a", "a=:", ",", ";", "=", "A", "a=:A:,", "a=:A:;", "\t"])
@pytest.mark.parametrize("header", ["Digest", "Repr-Digest", "Content-MD5", "x-goog-hash"])
def test_long_headers(header: str, unit: str) -> None:
    """The time for a header grows no faster than its length."""
    begin = time.process_time()
    found_in({header: unit * 100_000})
    assert time.process_time() - begin < 2
