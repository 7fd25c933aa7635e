"""How a command ends: exit codes, and one line on standard error that says why."""

from __future__ import annotations

import errno
import os
import sys
from enum import IntEnum
from typing import TYPE_CHECKING

import click

from .text import printable, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any

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
        super().__init__(printable(without_secrets(message)))
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
            click.echo(printable(without_secrets(line)), err=True)
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
        text = f"unexpected {type(error).__name__}: {without_secrets(str(error))} (-v says more)"
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
