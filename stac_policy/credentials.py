"""A user's own credentials: for look-ups, downloads, and the protocol of the source RSE.

They are where users have them for other tools: keys of S3 in the environment and profiles of AWS,
tokens in the environment, passwords in netrc. The table of origins alone says which of them a URL
wants and where it goes; what an item says does not.
"""

from __future__ import annotations

import logging
import netrc
import os
import threading
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from stac_policy import signing
from stac_policy.access import Kind, region_of
from stac_policy.http import CredentialError, Request, origin
from stac_policy.settings import known_origins
from stac_policy.signing import Token, with_query
from stac_policy.urls import is_secret, is_url, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stac_policy.access import Origin, Place

    Keys = Callable[[], "tuple[str, str, str | None]"]

_AWS = "https://s3.amazonaws.com"
_REGION = "us-east-1"
_OF_MACHINES = frozenset({"iam-role", "container-role"})  # as botocore calls them
_PAYER = "AWS_REQUEST_PAYER"
_UNFIT = "more than one line, or other characters than ASCII"
_SUBSCRIPTION = "Ocp-Apim-Subscription-Key"


class _LackingError(Exception):
    """The user has not given a credential; the message says what to set."""


class Credentials:
    """Adds the credentials that a user has to requests; for several threads."""

    def __init__(
        self, *, pays: bool = False, headers: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        """Take what the environment has, each when it is wanted.

        Args:
            pays: Whether the user's AWS account pays where the requester does; by default
                if the environment says so (`AWS_REQUEST_PAYER=requester`).
            headers: Headers for whole origins, by a URL of each; they go before all else.

        Raises:
            ValueError: One is for no URL of HTTP, or may not stand in a header.
        """
        self._pays = pays or os.environ.get(_PAYER) == "requester"
        self._headers = {}
        for url, given in (headers or {}).items():
            if not is_url(url):
                raise ValueError(f"headers for {redact(url)}, which is no URL of HTTP")
            if not all(_is_fit(str(part)) for pair in given.items() for part in pair):
                raise ValueError(f"headers for {redact(url)} hold {_UNFIT}")
            self._headers[origin(url)] = dict(given)
        self._made: dict[object, Any] = {}
        self._lock = threading.Lock()
        for name in ("connectionpool", "connection"):  # the latter since urllib3 2
            logging.getLogger(f"urllib3.{name}").addFilter(_without_secrets)

    def request(self, method: str, url: str) -> Request:
        """Return a request of a URL with the credential that its origin wants, if there is one.

        Without one it is asked all the same: what a table says ages.

        Raises:
            CredentialError: It is refused, or cannot be read.
            FetchError: Who hands it out gives none now.
        """
        if given := self._headers.get(origin(url)):
            return Request(url, given, "the headers for its origin")
        table = known_origins()
        try:
            place = table.place(url)
            known = table.origin(place)
            if known and known.kind.is_fetchable and not known.kind.is_anonymous:
                return self._signed(method, url, place, known)
        except _LackingError as error:
            return Request(url, lacks=str(error))
        except ValueError:  # it leads nowhere
            pass
        return Request(url)

    def is_login(self, url: str) -> bool:
        """Return whether a URL that another one redirects to is that of a login."""
        with suppress(ValueError):
            known = known_origins().origin(known_origins().place(url))
            return known is not None and known.kind is Kind.LOGIN_FORM
        return False

    def _signed(self, method: str, url: str, place: Place, known: Origin) -> Request:
        is_signed = known.kind in {Kind.SIGNED, Kind.REQUESTER_PAYS}
        is_s3 = is_signed and not known.how
        at = known.at if "://" in known.at else ""  # of a bucket
        if is_s3 and (at or not place.is_object):
            return self._s3(method, url, place, known, at or url)
        of_store = place.is_object and not at
        if not (url.startswith("https:") or _is_here(url)) or (
            of_store and urlsplit(url).port not in {None, 443}
        ):
            raise _LackingError(
                f"it needs {known.needs}, which goes by TLS alone, to no other port"
            )
        if is_s3:
            return self._s3(method, url, place, known, _AWS)
        if is_signed:
            return self._sas(url, known)
        if origin(at) != origin(url) if at else not known_origins().has_name(place):
            where = (
                redact(at) if at else "hosts that have rows of their own in the table of origins"
            )
            raise _LackingError(f"it needs {known.needs}, which goes to {where} alone")
        return self._token(url, known)

    # Keys of S3.

    def _s3(self, method: str, url: str, place: Place, known: Origin, endpoint: str) -> Request:
        pays, is_aws = known.kind is Kind.REQUESTER_PAYS, endpoint == _AWS
        if pays and not self._pays:
            raise _LackingError(
                f"who asks for it pays for it, with {known.needs}; to do so, give --pays "
                f"(pays=True), or set {_PAYER}=requester"
            )
        if place.name[:5] in {"gs://", "az://"} or not signing.S3_QUERIES.fullmatch(place.query):
            raise _LackingError(f"it needs {known.needs}, which cannot be had here")
        at, to = urlsplit(endpoint), urlsplit(url)
        of_bucket = f"{place.name.partition('://')[2]}.{at.netloc}"
        if not is_aws and (at.scheme != to.scheme or to.netloc not in {at.netloc, of_bucket}):
            raise _LackingError(f"it needs {known.needs}, which go to {redact(endpoint)} alone")
        where = f"{at.scheme}://{at.netloc}"
        found = self._once(("keys", where), lambda: _keys_of(where, is_aws=is_aws))
        if found is None:
            advice = f"give a profile of AWS the line endpoint_url = {where}"
            if is_aws:
                advice = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            raise _LackingError(f"it needs {known.needs}: {advice}")
        keys, region, called = found
        region = region_of(url, known) if is_aws else region
        signed = signing.s3(method, url, keys(), region, pays=pays)
        return Request(signed.url, signed.headers, called)

    # Signatures of Azure, tokens, and passwords.

    def _sas(self, url: str, known: Origin) -> Request:
        _, variable, template = _ways(known)
        if urlsplit(url).query:
            raise _LackingError(f"it needs {known.needs}, which is for blobs without a query")
        if not template:
            if not (sas := _variable(variable)):
                raise _LackingError(f"it needs {known.needs}: set {variable}")
            return Request(with_query(url, sas.removeprefix("?")), {}, variable)
        try:
            endpoint = signing.sas_endpoint(template, url)
        except ValueError as error:
            raise _LackingError(str(error)) from None

        def ask() -> tuple[str, float]:
            key = _variable(variable)
            return signing.ask_sas(endpoint, {_SUBSCRIPTION: key} if key else {})

        token = self._once(("sas", endpoint), lambda: Token(ask))
        sas = token()
        called = f"a SAS of {redact(endpoint)}"
        return Request(with_query(url, sas), {}, called, forget=partial(token.forget, sas))

    def _token(self, url: str, known: Origin) -> Request:
        header, variable, endpoint = _ways(known)
        if value := _variable(variable):
            headers = {header: value} if header else signing.bearer(url, value).headers
            return Request(url, headers, variable)
        host = urlsplit(endpoint or url).hostname or ""
        login = _login(host)
        if login is None:
            ways = [f"set {variable}"] * bool(variable) + [f"have netrc name machine {host}"]
            raise _LackingError(f"it needs {known.needs}: {', or '.join(ways)}")
        headers = signing.basic(*login)
        if not endpoint:
            return Request(url, headers, f"netrc's password for {host}")
        to, _, query = endpoint.partition("?")
        fields = dict(parse_qsl(query))
        if fields.get("grant_type") == "password":
            fields.update(zip(("username", "password"), login))
            headers = {}

        def ask() -> tuple[str, float]:
            return signing.ask_grant(to, fields, headers)

        token = self._once(("token", endpoint), lambda: Token(ask))
        value = token()
        headers = signing.bearer(url, value).headers
        return Request(url, headers, f"a token of {host}", forget=partial(token.forget, value))

    def _once(self, what: object, make: Callable[[], Any]) -> Any:
        with self._lock:
            if what not in self._made:
                self._made[what] = make()
            return self._made[what]


def _ways(known: Origin) -> tuple[str, str, str]:
    """The header, the variable and the endpoint by which a user has a credential."""
    header, _, rest = known.how.rpartition(": ")
    words = rest.split()
    endpoint = next((word for word in words if "://" in word), "")
    return header, next((word for word in words if word != endpoint), ""), endpoint


def _variable(name: str) -> str:
    """What a variable of the environment holds.

    Raises:
        CredentialError: It may not stand in a header.
    """
    value = os.environ.get(name, "") if name else ""
    if not _is_fit(value):
        raise CredentialError(f"{name} holds {_UNFIT}")
    return value


def _is_fit(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _login(host: str) -> tuple[str, str] | None:
    """The name and password that netrc has for a host; its `default` is for none.

    Raises:
        CredentialError: It cannot be read.
    """
    names = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    paths = [path for path in (Path(name).expanduser() for name in names) if path.exists()]
    try:
        found = netrc.netrc(paths[0]).hosts.get(host) if paths else None
    except netrc.NetrcParseError as error:  # which repeats what it cannot parse
        raise CredentialError(f"line {error.lineno} of {paths[0]} cannot be parsed") from None
    except OSError as error:
        raise CredentialError(f"{paths[0]} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise CredentialError(f"{paths[0]} is no text in UTF-8") from None
    return (found[0], found[2] or "") if found else None


def _is_here(url: str) -> bool:
    """Whether a URL leads to this machine itself, which TLS would not make any safer."""
    host = urlsplit(url).hostname or ""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _keys_of(where: str, *, is_aws: bool) -> tuple[Keys, str, str] | None:
    """What gives a user's keys for an endpoint, its region, and what they are called.

    Those of AWS are botocore's default ones, unless they are for another endpoint. Others are
    of the first profile, or the environment, that names the endpoint.

    Raises:
        CredentialError: AWS's configuration cannot be read, or there is no botocore.
    """
    try:
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError:
        raise _LackingError("it needs botocore: pip install 'stac-rucio[s3]'") from None
    logging.getLogger("botocore").setLevel(logging.INFO)  # below that it tells session tokens
    try:
        for name in [None] if is_aws else [None, *Session().available_profiles]:
            session = Session(profile=name)
            if not _is_for(_endpoint_of(session, name), where, is_aws=is_aws):
                continue
            found = session.get_credentials()
            # A role of the machine is its cloud's alone.
            if found is None or (not is_aws and found.method in _OF_MACHINES):
                continue
            own = session.get_scoped_config().get("region") if name else None
            region = own or session.get_config_variable("region") or _REGION
            profile = name or session.get_config_variable("profile")
            called = f"keys of profile {profile}" if profile else "the keys of AWS"

            def keys(found: Any = found, called: str = called) -> tuple[str, str, str | None]:
                try:
                    frozen = found.get_frozen_credentials()
                except BotoCoreError as error:
                    raise CredentialError(f"no keys of AWS: {type(error).__name__}") from None
                if not _is_fit(f"{frozen.access_key}{frozen.token}"):
                    raise CredentialError(f"{called} hold {_UNFIT}")
                return frozen.access_key, frozen.secret_key, frozen.token

            return keys, region, called
    except BotoCoreError as error:
        raise CredentialError(f"no keys of AWS: {type(error).__name__}") from None
    return None


def _endpoint_of(session: Any, profile: str | None) -> str:
    """The endpoint that a profile, or what is the default, names for S3."""
    named = {} if profile else os.environ
    config = session.get_scoped_config()
    services = session.full_config.get("services", {}).get(config.get("services"), {})
    of_s3 = services.get("s3", {})
    return str(
        named.get("AWS_ENDPOINT_URL_S3")
        or named.get("AWS_ENDPOINT_URL")
        or (of_s3.get("endpoint_url") if isinstance(of_s3, dict) else "")
        or config.get("endpoint_url")
        or ""
    )


def _is_for(endpoint: str, where: str, *, is_aws: bool) -> bool:
    with suppress(ValueError):
        if is_aws:
            return not endpoint or (urlsplit(endpoint).hostname or "").endswith(".amazonaws.com")
        return bool(endpoint) and origin(endpoint) == origin(where)
    return False


def _without_secrets(record: logging.LogRecord) -> bool:
    """Take signatures out of what urllib3 logs, which is the path of each request."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            each.partition("?")[0] if isinstance(each, str) and is_secret(each) else each
            for each in record.args
        )
    return True
