"""A run: a scenario under a fault, a look at what is left, the scenario again, another look."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from stac_client import StacRucioError

from .check import Wrong
from .plans import make_plan
from .proxy import Proxy, Strike
from .reading import READING
from .scenarios import SCENARIOS
from .shell import SHELL

if TYPE_CHECKING:
    from .plans import Plan
    from .scenario import Scenario


_ALL = {**SCENARIOS, **READING, **SHELL}


@dataclass
class Result:
    """How a run went."""

    plan: Plan
    wrong: str = ""
    """What was wrong, or nothing."""
    struck: int = 0
    """How many requests the fault has hit."""
    raised: str = ""
    """What the client said under the fault, if it raised an error."""
    seconds: float = 0.0
    error: Exception | None = None
    """What nobody expected, if it was raised."""


class Run:
    """One run, with proxies of its own."""

    def __init__(self, bed: Any, seed: Any) -> None:
        """Prepare a run."""
        self.bed = bed
        self.plan = make_plan(seed)
        self.folder = bed.folder / self.plan.tag
        self._proxies: list[Proxy] = []

    @cached_property
    def rucio(self) -> Proxy:
        """In front of the Rucio server, or of the one that can be killed."""
        killable = self.plan.target == "server"
        return self._proxy(self.bed.server.url if killable else self.bed.lake.rucio_url)

    @cached_property
    def api(self) -> Proxy:
        """In front of the STAC API."""
        return self._proxy(self.bed.lake.stac_url)

    @cached_property
    def origin(self) -> Proxy:
        """In front of an origin."""
        return self._proxy(self.bed.lake.layout.url("origin-a"))

    def _proxy(self, upstream: Any) -> Proxy:
        self._proxies.append(Proxy(upstream))
        return self._proxies[-1]

    def lake_items(self, collection: Any) -> list[Any]:
        """The items of one of the lake's collections."""
        items = json.loads(self.bed.lake.layout.items_file.read_text())["features"]
        return [item for item in items if item["collection"] == collection]

    def origin_folders(self) -> dict[Any, Any]:
        """The folders of the lake's origins by URL."""
        layout = self.bed.lake.layout
        return {layout.url(name): layout.data(name) for name in ("origin-a", "origin-b")}

    def go(self) -> Result:
        """Do it all; gives how it went."""
        began = time.monotonic()
        result = Result(self.plan)
        self.folder.mkdir(parents=True)
        killable = self.plan.target == "server"
        if killable:
            self.bed.server.mine.acquire()
        try:
            if killable:
                self.bed.server.start()
            self._go(result)
        except Wrong as wrong:
            result.wrong = str(wrong)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told with the seed
            result.wrong = f"{type(error).__name__}: {error}"
            result.error = error
        finally:
            if killable:
                self.bed.server.mine.release()
            for proxy in self._proxies:
                proxy.close()
            shutil.rmtree(self.folder, ignore_errors=True)
        result.seconds = time.monotonic() - began
        return result

    def _go(self, result: Result) -> None:
        scenario = _ALL[self.plan.scenario](self)
        struck = self._struck(scenario)
        strike = Strike(self.plan.kind, self.plan.nth, self.plan.times)
        self._aim(strike, scenario)
        if struck is not None:
            struck.arm(strike)
        found = None
        try:
            found = scenario.act()
        except StacRucioError as error:
            result.raised = f"{type(error).__name__}: {error}"
            if not str(error).strip() and self.plan.kind not in ("act-before", "act-after"):
                raise Wrong("an error without a word") from error
        finally:
            result.struck = len(strike.struck) if struck is not None else 1
            if struck is not None:
                struck.disarm(strike)
        if self.plan.target == "server":
            for killing in strike.meanwhile:  # it may come after all that it was meant for
                killing.join()
            self.bed.server.wait()
        # With so little time, a server that many runs share may be too slow.
        if result.raised and not result.struck and not self.plan.is_endless:
            raise Wrong(f"an error without a fault: {result.raised}")
        if found is not None or result.raised:
            scenario.check(found, whole=False)
        scenario.be_patient()
        scenario.complete()

    def _struck(self, scenario: Scenario) -> Any:
        """The proxy that the fault is in, if any."""
        target = self.plan.target
        if target == "transfers":
            return self.bed.transfers
        if target == "storage":
            return self.bed.storages[getattr(scenario, "rse", "FAULTY-B")]
        return {"rucio": self.rucio, "server": self.rucio}.get(target) or (
            getattr(self, target) if target != "disk" else None
        )

    def _aim(self, strike: Strike, scenario: Scenario) -> None:
        """Let a strike hit what belongs to this run, and a step that it makes sense at."""
        plan = self.plan
        if plan.target in ("transfers", "storage"):
            strike.matches = partial(_belongs, plan.tag.encode() + b"/", plan.kind)
        elif plan.kind in ("changed", "shorter"):
            strike.matches = lambda request: request.method == "GET"
        if plan.target == "server":
            rng = plan.rng
            strike.act = partial(
                self.bed.server.kill,
                workers_only=rng.random() < 0.5,
                after_s=rng.choice((0.0, 0.01, 0.03, 0.06, 0.1)),
            )
        elif hasattr(scenario, "strike"):
            strike.act = scenario.strike


def _belongs(tag: Any, kind: Any, request: Any) -> Any:
    """Tell whether a request to a storage or the transfer service is of a run, and of a kind."""
    if kind == "lost":  # the service knows nothing of any job: the others' come back as well
        return request.method == "GET" and request.path.startswith("/jobs/")
    if kind == "half" and request.path.startswith("/jobs"):
        # Not of a submission: Rucio then takes two hours before it submits again.
        return request.method == "GET"
    if kind == "wrong-digest":
        return request.method == "HEAD" and tag in request.path.encode()
    if kind == "spoiled-request":
        return request.method == "PUT" and tag in request.path.encode()
    return tag in request.path.encode() or tag in request.body
