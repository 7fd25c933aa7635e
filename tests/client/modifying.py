"""For tests of the modifier: a Rucio that does as it is told, a clock, pages."""

from __future__ import annotations

import threading

from rucio.common.exception import InvalidRSEExpression

from tests.items import HREF, make_item

COPY = "https://disk.example.org/c/i/x.tif"


class Server:
    """A Rucio that answers, fails or hangs as it is told; copies of it are the same."""

    def __init__(self):
        self.state = {"error": None, "entries": None}
        self.hang = threading.Event()
        self.hang.set()
        self.requests = []
        self.timeout = 600

    def __copy__(self):
        other = Server()
        vars(other).update(vars(self))
        return other

    def list_replicas(self, dids, **_):
        """Answer as told."""
        self.requests.append(len(dids))
        assert self.hang.wait(10)
        if self.state["error"]:
            raise self.state["error"]
        if self.state["entries"] is not None:
            return iter(self.state["entries"])
        rses = {"STAC": [HREF], "DISK": [COPY]}
        return iter([{**did, "bytes": 1, "rses": rses} for did in dids])

    def list_rses(self, expression):
        """Answer with one RSE, with none, or with an error."""
        self.requests.append(expression)
        if expression == "tier=none":
            raise InvalidRSEExpression("RSE Expression resulted in an empty set.")
        if expression == "((":
            raise InvalidRSEExpression("Problem with parentheses.")
        return iter([{"rse": "DISK"}])


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        """Give the time."""
        return self.now_s


def page(number=0, assets=1):
    """A page of one item."""
    found = {f"a{each}": {"href": HREF} for each in range(assets)}
    return {"type": "FeatureCollection", "features": [make_item("c", f"i{number}", found)]}


def is_modified(found):
    """Whether every asset of a page has its copies, or none has."""
    assets = [asset for each in found["features"] for asset in each["assets"].values()]
    modified = {"alternate" in asset for asset in assets}
    assert len(modified) == 1
    return modified.pop()
