"""Changes to a Rucio server: first shown, then sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stac_client.errors import rucio_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rucio.client import Client


@dataclass(frozen=True)
class Change:
    """One request that changes something, with what it does in words."""

    text: str
    """As in "add scope sentinel-2-l2a for account root"."""
    method: str = field(repr=False)
    """The method of Rucio's client."""
    arguments: tuple[Any, ...] = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return self.text

    def apply(self, client: Client) -> None:
        """Send it.

        Raises:
            StacRucioError: The account may not, something is there by now, or Rucio
                can not be reached; the message names the change.
        """
        with rucio_errors(self.text):
            getattr(client, self.method)(*self.arguments, **self.options)


@dataclass(frozen=True)
class Setup:
    """What has to change on a Rucio server."""

    changes: list[Change]
    """In the order in which they must be made; none if all is as it should be."""
    notes: list[str]
    """What was found and is left as it is, each in a sentence."""

    def apply(self, client: Client) -> Iterator[Change]:
        """Make the changes one by one, and give each as soon as it has been made.

        Whatever stops it, a new plan has what is left.

        Raises:
            StacRucioError: A change was refused.
        """
        for change in self.changes:
            change.apply(client)
            yield change
