"""Clocks of single modules."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


def own_time(monkeypatch: pytest.MonkeyPatch, module: str, **functions: Any) -> None:
    """Replace the `time` of one module by one with functions of its own.

    The real one is everybody's: a server of other tests, in a thread of this process, would wait
    for ever on a clock that has jumped.
    """
    monkeypatch.setattr(f"{module}.time", SimpleNamespace(**{**vars(time), **functions}))
