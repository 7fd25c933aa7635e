"""Signed requests: what a URL and a credential make together.

The gateway signs with an operator's credentials, clients with those of their user: whose a
credential is, and which URLs it is for, they decide themselves.
"""

from __future__ import annotations

import re
import threading
import time
from base64 import b64encode
from datetime import datetime
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes, urlsplit, urlunsplit

from stac_policy import bodies, http
from stac_policy.access import VERSION
from stac_policy.http import Request
from stac_policy.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

SIGNED_S = 900
"""How long a signed URL is good for, in seconds."""
S3_QUERIES = re.compile(f"(?:{VERSION.pattern})?")
"""Queries of one object; what else S3 can be asked for are permissions, or names of objects."""
_RENEWED_S = 60  # seconds before its end that a token is renewed
_PAUSE_S = 5.0  # before an endpoint that gave no token is asked again
_TOKEN_BYTES = 1 << 16
_TOKEN_WAIT_S = 30.0
_TOKEN_S = 3600.0  # of a token that does not say when it ends
_LONGEST_S = 86_400.0  # that a token is kept, whatever it says
_PAYER = "x-amz-request-payer"
# What may stand in a query, and in a header as RFC 6750 says.
_SAS = re.compile(r"\??((?:[A-Za-z0-9%&=._~+:/,-])+)")
_BEARER = re.compile(r"([A-Za-z0-9._~+/-]+=*)")
_CONTAINER = re.compile(r"[a-z0-9$-]{3,63}")


class Token:
    """Something that is asked for once for all who want it, and renewed before it ends."""

    def __init__(self, ask: Callable[[], tuple[str, float]]) -> None:
        """Take a function that returns a value, and for how many seconds it is good."""
        self._ask = ask
        self._lock = threading.Lock()
        self._value, self._renew_s, self._end_s = "", 0.0, 0.0
        self._got_s, self._pause_s = 0.0, 0.0
        self._problem: http.FetchError = http.PassingError()
        self.renewals = {"ok": 0, "failed": 0}

    def __call__(self) -> str:
        """Return the value; while there is a good one, nobody waits for the next.

        Raises:
            FetchError: There is none. The endpoint is left alone for a while then.
        """
        if time.monotonic() < self._renew_s:
            return self._value
        is_good = time.monotonic() < self._end_s
        if not self._lock.acquire(blocking=not is_good):
            return self._value
        try:
            now_s = time.monotonic()
            if now_s >= self._renew_s and now_s >= self._pause_s:
                self._renew()
            if time.monotonic() < self._end_s:
                return self._value
            raise type(self._problem)(str(self._problem))
        finally:
            self._lock.release()

    def _renew(self) -> None:
        try:
            value, good_s = self._ask()
        except http.FetchError as error:
            self.renewals["failed"] += 1
            is_refused = isinstance(error, http.CredentialError)
            kind = http.CredentialError if is_refused else http.PassingError
            self._problem = kind(str(error))
            self._pause_s = time.monotonic() + max(_PAUSE_S, error.retry_after_s)
            return
        self.renewals["ok"] += 1
        self._got_s = time.monotonic()
        good_s = min(good_s, _LONGEST_S)
        # Whoever does not wait sees a value before it is good.
        self._value = value
        self._end_s = self._got_s + good_s
        self._renew_s = self._end_s - min(_RENEWED_S, good_s / 2)

    def forget(self, refused: str = "") -> bool:
        """Have the next one ask for another, as the origin refuses this one, if it is not new.

        Args:
            refused: What was refused, if that is known.

        Returns:
            Whether asking again gives another one.
        """
        with self._lock:
            if refused and refused != self._value:  # others have asked since
                return True
            is_old = time.monotonic() > self._got_s + _RENEWED_S
            if is_old:
                self._renew_s = self._end_s = 0.0
                self._problem = http.PassingError("the origin refuses its token")
            return is_old


def with_query(url: str, query: str) -> str:
    """Return a URL with more in its query."""
    return f"{url}{'&' if '?' in url else '?'}{query}"


def escaped(url: str, plus: str = "+") -> str:
    """Return a URL whose path is escaped as stores sign it, in one way alone.

    Args:
        url: The URL.
        plus: What a plus sign in its path stands for.
    """
    parts = urlsplit(url)
    path = unquote_to_bytes(parts.path.replace("+", plus))
    return urlunsplit(parts._replace(path=quote(path, "/-_.~")))


def bearer(url: str, token: str) -> Request:
    """Return a request with a token in its header."""
    return Request(url, {"Authorization": f"Bearer {token}"})


def basic(name: str, password: str) -> dict[str, str]:
    """Return the header that shows a name and password."""
    pair = b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


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

    url = escaped(url, plus=" ")  # as S3 reads it, and the table of origins
    if in_query:
        # In the query: a header that is signed could not follow a redirect.
        asked = AWSRequest(method, with_query(url, f"{_PAYER}=requester") if pays else url)
        S3SigV4QueryAuth(Credentials(*keys), "s3", region, SIGNED_S).add_auth(asked)
        return Request(asked.url)
    promised: dict[str, str] = {_PAYER: "requester"} if pays else {}
    asked = AWSRequest(method, url, promised)
    S3SigV4Auth(Credentials(*keys), "s3", region).add_auth(asked)
    return Request(url, {str(name): value for name, value in asked.headers.items()})


def sas_endpoint(template: str, url: str, account: str | None = None) -> str:
    """Return the URL of the endpoint that hands out a SAS for the container of a blob.

    Args:
        template: The endpoint, with `{account}` and `{container}` where these go.
        url: The URL of the blob, or of its container.
        account: The account, if it is not the first label of the host.

    Raises:
        ValueError: It has no container.
    """
    account, container, _ = azure_container(url, account)
    return template.replace("{account}", account).replace("{container}", container)


def azure_container(url: str, account: str | None = None) -> tuple[str, str, bool]:
    """Return account and container of a blob, and whether both stand in the path of its URL.

    Args:
        url: Its URL, or that of its container.
        account: The account, if it is not the first label of the host.

    Raises:
        ValueError: It has no container.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").partition(".")[0]
    account = account or host
    names = [*parts.path.strip("/").split("/"), ""]
    is_in_path = names[0] == account != host
    if not _CONTAINER.fullmatch(names[is_in_path]):
        raise ValueError("it names no container of Azure")
    return account, names[is_in_path], is_in_path


def ask_sas(endpoint: str, headers: Mapping[str, str]) -> tuple[str, float]:
    """Return a SAS that an endpoint hands out, and for how many seconds it is good.

    Raises:
        FetchError: It hands out none.
    """

    def read(answer: dict[str, Any], now_s: float) -> tuple[str, float]:
        ends = datetime.fromisoformat(answer["msft:expiry"].replace("Z", "+00:00"))
        return _matched(_SAS, answer["token"]), ends.timestamp() - now_s

    return _ask_token(read, "GET", endpoint, headers=headers)


def ask_grant(
    endpoint: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> tuple[str, float]:
    """Return a token by OAuth2, and for how many seconds it is good.

    Args:
        endpoint: The token endpoint.
        fields: The grant, as the form has it.
        headers: Those that show who asks, if the form does not.

    Raises:
        FetchError: It gives none.
    """

    def read(answer: dict[str, Any], _now_s: float) -> tuple[str, float]:
        return _matched(_BEARER, answer["access_token"]), float(answer.get("expires_in", _TOKEN_S))

    return _ask_token(read, "POST", endpoint, data=fields, headers=headers)


def _matched(pattern: re.Pattern[str], token: str) -> str:
    """The token that an endpoint gives, if it may stand where it is to stand."""
    match = pattern.fullmatch(token)
    if not match:
        raise ValueError
    return match[1]


def _ask_token(
    read: Callable[[dict[str, Any], float], tuple[str, float]],
    method: str,
    url: str,
    **options: Any,
) -> tuple[str, float]:
    """Ask an endpoint for a token, which is never redirected.

    Args:
        read: Returns the token in an answer of JSON, and for how many seconds from now it is good.
        method: As of HTTP.
        url: The endpoint.
        **options: As of requests.

    Raises:
        CredentialError: It refuses.
        FetchError: There is no answer, no token in it, or one that is over.
    """
    wait_s = (http.TIMEOUT_S[0], _TOKEN_WAIT_S)
    until_s = time.monotonic() + _TOKEN_WAIT_S
    session = forgetful(http.make_session())
    try:
        with http.answer(session, method, url, timeout=wait_s, **options) as response:
            answer = bodies.read_json(response, _TOKEN_BYTES, until_s)
        value, good_s = read(answer, time.time())
        if not good_s > 0:  # which may be no number
            raise http.PassingError("a token that is over; compare the clocks")
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        raise http.PassingError(f"no token from {redact(url)}: nothing of that kind") from None
    except http.FetchError as error:
        said = f"no token from {redact(url)}: {error}"
        if error.status in http.DENIED:
            raise http.CredentialError(said) from None
        problem = http.PassingError(said)
        problem.retry_after_s = error.retry_after_s
        raise problem from None
    return value, good_s


def forgetful(session: requests.Session) -> requests.Session:
    """Return a session that keeps no cookies from now on: they would go with other requests."""
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session
