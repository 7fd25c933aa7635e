"""How requests are signed, each way with the options that an origin's entry has for it.

What items say chooses nothing here; secrets come from files and the environment alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from stac_client.errors import ConfigurationError
from stac_policy import http, signing
from stac_policy.http import Request
from stac_policy.signing import Token, with_query
from stac_policy.urls import DEFAULT_PORTS, is_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

_NO_QUERY = re.compile("")
_AZURE_VERSION = "2022-11-02"  # of the form of its signatures
_TYPES = {str: "a text", int: "a whole number", bool: "true or false", list: "a list"}
T = TypeVar("T", str, int, bool, list[str])


class Signer(NamedTuple):
    """How requests to an origin are signed."""

    sign: Callable[[str, str], Request]
    """Of a method and a URL."""
    queries: re.Pattern[str] | None = None
    """Of a store: the queries that ask for one object, and for nothing else of it."""
    tokens: tuple[Token, ...] = ()
    """Which it asks for."""


class Secret:
    """A value that a file or the environment holds, read again when the file changes."""

    def __init__(self, where: str, said: object) -> None:
        """Take `{file = …}` or `{env = …}`; a value itself is refused, as files are copied."""
        if not isinstance(said, dict) or len(said) != 1 or not {*said} <= {"file", "env"}:
            raise ConfigurationError(f"{where} has to be {{file = …}} or {{env = …}}")
        ((self._kind, self._name),) = said.items()
        if not isinstance(self._name, str):
            raise ConfigurationError(f"{where}: {self._kind} has to be {_TYPES[str]}")
        try:
            is_there = self._read()
        except (OSError, ValueError, KeyError) as error:
            reason = f" ({error.strerror})" if isinstance(error, OSError) else ""
            what = f"{where} cannot be read from {self._kind} {self._name}{reason}"
            raise ConfigurationError(what) from None
        if not is_there:
            raise ConfigurationError(f"{where}: there is nothing in {self._kind} {self._name}")

    def text(self) -> str:
        """Return what there is, in as many lines as it has; nothing if it cannot be read."""
        try:
            return self._read()
        except (OSError, ValueError, KeyError):
            return ""

    def _read(self) -> str:
        if self._kind == "file":
            return Path(self._name).read_text("utf-8").strip()
        return os.environ[self._name]

    def __call__(self) -> str:
        """Return the value.

        Raises:
            FetchError: There is none that may stand in a header.
        """
        value = self.text()
        if not (value and value.isascii() and value.isprintable()):
            raise self.wrong("no secret of the gateway in one line of ASCII")
        return value

    def wrong(self, what: str) -> http.FetchError:
        """Return the error of one who holds something else than is wanted."""
        return http.PassingError(f"{self._kind} {self._name} holds {what}")


class Entry:
    """An entry of the configuration, whose options are taken one by one."""

    def __init__(self, prefix: str, said: object, kind: str = "origin") -> None:
        self.prefix, self._named = prefix, f"{kind} {prefix}"
        if not isinstance(said, dict):
            raise self.wrong("it has to be a table")
        self._said = dict(said)
        self.mode = self.take("mode", str, "redirect")
        if self.mode not in {"redirect", "stream", "nginx"}:
            raise self.wrong("mode is none of redirect, stream and nginx")

    def wrong(self, what: str) -> ConfigurationError:
        """Return the error of an option."""
        return ConfigurationError(f"{self._named}: {what}")

    def __contains__(self, name: str) -> bool:
        return name in self._said

    def take(self, name: str, kind: type[T], default: T | None = None) -> T:
        """Return an option of a type."""
        said = self._said.pop(name, default)
        if type(said) is not kind:
            raise self.wrong(f"{name} has to be {_TYPES[kind]}")
        return said

    def url(self, name: str) -> str:
        """Return an option that is a URL."""
        url = self.take(name, str)
        if not is_url(url):
            raise self.wrong(f"{name} has to be a URL")
        return url

    def secret(self, name: str) -> Secret:
        """Return an option that is a secret."""
        return Secret(f"{self._named}: {name}", self._said.pop(name, None))

    def secrets(self, *names: str) -> dict[str, Secret]:
        """Return those options of some names that there are."""
        return {name: self.secret(name) for name in names if name in self._said}

    def end(self) -> None:
        """Require that nothing is left that nobody has taken."""
        if self._said:
            raise self.wrong(f"there is no option {', '.join(sorted(self._said))}")


def make_signer(entry: Entry) -> Signer:
    """Return how requests to an origin are signed: in URLs, if they have to survive redirects."""
    makers = {
        "none": lambda _: Signer(lambda _method, url: Request(url)),
        "s3": _s3,
        "sas": lambda entry: _azure(entry) if "account_key" in entry else _sas(entry),
        "google": _google,
        "bearer": _bearer,
        "header": _header,
        "query": _query,
    }
    kind = entry.take("sign", str, "none")
    if kind not in makers:
        raise entry.wrong(f"sign is none of {', '.join(sorted(makers))}")
    return makers[kind](entry)


def _s3(entry: Entry) -> Signer:
    """SigV4: in the query of a redirect, in the headers of what is passed on."""
    key, secret = entry.secret("access_key"), entry.secret("secret_key")
    token = entry.secret("session_token") if "session_token" in entry else None
    region = entry.take("region", str, "us-east-1")
    payer = entry.take("requester_pays", bool, default=False)

    def sign(method: str, url: str) -> Request:
        keys = (key(), secret(), token() if token else None)
        return signing.s3(method, url, keys, region, pays=payer, in_query=entry.mode == "redirect")

    return Signer(sign, signing.S3_QUERIES)


def _sas(entry: Entry) -> Signer:
    """A SAS of Azure from an endpoint that hands them out, by account and container."""
    url = entry.url("token_url")
    key = entry.secrets("subscription_key").get("subscription_key")
    grant = _grant(entry) if "grant_url" in entry else None
    url = signing.sas_endpoint(url, entry.prefix, _container(entry)[0])

    def ask() -> tuple[str, float]:
        headers = {"Ocp-Apim-Subscription-Key": key()} if key else {}
        if grant:
            headers["Authorization"] = f"Bearer {grant()}"
        return signing.ask_sas(url, headers)

    token = Token(ask)
    tokens = (token, grant) if grant else (token,)
    return Signer(lambda _method, url: Request(with_query(url, token())), _NO_QUERY, tokens)


def _azure(entry: Entry) -> Signer:
    """A SAS of one blob, made with a key of its account."""
    account, _, is_in_path = _container(entry)
    key = entry.secret("account_key")
    protocols = "https" if entry.prefix.startswith("https:") else "https,http"

    def sign(_method: str, url: str) -> Request:
        try:
            secret = base64.b64decode(key(), validate=True)
        except ValueError:
            raise key.wrong("no key of an account in base64") from None
        now = datetime.now(timezone.utc)
        begins, ends = (
            (now + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
            for seconds in (-signing.SIGNED_S, signing.SIGNED_S)
        )
        blob = unquote(urlsplit(url).path, errors="surrogateescape")
        blob = f"/blob{blob}" if is_in_path else f"/blob/{account}{blob}"
        # Without identifier, addresses, snapshot, scope, and five headers of the answer.
        fields = ("r", begins, ends, blob, "", "", protocols, _AZURE_VERSION, "b", *[""] * 7)
        text = "\n".join(fields).encode("utf-8", "surrogateescape")
        signature = base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
        asked = {"sp": "r", "st": begins, "se": ends, "spr": protocols}
        asked |= {"sv": _AZURE_VERSION, "sr": "b", "sig": signature}
        return Request(with_query(url, _query_of(asked)))

    return Signer(sign, _NO_QUERY)


def _container(entry: Entry) -> tuple[str, str, bool]:
    """Account and container of Azure that URLs begin with, and whether both are in the path."""
    account = entry.take("account", str) if "account" in entry else None
    try:
        return signing.azure_container(entry.prefix, account)
    except ValueError:
        raise entry.wrong("sas needs a container, which its URLs begin with") from None


def _google(entry: Entry) -> Signer:
    """A signed URL of Google Cloud Storage (V4), made with the key of a service account."""
    account = entry.secret("service_account")
    project = entry.take("user_project", str, "")  # which pays, where the requester has to

    def sign(method: str, url: str) -> Request:
        try:
            email, key = _service_account(account.text())
        except (TypeError, ValueError, KeyError):
            raise account.wrong("no key of a service account in JSON") from None
        parts = urlsplit(signing.escaped(url))
        now = datetime.now(timezone.utc)
        scope = f"{now:%Y%m%d}/auto/storage/goog4_request"
        query = {
            "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
            "X-Goog-Credential": f"{email}/{scope}",
            "X-Goog-Date": f"{now:%Y%m%dT%H%M%SZ}",
            "X-Goog-Expires": str(signing.SIGNED_S),
            "X-Goog-SignedHeaders": "host",
            **({"userProject": project} if project else {}),
        }
        asked = _query_of(query)
        host = parts.netloc.removesuffix(f":{DEFAULT_PORTS[parts.scheme]}").lower()
        lines = [method, parts.path, asked, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"]
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        text = "\n".join([query["X-Goog-Algorithm"], query["X-Goog-Date"], scope, digest])
        signed = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return Request(urlunsplit(parts._replace(query=f"{asked}&X-Goog-Signature={signed.hex()}")))

    return Signer(sign, _NO_QUERY)


@lru_cache(64)
def _service_account(text: str) -> tuple[str, rsa.RSAPrivateKey]:
    said = json.loads(text)
    key = serialization.load_pem_private_key(said["private_key"].encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError
    return str(said["client_email"]), key


def _bearer(entry: Entry) -> Signer:
    grant = _grant(entry) if "grant_url" in entry else None
    token: Callable[[], str] = grant or entry.secret("token")
    tokens = (grant,) if grant else ()
    return Signer(lambda _method, url: signing.bearer(url, token()), tokens=tokens)


def _grant(entry: Entry) -> Token:
    """A token by OAuth2, for a client or a user."""
    url = entry.url("grant_url")
    fields = {"client_id": entry.take("client_id", str, "")}
    secrets = entry.secrets("client_secret", "username", "password")
    fields["grant_type"] = "password" if "password" in secrets else "client_credentials"
    if "scope" in entry:
        fields["scope"] = entry.take("scope", str)
    how = entry.take("token_endpoint_auth_method", str, "client_secret_post")
    if how not in {"client_secret_post", "client_secret_basic"}:
        raise entry.wrong("token_endpoint_auth_method is client_secret_post or client_secret_basic")

    def ask() -> tuple[str, float]:
        form, headers = {**fields, **{name: get() for name, get in secrets.items()}}, {}
        if how == "client_secret_basic":
            client = form.pop("client_id"), form.pop("client_secret", "")
            headers = signing.basic(*(quote(each, "") for each in client))
        return signing.ask_grant(url, form, headers)

    return Token(ask)


def _header(entry: Entry) -> Signer:
    name, value = _name(entry), entry.secret("value")
    return Signer(lambda _method, url: Request(url, {name: value()}))


def _query(entry: Entry) -> Signer:
    name, value = _name(entry), entry.secret("value")
    if entry.mode == "redirect":
        raise entry.wrong("query needs another mode: who is redirected would get the key itself")
    return Signer(lambda _method, url: Request(with_query(url, _query_of({name: value()}))))


def _name(entry: Entry) -> str:
    name = entry.take("name", str)
    if not re.fullmatch(r"[A-Za-z0-9._~-]+", name):
        raise entry.wrong("name is none of a header or parameter")
    return name


def make_session(*, only_global: bool = False) -> requests.Session:
    """Return a session that keeps no cookies: they would go with requests of others."""
    session = signing.forgetful(http.make_session())
    if only_global:
        for scheme in ("http://", "https://"):
            session.mount(scheme, http.GlobalAdapter())
    return session


def _query_of(values: Mapping[str, str]) -> str:
    return "&".join(f"{name}={quote(value, '')}" for name, value in values.items())
