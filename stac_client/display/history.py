"""How rules came along over time, written down while they are followed.

history = History()
rucio.wait(rules, on_update=history)
history.plot()
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .extras import import_extra
from .figures import BLUE, GREEN, GREY, RED, add_legend, new_axes
from .table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stac_client.replication.rules import Rule


@dataclass(frozen=True)
class Moment:
    """How many copies were where, of all rules together."""

    time: datetime
    """In UTC."""
    ok: int
    """Copies that were there."""
    replicating: int
    """Copies on their way."""
    stuck: int


class History:
    """Writes down how rules come along; for `on_update` of `StacClient.wait`.

    It grows with what changes, not with how often Rucio is asked.
    """

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
        """Make one.

        Args:
            now: Gives the time.
        """
        self._now = now
        self._moments: list[Moment] = []

    def __call__(self, rules: Sequence[Rule]) -> None:
        """Write down how the rules are now."""
        latest = Moment(
            self._now(),
            ok=sum(rule.locks_ok for rule in rules),
            replicating=sum(rule.locks_replicating for rule in rules),
            stuck=sum(rule.locks_stuck for rule in rules),
        )
        unchanged = [replace(moment, time=latest.time) for moment in self._moments[-2:]]
        if unchanged == [latest, latest]:  # a standstill is its first and its last moment
            self._moments.pop()
        self._moments.append(latest)

    @property
    def moments(self) -> Table[Moment]:
        """What was written down, in its order."""
        return Table(self._moments)

    def plot(self, *, ax: Any = None) -> Any:
        """Draw the copies over time, by state.

        Args:
            ax: The axes of matplotlib to draw into; by default new ones.

        Returns:
            The axes.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        axes = new_axes(8, 2.8) if ax is None else ax
        layers = axes.stackplot(
            [moment.time for moment in self._moments],
            [moment.ok for moment in self._moments],
            [moment.replicating for moment in self._moments],
            [moment.stuck for moment in self._moments],
            labels=["there", "on their way", "stuck"],
            colors=[GREEN, BLUE, RED],
        )
        axes.set_ylabel("copies", color=GREY)
        axes.set_xlabel("UTC", color=GREY)
        axes.margins(0)
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.xaxis.set_major_formatter(_clock(axes.xaxis.get_major_locator()))
        axes.xaxis.get_offset_text().set_color(GREY)
        add_legend(axes, layers)
        return axes


def _clock(locator: Any) -> Any:
    return import_extra("matplotlib.dates").ConciseDateFormatter(locator, tz=timezone.utc)
