"""Items of configured STAC APIs: fetched with limits in every respect, and kept for a while."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cache, lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from stac_policy import bodies, http
from stac_policy.access import found_access, origins
from stac_policy.naming import ITEM_PARTS, asset_name, unescape
from stac_policy.observability import Reporter, count, observe_s
from stac_policy.settings import settings
from stac_policy.urls import item_url, redact, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import requests

    from stac_policy.access import Access, Origins
    from stac_policy.settings import Settings

_HEADERS = {"Accept-Encoding": "gzip"}
_MISSING = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_SLOW_S = 5.0
_FAILED_S = 60.0
"""How long an item that could not be had is not asked for again."""
_LONGEST_S = 30.0
"""How long a STAC API may hold this process up, on one item or on many; what is under way then may
still take its time limit."""
_SHARE = 0.05
"""What of this comes back in each second: the share of time that one that is down may take."""
_USUAL_S = 1.0
"""What an answer may take without being counted."""
_REPORTER = Reporter(logging.getLogger(__name__))


class StacApiError(Exception):
    """A STAC API does not know an item, or gave no usable answer; the message says which."""


@dataclass(frozen=True)
class Item:
    """The assets of an item."""

    hrefs: Mapping[str, str | None]
    """The href of each asset as the item has it, or None, by the asset's key."""

    access: Mapping[str, Access]
    """The URL of each asset, or why it has none."""

    keys: Mapping[str, str]
    """The key of each asset by the name of its file in Rucio."""


def catalogued_url(scope: str, parts: Sequence[str]) -> str:
    """Return the URL that the STAC API of a scope has for an asset.

    Args:
        scope: The scope of the asset's file.
        parts: The escaped parts of its name.

    Raises:
        StacApiError: There is none; the message says why.
    """
    configured = settings()
    api = configured.api_of(scope)
    if not api:
        raise StacApiError(f"none is configured for scope {scope} ([stac] api, scopes)")
    try:
        collection, item_id = map(unescape, parts[:ITEM_PARTS])
    except ValueError as error:
        raise StacApiError(
            f"{redact(api)} cannot be asked, because the name holds a shortened id"
        ) from error
    item = fetch_item(api, collection, item_id, configured)
    key = item.keys.get("/" + "/".join(parts))
    where = f"item {item_id!r} of collection {collection!r} at {redact(api)}"
    if key is None:
        raise StacApiError(f"{where} has no asset of this name")
    access = item.access[key]
    url = access.url or item.hrefs[key]
    if url is None:
        raise StacApiError(f"asset {key!r} of {where} has no href")
    reason = refusal(url, configured.allowed_hosts) if access.url else access.reason
    if reason:
        count("refused_urls", where="stac_api")
        raise StacApiError(f"asset {key!r} at {redact(url)!r}: {reason}")
    return url


def fetch_item(api: str, collection: str, item: str, settings: Settings) -> Item:
    """The assets of an item, as a STAC API gives them now or gave them a while ago.

    Raises:
        StacApiError: The API does not have the item, or does not answer properly.
    """
    return _cache(settings)(api, collection, item)


def _period(length_s: float) -> int:
    """The number of the present period, as a part of keys: what is older is asked for anew."""
    return int(time.time() // length_s) if length_s else time.time_ns()


@lru_cache(maxsize=1)
def _cache(settings: Settings) -> Callable[[str, str, str], Item]:
    session = cache(lambda api: http.make_session(credentials_of=api))

    @lru_cache(maxsize=settings.cache_items)
    def fetch(api: str, collection: str, item: str, _: int) -> Item:
        return _ask(session(api), api, (collection, item), settings, patience(api))

    @lru_cache(maxsize=settings.cache_items)
    def failures(*_: object) -> list[str]:
        return []

    @cache  # of as many APIs as are configured
    def patience(_: str) -> _Patience:
        return _Patience()

    def remembered(api: str, collection: str, item: str) -> Item:
        failed = failures(api, collection, item, _period(_FAILED_S))
        if failed:
            raise StacApiError(failed[0])
        try:
            return fetch(api, collection, item, _period(settings.cache_s))
        except StacApiError as error:
            failed.append(str(error))
            raise

    return remembered


class _Patience:
    """The time that a STAC API may still hold this process up.

    Daemons ask for file after file, and other files wait meanwhile: an API that does not answer,
    or takes its time with each item, must not stop them all.
    """

    def __init__(self) -> None:
        self._left_s, self._at_s = _LONGEST_S, time.monotonic()
        self.reason = ""
        """What came last that took time."""

    def left_s(self) -> float:
        """Return the time in seconds."""
        now_s = time.monotonic()
        self._left_s = min(_LONGEST_S, self._left_s + _SHARE * (now_s - self._at_s))
        self._at_s = now_s
        return self._left_s

    def use(self, taken_s: float, reason: str) -> None:
        """Use some of it up."""
        if taken_s > 0:
            self._left_s, self.reason = max(0.0, self.left_s() - taken_s), reason

    def require(self, api: str) -> float:
        """Return the time; it has to be some, so that what is asked can come.

        Raises:
            StacApiError: It is used up.
        """
        lacking_s = _LONGEST_S / 2 - self.left_s()
        if lacking_s > 0:
            raise StacApiError(
                f"{redact(api)} is not asked for {lacking_s / _SHARE:.0f} s, as transfers have "
                f"waited for it too long ({self.reason})"
            )
        return self._left_s


def _ask(
    session: requests.Session,
    api: str,
    ids: tuple[str, str],
    settings: Settings,
    patience: _Patience,
) -> Item:
    """Ask for an item, and tell the operator how that went."""
    # JSON, and so names, can hold lone surrogates, which strict UTF-8 refuses.
    collection, item = (quote(part, safe="", errors="surrogatepass") for part in ids)
    url = f"{api}/collections/{collection}/items/{item}"
    own_host = urlsplit(url).netloc.rpartition("@")[2]
    hosts = (own_host, *settings.allowed_hosts)
    left_s = patience.require(api)
    timeouts_s = (
        min(settings.connect_timeout_s, left_s),
        min(settings.read_timeout_s, left_s),
    )
    started_s, limit_bytes = time.monotonic(), settings.response_bytes
    until_s = started_s + left_s

    def ask() -> Item:
        with http.open_url(session, url, hosts, timeouts_s, headers=_HEADERS) as response:
            answer = bodies.read_json(response, limit_bytes, until_s)
            return _item(answer, *ids, redact(response.url), origins(settings.origins))

    outcome, free_s, reason = "ok", _USUAL_S, f"{redact(url)}: it is slow"
    try:
        return http.persistently(ask, http.Attempts(until_s=until_s))
    except http.FetchError as error:
        outcome = "missing" if error.status in _MISSING else "failed"
        reason = f"{redact(url)}: {error}"
        if error.may_pass:
            free_s = 0.0
        if outcome == "failed":
            _REPORTER.warn(
                "failed",
                "%s. Items of this STAC API ([stac] api, scopes) that no RSE holds cannot be "
                "transferred meanwhile; is it right, up, and reachable from this machine?",
                reason,
            )
        raise StacApiError(reason) from None
    finally:
        taken_s = time.monotonic() - started_s
        patience.use(taken_s - free_s, reason)
        count("stac_api_requests", outcome=outcome)
        observe_s("stac_api_seconds", taken_s)
        if taken_s > _SLOW_S:
            _REPORTER.warn(
                "slow",
                "The STAC API %s took %.1f s for an item, with which transfers wait; register "
                "its items, or lower [stac] connect_timeout_s and read_timeout_s",
                redact(api),
                taken_s,
            )


def _item(answer: Any, collection: str, item: str, url: str, table: Origins) -> Item:
    if not isinstance(answer, dict) or not isinstance(answer.get("assets"), dict):
        raise http.FetchError("the answer is not a STAC item")
    if answer.get("id") != item:
        raise http.FetchError("the answer is another item")
    base_url = item_url(answer, url)
    assets: dict[str, Mapping[str, Any]] = {
        key: asset if isinstance(asset, dict) else {} for key, asset in answer["assets"].items()
    }
    hrefs: dict[str, str | None] = {}
    access: dict[str, Access] = {}
    keys: dict[str, str] = {}
    for key, fields in assets.items():
        href, local_path = fields.get("href"), fields.get("file:local_path")
        hrefs[key] = href if isinstance(href, str) and href else None
        access[key] = found_access(table, answer, fields, base_url)
        if key:
            name = asset_name(collection, item, key, hrefs[key], assets, local_path)
            keys.setdefault(name, key)
    return Item(hrefs, access, keys)
