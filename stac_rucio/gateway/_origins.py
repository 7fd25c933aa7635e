"""The origins that a gateway has credentials for, and what each does to a request.

A credential is used for the URLs that its entry begins with and for no others; what items
say chooses nothing here.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

import tomllib

from stac_client.errors import ConfigurationError
from stac_policy import http, signing
from stac_policy.gateway import Key, read_keys
from stac_policy.signing import Request, Token, with_query
from stac_policy.urls import DEFAULT_PORTS, is_url, redact, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

_TOKEN_S = 3600.0  # of a token that does not say when it ends
# As servers may read a segment: decoded once or twice, with parameters or backslashes.
_CLIMBS = re.compile(r"[/\\]\.{1,2}(?:[/\\;]|$)")
_TYPES = {str: "a text", int: "a whole number", bool: "true or false", list: "a list"}
T = TypeVar("T", str, int, bool, list[str])


class Secret:
    """A value that a file or the environment holds, read again when the file changes."""

    def __init__(self, where: str, said: object) -> None:
        """Take `{file = …}` or `{env = …}`; a value itself is refused, as files are copied."""
        if not isinstance(said, dict) or len(said) != 1 or not {*said} <= {"file", "env"}:
            raise ConfigurationError(f"{where} has to be {{file = …}} or {{env = …}}")
        ((self._kind, self._name),) = said.items()
        if not isinstance(self._name, str):
            raise ConfigurationError(f"{where}: {self._kind} has to be {_TYPES[str]}")

    def __call__(self) -> str:
        """Return the value.

        Raises:
            FetchError: There is none that may stand in a header.
        """
        try:
            value = (
                Path(self._name).read_text("utf-8").strip()
                if self._kind == "file"
                else os.environ[self._name]
            )
        except (OSError, ValueError, KeyError):
            value = ""
        if not (value and value.isascii() and value.isprintable()):
            reason = (
                f"{self._kind} {self._name} holds no secret of the gateway in one line of ASCII"
            )
            raise http.PassingError(reason)
        return value


class Origin:
    """An origin, by an entry of the configuration."""

    def __init__(self, prefix: str, entry: Mapping[str, Any]) -> None:
        if refusal(f"{prefix}x") or not prefix.endswith("/") or urlsplit(prefix).query:
            raise ConfigurationError(
                f"origin {redact(prefix)}: give the beginning of its URLs, up to a slash: "
                "https://bucket.s3.amazonaws.com/"
            )
        self.prefix = prefix
        if not isinstance(entry, dict):
            raise self._wrong("it has to be a table")
        self._entry = dict(entry)
        self._queries: re.Pattern[str] | None = None
        mode = self._take("mode", str, "redirect")
        if mode not in {"redirect", "stream"}:
            raise self._wrong("mode is neither redirect nor stream")
        self.redirects = mode == "redirect"
        self.at_a_time = self._take("at_a_time", int, 16)
        if self.at_a_time < 1:
            raise self._wrong("at_a_time has to be 1 or more")
        self.session = _session(only_global=not self._take("private", bool, default=False))
        self._leads_to = [str(host) for host in self._take("leads_to", list, [])]
        self.sign = self._signer(self._take("sign", str, "none"))
        if unknown := sorted(self._entry):
            raise self._wrong(f"there is no option {', '.join(unknown)}")

    def refusal(self, url: str) -> str | None:
        """Return why the credential is not for a URL, or None if it is."""
        parts = urlsplit(url)
        if not url.startswith(self.prefix) or url == self.prefix:
            return f"it is no file below {self.prefix}"
        if any(map(_CLIMBS.search, (unquote(parts.path), unquote(unquote(parts.path))))):
            return "its path has `.` or `..`"
        # What else a query asks of a store is its permissions, or the names of all its objects.
        if self._queries and (parts.path.endswith("/") or not self._queries.fullmatch(parts.query)):
            return "it is none of one object"
        return None

    def led_to(self, url: str, location: str) -> str:
        """Return the URL that a redirect leads to, as it is requested.

        Raises:
            FetchError: The entry does not name its host.
        """
        own = urlsplit(self.prefix)
        host = own.netloc if own.port else f"{own.netloc}:{DEFAULT_PORTS[own.scheme]}"
        found = http.requested(url, location, [host, *self._leads_to])
        if own.scheme == "https" and not found.startswith("https:"):
            raise http.HostNotAllowedError(f"it leads to {redact(found)}, without TLS")
        return found

    def _wrong(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"origin {self.prefix}: {what}")

    def _take(self, name: str, kind: type[T], default: T | None = None) -> T:
        said = self._entry.pop(name, default)
        if type(said) is not kind:
            raise self._wrong(f"{name} has to be {_TYPES[kind]}")
        return said

    def _endpoint(self, name: str) -> str:
        url = self._take(name, str)
        if not is_url(url):
            raise self._wrong(f"{name} has to be a URL")
        return url

    def _secret(self, name: str) -> Secret:
        return Secret(f"origin {self.prefix}: {name}", self._entry.pop(name, None))

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
            raise self._wrong(f"sign is none of {', '.join(sorted(makers))}")
        return makers[kind]()

    def _s3(self) -> Callable[[str, str], Request]:
        """SigV4: in the query of a redirect, in the headers of what is passed on."""
        key, secret = self._secret("access_key"), self._secret("secret_key")
        token = self._secret("session_token") if "session_token" in self._entry else None
        region = self._take("region", str, "us-east-1")
        payer = self._take("requester_pays", bool, default=False)
        self._queries = signing.S3_QUERIES

        def sign(method: str, url: str) -> Request:
            keys = (key(), secret(), token() if token else None)
            return signing.s3(method, url, keys, region, pays=payer, in_query=self.redirects)

        return sign

    def _sas(self) -> Callable[[str, str], Request]:
        """A SAS of Azure from an endpoint that hands them out, by account and container."""
        template = self._endpoint("token_url")
        key = self._secret("subscription_key") if "subscription_key" in self._entry else None
        grant = self._grant() if "grant_url" in self._entry else None
        try:
            url = signing.sas_endpoint(template, self.prefix)
        except ValueError:
            raise self._wrong("sas needs a container, which its URLs begin with") from None
        self._queries = re.compile("")

        def ask() -> tuple[str, float]:
            headers = {"Ocp-Apim-Subscription-Key": key()} if key else {}
            if grant:
                headers["Authorization"] = f"Bearer {grant()}"
            return signing.ask_sas(url, headers)

        token = Token(ask)
        return lambda _method, url: Request(with_query(url, token()))

    def _bearer(self) -> Callable[[str, str], Request]:
        token: Callable[[], str]
        token = self._grant() if "grant_url" in self._entry else self._secret("token")
        return lambda _method, url: signing.bearer(url, token())

    def _grant(self) -> Token:
        """A token by OAuth2, for a client or a user."""
        url = self._endpoint("grant_url")
        fields = {"client_id": self._take("client_id", str, "")}
        secrets = {
            name: self._secret(name)
            for name in ("client_secret", "username", "password")
            if name in self._entry
        }
        fields["grant_type"] = "password" if "password" in secrets else "client_credentials"
        if "scope" in self._entry:
            fields["scope"] = self._take("scope", str)

        def ask() -> tuple[str, float]:
            data: dict[str, str] = {
                **fields,
                **{name: secret() for name, secret in secrets.items()},
            }
            answer = signing.ask_json("POST", url, data=data)
            return str(answer["access_token"]), float(answer.get("expires_in") or _TOKEN_S)

        return Token(ask)

    def _header(self) -> Callable[[str, str], Request]:
        name, value = self._name(), self._secret("value")
        return lambda _method, url: Request(url, {name: value()})

    def _query(self) -> Callable[[str, str], Request]:
        name, value = self._name(), self._secret("value")
        return lambda _method, url: Request(with_query(url, f"{name}={quote(value(), '')}"))

    def _name(self) -> str:
        name = self._take("name", str)
        if not re.fullmatch(r"[A-Za-z0-9._~-]+", name):
            raise self._wrong("name is none of a header or parameter")
        return name


def _session(*, only_global: bool) -> requests.Session:
    session = signing.forgetful(http.make_session())
    if only_global:
        for scheme in ("http://", "https://"):
            session.mount(scheme, http.GlobalAdapter())
    return session


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
        keys, entries = Path(said.pop("keys")), said.pop("origins", {})
        read_keys(keys)
        origins = [Origin(prefix, entry) for prefix, entry in entries.items()]
    except (TypeError, AttributeError):
        raise ConfigurationError(f"{path}: keys is no path, or origins no tables") from None
    except (OSError, ValueError, KeyError) as error:
        reason = f"it does not say {error}" if isinstance(error, KeyError) else error
        raise ConfigurationError(f"{path}: {reason}") from None
    if said:
        raise ConfigurationError(f"{path}: there is no option {', '.join(sorted(said))}")
    origins.sort(key=lambda each: -len(each.prefix))
    return Gateway(keys, tuple(origins), hashlib.sha256(text.encode()).hexdigest()[:16])
