"""The checksums that the headers of an HTTP response give of a file; pure."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from stac_client.catalogue.checksums import Checksums, Digester

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
            yield match[1], _decode(match[2])


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
    adler32, md5 = found.get("adler32", "").lower(), _decode(found["md5"])
    return Checksums(
        adler32=adler32.zfill(8) if _ADLER32.fullmatch(adler32) else None,
        md5=md5.hex() if len(md5) == _MD5_BYTES else None,
    )


def _decode(text: str) -> bytes:
    """The bytes of base64, or none."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
