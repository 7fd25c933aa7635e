"""Over a hundred thousand hostile cases, from a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stac_policy.settings import settings
from tests.policy.support import configured

from . import targets_of_client, targets_of_policy  # noqa: F401 - fill TARGETS
from .campaign import TARGETS, run, total

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.campaign import Target


@pytest.mark.parametrize("tried", TARGETS, ids=lambda target: target.name)
def test_hostile(tried: Target, count: Callable[..., Any]) -> None:
    """Each case ends in time, with a documented error at most, and tells no secret."""
    with configured(scopes="user.alice"):
        settings()
        count(run(tried))


def test_there_are_enough() -> None:
    """A hundred thousand cases and more are tried."""
    assert total(TARGETS) >= 100_000
