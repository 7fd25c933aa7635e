"""Sizes' companions: adler32 and md5 for Rucio, multihashes from STAC; pure."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from stac_policy.http import MOST_BYTES

try:
    from zlib_ng.zlib_ng import adler32  # many times as fast
except ImportError:
    from zlib import adler32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_HEX = re.compile("[0-9a-f]+")


# Multihashes (https://github.com/multiformats/multihash): the code of a function and the length
# of its digest as varints, and the digest. Those of functions that hashlib lacks are unknown.


_NAMES = {
    "d50110": "md5",
    "1114": "sha1",
    "93201c": "sha2-224",
    "1220": "sha2-256",
    "2030": "sha2-384",
    "1340": "sha2-512",
    "94201c": "sha2-512-224",
    "952020": "sha2-512-256",
    "171c": "sha3-224",
    "1620": "sha3-256",
    "1530": "sha3-384",
    "1440": "sha3-512",
    "1820": "shake-128",
    "1940": "shake-256",
    **{f"{0x80 + size:02x}e402{size:02x}": f"blake2b-{8 * size}" for size in range(1, 65)},
    **{f"{0xC0 + size:02x}e402{size:02x}": f"blake2s-{8 * size}" for size in range(1, 33)},
}
"""Functions by what their multihashes begin with, in hex digits."""


_MD5, _SHA256 = "d50110", "1220"
_SHAKES = {"shake-128": (32,), "shake-256": (64,)}  # lengths of digests that might have any


def _function(multihash: str) -> tuple[str, Any] | None:
    """The function of a whole multihash, by its name and to be copied, if it is known."""
    begun = next((size for size in (4, 6, 8) if multihash[:size] in _NAMES), 0)
    digits = 2 * int(multihash[begun - 2 : begun] or "0", 16)
    if not begun or len(multihash) != begun + digits or not _HEX.fullmatch(multihash):
        return None
    name = _NAMES[multihash[:begun]]
    made = _made(name, digits // 2)
    return made and (name, made)


@cache
def _made(name: str, digest_bytes: int) -> Any:
    """A function of hashlib's at its beginning, or None."""
    if name.startswith("blake2"):
        return getattr(hashlib, name[:7])(digest_size=digest_bytes)
    known_as = name.replace("sha2-", "sha").replace("-", "_")
    try:
        return hashlib.new(known_as, usedforsecurity=False)
    except ValueError:
        return None


def multihash_of_md5(md5: str) -> str:
    """Return the multihash, in hex digits, of an md5 digest in hex digits."""
    return f"{_MD5}{md5}"


# What items say.


@dataclass(slots=True)  # frozen, each of millions would take twice as long to make
class Checksums:
    """What is known of a file's checksums; nobody changes it."""

    adler32: str | None = None
    """Eight lower-case hex digits."""
    md5: str | None = None
    """32 lower-case hex digits."""
    multihash: str | None = None
    """Hex digits of any multihash; downloads are verified with it."""

    def __bool__(self) -> bool:
        """Return whether Rucio can verify a transfer with one of them."""
        return bool(self.adler32 or self.md5)

    def __or__(self, other: Checksums) -> Checksums:
        """Return these checksums, and those of `other` that are unknown here."""
        return Checksums(
            self.adler32 or other.adler32, self.md5 or other.md5, self.multihash or other.multihash
        )

    @property
    def sha256(self) -> str | None:
        """64 lower-case hex digits, if the multihash is one of SHA-256."""
        multihash = self.multihash or ""
        return multihash[len(_SHA256) :] if multihash.startswith(_SHA256) else None


_NONE = Checksums()
_FIELDS = frozenset({"file:checksum", "rucio:adler32", "rucio:config", "rucio:md5"})
_SIZES = frozenset({"file:size", "rucio:config", "rucio:size"})


def checksums_of(asset: Mapping[str, Any]) -> Checksums:
    """Return what a STAC asset says of its checksums.

    It is taken from `file:checksum` (File Info extension: a multihash), from
    `rucio:adler32` and `rucio:md5`, and from the same fields inside
    `rucio:config`. A bare digest or an ETag in `file:checksum` says nothing
    about its algorithm and is left out.
    """
    if _FIELDS.isdisjoint(asset):  # most have none, and a plan looks at millions
        return _NONE
    found = asset.get("file:checksum")
    multihash = found.lower() if isinstance(found, str) else ""
    if multihash and not _function(multihash):
        multihash = ""
    md5 = multihash[len(_MD5) :] if multihash.startswith(_MD5) else None
    config = asset.get("rucio:config")
    places = (asset, config) if isinstance(config, dict) else (asset,)
    return Checksums(
        _first_hex(places, "rucio:adler32", 8),
        md5 or _first_hex(places, "rucio:md5", 32),
        multihash or None,
    )


def _first_hex(places: Iterable[Mapping[str, Any]], field: str, digits: int) -> str | None:
    """The first value of a field that is so many hex digits."""
    for place in places:
        text = place.get(field)
        if isinstance(text, str) and len(text) == digits and _HEX.fullmatch(text.lower()):
            return text.lower()
    return None


def size_bytes_of(asset: Mapping[str, Any]) -> int | None:
    """Return what a STAC asset says of its size: `file:size`, or `rucio:size`."""
    if _SIZES.isdisjoint(asset):
        return None
    config = asset.get("rucio:config")
    seed = config.get("rucio:size") if isinstance(config, dict) else None
    for size in (asset.get("file:size"), asset.get("rucio:size"), seed):
        if isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= MOST_BYTES:
            return size
    return None


# One file, of which two speak.


class Described(Protocol):
    """What is said of a file's bytes, by an item or by Rucio."""

    @property
    def size_bytes(self) -> int | None:
        """Its size, if that is known."""

    @property
    def checksums(self) -> Checksums:
        """Its checksums, as far as they are known."""


class Description(NamedTuple):
    """What a STAC asset says of its bytes."""

    size_bytes: int | None
    checksums: Checksums

    @classmethod
    def of(cls, asset: Mapping[str, Any]) -> Description:
        """Return what the fields of an asset say."""
        return cls(size_bytes_of(asset), checksums_of(asset))


def in_common(one: Described, other: Described) -> Iterator[tuple[str, int | str, int | str]]:
    """Yield what two know of a file: `size` or the name of a checksum, and what each says."""
    of_one, of_other = one.checksums, other.checksums
    if one.size_bytes is not None and other.size_bytes is not None:
        yield "size", one.size_bytes, other.size_bytes
    if of_one.adler32 is not None and of_other.adler32 is not None:
        yield "adler32", of_one.adler32, of_other.adler32
    if of_one.md5 is not None and of_other.md5 is not None:
        yield "md5", of_one.md5, of_other.md5
    hashes = of_one.multihash or "", of_other.multihash or ""
    if hashes[0] and _kind(hashes[0]) == _kind(hashes[1]):
        yield "checksum", *hashes


def _kind(multihash: str) -> tuple[str, int]:
    """What only multihashes by the same function share."""
    return multihash[:4], len(multihash)


def is_same(one: Described, other: Described) -> bool | None:
    """Return whether two speak of the same bytes; None where what they know does not tell."""
    is_known = False
    for name, of_one, of_other in in_common(one, other):
        if of_one != of_other:
            return False
        is_known = is_known or name != "size"
    return is_known or None


# What a stream has.


class Digester:
    """Computes checksums of a stream: adler32, those to verify, and md5 for who wants it."""

    def __init__(self, expected: Checksums, *, md5: bool = True) -> None:
        """Begin with no bytes.

        Args:
            expected: What is known already, to compare with.
            md5: Whether to compute md5 even if there is none to compare with. It
                takes longer than all the rest of a download.
        """
        self._expected = expected
        self._adler32 = adler32(b"")
        known = _function(expected.multihash or "")
        self._hashes: dict[str, Any] = {known[0]: known[1].copy()} if known else {}
        if md5 or expected.md5:
            self._hashes.setdefault("md5", hashlib.md5(usedforsecurity=False))
        self._known = known[0] if known else None
        self.size_bytes = 0

    def update(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        self.size_bytes += len(data)
        self._adler32 = adler32(data, self._adler32)
        for function in self._hashes.values():
            function.update(data)

    def checksums(self) -> Checksums:
        """Return the checksums of all bytes so far; without md5 if that was not computed."""
        md5 = self._hashes.get("md5")
        return Checksums(
            adler32=f"{self._adler32:08x}",
            md5=md5.hexdigest() if md5 is not None else None,
            multihash=self._expected.multihash,
        )

    def contradiction(self) -> str | None:
        """Return the name of an expected checksum that the bytes so far do not have, or None."""
        found = self.checksums()
        for name in ("adler32", "md5"):
            expected = getattr(self._expected, name)
            if expected and expected != getattr(found, name):
                return name
        if self._known is None:
            return None
        digest = self._hashes[self._known].hexdigest(*_SHAKES.get(self._known, ()))
        return None if str(self._expected.multihash).endswith(digest) else self._known


# What the headers of an HTTP response say of a file.


WANT_DIGESTS = {
    "Want-Digest": "adler32,md5;q=0.5",
    "Want-Repr-Digest": "adler=10, md5=5",
}
"""Headers of a request that asks for them, as RFC 3230 and RFC 9530 have it."""

_ADLER32 = re.compile("[0-9a-f]{1,8}")
_SEQUENCE = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):\s*(?:;.*)?")
_OF_NOTHING = Digester(_NONE).checksums()


def digests_of(headers: Mapping[str, str]) -> Checksums:
    """Return the adler32 and md5 of a file, as far as the headers of a HEAD response give them.

    They are in `Digest` (RFC 3230), `Repr-Digest` and `Content-Digest` (RFC 9530),
    `Content-MD5` and `x-goog-hash`.
    """
    of_content = _of_sequences(headers.get("Content-Digest", ""))
    # That of the content of an answer to HEAD, which is none, says nothing of the file.
    if of_content.adler32 == _OF_NOTHING.adler32 or of_content.md5 == _OF_NOTHING.md5:
        of_content = _NONE
    return _of_sequences(headers.get("Repr-Digest", "")) | of_content | _of_instance(headers)


def _of_sequences(header: str) -> Checksums:
    """The digests in a dictionary of byte sequences: `adler=:AAAAAQ==:, md5=:…:`."""
    members = map(_SEQUENCE.fullmatch, header.split(","))
    found = {member[1]: member[2] for member in members if member}
    return Checksums(_unpacked(found.get("adler", ""), 4), _unpacked(found.get("md5", ""), 16))


def _of_instance(headers: Mapping[str, str]) -> Checksums:
    """The digests in headers of the time before RFC 9530."""
    entries = f"{headers.get('Digest', '')},{headers.get('x-goog-hash', '')}".split(",")
    parts = (entry.strip().partition("=") for entry in entries)
    found = {name.lower(): value for name, _, value in parts}
    # RFC 3230 section 4.1.1: md5 is sent as base64; storages send adler32 as hex digits.
    adler32 = found.get("adler32", "").lower()
    return Checksums(
        adler32=adler32.zfill(8) if _ADLER32.fullmatch(adler32) else None,
        md5=_unpacked(found.get("md5", headers.get("Content-MD5", "")), 16),
    )


def _unpacked(text: str, size: int) -> str | None:
    """So many bytes of base64 as hex digits."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data.hex() if len(data) == size else None
