"""How a command ends: exit codes, and one line on standard error that says why."""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

import click

from stac_policy.urls import mask, redact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any


def counted(count: int, noun: str) -> str:
    """Give a number and its noun: `1 asset`, `1,200 assets`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


_RESUME = "stac_rucio.resume"
_VERBOSITY = "stac_rucio.verbosity"


class ExitCode(IntEnum):
    """What the exit code of `stac-rucio` means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    ACCESS = 4
    CONFIGURATION = 5
    UNFINISHED = 6
    DEFECT = 70
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141
    TERMINATED = 143


MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "some assets failed, a server refused, or you said no",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.UNREACHABLE: "Rucio or the STAC API does not answer",
    ExitCode.ACCESS: "the account can not be authenticated, or may not do this",
    ExitCode.CONFIGURATION: "something named does not exist or fit: an RSE, a file, rucio.cfg",
    ExitCode.UNFINISHED: "wait: a rule is stuck or suspended, or the time is over",
    ExitCode.DEFECT: "a defect of stac-rucio; please report it",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C; 143 after SIGTERM); can be resumed",
    ExitCode.OUTPUT_CLOSED: "nobody reads the output any more (as in `| head`)",
}

# What errors of stac_client tell those who call it, and what that is here.
_OF_A_LIBRARY = {
    "with create_replicas": "with `stac-rucio register`",
    ", or give StacClient a rucio.client.Client": "",
    "(scope= chooses another scope)": "(--dataset-scope chooses another scope)",
}


class Terminated(KeyboardInterrupt):
    """SIGTERM has come; it ends what is under way as Ctrl-C does."""


class OutputClosedError(Exception):
    """Nobody reads what is written to standard output."""


class Failure(click.ClickException):
    """Ends a command with a line on standard error and an exit code."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(mask(message))
        self.exit_code = int(exit_code)  # type: ignore[misc] # click does so itself

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it."""
        click.echo(f"Error: {self.message}", file=file, err=file is None)


def resumable(how: str) -> None:
    """Say what an interrupted command leaves behind and how to go on, should it come to that."""
    click.get_current_context().meta[_RESUME] = how


def set_verbosity(context: click.Context, _: click.Parameter, value: int) -> int:
    """Remember how much shall be said of errors; a callback of the option."""
    context.meta[_VERBOSITY] = value
    return value


class RootGroup(click.Group):
    """Ends every verb with the right exit code and at most one line of error."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        try:
            result = super().invoke(ctx)
            _flush()
        except (click.exceptions.Exit, click.ClickException):
            raise
        except (KeyboardInterrupt, click.Abort) as interrupt:
            terminated = isinstance(interrupt, Terminated)
            how = ctx.meta.get(_RESUME, "")
            click.echo(f"Interrupted. {how}".rstrip(), err=True)
            ctx.exit(ExitCode.TERMINATED if terminated else ExitCode.INTERRUPTED)
        except OutputClosedError:
            # Python itself flushes once more in the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(ExitCode.OUTPUT_CLOSED)
        except Exception as error:
            raise _failure(error, ctx.meta.get(_VERBOSITY, 0)) from error
        return result

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs, in the order of the work."""
        return list(self.commands)


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise OutputClosedError from error
        raise


def _failure(error: Exception, verbosity: int) -> Failure:
    message, exit_code = _said(error)
    if verbosity:
        for line in _causes(error, whole=exit_code is ExitCode.DEFECT):
            click.echo(mask(line), err=True)
    return Failure(message, exit_code)


def _said(error: Exception) -> tuple[str, ExitCode]:
    from configparser import Error as ConfigParserError

    if isinstance(error, ModuleNotFoundError):
        return str(error), ExitCode.CONFIGURATION
    try:
        from stac_client import errors

        expected = isinstance(error, errors.StacRucioError)
    except ConfigParserError:  # Rucio's own modules read rucio.cfg when they are imported
        text = "no usable rucio.cfg; set RUCIO_CONFIG or --config to one with a [client] section"
        return f"{text} ({' '.join(str(error).split())})", ExitCode.CONFIGURATION
    except OSError as told:  # as when the disk is full: a temporary file is made on import
        return f"Rucio's client can not be loaded: {told}", ExitCode.CONFIGURATION
    if not expected:
        text = f"unexpected {type(error).__name__}: {mask(str(error))} (-v says more)"
        return text, ExitCode.DEFECT
    kinds = {
        errors.UnreachableError: ExitCode.UNREACHABLE,
        errors.AccessError: ExitCode.ACCESS,
        errors.ConfigurationError: ExitCode.CONFIGURATION,
    }
    exit_code = next((kinds[kind] for kind in kinds if isinstance(error, kind)), ExitCode.FAILED)
    message = str(error)
    for call, here in _OF_A_LIBRARY.items():
        message = message.replace(call, here)
    return message, exit_code


def _causes(error: BaseException, *, whole: bool) -> Iterator[str]:
    if whole:
        import traceback

        for entry in traceback.format_exception(type(error), error, error.__traceback__):
            yield from entry.rstrip().splitlines()
        return
    cause = error.__cause__ or error.__context__
    while cause is not None:
        yield f"because of {type(cause).__name__}: {' '.join(str(cause).split())}"
        cause = cause.__cause__ or cause.__context__


def verbosity() -> int:
    """How often `-v` was given."""
    return int(click.get_current_context().meta.get(_VERBOSITY, 0))


# What `-v` shows: logs on standard error, without secrets.


OURS = ("stac_client", "stac_policy", "stac_rucio")
_REQUESTS = "urllib3.connectionpool"  # method, path and status; no headers, no bodies
_QUIET = (
    "baseclient",  # Rucio's clients and pystac-client log headers, and with these credentials
    "pystac_client",
    "rucio.client",
)


def set_up_logs(verbosity: int) -> None:
    """Log to standard error.

    Args:
        verbosity: 0: nothing. 1: what is done. 2: every request too. Rucio's and
            pystac-client's own logs are never more than warnings: below that,
            they hold passwords and tokens.
    """
    if not verbosity:
        logging.getLogger("rucio.client").setLevel(logging.CRITICAL)  # its errors are raised too
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_SafeFormatter("%(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if verbosity > 1 else logging.INFO)
    if verbosity > 1:
        logging.getLogger(_REQUESTS).setLevel(logging.DEBUG)


class _SafeFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "\n".join(map(mask, text.splitlines()))


# Errors of a STAC API, in one line that names it and the cause.


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
    return mask(found[1] if found else text[:300])
