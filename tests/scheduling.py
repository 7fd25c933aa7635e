"""The order of a parallel run: files that share a lake go to few processes, and go first.

Tests on a lake wait for its daemons more than they compute, so that a run has more processes
than the machine has processors; but each lake costs its start and its idle daemons, and so only
some of the processes get any file that needs one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

LAKES = 2
"""How many processes start a lake for their session."""

ON_A_LAKE = (
    "tests/access/",
    "tests/cli/",
    "tests/lake/",
    "tests/production/",
    "tests/serving/test_lake.py",
    "tests/tools/",
)
"""Files on the lake of the session; one that is missing here costs another lake, nothing else."""

LONG = (
    "tests/benchmarks/test_benchmarks.py",
    "tests/testbed/test_lake.py",
    "tests/docs/",
    "tests/examples/",
    "tests/hostile/test_campaign.py",
    "tests/testbed/test_parents.py",
    "tests/policy/test_multi_vo.py",
)
"""Files that take long with few tests: whatever begins last, a run waits for."""


class LakesFirst(LoadFileScheduling):  # type: ignore[misc]  # xdist is not typed
    """Gives each process the next file that is for it."""

    def _reschedule(self, node: WorkerController) -> None:
        if self.workqueue and self._next_for(node) is None:
            node.shutdown()
        else:
            super()._reschedule(node)

    def _assign_work_unit(self, node: WorkerController) -> None:
        file = self._next_for(node)
        if file is None:
            node.shutdown()
        else:
            self.workqueue.move_to_end(file, last=False)
            super()._assign_work_unit(node)

    def _next_for(self, node: WorkerController) -> str | None:
        """The file to run next: one on a lake where there is a lake, then a long one, then any."""
        on_a_lake: list[str] = [file for file in self.workqueue if file.startswith(ON_A_LAKE)]
        if on_a_lake and node in self.nodes[:LAKES]:
            return on_a_lake[0]
        others: list[str] = [file for file in self.workqueue if not file.startswith(ON_A_LAKE)]
        return min(others, key=lambda file: not file.startswith(LONG), default=None)
