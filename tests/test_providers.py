"""The table of providers in the documentation is that of the code."""

from __future__ import annotations

import pytest

from scripts.providers import PAGE, page


@pytest.mark.usefixtures("corpus")
def test_the_table_of_providers() -> None:
    """It is as the items of the corpus make it; if not, run `python -m scripts.providers`."""
    text = PAGE.read_text("utf-8")
    assert page(text) == text
    assert text.count("\n| planetary-computer |") == 1
