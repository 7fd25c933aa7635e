"""Whether what arrived is what was meant, by FTS's rules and the size in the catalogue."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Callable

from .digests import ALGORITHMS, from_header, same_digest
from .moving import Facts, read_digest
from .web import ABSENT, READ_SECONDS, TransferError, content_length, readable, refusal, send

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

# A storage may have to read the whole file before it knows its digest.
_DIGEST_SECONDS = 10 * READ_SECONDS


class Verification:
    """The verification of one copy.

    Args:
        source: http(s) URL to read.
        destination: http(s) URL to write.
        checksum: ``ADLER32:hex`` or ``MD5:hex`` in the catalogue, or None.
        size_bytes: Size in the catalogue, or None.
        verify: Whose checksum to verify: ``both``, ``target``, ``source`` or ``none``.

    Raises:
        TransferError: If the checksum is of another kind.
    """

    def __init__(
        self,
        source: str,
        destination: str,
        checksum: str | None,
        *,
        size_bytes: int | None,
        verify: str,
    ) -> None:
        name, separator, value = (checksum or "ADLER32:").partition(":")
        self.algorithm = name.lower()
        if not separator or self.algorithm not in ALGORITHMS:
            raise TransferError(f"{readable(source)}: cannot verify a checksum {checksum!r}")
        self._source, self._destination = source, destination
        self._expected = Facts(size_bytes, value or None)
        # Without an expected value only the two ends can be compared, with one another.
        self._check_source = verify == "both" or bool(value and verify == "source")
        self._check_target = verify == "both" or bool(value and verify == "target")
        self._there = Facts()

    def look_at_source(self) -> None:
        """See that the source exists and compare what it tells of itself.

        Raises:
            TransferError: If it does not exist or differs from the catalogue.
        """
        response, self._there = self._head(self._source, digest=self._check_source)
        if response.status_code in ABSENT:
            raise refusal(response)
        # Any other refusal may mean HEAD alone (a URL signed for GET): reading it will tell.
        self._compare(self._source, self._there, self._expected)

    def verify(self, moved: Facts, check: Callable[[], None]) -> None:
        """Compare what is at the destination with all that is known; read it if need be.

        Args:
            moved: What was seen of the bytes on the way.
            check: Called again and again; raises to end the copy.

        Raises:
            TransferError: If anything differs.
        """
        source = self._there
        if self._check_source and not source.digest:
            logger.warning("%s tells no digest; FTS would fail", readable(self._source))
            digest = moved.digest or read_digest(self._source, self.algorithm, check)
            source = Facts(source.size_bytes, digest)
            self._compare(self._source, source, self._expected)
        self._compare(self._source, Facts(moved.size_bytes), self._expected)
        response, here = self._head(self._destination, digest=self._check_target)
        if not response.ok:
            raise refusal(response)
        if here.size_bytes is None:
            raise TransferError(f"{readable(self._destination)}: the storage tells no size")
        if self._check_target and not here.digest:
            here = Facts(here.size_bytes, read_digest(self._destination, self.algorithm, check))
        for facts in (self._expected, source, Facts(moved.size_bytes)):
            self._compare(self._destination, here, facts)

    def _head(self, url: str, *, digest: bool) -> tuple[requests.Response, Facts]:
        headers = {"Want-Digest": self.algorithm} if digest else {}
        seconds = _DIGEST_SECONDS if digest else READ_SECONDS
        with send("HEAD", url, headers=headers, read_seconds=seconds) as response:
            # The length of an error page or of compressed bytes is not the file's.
            if not response.ok or "content-encoding" in response.headers:
                return response, Facts()
            answer = response.headers.get("digest", "") if digest else ""
            return response, Facts(content_length(response), from_header(answer, self.algorithm))

    def _compare(self, url: str, found: Facts, expected: Facts) -> None:
        sizes = (found.size_bytes, expected.size_bytes)
        if None not in sizes and sizes[0] != sizes[1]:
            raise TransferError(f"{readable(url)}: {sizes[0]} bytes instead of {sizes[1]}")
        if found.digest and expected.digest and not same_digest(found.digest, expected.digest):
            text = f"{self.algorithm} {found.digest} instead of {expected.digest}"
            raise TransferError(f"{readable(url)}: {text}")
