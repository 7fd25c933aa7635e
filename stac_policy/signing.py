"""Signed requests: what a URL and a credential make together.

The gateway signs with an operator's credentials, clients with those of their user: whose a
credential is, and which URLs it is for, they decide themselves.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes, urlsplit, urlunsplit

from stac_policy import http
from stac_policy.access import VERSION
from stac_policy.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

SIGNED_S = 900
"""How long a signed URL is good for, in seconds."""
S3_QUERIES = re.compile(f"(?:{VERSION.pattern})?")
"""Queries of one object; what else S3 can be asked for are permissions, or names of objects."""
_RENEWED_S = 60  # seconds before its end that a token is renewed
_TOKEN_BYTES = 1 << 16
_TOKEN_WAIT_S = 30.0
_PAYER = "x-amz-request-payer"
_CONTAINER = re.compile(r"[a-z0-9$-]{3,63}")


@dataclass(frozen=True)
class Request:
    """What an origin is asked: a URL and headers that hold its credential."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass
class Token:
    """Something that is asked for and renewed before it ends, once for all who want it."""

    ask: Callable[[], tuple[str, float]]
    """Returns a value, and for how many seconds it is good."""
    _value: str = field(default="", repr=False)
    _until_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self) -> str:
        """Return the value; who asks while it is renewed waits for it."""
        with self._lock:
            if not time.monotonic() < self._until_s:  # which may be no number
                self._value, good_s = self.ask()
                self._until_s = time.monotonic() + good_s - _RENEWED_S
            return self._value


def with_query(url: str, query: str) -> str:
    """Return a URL with more in its query."""
    return f"{url}{'&' if '?' in url else '?'}{query}"


def bearer(url: str, token: str) -> Request:
    """Return a request with a token in its header."""
    return Request(url, {"Authorization": f"Bearer {token}"})


def s3(
    method: str,
    url: str,
    keys: tuple[str, str, str | None],
    region: str,
    *,
    pays: bool = False,
    in_query: bool = False,
) -> Request:
    """Return a request of S3 with a signature (SigV4) in its headers.

    Args:
        method: GET or HEAD, for which alone the signature is good.
        url: The URL of an object.
        keys: Access key, secret key, and session token if there is one.
        region: The region of its bucket.
        pays: Whether the owner of the keys promises to pay.
        in_query: Put the signature into the query of the URL instead, for 15 minutes.

    Raises:
        ImportError: There is no botocore.
    """
    from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    parts = urlsplit(url)  # S3 signs keys escaped in one way alone
    url = urlunsplit(parts._replace(path=quote(unquote_to_bytes(parts.path), "/-_.~")))
    if in_query:
        # In the query: a header that is signed could not follow a redirect.
        asked = AWSRequest(method, with_query(url, f"{_PAYER}=requester") if pays else url)
        S3SigV4QueryAuth(Credentials(*keys), "s3", region, SIGNED_S).add_auth(asked)
        return Request(asked.url)
    promised: dict[str, str] = {_PAYER: "requester"} if pays else {}
    asked = AWSRequest(method, url, promised)
    S3SigV4Auth(Credentials(*keys), "s3", region).add_auth(asked)
    return Request(url, {str(name): value for name, value in asked.headers.items()})


def sas_endpoint(template: str, url: str) -> str:
    """Return the URL of the endpoint that hands out a SAS for the container of a blob.

    Args:
        template: The endpoint, with `{account}` and `{container}` where these go.
        url: The URL of the blob, or of its container.

    Raises:
        ValueError: It has no container.
    """
    parts = urlsplit(url)
    container = parts.path.strip("/").partition("/")[0]
    if not _CONTAINER.fullmatch(container):
        raise ValueError("it names no container of Azure")
    account = (parts.hostname or "").partition(".")[0]
    return template.replace("{account}", account).replace("{container}", container)


def ask_sas(endpoint: str, headers: Mapping[str, str]) -> tuple[str, float]:
    """Return a SAS that an endpoint hands out, and for how many seconds it is good.

    Raises:
        FetchError: It hands out none.
    """
    answer = ask_json("GET", endpoint, headers=headers)
    try:
        ends = datetime.fromisoformat(str(answer["msft:expiry"]).replace("Z", "+00:00"))
        return str(answer["token"]), ends.timestamp() - time.time()
    except (KeyError, ValueError):
        raise http.PassingError(f"no token from {redact(endpoint)}: it hands out none") from None


def ask_json(method: str, url: str, **options: Any) -> dict[str, Any]:
    """Ask an endpoint for a token, which is never redirected.

    Args:
        method: GET or POST.
        url: The endpoint.
        **options: Those of `requests.Session.request`.

    Raises:
        FetchError: It gives no object of JSON.
    """
    until_s = time.monotonic() + _TOKEN_WAIT_S
    session = forgetful(http.make_session())
    try:
        with http.answer(session, method, url, timeout=http.TIMEOUT_S, **options) as response:
            return dict(http.read_json(response, _TOKEN_BYTES, until_s))
    except (http.FetchError, TypeError, ValueError) as error:
        said = error if isinstance(error, http.FetchError) else "no object of JSON"
        raise http.PassingError(f"no token from {redact(url)}: {said}") from None


def forgetful(session: requests.Session) -> requests.Session:
    """Return a session that keeps no cookies from now on: they would go with other requests."""
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session
