"""Errors of stac_client: one base class, few kinds, each message one line that says what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class StacRucioError(Exception):
    """Base of all errors that this package raises."""


class AccessError(StacRucioError):
    """The Rucio account can not be authenticated, or may not do this."""


class ConfigurationError(StacRucioError):
    """Something that the caller or the configuration names does not exist or does not fit."""


class RequestError(StacRucioError):
    """A server refused a request for any other reason, or some assets failed."""


class UnreachableError(StacRucioError):
    """The Rucio server or the STAC API does not answer."""


@contextmanager
def rucio_errors(doing: str) -> Iterator[None]:
    """Turn the errors of Rucio's client into those of this package.

    Args:
        doing: What is being done, for the beginning of the message.

    Raises:
        StacRucioError: In place of what Rucio's client raised.
    """
    from configparser import Error as ConfigParserError
    from json import JSONDecodeError

    from requests import RequestException
    from rucio.common import exception as rucio

    try:
        yield
    except (rucio.ServerConnectionException, RequestException) as error:
        raise UnreachableError(
            f"{doing}: the Rucio server does not answer; is it running, and is rucio_host right?"
        ) from error
    except (rucio.CannotAuthenticate, rucio.NoAuthInformation) as error:
        raise AccessError(
            f"{doing}: {details(error)}; check account and credentials with `rucio whoami`"
        ) from error
    except (rucio.AccessDenied, rucio.InsufficientAccountLimit) as error:
        raise AccessError(
            f"{doing}: {details(error)}; ask an administrator of this Rucio for it"
        ) from error
    except rucio.RSENotFound as error:
        raise ConfigurationError(
            f"{doing}: {details(error)}; `rucio rse list` shows the RSEs there are"
        ) from error
    except rucio.ScopeNotFound as error:
        raise ConfigurationError(
            f"{doing}: {details(error)} Ask an administrator of this Rucio to add it"
        ) from error
    except (rucio.InvalidRSEExpression, rucio.InsufficientTargetRSEs) as error:
        raise ConfigurationError(
            f"{doing}: {details(error)} "
            "Check the RSE expression with `rucio rse list --rses EXPRESSION`"
        ) from error
    except (
        rucio.ConfigNotFound,
        rucio.ConfigLoadingError,
        rucio.MissingClientParameter,
        rucio.ClientProtocolNotFound,
        rucio.ClientProtocolNotSupported,
        ConfigParserError,
    ) as error:
        raise ConfigurationError(
            f"{doing}: no usable rucio.cfg ({details(error)}); set RUCIO_CONFIG to one with a "
            "[client] section, or give StacClient a rucio.client.Client"
        ) from error
    except rucio.RucioException as error:
        raise RequestError(f"{doing}: {details(error)}") from error
    # Half an answer, or none at all: Rucio's client takes it for a whole one.
    except (JSONDecodeError, StopIteration) as error:
        raise RequestError(
            f"{doing}: the answer broke off, or is none of Rucio's; is rucio_host right?"
        ) from error


def details(error: Exception) -> str:
    """What an error of Rucio says, in one line."""
    text = str(error).rpartition("Details: ")[2] or type(error).__name__
    return " ".join(text.split())[:500]
