"""What all scenarios have in common."""

from __future__ import annotations

from typing import Any

from stac_client import StacClient

from . import data

# A slow machine may take long for what is right; what hangs is held for longer than this.
PATIENT_S = 120.0
IMPATIENT_S = 4.0


class Scenario:
    """Something that a user does, in a run."""

    def __init__(self, run: Any) -> None:
        """Prepare it, without any fault yet."""
        self.run = run
        self.plan, self.bed = run.plan, run.bed
        self.rng = run.plan.rng
        self.prepare()

    def prepare(self) -> None:
        """Make what is needed."""

    def act(self) -> Any:
        """Do it; under a fault it may raise a StacRucioError."""
        raise NotImplementedError

    def check(self, result: Any, *, whole: bool) -> Any:
        """Look at what `act` gave (or None if it raised), and at what is there now."""
        raise NotImplementedError

    def complete(self) -> None:
        """Do it again, without a fault."""
        self.check(self.act(), whole=True)

    def client(self, scope: Any = None) -> StacClient:
        """A StacClient through the run's proxy in front of Rucio."""
        timeout_s = IMPATIENT_S if self.plan.is_endless else PATIENT_S
        self.rucio = self.bed.client(self.run.rucio.url, timeout_s)
        return StacClient(self.rucio, scope=scope)

    def be_patient(self) -> None:
        """Leave the server the time that it needs while many runs share it."""
        self.rucio.timeout = PATIENT_S

    def own_items(self) -> None:
        """Items of the run's own, behind its proxy in front of an origin."""
        folder = self.bed.lake.layout.data("origin-a")
        verifiable = self.plan.kind in ("changed", "shorter")
        url = self.run.origin.url
        self.items, self.truths = data.make_items(
            folder, url, self.plan.tag, self.rng, verifiable=verifiable
        )
        self.add_scope()

    def add_scope(self) -> None:
        """Add the run's scope."""
        self.bed.lake.client().add_scope("root", self.plan.tag)

    def registered(self) -> None:
        """Register the run's items, before any fault."""
        self.own_items()
        StacClient(self.bed.lake.client()).create_replicas(self.items, "STAC").raise_for_failed()

    def outcomes(self, found: Any) -> list[Any]:
        """Outcomes as the check takes them."""
        return [(o.collection, o.item, o.key, o.state.value, o.reason) for o in found]
