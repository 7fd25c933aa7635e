"""Sizes' companions: adler32 and md5 for Rucio, multihashes from STAC; pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HEX = re.compile("[0-9a-f]+")


# Multihashes (https://github.com/multiformats/multihash): the code of a function and the length
# of its digest as varints, and the digest. Those of functions that hashlib lacks are unknown.


_NAMES = {
    0x11: "sha1",
    0x12: "sha2-256",
    0x13: "sha2-512",
    0x18: "shake-128",
    0x19: "shake-256",
    0x20: "sha2-384",
    0xD5: "md5",
    0x1013: "sha2-224",
    0x1014: "sha2-512-224",
    0x1015: "sha2-512-256",
    **{0x14 + place: f"sha3-{bits}" for place, bits in enumerate((512, 384, 256, 224))},
    **{0xB200 + size: f"blake2b-{8 * size}" for size in range(1, 65)},
    **{0xB240 + size: f"blake2s-{8 * size}" for size in range(1, 33)},
}
_SHAKES = {"shake-128": 32, "shake-256": 64}  # lengths of digests that might have any
_VARINT_BYTES = 9


class _Multihash(NamedTuple):
    name: str
    digest: bytes

    def new(self) -> Any:
        """The function, at its beginning."""
        family, _, bits = self.name.rpartition("-")
        if family in {"blake2b", "blake2s"}:
            return getattr(hashlib, family)(digest_size=int(bits) // 8)
        name = self.name.replace("sha2-", "sha").replace("-", "_")
        return hashlib.new(name, usedforsecurity=False)

    def is_of(self, function: Any) -> bool:
        """Return whether its digest is that of a function."""
        size = (len(self.digest),) if self.name in _SHAKES else ()
        return bool(function.digest(*size) == self.digest)


def _decode(text: str) -> _Multihash | None:
    """The multihash that hex digits stand for, if it is a whole digest of a known function."""
    try:
        code, rest = _varint(binascii.unhexlify(text))
        size, digest = _varint(rest)
        found = _Multihash(_NAMES[code], digest)
        whole = _SHAKES.get(found.name) or found.new().digest_size
    except (ValueError, KeyError):  # hashlib may lack some functions
        return None
    return found if size == len(digest) == whole else None


def _varint(data: bytes) -> tuple[int, bytes]:
    """The number that bytes begin with, seven bits in each, and what comes behind it."""
    value = 0
    for index, byte in enumerate(data[:_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004 - the eighth bit says that there is more
            if not byte and index:
                raise ValueError("a number in more bytes than it needs")
            return value, data[index + 1 :]
    raise ValueError("a number without an end")


def multihash_of_md5(md5: str) -> str:
    """Return the multihash, in hex digits, of an md5 digest in hex digits."""
    return f"d50110{md5}"


# What items say.


@dataclass(frozen=True)
class Checksums:
    """What is known of a file's checksums."""

    adler32: str | None = None
    """Eight lower-case hex digits."""
    md5: str | None = None
    """32 lower-case hex digits."""
    multihash: str | None = None
    """Hex digits of any multihash; downloads are verified with it."""

    def __bool__(self) -> bool:
        """Return whether Rucio can verify a transfer with one of them."""
        return bool(self.adler32 or self.md5)

    @property
    def sha256(self) -> str | None:
        """64 lower-case hex digits, if the multihash is one of SHA-256."""
        decoded = _decode(self.multihash or "")
        return decoded.digest.hex() if decoded is not None and decoded.name == "sha2-256" else None


_NONE = Checksums()
_FIELDS = frozenset({"file:checksum", "rucio:adler32", "rucio:config", "rucio:md5"})


def checksums_of(asset: Mapping[str, Any]) -> Checksums:
    """Return what a STAC asset says of its checksums.

    It is taken from `file:checksum` (File Info extension: a multihash), from
    `rucio:adler32` and `rucio:md5`, and from the same fields inside
    `rucio:config`. A bare digest or an ETag in `file:checksum` says nothing
    about its algorithm and is left out.
    """
    if _FIELDS.isdisjoint(asset):  # most have none, and a plan looks at millions
        return _NONE
    config = asset.get("rucio:config")
    places = (asset, config if isinstance(config, dict) else {})
    found = asset.get("file:checksum")
    found = found.lower() if isinstance(found, str) else ""
    decoded = _decode(found) if found else None
    md5 = decoded.digest.hex() if decoded is not None and decoded.name == "md5" else None
    return Checksums(
        adler32=_first_hex(places, "rucio:adler32", 8),
        md5=md5 or _first_hex(places, "rucio:md5", 32),
        multihash=found if decoded is not None else None,
    )


def _first_hex(places: Iterable[Mapping[str, Any]], field: str, digits: int) -> str | None:
    """The first value of a field that is so many hex digits."""
    values = (place.get(field) for place in places)
    texts = (value.lower() for value in values if isinstance(value, str))
    return next((text for text in texts if len(text) == digits and _HEX.fullmatch(text)), None)


# What a stream has.


class Digester:
    """Computes checksums of a stream: adler32, those to verify, and md5 for who wants it."""

    def __init__(self, expected: Checksums, *, md5: bool = True) -> None:
        """Begin with no bytes.

        Args:
            expected: What is known already, to compare with.
            md5: Whether to compute md5 even if there is none to compare with. It
                takes five times as long as adler32.
        """
        self._expected = expected
        self._adler32 = zlib.adler32(b"")
        self._multihash = _decode(expected.multihash or "")
        self._hashes: dict[str, Any] = {}
        if md5 or expected.md5:
            self._hashes["md5"] = hashlib.md5(usedforsecurity=False)
        if self._multihash is not None:
            self._hashes.setdefault(self._multihash.name, self._multihash.new())
        self.size_bytes = 0

    def update(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        self.size_bytes += len(data)
        self._adler32 = zlib.adler32(data, self._adler32)
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
        known = self._multihash
        return known.name if known and not known.is_of(self._hashes[known.name]) else None


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

    Args:
        headers: The headers; the case of their names does not matter to them.
    """
    of_content = _of_sequences(headers.get("Content-Digest", ""))
    # That of the content of an answer to HEAD, which is none, says nothing of the file.
    if of_content.adler32 == _OF_NOTHING.adler32 or of_content.md5 == _OF_NOTHING.md5:
        of_content = _NONE
    places = (_of_sequences(headers.get("Repr-Digest", "")), of_content, _of_instance(headers))
    return Checksums(
        adler32=next((found.adler32 for found in places if found.adler32), None),
        md5=next((found.md5 for found in places if found.md5), None),
    )


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
