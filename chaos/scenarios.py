"""The scenarios in this process: what is done twice, first with a fault and then without one."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any

import pystac_client

from stac_client import StacRucioError

from . import data
from .check import (
    FILES_THERE,
    Wrong,
    check_folder,
    check_outcomes,
    check_rucio,
    check_storage,
    require_all,
)
from .lake import PREFIX, RSES
from .scenario import Scenario

if TYPE_CHECKING:
    from stac_client import Outcome, Registration, ReplicationRules

_OK_S = 300.0


class Register(Scenario):
    """Registration of items that lack sizes, checksums, or nothing."""

    def prepare(self) -> None:
        """Make items, and the client."""
        self.own_items()
        self.stac = self.client()

    def act(self) -> Registration:
        """Register."""
        return self.stac.create_replicas(self.items, "STAC")

    def check(self, result: Any, *, whole: Any) -> None:
        """Compare Rucio with the outcomes."""
        there = check_rucio(self.bed.rucio, self.plan.tag, self.truths)
        if result is not None:
            check_outcomes(self.outcomes(result), self.truths, there, whole=whole)
        if whole:
            require_all(there, self.truths)


class Sync(Scenario):
    """Sync of a search that has several pages."""

    def prepare(self) -> None:
        """Make the client; the items are the lake's own, in a scope of the run's own."""
        self.add_scope()
        wanted = self.run.lake_items("alpine-optical")
        folders = self.run.origin_folders()
        self.truths = data.truths_of(wanted, self.plan.tag, folders)
        self.stac = self.client(self.plan.tag)
        self.seen: list[Outcome] = []

    def act(self) -> list[Outcome]:
        """Search and sync; what was told before an error counts."""
        self.seen = []
        try:
            search = pystac_client.Client.open(self.run.api.url).search(
                collections=["alpine-optical"], limit=3
            )
        except Exception as error:  # pystac-client's own
            raise StacRucioError(str(error)) from error
        journal = self.run.folder / "journal"
        for outcome in self.stac.sync(search, "STAC", journal, probe="item"):
            self.seen.append(outcome)
        return self.seen

    def check(self, result: Any, *, whole: Any) -> None:
        """Compare Rucio with the outcomes."""
        there = check_rucio(self.bed.rucio, self.plan.tag, self.truths)
        every = result is not None and not whole
        check_outcomes(self.outcomes(self.seen), self.truths, there, whole=whole, every=every)
        if whole:
            require_all(there, self.truths)

    def complete(self) -> None:
        """The second run registers all the rest; a third one has nothing to do."""
        super().complete()
        if again := self.act():
            raise Wrong(f"a third sync did something: {again}")


class Replicate(Scenario):
    """A rule over registered files, to an RSE behind a proxy."""

    def prepare(self) -> None:
        """Register."""
        self.registered()
        self.rse = self.rng.choice([*RSES])
        self.stac = self.client()
        self.timeout_s = 6.0

    def act(self) -> ReplicationRules:
        """Make the rule and follow it."""
        rules = self.stac.create_replication_rules(self.items, self.rse)
        return self.stac.wait(rules, timeout_s=self.timeout_s, poll_s=0.5, through_stuck=True)

    def check(self, result: Any, *, whole: Any) -> None:
        """Compare Rucio with the storage."""
        scope, rucio = self.plan.tag, self.bed.rucio
        require_all(check_rucio(rucio, scope, self.truths), self.truths)
        there = check_storage(
            rucio, scope, self.truths, self.rse, self.bed.storage(self.rse), whole=whole
        )
        if result is None:
            return
        (rule,) = result
        if rule.state == "OK" and there != set(self.truths):
            raise Wrong(f"the rule is OK, but of {len(self.truths)} files {len(there)} are there")
        if whole and rule.state != "OK":
            rows = self.stac.rule_status([rule])
            raise Wrong(f"the rule is still {rule.state}: {rule.error} {rows}")

    def complete(self) -> None:
        """The rule is fulfilled; there is but one."""
        self.timeout_s = _OK_S
        super().complete()
        rules = [*self.bed.lake.client().list_replication_rules({"scope": self.plan.tag})]
        if len(rules) != 1:
            raise Wrong(f"{len(rules)} rules instead of one")


class Download(Scenario):
    """Download from an origin, and in half of the runs from a copy as well."""

    def prepare(self) -> None:
        """Register, and put copies where they belong."""
        self.registered()
        self.stac = self.client()
        self.folder = self.run.folder / "files"
        if self.plan.target == "storage" or (
            self.plan.target != "origin" and self.rng.random() < 0.5
        ):
            self.copy_to("FAULTY-B")

    def copy_to(self, rse: str) -> None:
        """Make copies as a transfer would have."""
        files = [
            {
                "scope": self.plan.tag,
                "name": truth.name,
                "bytes": len(truth.content),
                "adler32": truth.adler32,
            }
            for truth in self.truths.values()
        ]
        self.bed.lake.client().add_replicas(rse, files)
        for name, entry in self.bed.rucio.replicas(self.plan.tag, [*self.truths]).items():
            (pfn,) = entry["rses"][rse]
            path = self.bed.storage(rse) / urllib.parse.urlsplit(pfn).path[1:]
            assert f"/{path.relative_to(self.bed.storage(rse))}".startswith(PREFIX)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.truths[name].content)

    def act(self) -> Any:
        """Download."""
        return self.stac.download(self.items, self.folder)

    def check(self, result: Any, *, whole: Any) -> None:
        """Compare the folder with the outcomes."""
        there = check_folder(self.folder, self.truths, whole=whole)
        if result is not None:
            outcomes = self.outcomes(result)
            check_outcomes(outcomes, self.truths, there, FILES_THERE, whole=whole)
            if whole and result.catalogue_problems:
                raise Wrong(f"the catalogue: {result.catalogue_problems}")
        require_all(check_rucio(self.bed.rucio, self.plan.tag, self.truths), self.truths)


SCENARIOS = {
    "register": Register,
    "sync": Sync,
    "replicate": Replicate,
    "download": Download,
}
