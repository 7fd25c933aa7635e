"""Replicas as Rucio would list them."""

from __future__ import annotations

from stac_policy.naming import DID


class Replicas:
    """Lists replicas as Rucio's client does, of which the modifier needs no more."""

    def __init__(self, pfns):
        """Take the PFNs by DID and RSE."""
        self.pfns = pfns
        self.asked = []

    def list_replicas(self, dids, **_):
        """List the replicas of the DIDs that are known."""
        self.asked.append(len(dids))
        for did in (DID(**each) for each in dids):
            if did in self.pfns:
                yield {
                    **did._asdict(),
                    "bytes": 1,
                    "adler32": None,
                    "md5": None,
                    "rses": self.pfns[did],
                    "states": dict.fromkeys(self.pfns[did], "AVAILABLE"),
                }
