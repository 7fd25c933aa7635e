"""Whether buckets are public: one look at the first object that is met of each."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from stac_client._results import Outcome
from stac_policy import http
from stac_policy.access import Access, Kind
from stac_policy.settings import known_origins

if TYPE_CHECKING:
    from stac_client._assets import Asset

_TIMEOUT_S = (5.0, 10.0)
_PUBLIC = frozenset({HTTPStatus.OK, HTTPStatus.NOT_FOUND})
_ENOUGH = 3  # objects of a bucket that nobody gets: one may be missing, for which S3 says the same


class Buckets:
    """What a run has learned of buckets; tables of facts age, and lack most buckets.

    A bucket is asked by HEAD of an object, as one of S3 answers 403 for itself. What answers is
    remembered, and so is that nothing does; then the table of origins has the last word.
    """

    def __init__(self) -> None:
        self._is_public: dict[str, bool | None] = {}
        self._denied: dict[str, int] = {}

    def checked(self, found: Asset | Outcome) -> Asset | Outcome:
        """Return an asset with the access that its bucket gives to anybody."""
        if not isinstance(found, Outcome):
            found.access = self.access(found.access)
        return found

    def access(self, access: Access) -> Access:
        """Return how the bytes of an object are got, by what its bucket answers."""
        asked = access.is_doubtful or access.kind in {Kind.PUBLIC_BUCKET, Kind.REQUESTER_PAYS}
        if not asked or access.url is None:
            return access
        place = known_origins().place(access.url)
        bucket = f"versions in {place.name}" if place.is_version else place.name
        is_public = self._ask(bucket, access.url)
        if is_public:
            return Access(Kind.PUBLIC_BUCKET, access.url)
        if is_public is None or access.kind is Kind.REQUESTER_PAYS:
            return access
        reason = f"{place.name} gives this to nobody without credentials"
        return Access(Kind.NOT_TO_BE_HAD, access.url, "", reason)

    def _ask(self, bucket: str, url: str) -> bool | None:
        if bucket in self._is_public:
            return self._is_public[bucket]
        status = _status(url)
        is_denied = status in http.DENIED
        self._denied[bucket] = self._denied.get(bucket, 0) + is_denied
        found = False if is_denied else True if status in _PUBLIC else None
        if not is_denied or self._denied[bucket] >= _ENOUGH:
            self._is_public[bucket] = found
        return found


def _status(url: str) -> int | None:
    try:
        with (
            http.make_session() as session,
            http.open_url(session, url, (), _TIMEOUT_S, method="HEAD") as response,
        ):
            return int(response.status_code)
    except http.FetchError:
        return None
