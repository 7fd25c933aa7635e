"""Over a hundred thousand hostile cases, from a seed."""

from __future__ import annotations

import pytest

from stac_policy.settings import settings
from tests.policy.support import configured

from . import targets_of_client, targets_of_policy  # noqa: F401 - fill TARGETS
from .campaign import TARGETS, run, total


@pytest.mark.parametrize("tried", TARGETS, ids=lambda target: target.name)
def test_hostile(tried, count):
    """Each case ends in time, with a documented error at most, and tells no secret."""
    with configured(scopes="user.alice"):
        settings()
        count(run(tried))


def test_there_are_enough():
    """A hundred thousand cases and more are tried."""
    assert total(TARGETS) >= 100_000
