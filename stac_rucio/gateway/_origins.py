"""The origins that a gateway has credentials for, and what each does to a request.

A credential is used for the URLs that its entry begins with and for no others; what items
say chooses nothing here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import tomllib
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from stac_client.errors import ConfigurationError
from stac_policy import http
from stac_policy.gateway import Key, read_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

SIGNED_S = 900
"""How long a signed URL is good for, in seconds."""
_RENEWED_S = 60  # seconds before its end that a token is renewed
_TOKEN_BYTES = 1 << 16
_TOKEN_WAIT_S = 30.0
_TOKEN_S = 3600.0  # of a token that does not say when it ends
_PAYER = "x-amz-request-payer"


@dataclass(frozen=True)
class Request:
    """What an origin is asked: a URL and headers that hold its credential."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Secret:
    """A value that a file or the environment holds, read again when the file changes."""

    def __init__(self, where: str, said: object) -> None:
        """Take `{file = …}` or `{env = …}`; a value itself is refused, as files are copied."""
        if not isinstance(said, dict) or len(said) != 1 or not {*said} <= {"file", "env"}:
            raise ConfigurationError(f"{where} has to be {{file = …}} or {{env = …}}")
        ((self._kind, self._name),) = said.items()

    def __call__(self) -> str:
        """Return the value.

        Raises:
            OSError: There is none.
        """
        if self._kind == "file":
            return Path(self._name).read_text("utf-8").strip()
        try:
            return os.environ[self._name]
        except KeyError:
            raise OSError(f"the environment has no {self._name}") from None


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
            if time.monotonic() > self._until_s:
                self._value, good_s = self.ask()
                self._until_s = time.monotonic() + good_s - _RENEWED_S
            return self._value


class Origin:
    """An origin, by an entry of the configuration."""

    def __init__(self, prefix: str, entry: Mapping[str, Any], session: requests.Session) -> None:
        parts = urlsplit(prefix)
        if parts.scheme not in {"http", "https"} or not parts.path.endswith("/") or parts.query:
            raise ConfigurationError(
                f"origin {prefix}: give the beginning of its URLs, up to a slash: "
                "https://bucket.s3.amazonaws.com/"
            )
        self.prefix = prefix
        self._entry = dict(entry)
        self._session = session
        self.redirects = self._take("mode", "redirect") == "redirect"
        self.at_a_time = int(self._take("at_a_time", 16))
        self.is_private = bool(self._take("private", default=False))
        self.leads_to = tuple(self._take("leads_to", ()))
        self.sign = self._signer(str(self._take("sign", "none")))
        if unknown := sorted(self._entry):
            raise ConfigurationError(f"origin {prefix}: there is no option {', '.join(unknown)}")

    @property
    def hosts(self) -> list[str]:
        """The hosts that a request may lead to, as `stac_policy.urls.is_allowed` takes them."""
        parts = urlsplit(self.prefix)
        return [parts.netloc, *self.leads_to]

    def _take(self, name: str, default: Any = None) -> Any:
        return self._entry.pop(name, default)

    def _secret(self, name: str) -> Secret:
        return Secret(f"origin {self.prefix}: {name}", self._take(name))

    def _signer(self, kind: str) -> Callable[[str, str], Request]:
        makers = {
            "none": lambda: lambda _method, url: Request(url),
            "s3": self._s3,
            "sas": self._sas,
            "bearer": self._bearer,
            "header": self._header,
            "query": self._query,
        }
        if kind not in makers:
            raise ConfigurationError(
                f"origin {self.prefix}: sign = {kind!r} is none of {', '.join(sorted(makers))}"
            )
        return makers[kind]()

    def _s3(self) -> Callable[[str, str], Request]:
        """SigV4: in the query of a redirect, in the headers of what is passed on."""
        key, secret = self._secret("access_key"), self._secret("secret_key")
        token = self._secret("session_token") if "session_token" in self._entry else None
        region = str(self._take("region", "us-east-1"))
        payer = bool(self._take("requester_pays", default=False))

        def sign(method: str, url: str) -> Request:
            parts = urlsplit(url)  # S3 signs keys escaped in one way alone
            url = urlunsplit(parts._replace(path=quote(unquote(parts.path), "/-_.~")))
            held = Credentials(key(), secret(), token() if token else None)
            if self.redirects:
                # In the query: a header that is signed could not follow a redirect.
                mark = "&" if "?" in url else "?"
                asked = AWSRequest(method, f"{url}{mark}{_PAYER}=requester" if payer else url)
                S3SigV4QueryAuth(held, "s3", region, SIGNED_S).add_auth(asked)
                return Request(asked.url)
            promised: dict[str, str] = {_PAYER: "requester"} if payer else {}
            asked = AWSRequest(method, url, promised)
            S3SigV4Auth(held, "s3", region).add_auth(asked)
            return Request(url, {str(name): value for name, value in asked.headers.items()})

        return sign

    def _sas(self) -> Callable[[str, str], Request]:
        """A SAS of Azure from an endpoint that hands them out, by account and container."""
        endpoint = str(self._take("token_url", ""))
        key = self._secret("subscription_key") if "subscription_key" in self._entry else None
        grant = self._grant() if "grant_url" in self._entry else None
        parts = urlsplit(self.prefix)
        container = parts.path.strip("/").partition("/")[0]
        if not endpoint or not container:
            raise ConfigurationError(f"origin {self.prefix}: sas needs token_url and a container")
        account = (parts.hostname or "").partition(".")[0]
        url = endpoint.format(account=account, container=container)

        def ask() -> tuple[str, float]:
            headers = {"Ocp-Apim-Subscription-Key": key()} if key else {}
            if grant:
                headers["Authorization"] = f"Bearer {grant()}"
            answer = self._json("GET", url, headers=headers)
            ends = datetime.fromisoformat(str(answer["msft:expiry"]).replace("Z", "+00:00"))
            return str(answer["token"]), ends.timestamp() - time.time()

        token = Token(ask)
        return lambda _method, url: Request(f"{url}{'&' if '?' in url else '?'}{token()}")

    def _bearer(self) -> Callable[[str, str], Request]:
        token: Callable[[], str]
        token = self._grant() if "grant_url" in self._entry else self._secret("token")
        return lambda _method, url: Request(url, {"Authorization": f"Bearer {token()}"})

    def _grant(self) -> Token:
        """A token by OAuth2, for a client or a user."""
        url = str(self._take("grant_url"))
        fields = {"client_id": str(self._take("client_id", ""))}
        secrets = {
            name: self._secret(name)
            for name in ("client_secret", "username", "password")
            if name in self._entry
        }
        fields["grant_type"] = "password" if "password" in secrets else "client_credentials"
        if "scope" in self._entry:
            fields["scope"] = str(self._take("scope"))

        def ask() -> tuple[str, float]:
            data: dict[str, str] = {
                **fields,
                **{name: secret() for name, secret in secrets.items()},
            }
            answer = self._json("POST", url, data=data)
            return str(answer["access_token"]), float(answer.get("expires_in") or _TOKEN_S)

        return Token(ask)

    def _header(self) -> Callable[[str, str], Request]:
        name, value = str(self._take("name")), self._secret("value")
        return lambda _method, url: Request(url, {name: value()})

    def _query(self) -> Callable[[str, str], Request]:
        name, value = str(self._take("name")), self._secret("value")
        if not re.fullmatch(r"[A-Za-z0-9._~-]+", name):
            raise ConfigurationError(f"origin {self.prefix}: {name!r} is no name of a parameter")
        return lambda _method, url: Request(f"{url}{'&' if '?' in url else '?'}{name}={value()}")

    def _json(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        """Ask an endpoint for a token, which is never redirected."""
        with self._session.request(
            method, url, timeout=http.TIMEOUT_S, allow_redirects=False, stream=True, **options
        ) as response:
            http.require_ok(response)
            body = http.read_body(response, _TOKEN_BYTES, time.monotonic() + _TOKEN_WAIT_S)
        found: dict[str, Any] = dict(json.loads(body))
        return found


@dataclass(frozen=True)
class Gateway:
    """What a gateway knows: its keys, and its origins by the longest beginning of URLs."""

    keys_file: Path
    origins: tuple[Origin, ...]
    digest: str
    """Of its configuration, by which hosts can be compared."""

    def read_keys(self) -> list[Key]:
        """Return the keys, as they are now."""
        return read_keys(self.keys_file)

    def origin(self, url: str) -> Origin | None:
        """Return the origin of a URL, if there is an entry for it."""
        return next((each for each in self.origins if url.startswith(each.prefix)), None)


def load(path: Path) -> Gateway:
    """Read the configuration of a gateway.

    Raises:
        ConfigurationError: It cannot be read, or says something that has no meaning.
    """
    try:
        text = path.read_text("utf-8")
        said = tomllib.loads(text)
        keys = Path(said.pop("keys"))
        read_keys(keys)
        entries = said.pop("origins", {})
    except (OSError, ValueError, KeyError) as error:
        reason = f"it does not say {error}" if isinstance(error, KeyError) else error
        raise ConfigurationError(f"{path}: {reason}") from None
    if said:
        raise ConfigurationError(f"{path}: there is no option {', '.join(sorted(said))}")
    session = http.make_session()
    origins = [Origin(prefix, entry, session) for prefix, entry in entries.items()]
    origins.sort(key=lambda each: -len(each.prefix))
    return Gateway(keys, tuple(origins), hashlib.sha256(text.encode()).hexdigest()[:16])
