"""How a STAC API is read for the command line: with limits, whatever its pages and links say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from pystac_client.stac_api_io import StacApiIO

from stac_policy.addresses import GuardedAdapter
from stac_policy.json_size import BYTES_A_VALUE, values_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PAGE_BYTES = 64 << 20
_PIECE_BYTES = 1 << 16
_CONNECT_RETRIES = 5  # as pystac-client has it


class ApiIO(StacApiIO):
    """pystac-client's way to a STAC API, for one that nobody trusts.

    It connects to no forbidden address, sends the user's headers to the API's host alone, reads
    neither endless nor enormous answers, only asks (GET and POST), and goes in no circles.
    """

    def __init__(self, api: str, headers: Mapping[str, str], timeout_s: float) -> None:
        """Make one.

        Args:
            api: URL of the STAC API.
            headers: For the API alone; they may hold credentials.
            timeout_s: The longest silence, in seconds.
        """
        super().__init__(timeout=timeout_s)
        self.session = _Session(urlsplit(api).hostname, headers)

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Ask, by a method that changes nothing.

        Raises:
            ValueError: A link has another method.
        """
        if method is not None and str(method).upper() not in {"GET", "POST"}:
            raise ValueError("a link to a page with a method that is neither GET nor POST")
        return str(super().request(href, method, headers, parameters))

    def get_pages(
        self, url: str, method: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Give pages.

        Raises:
            ValueError: One is none, or leads to one that there was already.
            pystac_client.exceptions.APIError: The API does not answer as it should.
        """
        pages = super().get_pages(url, method, parameters)
        seen: set[int] = set()
        while True:
            try:
                page = next(pages, None)
                if page is None:
                    return
                links = [link for link in page.get("links", []) if link.get("rel") == "next"]
                following = hash(json.dumps(links[:1], sort_keys=True))
            except (AttributeError, KeyError, TypeError, RecursionError) as error:
                raise ValueError(f"a page that can not be read ({type(error).__name__})") from error
            if links and following in seen:
                raise ValueError("pages that lead in circles")
            seen.add(following)
            if not isinstance(page.get("features", []), list):
                raise ValueError("a page whose features are no list")  # noqa: TRY004 - as of bad JSON
            yield page


class _Session(requests.Session):
    """Keeps the user's headers for one host, and reads no more than a page may have."""

    def __init__(self, host: str | None, headers: Mapping[str, str]) -> None:
        super().__init__()
        self._host = host
        self._own = {name.lower() for name in headers}
        self.headers.update(headers)
        self.auth = self._keep_headers
        self.hooks["response"].append(_read)
        self.stream = True
        for scheme in ("http://", "https://"):
            self.mount(scheme, GuardedAdapter(max_retries=_CONNECT_RETRIES))

    def _keep_headers(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if urlsplit(request.url or "").hostname != self._host:
            for name in [name for name in request.headers if name.lower() in self._own]:
                del request.headers[name]
        return request

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """After a redirect, too."""
        super().rebuild_auth(prepared_request, response)  # type: ignore[no-untyped-call]
        self._keep_headers(prepared_request)


def _read(response: requests.Response, **_: Any) -> None:
    """Read an answer, unpacked, as far as a page may go; of a redirect nothing."""
    content = bytearray()
    if not response.is_redirect:
        for piece in response.iter_content(_PIECE_BYTES):
            content += piece
            if len(content) > _PAGE_BYTES:
                response.close()
                raise ValueError(f"a page of more than {_PAGE_BYTES} bytes")
        most_values = _PAGE_BYTES // BYTES_A_VALUE
        if values_in(content) > most_values:
            raise ValueError(f"a page of more than {most_values} values")
    else:
        response.close()
    # So that requests does not read it, which has no limit.
    response._content = bytes(content)  # noqa: SLF001
    response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
