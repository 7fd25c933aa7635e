"""One of several parts of all items, for one of several clients."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from stac_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

_TEXT = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True)
class Partition:
    """A part of items; each item is in one of the parts, whoever asks."""

    number: int = 1
    """Which part, from 1."""
    count: int = 1
    """How many parts there are."""
    is_taken: bool = False
    """Whether the items are those of this part already."""

    @classmethod
    def of(cls, text: str | Partition | None) -> Partition:
        """Return the part that a text names: `3/16` is the third of sixteen.

        Raises:
            ConfigurationError: It names none.
        """
        if isinstance(text, cls):
            return text
        if text is None:
            return cls()
        found = _TEXT.fullmatch(text) if isinstance(text, str) else None
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            said = f"partition {text!r} is no part of a whole; the third of sixteen is 3/16"
            raise ConfigurationError(said, hint="the first is 1/16, the last 16/16")
        return cls(number, count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def __bool__(self) -> bool:
        """Whether it is not the whole."""
        return self.count > 1

    def take(self, items: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Return those of items that are in this part, by their ids.

        Not by their collections: of who names none, a server has to be asked.
        """
        if self.count == 1 or self.is_taken:
            return iter(items)
        return (item for item in items if self._has(item))

    def _has(self, item: dict[str, Any]) -> bool:
        name = str(item.get("id")).encode(errors="surrogatepass")
        return int.from_bytes(blake2b(name, digest_size=8).digest(), "big") % self.count == (
            self.number - 1
        )

    def numbers(self, count: int) -> range | None:
        """Return which of some row groups, from 0, are this part; None if they are too few."""
        return range(self.number - 1, count, self.count) if count >= self.count else None

    def interval(self, begin: datetime, end: datetime) -> tuple[datetime, datetime]:
        """Return this part of an interval of time."""
        length = end - begin
        return (
            begin + length * (self.number - 1) / self.count,
            begin + length * self.number / self.count,
        )
