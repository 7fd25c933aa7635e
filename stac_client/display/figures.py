"""What all our figures have in common: they can be read on light and on dark pages."""

from __future__ import annotations

from typing import Any

from .extras import import_extra

# Told apart with every kind of colour vision, on white and on black (Okabe and Ito).
GREEN, BLUE, RED = "#009E73", "#56B4E9", "#D55E00"
COLOURS = (GREEN, BLUE, "#E69F00", "#CC79A7", "#0072B2", RED, "#B8A900")
GREY = "#808080"
# A shade darker: where all ticks are light, or none is, notebooks lay a background of
# the opposite under a transparent figure, which is then a block on the other theme.
_DARKER_GREY = "#7F7F7F"


def new_axes(width: float, height: float) -> Any:
    """Make the axes of a new figure of matplotlib.

    Args:
        width: Of the figure, in inches.
        height: Of the figure, in inches.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    pyplot = import_extra("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    axes.tick_params(axis="x", colors=GREY)
    axes.tick_params(axis="y", colors=_DARKER_GREY)
    for edge, spine in axes.spines.items():
        spine.set_color(GREY)
        spine.set_visible(edge in {"left", "bottom"})
    return axes


def add_legend(axes: Any, handles: Any) -> None:
    """Put a legend beside axes, where it hides nothing."""
    axes.legend(
        handles=handles, labelcolor=GREY, frameon=False, loc="upper left", bbox_to_anchor=(1, 1)
    )
