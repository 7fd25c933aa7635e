"""Errors of stac_client: one base class, few kinds, each message one line that says what to do."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from stac_policy.http import cause
from stac_policy.settings import unreadable
from stac_policy.urls import mask, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 200  # characters of a name that are looked at
_SHOWN = 5


class StacRucioError(Exception):
    """Base of all errors that this package raises."""

    def __init__(self, message: str, *, hint: str = "", transient: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        """What to do, in words of the Python interface; the end of the text."""
        self.transient = transient
        """Whether the same request may succeed later."""

    @property
    def message(self) -> str:
        """What went wrong, without the hint."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class AccessError(StacRucioError):
    """The Rucio account cannot be authenticated, or may not do this."""


class ConfigurationError(StacRucioError):
    """Something that the caller or the configuration names does not exist or does not fit."""


class RequestError(StacRucioError):
    """A server refused a request for any other reason, or some assets failed."""


class UnreachableError(StacRucioError):
    """The Rucio server or the STAC API does not answer."""


def near(name: str, known: Iterable[str]) -> str:
    """Return, in words, which of the names that there are come near one that is none of them."""
    names = {each[:_LONGEST].casefold(): each for each in known}
    close = get_close_matches(name[:_LONGEST].casefold(), names, 3)
    shown = [printable(names[each]) for each in close] or [*map(printable, names.values())][:_SHOWN]
    return f"{'near it' if close else 'known'}: {', '.join(shown) or 'none'}"


def require_count(name: str, value: object) -> None:
    """Check that an argument is a number of things, of which there has to be one.

    Raises:
        ConfigurationError: It is not.
    """
    if not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} is {value!r}, and not 1 or more")


def said_by(error: Exception) -> str:
    """Return what the system says behind an error, or else its library, in a line, no secrets."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return cause(error) or mask(lines[0][:300])


def unusable_configuration(error: Exception) -> ConfigurationError:
    """Return the error that says why Rucio's client cannot be used: most often its rucio.cfg.

    Args:
        error: What Rucio's modules raised when they read it.
    """
    said = unreadable(error)
    if isinstance(error, OSError):  # as when the disk is full: a temporary file is made
        return ConfigurationError(f"Rucio's client cannot be loaded: {said}")
    return ConfigurationError(
        f"no usable rucio.cfg ({said})",
        hint="set RUCIO_CONFIG to one with a [client] section, or give StacClient a "
        "rucio.client.Client",
    )
