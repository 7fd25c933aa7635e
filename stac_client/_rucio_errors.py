"""What the errors of Rucio's client mean: those of this package, with hint, transient or not."""

from __future__ import annotations

import re
from configparser import Error as ConfigParserError
from contextlib import contextmanager
from json import JSONDecodeError
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from rucio.common import exception

from stac_client.errors import (
    AccessError,
    ConfigurationError,
    RequestError,
    StacRucioError,
    UnreachableError,
    unusable_configuration,
)
from stac_policy.http import cause

if TYPE_CHECKING:
    from collections.abc import Iterator

LIST_RSES = "`rucio rse list` shows the RSEs there are"

# What SQLite, PostgreSQL, MySQL, Oracle and SQLAlchemy say when others are in the way, or a
# connection has gone (whatever else a database says lies in the request); and what Rucio's client
# says of an answer that is not Rucio's own, but of what stands before it.
_TRANSIENT = re.compile(
    r"database (table )?is locked|deadlock|could not serialize access|lock (wait )?timeout"
    r"|too many (connections|clients)|remaining connection slots|queuepool limit"
    r"|server closed the connection|connection refused|lost connection|gone away"
    r"|ora-(00054|00060|08177)"
    r"|no error information passed \(http status code: (408|425|429|500|502|503|504)\)",
    re.IGNORECASE,
)
# What takes too long may be too much for one request.
_TOO_LONG = "Details: no error information passed (http status code: 504)"
# It has too many requests.
_BUSY = re.compile(r"\(http status code: (429|503)\)$")
# Where asking again changes nothing: a name that leads nowhere, a certificate, a URL.
_FINAL = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.SSLError,
    requests.exceptions.TooManyRedirects,
)
_UNKNOWN_HOST = ("NameResolutionError", "Name or service not known", "nodename nor servname")

_NO_CONFIGURATION = (
    ConfigParserError,
    exception.ConfigNotFound,
    exception.ConfigLoadingError,
    exception.MissingClientParameter,
    exception.ClientProtocolNotFound,
    exception.ClientProtocolNotSupported,
)


class WrongAnswerError(Exception):
    """An answer is not of the form that Rucio's have."""


@contextmanager
def translating(doing: str) -> Iterator[None]:
    """Turn the errors of Rucio's client into those of this package."""
    try:
        yield
    except (exception.ServerConnectionException, requests.RequestException) as error:
        final = isinstance(error, _FINAL) or any(text in str(error) for text in _UNKNOWN_HOST)
        raise UnreachableError(
            f"{doing}: the Rucio server{_unreached(error)}",
            hint="is it running, and is rucio_host right?",
            transient=not final,
        ) from error
    except _NO_CONFIGURATION as error:
        raise unusable_configuration(error) from None
    except exception.RucioException as error:
        kind, hint = _kind_and_hint(error)
        passing = isinstance(error, exception.ReplicationRuleCreationTemporaryFailed)
        # Its details are a statement of the database.
        what = "its copies are being made or deleted just now" if passing else details(error)
        text = f"{doing}: {what}"
        raise kind(text, hint=hint, transient=_may_pass(error)) from error
    # Half an answer, or none at all: Rucio's client takes it for a whole one.
    except (JSONDecodeError, StopIteration, WrongAnswerError) as error:
        raise RequestError(
            f"{doing}: incomplete or not a Rucio response",
            hint="check rucio_host",
            transient=not isinstance(error, WrongAnswerError),
        ) from error


def _unreached(error: Exception) -> str:
    """What there is to say of a server that does not answer: where, and why."""
    parts = urlsplit(str(getattr(getattr(error, "request", None), "url", None) or ""))
    host = parts.netloc.rpartition("@")[2]
    why = cause(error) or ("it takes too long" if isinstance(error, requests.Timeout) else "")
    at = f" at {parts.scheme}://{host}" if host else ""
    return f"{at} does not answer{f' ({why})' if why else ''}"


_NOT_ALLOWED = (
    exception.AccessDenied,
    exception.AccountNotFound,
    exception.InsufficientAccountLimit,
)


_SUSPENDED = "Rucio says so of suspended accounts, too; `rucio whoami` tells"


def _kind_and_hint(error: exception.RucioException) -> tuple[type[StacRucioError], str]:
    if isinstance(error, (exception.CannotAuthenticate, exception.NoAuthInformation)):
        return AccessError, "check account and credentials with `rucio whoami`"
    if isinstance(error, _NOT_ALLOWED):
        is_gone = isinstance(error, exception.AccountNotFound)
        return AccessError, _SUSPENDED if is_gone else "ask an administrator of this Rucio for it"
    if isinstance(error, exception.RSENotFound):
        return ConfigurationError, LIST_RSES
    if isinstance(error, exception.ScopeNotFound):
        return ConfigurationError, "ask an administrator of this Rucio to add it"
    if isinstance(error, (exception.InvalidRSEExpression, exception.InsufficientTargetRSEs)):
        hint = "check the RSE expression with `rucio rse list --rses EXPRESSION`"
        return ConfigurationError, hint
    passing = isinstance(error, exception.ReplicationRuleCreationTemporaryFailed)
    return RequestError, "try again in a few minutes" if passing else ""


def _may_pass(error: exception.RucioException) -> bool:
    """Return whether others were in the way, or the server was in trouble."""
    if isinstance(error, exception.ReplicationRuleCreationTemporaryFailed):
        return True
    # Rucio has some errors of its database without a class of their own.
    if type(error) not in {exception.DatabaseException, exception.RucioException}:
        return False
    # After it stands the statement, with names that a catalogue chose.
    return bool(_TRANSIENT.search(str(error).partition("[SQL")[0]))


def took_too_long(error: StacRucioError) -> bool:
    """Return whether a proxy in front of Rucio has waited for its answer for too long."""
    cause = error.__cause__
    return type(cause) is exception.RucioException and str(cause).endswith(_TOO_LONG)


def is_busy(error: Exception) -> bool:
    """Return whether Rucio, or what stands in front of it, says that it has too many requests."""
    if isinstance(error, exception.ResourceTemporaryUnavailable):
        return True
    return type(error) is exception.RucioException and bool(_BUSY.search(str(error)))


def too_slow(error: RequestError, count: int) -> RequestError:
    """Return the error that says what a proxy's time limit was too short for, and what to do."""
    told = RequestError(
        f"{error}: a proxy in front of Rucio does not wait as long as Rucio needs even for "
        f"{count} at a time",
        hint="raise its time limit, or ask again when Rucio is less busy",
        transient=True,
    )
    told.__cause__ = error.__cause__
    return told


def details(error: Exception) -> str:
    """Return what an error of Rucio says, in one line."""
    text = str(error).rpartition("Details: ")[2] or type(error).__name__
    said, _, schema = text.partition("Failed validating")  # and the whole of a JSON schema
    field = schema.rpartition("On instance[")[2].partition("]:")[0]
    where = f" (field {field})" if field else ""
    return " ".join(said.split())[:500].rstrip(".") + where[:100]
