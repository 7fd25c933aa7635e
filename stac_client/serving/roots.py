"""Under which URL a client reaches this server; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stac_client.errors import ConfigurationError

from .refusals import Refusal

if TYPE_CHECKING:
    from starlette.types import Scope

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~%-]+)*/?")


class Root:
    """Finds the URL for the links that a client is given."""

    def __init__(self, url: str | None, *, trust_forwarded: bool) -> None:
        """Make one.

        Args:
            url: This server's URL, where it is known.
            trust_forwarded: Whether a reverse proxy in front sets `Host` and `X-Forwarded-*`.

        Raises:
            ConfigurationError: The URL is none.
        """
        if url is not None and (
            urlsplit(url).scheme not in {"http", "https"} or "?" in url or "#" in url
        ):
            raise ConfigurationError(f"root_url is {url!r}, but must be a URL without query")
        self._url = url.rstrip("/") if url is not None else None
        self._trust_forwarded = trust_forwarded

    def of(self, scope: Scope) -> str:
        """Give this server's URL for a request, without a slash at its end.

        Raises:
            Refusal: Nothing says it.
        """
        if self._url is not None:
            return self._url
        prefix = str(scope.get("root_path", "")).rstrip("/")
        if self._trust_forwarded:
            forwarded = _forwarded(scope)
            if forwarded is not None:
                return forwarded + prefix
        host, port = scope.get("server") or (None, None)
        if not host or port is None:
            raise Refusal(500, "the operator of this server must give its root URL")
        host = f"[{host}]" if ":" in host else host
        scheme = scope["scheme"]
        port_part = "" if port == _DEFAULT_PORTS.get(scheme) else f":{port}"
        return f"{scheme}://{host}{port_part}{prefix}"


def _forwarded(scope: Scope) -> str | None:
    """What the reverse proxy says, or None where it is no URL."""
    said = {name: value.decode("latin-1") for name, value in reversed(scope["headers"])}
    # Of several proxies, the one farthest in front is named first.
    host = said.get(b"x-forwarded-host", said.get(b"host", "")).split(",")[0].strip()
    scheme = said.get(b"x-forwarded-proto", str(scope["scheme"])).split(",")[0].strip().lower()
    prefix = said.get(b"x-forwarded-prefix", "").split(",")[0].strip()
    if not (_HOST.fullmatch(host) and scheme in _DEFAULT_PORTS and _PREFIX.fullmatch(prefix)):
        return None
    return f"{scheme}://{host}{prefix.rstrip('/')}"
