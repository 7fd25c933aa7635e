"""Items of configured STAC APIs: fetched with limits in every respect, and kept for a while."""

from __future__ import annotations

import json
import logging
import time
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

import requests
import urllib3

from stac_policy.http import (
    BYTES_A_VALUE,
    HostNotAllowedError,
    make_session,
    open_url,
    pieces,
    values_in,
)
from stac_policy.observability import Reporter, count, observe_s
from stac_policy.urls import absolute, link_href, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stac_policy.settings import Settings

_CHUNK_BYTES = 1 << 16
_GZIP = 16 + zlib.MAX_WBITS
_MISSING = frozenset({requests.codes.not_found, requests.codes.gone})
_SLOW_S = 5.0
_LONGEST_S = 60.0
"""How long an item may take; what is under way then may still take its time limit."""
_RETRIED = frozenset({429, 500, 502, 503, 504})
# Whatever the API asks for: it could hold up a daemon for a day.
_PAUSES_S = (0.0, 1.0, 2.0)
_REPORTER = Reporter(logging.getLogger(__name__))


class StacApiError(Exception):
    """A STAC API does not know an item, or gave no usable answer; the message says which."""


class _NotThereError(StacApiError):
    """It answers, and does not know the item."""


@dataclass(frozen=True)
class Item:
    """The assets of an item."""

    base_url: str
    """What relative hrefs are relative to."""

    hrefs: Mapping[str, str | None]
    """The href of each asset as the item has it, or None, by the asset's key."""

    def url(self, key: str) -> str | None:
        """The absolute URL of an asset, or None if it has no href."""
        href = self.hrefs[key]
        return absolute(href, self.base_url) if href else href


def fetch_item(api: str, collection: str, item: str, settings: Settings) -> Item:
    """The assets of an item, as a STAC API gives them now or gave them a while ago.

    Args:
        api: Root URL of the STAC API.
        collection: Id of the collection.
        item: Id of the item.
        settings: Limits, and the hosts that redirects may lead to.

    Raises:
        StacApiError: The API does not have the item, or does not answer properly.
    """
    # An entry's age is part of its key: when the period is over, it is asked for anew.
    period = int(time.time() // settings.cache_s) if settings.cache_s else time.time_ns()
    return _cache(settings)(api, collection, item, period)


@lru_cache(maxsize=1)
def _cache(settings: Settings) -> Callable[[str, str, str, int], Item]:
    session = make_session(netrc=True)  # of the operator, for the operator's API

    @lru_cache(maxsize=settings.cache_items)
    def fetch(api: str, collection: str, item: str, _period: int) -> Item:
        # JSON, and so names, can hold lone surrogates, which strict UTF-8 refuses.
        collection_path, item_path = (
            quote(part, safe="", errors="surrogatepass") for part in (collection, item)
        )
        url = f"{api}/collections/{collection_path}/items/{item_path}"
        return _reported(api, lambda: _item_at(session, url, item, settings))

    return fetch


def _reported(api: str, ask: Callable[[], Item]) -> Item:
    """Ask, and tell the operator how that went."""
    started_s = time.monotonic()
    outcome = "failed"
    try:
        item = ask()
        outcome = "ok"
    except _NotThereError:
        outcome = "missing"
        raise
    except StacApiError as error:
        _REPORTER.warn(
            "failed",
            "%s. Items of this STAC API ([stac] api, scopes) that no RSE holds can not be "
            "transferred meanwhile; is it right, up, and reachable from this machine?",
            error,
        )
        raise
    finally:
        taken_s = time.monotonic() - started_s
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
    return item


def _item_at(session: requests.Session, url: str, item: str, settings: Settings) -> Item:
    answer, answered_by = _get(session, url, settings)
    return _item(answer, item, answered_by)


def _get(session: requests.Session, url: str, settings: Settings) -> tuple[Any, str]:
    """The JSON at a URL, and the URL without secrets that redirects led to."""
    shown = redact(url)
    own_host = urlsplit(url).netloc.rpartition("@")[2]
    until_s = time.monotonic() + _LONGEST_S
    try:
        with _answer(
            session, url, (own_host, *settings.allowed_hosts), settings, until_s
        ) as response:
            if response.status_code in _MISSING:
                raise _NotThereError(f"{shown}: HTTP {response.status_code}")
            if response.status_code != requests.codes.ok:
                raise StacApiError(f"{shown}: HTTP {response.status_code}")
            body = _body(response, settings.response_bytes, until_s)
        if len(body) > settings.response_bytes:
            raise StacApiError(f"{shown}: more than {settings.response_bytes} bytes")
        most_values = settings.response_bytes // BYTES_A_VALUE
        if values_in(body) > most_values:
            raise StacApiError(f"{shown}: more than {most_values} values")
        return json.loads(body), redact(response.url)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        # From None: what they say may repeat the signed URL of a redirect.
        raise StacApiError(f"{shown}: {type(error).__name__}") from None
    except (ValueError, RecursionError, zlib.error):
        raise StacApiError(f"{shown}: the answer is not JSON") from None


@contextmanager
def _answer(
    session: requests.Session,
    url: str,
    allowed_hosts: tuple[str, ...],
    settings: Settings,
    until_s: float,
) -> Iterator[requests.Response]:
    """Ask, and ask again where that may help, until an answer can be read.

    Not by `Retry` of urllib3, which reads all that comes with a status like 503.
    """
    timeouts_s = (settings.connect_timeout_s, settings.read_timeout_s)
    headers = {"Accept-Encoding": "gzip"}
    for pause_s in (*_PAUSES_S, None):
        is_last = pause_s is None or time.monotonic() > until_s
        asked = open_url(session, url, allowed_hosts, timeouts_s, headers=headers)
        with ExitStack() as opened:
            try:
                response = opened.enter_context(asked)
            except HostNotAllowedError:
                raise
            except (requests.ConnectionError, requests.Timeout):
                if is_last:
                    raise
            else:
                if is_last or response.status_code not in _RETRIED:
                    yield response
                    return
        if pause_s:
            time.sleep(pause_s)


def _body(response: requests.Response, limit_bytes: int, until_s: float) -> bytes:
    """An answer's body, or little more than its first `limit_bytes` if it is larger.

    Decoded here: a few bytes of gzip can hold gigabytes, which requests would
    decode before it gives any of them.
    """
    gzip = response.headers.get("Content-Encoding", "").lower() == "gzip"
    decoder = zlib.decompressobj(_GZIP)
    body = bytearray()
    for chunk in pieces(response, _CHUNK_BYTES):
        body += decoder.decompress(chunk, limit_bytes + 1 - len(body)) if gzip else chunk
        if len(body) > limit_bytes or decoder.eof:  # behind its end there may come anything
            break
        if time.monotonic() > until_s:
            raise requests.Timeout
    return bytes(body)


def _item(answer: Any, item: str, url: str) -> Item:
    if not isinstance(answer, dict) or not isinstance(answer.get("assets"), dict):
        raise StacApiError(f"{url}: the answer is not a STAC item")
    if answer.get("id") != item:
        raise StacApiError(f"{url}: the answer is another item")
    hrefs = {}
    for key, asset in answer["assets"].items():
        href = asset.get("href") if isinstance(asset, dict) else None
        hrefs[key] = href if isinstance(href, str) and href else None
    return Item(_base_url(answer, url), hrefs)


def _base_url(answer: dict[str, Any], url: str) -> str:
    try:
        return urljoin(url, link_href(answer))
    except ValueError:  # it is no URL
        return url
