"""Items of configured STAC APIs: fetched with limits in every respect, and kept for a while."""

from __future__ import annotations

import json
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from .fetching import open_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .settings import Settings

_CHUNK_BYTES = 1 << 16


class StacApiError(Exception):
    """A STAC API does not know an item, or gave no usable answer; the message says which."""


def asset_urls(api: str, collection: str, item: str, settings: Settings) -> Mapping[str, str]:
    """The absolute URL of each asset of an item that has one, by its key.

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
def _cache(settings: Settings) -> Callable[[str, str, str, int], Mapping[str, str]]:
    session = requests.Session()
    retry = Retry(
        total=3,
        backoff_factor=0.5,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=("GET",),
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))

    @lru_cache(maxsize=settings.cache_items)
    def fetch(api: str, collection: str, item: str, _period: int) -> Mapping[str, str]:
        url = f"{api}/collections/{quote(collection, safe='')}/items/{quote(item, safe='')}"
        return _urls(_get(session, url, settings), url)

    return fetch


def _get(session: requests.Session, url: str, settings: Settings) -> Any:
    own_host = urlsplit(url).netloc.rpartition("@")[2]
    try:
        with open_url(
            session,
            url,
            (own_host, *settings.allowed_hosts),
            (settings.connect_timeout_s, settings.read_timeout_s),
        ) as response:
            if response.status_code != requests.codes.ok:
                raise StacApiError(f"{url}: HTTP {response.status_code}")
            body = bytearray()
            for chunk in response.iter_content(_CHUNK_BYTES):
                body += chunk
                if len(body) > settings.response_bytes:
                    raise StacApiError(f"{url}: more than {settings.response_bytes} bytes")
        return json.loads(body)
    except requests.RequestException as error:
        raise StacApiError(f"{url}: {type(error).__name__}") from error
    except (ValueError, RecursionError) as error:
        raise StacApiError(f"{url}: the answer is not JSON") from error


def _urls(item: Any, url: str) -> Mapping[str, str]:
    if not isinstance(item, dict) or not isinstance(item.get("assets"), dict):
        raise StacApiError(f"{url}: the answer is not a STAC item")
    hrefs = {
        key: asset["href"]
        for key, asset in item["assets"].items()
        if isinstance(asset, dict) and isinstance(asset.get("href"), str) and asset["href"]
    }
    # An absolute href stays as it is, byte for byte: urljoin would tidy its path.
    return {
        key: href if urlsplit(href).scheme else urljoin(_self_href(item) or url, href)
        for key, href in hrefs.items()
    }


def _self_href(item: dict[str, Any]) -> str | None:
    links = item.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "self":
            href = link.get("href")
            return href if isinstance(href, str) else None
    return None
