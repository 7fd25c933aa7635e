"""Errors of a STAC API, in one line that names it and the cause."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .text import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

_OBJECT = re.compile(r"<[^<>]* object at 0x[0-9a-f]+>[:,] ")
# What urllib3 says last, in the parentheses of all exceptions that were involved.
_CAUSE = re.compile(r"\(Caused by \w+\((?:\w+\(\d+, )?['\"](.+?)['\"]\)+$")
_NOT_FOUND = 404


@contextmanager
def stac_errors(api: str) -> Iterator[None]:
    """Turn errors of pystac-client into those of `stac_client`.

    Args:
        api: URL of the API.

    Raises:
        UnreachableError: It does not answer.
        AccessError: It wants credentials, or others.
        RequestError: It answers with an error, or with what is no STAC.
    """
    from pystac import STACError
    from pystac_client.errors import ClientTypeError
    from pystac_client.exceptions import APIError
    from requests import RequestException

    from stac_client.errors import AccessError, RequestError, UnreachableError
    from stac_policy.urls import redact

    name = f"the STAC API {redact(api)}"
    try:
        yield
    except (APIError, RequestException) as error:
        status = getattr(error, "status_code", None)
        if status in {401, 403}:
            raise AccessError(
                f"{name} answers {status}: it wants credentials, which --headers can give"
            ) from error
        if status:
            said = "is the URL right?" if status == _NOT_FOUND else cause(error)
            raise RequestError(f"{name} answers {status}: {said}") from error
        raise UnreachableError(f"{name} does not answer: {cause(error)}") from error
    except (STACError, ClientTypeError, KeyError, ValueError) as error:  # ValueError: no JSON
        raise RequestError(f"{name} gives no STAC: {cause(error)}; is the URL right?") from error


def cause(error: Exception) -> str:
    """The end of what a chain of libraries says."""
    text = _OBJECT.sub("", " ".join(str(error).split())) or type(error).__name__
    found = _CAUSE.search(text)
    return without_secrets(found[1] if found else text[:300])
