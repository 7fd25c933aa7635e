"""The one stand-in for Rucio's client, for tests and benchmarks that need no server."""

from __future__ import annotations

import threading
import zlib
from typing import TYPE_CHECKING, Any

from rucio.common.exception import InvalidRSEExpression, RSENotFound

from stac_policy.naming import DID, asset_name, collection_scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RED_HREF = "https://data.example.org/red.tif"


class FakeRucio:
    """Answers from what it was given; fails, hangs, or answers nonsense as it is told.

    All that is told to one is told to its copies, too, with which modifiers ask.
    """

    account = "root"
    host = "https://rucio.example.org/"

    def __init__(
        self,
        pfns: Mapping[DID, Mapping[str, Sequence[str]]] | None = None,
        everywhere: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Know these files.

        Args:
            pfns: PFNs by DID and RSE.
            everywhere: PFNs by RSE that every other file has, too.
        """
        self.files = {did: entry(did, rses) for did, rses in (pfns or {}).items()}
        self.everywhere = everywhere
        self.rses: dict[str, dict[str, Any]] = {}
        """Settings of RSEs that are not those of any disk; those named NO-… do not exist."""
        self.attributes: dict[str, dict[str, Any]] = {}
        """Attributes of RSEs."""
        self.distance_of: dict[tuple[str, str], int] = {}
        """Distances from an RSE to another one."""
        self.told: dict[str, Any] = {}
        """By the name of a method: an error to raise, or what to answer instead."""
        self.goes_on = threading.Event()
        """Cleared, listings wait for it."""
        self.goes_on.set()
        self.asked: list[int] = []
        """The number of DIDs of each listing."""
        self.asked_schemes: list[Sequence[str]] = []
        """The schemes of each listing."""
        self.asked_rses: list[str] = []
        """The RSEs and expressions that were asked for."""
        self.timeout = 600

    def add(
        self,
        body: bytes,
        pfns: Mapping[str, str],
        item_id: str = "i",
        key: str = "red",
        *,
        collection: str = "alps",
        href: str = RED_HREF,
        **changed: Any,
    ) -> None:
        """Add a file with this content and these PFNs by RSE; `changed` is what Rucio says."""
        did = DID(collection_scope(collection), asset_name(collection, item_id, key, href))
        self.files[did] = {
            **entry(did, {rse: [pfn] for rse, pfn in pfns.items()}),
            "bytes": len(body),
            "adler32": f"{zlib.adler32(body):08x}",
            **changed,
        }

    def list_replicas(self, dids: Sequence[Mapping[str, str]], **options: Any) -> Iterator[Any]:
        """List the replicas of the files that are known."""
        self.asked.append(len(dids))
        self.asked_schemes.append(options.get("schemes", ()))
        assert self.goes_on.wait(10)
        if "list_replicas" in self.told:
            return iter(self._told("list_replicas"))
        if self.everywhere:
            return iter([entry(DID(**did), self.everywhere) for did in dids])
        return (self.files[DID(**did)] for did in dids if DID(**did) in self.files)

    def get_rse(self, rse: str) -> dict[str, Any]:
        """Return the settings of an RSE."""
        self.asked_rses.append(rse)
        if "get_rse" in self.told:
            self._told("get_rse")
        if rse.startswith("NO-"):
            raise RSENotFound(rse)
        pfns = [pfn for file in self.files.values() for pfn in file["rses"].get(rse, ())]
        schemes = {"https", *(pfn.partition("://")[0] for pfn in pfns)}
        return {
            "rse": rse,
            "id": "x",
            "rse_type": "DISK",
            "deterministic": True,
            "availability_read": True,
            "protocols": [
                {"scheme": scheme, "impl": "stac_policy.protocol.Default"}
                for scheme in sorted(schemes)
            ],
        } | self.rses.get(rse, {})

    def list_rse_attributes(self, rse: str) -> dict[str, Any]:
        """Return the attributes of an RSE."""
        return {rse: True, **self.attributes.get(rse, {})}

    def list_scopes(self) -> list[str]:
        """List the scopes, which are those of the files and some more."""
        return [*dict.fromkeys([*(did.scope for did in self.files), "user.alice", "other"])]

    def get_distance(self, source: str, destination: str) -> list[dict[str, int]]:
        """Return the distance, if there is one."""
        found = self.distance_of.get((source, destination))
        return [] if found is None else [{"distance": found}]

    def list_rses(self, expression: str) -> Iterator[dict[str, str]]:
        """List the RSEs with an attribute."""
        self.asked_rses.append(expression)
        if "list_rses" in self.told:
            return iter(self._told("list_rses"))
        if "((" in expression:
            raise InvalidRSEExpression("Problem with parentheses.")
        held = {rse for file in self.files.values() for rse in file["rses"]}
        found = [
            {"rse": rse}
            for rse in sorted({*self.attributes, *self.rses, *(self.everywhere or ()), *held})
            if expression == "*"
            or expression
            in {f"{key}={value}" for key, value in self.attributes.get(rse, {}).items()}
        ]
        if not found:
            raise InvalidRSEExpression("RSE Expression resulted in an empty set.")
        return iter(found)

    def _told(self, method: str) -> Any:
        if isinstance(self.told[method], Exception):
            raise self.told[method]
        return self.told[method]


def entry(did: DID, pfns: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return what Rucio lists of a file with these PFNs by RSE."""
    return {
        **did._asdict(),
        "bytes": 1,
        "adler32": None,
        "md5": None,
        "rses": pfns,
        "states": dict.fromkeys(pfns, "AVAILABLE"),
    }
