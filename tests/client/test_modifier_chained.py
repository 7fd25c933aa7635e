"""Other modifiers before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stac_client import Modifier
from tests.items import HREF

from .modifying import COPY, page

if TYPE_CHECKING:
    from collections.abc import Callable


def sign(thing):
    """Append a signature to hrefs, as planetary_computer.sign_inplace does."""
    for feature in thing["features"]:
        for asset in feature["assets"].values():
            if "sig=" not in asset["href"]:
                asset["href"] += "?se=2030&sig=SECRET"


@pytest.mark.parametrize("prefer", [(), ("DISK",), ("STAC",)])
@pytest.mark.parametrize("order", ["before", "after", "both"])
def test_signed(server, prefer, order):
    """Signing before or after the modifier neither hides copies nor loses a URL."""
    modifier = Modifier(server, prefer=prefer)
    chain: dict[str, list[Callable[[Any], object]]] = {
        "before": [sign, modifier],
        "after": [modifier, sign],
        "both": [sign, modifier, sign],
    }
    found = page()
    for _ in range(2):
        for step in chain[order]:
            step(found)
        asset = found["features"][0]["assets"]["a0"]
        ways = [asset["href"], *(each["href"] for each in asset["alternate"].values())]
        assert {way.partition("?")[0] for way in ways} == {HREF, COPY}
        wanted = COPY if prefer == ("DISK",) else HREF
        assert asset["href"].partition("?")[0] == wanted
    assert server.asked == [1]
