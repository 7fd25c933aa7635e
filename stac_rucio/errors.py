"""How a command ends: exit codes, and one line on standard error that says why."""

from __future__ import annotations

import logging
import os
import sys
from enum import IntEnum
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self

_RESUME = "stac_rucio.resume"
_VERBOSITY = "stac_rucio.verbosity"


class ExitCode(IntEnum):
    """What the exit code of `stac-rucio` means."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """Add the meaning to the number."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    DONE = 0, "done"
    FAILED = 1, "some assets failed, a server refused, or you said no"
    USAGE = 2, "the command line is wrong"
    UNREACHABLE = 3, "Rucio or the STAC API does not answer"
    ACCESS = 4, "authentication failed or permission denied"
    CONFIGURATION = 5, "something named does not exist or fit, such as an RSE; or got nothing"
    UNFINISHED = 6, "wait, status: a rule is stuck, suspended or gone; wait: the time is over"
    DEFECT = 70, "a defect of stac-rucio; please report it"
    INTERRUPTED = 130, "interrupted (Ctrl-C; 143 after SIGTERM); can be resumed"
    OUTPUT_CLOSED = 141, "output pipe closed (as by `| head`)"
    TERMINATED = 143, "interrupted by SIGTERM"


# What errors of stac_client tell those who call it, and what that is here.
_OF_A_LIBRARY = {
    "with create_replicas": "with `stac-rucio register`",
    "RUCIO_CONFIG to one with a [client] section, or give StacClient a rucio.client.Client": (
        "RUCIO_CONFIG or --config to one with a [client] section"
    ),
    "dataset_scope= chooses": "--dataset-scope chooses",
}


class Terminated(KeyboardInterrupt):
    """SIGTERM has come; it ends what is under way as Ctrl-C does."""


class Failure(click.ClickException):
    """Ends a command with a line on standard error and an exit code."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILED) -> None:
        from stac_policy.urls import mask

        super().__init__(mask(message))
        self.exit_code = int(exit_code)  # type: ignore[misc] # click does so itself


def resumable(how: str) -> None:
    """Note what an interrupted command leaves behind and how to go on, should it come to that."""
    click.get_current_context().meta[_RESUME] = how


class RootGroup(click.Group):
    """Ends every verb with the right exit code and at most one line of error."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        ctx.color = False if os.environ.get("NO_COLOR") else None
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException):
            raise
        except (KeyboardInterrupt, click.Abort) as interrupt:
            terminated = isinstance(interrupt, Terminated)
            click.echo(f"Interrupted. {ctx.meta.get(_RESUME, '')}".rstrip(), err=True)
            ctx.exit(ExitCode.TERMINATED if terminated else ExitCode.INTERRUPTED)
        except BrokenPipeError:  # nobody reads standard output any more
            # Python itself flushes once more in the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(ExitCode.OUTPUT_CLOSED)
        except Exception as error:
            message, exit_code = _described(error)
            if ctx.meta.get(_VERBOSITY, 0):
                _show_causes(error, whole=exit_code is ExitCode.DEFECT)
            raise Failure(message, exit_code) from error

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs, in the order of the work."""
        return list(self.commands)


def _described(error: Exception) -> tuple[str, ExitCode]:
    if isinstance(error, ModuleNotFoundError):
        return str(error), ExitCode.CONFIGURATION
    try:
        from stac_client import errors
    except Exception as reason:  # noqa: BLE001 - that of Rucio's client, which cannot be loaded
        return _here(str(reason)), ExitCode.CONFIGURATION
    if isinstance(error, RecursionError):
        return "an item is nested too deeply", ExitCode.CONFIGURATION
    if not isinstance(error, errors.StacRucioError):
        return f"unexpected {type(error).__name__}: {error} (-v says more)", ExitCode.DEFECT
    kinds = {
        errors.UnreachableError: ExitCode.UNREACHABLE,
        errors.AccessError: ExitCode.ACCESS,
        errors.ConfigurationError: ExitCode.CONFIGURATION,
    }
    return _here(str(error)), kinds.get(type(error), ExitCode.FAILED)


def _here(message: str) -> str:
    for call, here in _OF_A_LIBRARY.items():
        message = message.replace(call, here)
    return message


def _show_causes(error: BaseException, *, whole: bool) -> None:
    from traceback import format_exception

    from stac_policy.http import behind
    from stac_policy.urls import mask

    if whole:
        lines = "".join(format_exception(error)).splitlines()
    else:
        lines = [
            f"because of {type(each).__name__}: {' '.join(str(each).split())}"
            for each in behind(error)
        ]
    for line in lines:
        click.echo(mask(line), err=True)


# What `-v` shows: logs on standard error, without secrets.


_WARNINGS = logging.lastResort or logging.NullHandler()
_OURS = ("stac_client", "stac_policy", "stac_rucio")
_REQUESTS = "urllib3.connectionpool"  # method, path and status; no headers, no bodies
_QUIET = (
    "baseclient",  # Rucio's clients and pystac-client log headers, and with these credentials
    "pystac_client",
    "rucio.client",
)


def verbosity() -> int:
    """Return how often `-v` was given."""
    return int(click.get_current_context().meta.get(_VERBOSITY, 0))


def set_verbosity(context: click.Context, _: click.Parameter, value: int) -> None:
    """Log to standard error, and remember how much is said of errors; a callback of `-v`.

    Args:
        context: Where to remember it.
        value: 0: nothing. 1: what is done. 2: every request too. Rucio's and
            pystac-client's own logs are never more than warnings: below that,
            they hold passwords and tokens.
    """
    context.meta[_VERBOSITY] = value
    for name in _OURS:  # what a library is silent about
        ours = logging.getLogger(name)
        (ours.removeHandler if value else ours.addHandler)(_WARNINGS)
    if not value:
        logging.getLogger("rucio.client").setLevel(logging.CRITICAL)  # its errors are raised too
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_SafeFormatter("%(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if value > 1 else logging.INFO)
    if value > 1:
        logging.getLogger(_REQUESTS).setLevel(logging.DEBUG)


def audit(name: str) -> None:
    """Log what a logger tells, with the time, however often `-v` was given."""
    handler = logging.StreamHandler()
    handler.setFormatter(_SafeFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False


class _SafeFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        from stac_policy.urls import mask

        return "\n".join(map(mask, super().format(record).splitlines()))
