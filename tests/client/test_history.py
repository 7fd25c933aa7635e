"""How rules come along over time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import count

import pytest

from stac_client._history import History, Moment

from .test_tables import rule

BEGIN = datetime(2025, 6, 1, tzinfo=timezone.utc)


@pytest.fixture
def history():
    """A history for which a minute goes by each time that Rucio is asked."""
    minutes = count()
    return History(now=lambda: at(next(minutes)))


@pytest.fixture(autouse=True)
def _figures_are_closed():
    """Draw for no screen, and leave no figure open."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    yield
    plt.close("all")


def at(minute: int) -> datetime:
    """A time."""
    return BEGIN + timedelta(minutes=minute)


def test_rules_are_counted_together(history):
    """A moment has the copies of all rules, by state."""
    history([rule("STUCK", 1, 2, 3), rule("OK", 4, 0)])
    assert history.moments == [Moment(BEGIN, 5, 2, 3)]


def test_a_standstill_takes_no_space(history):
    """Of moments that are equal the first and the last are kept, so that none is invented."""
    for ok in [0, 0, 0, 0, 1, 1, 2, 2, 2, 0]:
        history([rule("REPLICATING", ok, 2 - ok)])
    minutes = [
        (moment.ok, (moment.time - BEGIN) // timedelta(minutes=1)) for moment in history.moments
    ]
    assert minutes == [(0, 0), (0, 3), (1, 4), (1, 5), (2, 6), (2, 8), (0, 9)]


def test_the_time_is_known(history):
    """By default a moment has the time of now, in UTC."""
    before = datetime.now(timezone.utc)
    history = History()
    history([rule("OK", 1, 0)])
    assert before <= history.moments[0].time <= datetime.now(timezone.utc)


def test_plot(history):
    """The figure has a layer for each state, which are as high as all copies together."""
    for ok in range(5):
        history([rule("STUCK" if ok < 4 else "OK", ok, 3 - min(ok, 3), 1 if ok < 4 else 0)])
    axes = history.plot()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "there",
        "on their way",
        "stuck",
    ]
    assert axes.get_ylim() == (0, 4)
    tops = [layer.get_paths()[0].get_extents().y1 for layer in axes.collections]
    assert tops == [4, 4, 4]
    axes.figure.canvas.draw()


def test_plot_of_nothing(history):
    """A history without a moment is drawn as empty axes."""
    axes = history.plot()
    axes.figure.canvas.draw()


def test_plot_into_other_axes(history):
    """The figure may be the user's own."""
    import matplotlib.pyplot as plt

    history([rule("OK", 1, 0)])
    _, (axes, _) = plt.subplots(2)
    assert history.plot(ax=axes) is axes
