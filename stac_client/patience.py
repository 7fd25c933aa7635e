"""Patience with a Rucio server that is too busy, or in trouble: what may pass is asked again."""

from __future__ import annotations

import random
import re
import time
from json import JSONDecodeError
from typing import TYPE_CHECKING, TypeVar

from rucio.common.exception import DatabaseException, RucioException

from .errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_PAUSES_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

# What SQLite, PostgreSQL, MySQL, Oracle and SQLAlchemy say when others are in the way, or a
# connection has gone. Whatever else a database says lies in the request.
_PASSING = (
    "database is locked",
    "database table is locked",
    "deadlock",
    "could not serialize access",
    "lock wait timeout",
    "lock timeout",
    "too many connections",
    "too many clients",
    "remaining connection slots",
    "queuepool limit",
    "server closed the connection",
    "connection refused",
    "lost connection",
    "gone away",
    "ora-00054",
    "ora-00060",
    "ora-08177",
)


# What Rucio's client says of an answer that is not Rucio's own, but of what stands before it.
_TROUBLED = re.compile(
    r"no error information passed \(http status code: (408|425|429|500|502|503)\)"
)
# What takes too long may be too much for one request.
_TOO_LONG = "Details: no error information passed (http status code: 504)"


def patiently(request: Callable[[], T]) -> T:
    """Send a request, and again after a pause while the server is too busy for it.

    Args:
        request: Sends it; what it does must bear doing twice.

    Returns:
        What it gives.

    Raises:
        StacRucioError: What it raises, the last time in a quarter of a minute if that
            may still pass.
    """
    for pause_s in _PAUSES_S:
        try:
            return request()
        except RequestError as error:
            if not may_pass(error):
                raise
        # Several that were in each other's way must not come back all at once.
        time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
    return request()


def may_pass(error: RequestError) -> bool:
    """Tell whether others were in the way, the server was in trouble, or its answer broke off."""
    if isinstance(error.__cause__, (JSONDecodeError, StopIteration)):
        return True
    # Rucio has some errors of its database without a class of their own.
    if type(error.__cause__) not in {DatabaseException, RucioException}:
        return False
    # After it stands the statement, with names that a catalogue chose.
    said = str(error.__cause__).partition("[SQL")[0].lower()
    return any(passing in said for passing in _PASSING) or bool(_TROUBLED.search(said))


def took_too_long(error: RequestError) -> bool:
    """Tell whether a proxy in front of Rucio has waited for its answer for too long."""
    cause = error.__cause__
    return type(cause) is RucioException and str(cause).endswith(_TOO_LONG)
