"""The scenarios of the shell: `stac-rucio` in a process of its own, which can be killed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from functools import cached_property
from typing import Any

from stac_client import StacClient, StacRucioError

from . import data
from .check import FILES_THERE, THERE, Wrong, check_folder, check_outcomes, check_rucio, require_all
from .lake import RSES
from .scenario import IMPATIENT_S, Scenario
from .scenarios import Download, Replicate

_TIMEOUT_S = 400
_PROGRAM = ("-m", "stac_rucio")
_IMPATIENT = (
    "from stac_rucio import __main__, options; "
    f"options._FIRST_TIMEOUT_S = options._TIMEOUT_S = {IMPATIENT_S}; __main__.main()"
)


class Shell(Scenario):
    """A verb of `stac-rucio`."""

    states = THERE
    has_journal = False
    limit_bytes = None
    """The largest file that it may write, as on a disk that gets full."""

    @cached_property
    def program(self) -> tuple[str, str]:
        """What Python runs; with a shorter time limit for Rucio where an answer does not end."""
        return ("-c", _IMPATIENT) if self.plan.is_endless else _PROGRAM

    def environment(self) -> dict[Any, Any]:
        """Of the process: the lake, with the run's proxy in front of its Rucio server."""
        cfg = self.run.folder / "rucio.cfg"
        if not cfg.exists():
            real = self.bed.lake.layout.client_cfg("root").read_text()
            cfg.touch(mode=0o600)
            cfg.write_text(real.replace(self.bed.lake.rucio_url, self.run.rucio.url))
        return {**os.environ, "RUCIO_CONFIG": str(cfg), "NO_COLOR": "1"}

    def arguments(self) -> Any:
        """The command line."""
        raise NotImplementedError

    def act(self) -> Any:
        """Run it; gives the outcomes that it printed."""
        limit = self.limit_bytes

        def prepare() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        command = [sys.executable, *self.program, *map(str, self.arguments())]
        with subprocess.Popen(  # noqa: S603 - this Python
            command,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=prepare if limit is not None else None,  # noqa: PLW1509 - only sets a limit
        ) as process:
            self.process = process
            try:
                out, err = process.communicate(timeout=_TIMEOUT_S)
            except subprocess.TimeoutExpired as error:
                process.kill()
                raise Wrong(f"{command} hangs") from error
        self.printed = [_outcome(line) for line in out.splitlines() if line.count("\t") >= 4]
        code = process.returncode
        if code not in (0, 1, 3, 4, 5, -signal.SIGKILL):
            raise Wrong(f"exit code {code}: {err[-2000:]}")
        if "Traceback" in err:
            raise Wrong(f"a traceback: {err[-2000:]}")
        failed = any(outcome[3] == "failed" for outcome in self.printed)
        if code == 0 and failed:
            raise Wrong("exit code 0, but an asset failed")
        if code not in (0, -signal.SIGKILL) and not err.strip():
            raise Wrong(f"exit code {code} without a word")
        if code < 0 or (code and not failed):
            raise StacRucioError(err)
        return self.printed

    def strike(self) -> None:
        """Kill the process; called by the run's proxies."""
        self.process.kill()

    def be_patient(self) -> None:
        """Let the process wait for Rucio as long as it does by itself."""
        self.program = _PROGRAM

    def complete(self) -> None:
        """The same command once more, and nothing is in its way."""
        self.limit_bytes = None
        super().complete()

    def check(self, result: Any, *, whole: Any) -> None:
        """Compare Rucio with what was printed, even by a process that was killed."""
        there = check_rucio(self.bed.rucio, self.plan.tag, self.truths)
        every = result is not None and not (whole and self.has_journal)
        check_outcomes(self.printed, self.truths, there, self.states, whole=whole, every=every)
        if whole:
            require_all(there, self.truths)


class ShellRegister(Shell):
    """`stac-rucio register`."""

    def prepare(self) -> None:
        """Make a file of items."""
        self.own_items()
        self.path = data.write(self.items, self.run.folder / "items.ndjson")

    def arguments(self) -> tuple[str, Any, str, str]:
        """Register the file."""
        return "register", self.path, "--rse", "STAC"


class ShellSync(Shell):
    """`stac-rucio sync` of a STAC API."""

    has_journal = True

    def prepare(self) -> None:
        """Know what is there."""
        self.add_scope()
        self.truths = data.truths_of(
            self.run.lake_items("alpine-optical"), self.plan.tag, self.run.origin_folders()
        )

    def arguments(self) -> tuple[Any, ...]:
        """Sync a collection into the run's scope."""
        return (
            *("sync", "--api", self.run.api.url, "-c", "alpine-optical", "--limit", "3"),
            *("--rse", "STAC", "--scope", self.plan.tag, "--probe", "item"),
            *("--journal", self.run.folder / "journal"),
        )


class ShellDownload(Shell, Download):
    """`stac-rucio download`."""

    states = FILES_THERE

    def prepare(self) -> None:
        """Register, and make a file of items."""
        self.registered()
        self.path = data.write(self.items, self.run.folder / "items.ndjson")
        self.folder = self.run.folder / "files"
        if self.plan.kind == "full disk":
            self.limit_bytes = self.rng.choice((0, 500, 2_000, 20_000, 100_000))

    def arguments(self) -> tuple[str, Any, str, Any]:
        """Download the items of the file."""
        return "download", self.path, "--folder", self.folder

    def check(self, result: Any, *, whole: Any) -> None:
        """Compare the folder with what was printed."""
        there = check_folder(self.folder, self.truths, whole=whole)
        every = result is not None
        check_outcomes(self.printed, self.truths, there, self.states, whole=whole, every=every)
        require_all(check_rucio(self.bed.rucio, self.plan.tag, self.truths), self.truths)


class ShellReplicate(Shell, Replicate):
    """`stac-rucio replicate`."""

    def prepare(self) -> None:
        """Register, and make a file of items."""
        self.registered()
        self.path = data.write(self.items, self.run.folder / "items.ndjson")
        self.rse = self.rng.choice([*RSES])
        self.stac = StacClient(self.bed.lake.client())

    def arguments(self) -> tuple[str, Any, str, Any]:
        """Make the rule."""
        return "replicate", self.path, "--rses", self.rse

    def act(self) -> Any:
        """Make the rule, which takes no time; without a fault it is fulfilled."""
        super().act()
        rules = self.stac.create_replication_rules(self.items, self.rse)
        return self.stac.wait(rules, timeout_s=self.timeout_s, poll_s=0.5, through_stuck=True)

    timeout_s = 0.0

    def check(self, result: Any, *, whole: Any) -> None:
        """Compare Rucio with the storage."""
        Replicate.check(self, result, whole=whole)

    def complete(self) -> None:
        """The rule is fulfilled; there is but one."""
        Replicate.complete(self)


def _outcome(line: str) -> tuple[Any, ...]:
    """What a line says: collection, item, asset, state, DID or path, reason."""
    fields = [*line.split("\t"), "", ""]
    return (*fields[:4], fields[5])


SHELL = {
    "shell register": ShellRegister,
    "shell sync": ShellSync,
    "shell download": ShellDownload,
    "shell replicate": ShellReplicate,
}
