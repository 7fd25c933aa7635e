"""Sizes' companions: adler32 and md5 for Rucio, multihashes from STAC; pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import multihash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


# The identity is no checksum, and the others would hold the whole file in memory.
_UNUSABLE = frozenset({"id", "murmur3-32", "murmur3-128"})


_HEX = re.compile("[0-9a-f]+")


class _Hash(Protocol):
    @property
    def digest_size(self) -> int: ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


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
        """Tell whether Rucio can verify a transfer with one of them."""
        return bool(self.adler32 or self.md5)

    @property
    def sha256(self) -> str | None:
        """64 lower-case hex digits, if the multihash is one of SHA-256."""
        decoded = _decode(self.multihash or "")
        return decoded.digest.hex() if decoded is not None and decoded.name == "sha2-256" else None


_NONE = Checksums()
_FIELDS = frozenset({"file:checksum", "rucio:adler32", "rucio:config", "rucio:md5"})


def checksums_of(asset: Mapping[str, Any]) -> Checksums:
    """What a STAC asset says of its checksums.

    It is taken from `file:checksum` (File Info extension: a multihash), from
    `rucio:adler32` and `rucio:md5`, and from the same fields inside
    `rucio:config`. A bare digest or an ETag in `file:checksum` says nothing
    about its algorithm and is left out.
    """
    if _FIELDS.isdisjoint(asset):  # most have none, and a plan looks at millions
        return _NONE
    places = (asset, _mapping(asset.get("rucio:config")))
    found = asset.get("file:checksum")
    found = found.lower() if isinstance(found, str) else ""
    decoded = _decode(found) if found else None
    md5 = decoded.digest.hex() if decoded is not None and decoded.name == "md5" else None
    return Checksums(
        adler32=_first_hex(places, "rucio:adler32", 8),
        md5=md5 or _first_hex(places, "rucio:md5", 32),
        multihash=found if decoded is not None else None,
    )


class Digester:
    """Computes checksums of a stream: adler32, those to verify, and md5 for who wants it."""

    def __init__(self, expected: Checksums, *, md5: bool = True) -> None:
        """Start.

        Args:
            expected: What is known already, to compare with.
            md5: Whether to compute md5 even if there is none to compare with. It
                takes five times as long as adler32.
        """
        self._expected = expected
        self._adler32 = zlib.adler32(b"")
        self._multihash = _decode(expected.multihash or "")
        self._hashes: dict[str, _Hash] = {}
        if md5 or expected.md5:
            self._hashes["md5"] = hashlib.md5(usedforsecurity=False)
        if self._multihash is not None and (function := _hash_of(self._multihash)) is not None:
            self._hashes.setdefault(self._multihash.name, function)
        self.size_bytes = 0

    def update(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        self.size_bytes += len(data)
        self._adler32 = zlib.adler32(data, self._adler32)
        for function in self._hashes.values():
            function.update(data)

    def checksums(self) -> Checksums:
        """The checksums of all bytes so far; without md5 if that was not computed."""
        md5 = self._hashes.get("md5")
        return Checksums(
            adler32=f"{self._adler32:08x}",
            md5=md5.digest().hex() if md5 is not None else None,
            multihash=self._expected.multihash,
        )

    def contradiction(self) -> str | None:
        """Name the expected checksum that the bytes so far do not have, or None."""
        found = self.checksums()
        for name in ("adler32", "md5"):
            expected = getattr(self._expected, name)
            if expected and expected != getattr(found, name):
                return name
        if self._multihash is not None:
            name, digest = self._multihash.name, self._multihash.digest
            if self._hashes[name].digest() != digest:
                return str(name)
        return None


def _decode(text: str) -> Any | None:
    """The multihash that hex digits stand for, if it is a whole digest of a known function."""
    try:
        decoded = multihash.decode(binascii.unhexlify(text))
        function = _hash_of(decoded)
    # KeyError: multihash has a code for the function, but not the function itself.
    except (ValueError, TypeError, KeyError, multihash.MultihashError):
        return None
    # It gives None for functions whose digests may have any length.
    whole = function is not None and function.digest_size == decoded.length
    return decoded if whole and decoded.name not in _UNUSABLE else None


def _hash_of(decoded: Any) -> _Hash | None:
    function: _Hash | None = multihash.FuncReg.hash_from_func(decoded.func)
    return function


def _first_hex(places: Iterable[Mapping[str, Any]], field: str, digits: int) -> str | None:
    """The first valid value of a field."""
    for place in places:
        if field in place and (found := _hex(place[field], digits)):
            return found
    return None


def _hex(value: object, digits: int) -> str | None:
    text = value.lower() if isinstance(value, str) else ""
    return text if len(text) == digits and _HEX.fullmatch(text) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


# The checksums that the headers of an HTTP response give of a file; pure.


WANT_DIGESTS = {
    "Want-Digest": "adler32,md5;q=0.5",
    "Want-Repr-Digest": "adler=10, md5=5",
}
"""Headers of a request that asks for them, as RFC 3230 and RFC 9530 have it."""

_ADLER32 = re.compile("[0-9a-f]{1,8}")
_ADLER32_BYTES = 4
_MD5_BYTES = 16
_BYTE_SEQUENCE = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):\s*(?:;.*)?")
_OF_NOTHING = Digester(Checksums()).checksums()


def digests_of(headers: Mapping[str, str]) -> Checksums:
    """The adler32 and md5 of a file, as far as the headers of a HEAD response give them.

    They are in `Digest` (RFC 3230), `Repr-Digest` and `Content-Digest` (RFC 9530),
    `Content-MD5` and `x-goog-hash`.

    Args:
        headers: The headers; the case of their names does not matter to them.
    """
    places = (
        _of_sequences(headers.get("Repr-Digest", "")),
        # That of the content of an answer to HEAD, which is none, says nothing of the file.
        _but_of_nothing(_of_sequences(headers.get("Content-Digest", ""))),
        _of_instance(headers),
    )
    return Checksums(
        adler32=next((found.adler32 for found in places if found.adler32), None),
        md5=next((found.md5 for found in places if found.md5), None),
    )


def _of_sequences(header: str) -> Checksums:
    """The digests in a dictionary of byte sequences: `adler=:AAAAAQ==:, md5=:…:`."""
    found = dict(_sequences(header))
    adler32, md5 = found.get("adler", b""), found.get("md5", b"")
    return Checksums(
        adler32=adler32.hex() if len(adler32) == _ADLER32_BYTES else None,
        md5=md5.hex() if len(md5) == _MD5_BYTES else None,
    )


def _sequences(header: str) -> Iterator[tuple[str, bytes]]:
    for member in header.split(","):
        match = _BYTE_SEQUENCE.fullmatch(member)
        if match:
            yield match[1], _decode_digests(match[2])


def _but_of_nothing(found: Checksums) -> Checksums:
    of_nothing = found.adler32 == _OF_NOTHING.adler32 or found.md5 == _OF_NOTHING.md5
    return Checksums() if of_nothing else found


def _of_instance(headers: Mapping[str, str]) -> Checksums:
    """The digests in headers of the time before RFC 9530."""
    found: dict[str, str] = {}
    for header in ("Digest", "x-goog-hash"):
        for entry in headers.get(header, "").split(","):
            name, _, value = entry.strip().partition("=")
            found[name.lower()] = value
    found.setdefault("md5", headers.get("Content-MD5", ""))
    # RFC 3230 section 4.1.1: md5 is sent as base64; storages send adler32 as hex digits.
    adler32, md5 = found.get("adler32", "").lower(), _decode_digests(found["md5"])
    return Checksums(
        adler32=adler32.zfill(8) if _ADLER32.fullmatch(adler32) else None,
        md5=md5.hex() if len(md5) == _MD5_BYTES else None,
    )


def _decode_digests(text: str) -> bytes:
    """The bytes of base64, or none."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
