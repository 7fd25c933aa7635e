"""What a registration would do, before anything is written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from stac_client._buckets import Buckets
from stac_client._in_rucio import Look, compare, is_outdated, kept
from stac_client._items import iter_items
from stac_client._lookup import Probe, asked_by_head, sized
from stac_client._registration import selector
from stac_client._rucio import batched
from stac_client._selection import Wanted
from stac_client._tables import Shown, counted
from stac_policy.access import Kind
from stac_policy.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from stac_client._assets import Asset
    from stac_client._items import ItemDict, ItemsLike
    from stac_client._results import Outcome
    from stac_client._rucio import Rucio
    from stac_client._selection import AssetSelection
    from stac_client._tables import Part
    from stac_policy.naming import DID


_EXAMPLES = 3


@dataclass(repr=False)
class Plan(Shown):
    """What a registration would do; its size does not grow with the number of items."""

    items: int = 0
    files: int = 0
    """Assets that can be registered."""
    size_bytes: int = 0
    """Their size, as far as the items say."""
    files_without_size: int = 0
    """New files without size."""
    files_without_checksum: int = 0
    """New files without adler32, where that is looked for; else without any that Rucio takes."""
    looked_up: bool = True
    """Whether registration will look for what is missing of these."""
    files_without_md5: int = 0
    """Files that nobody will read to learn it."""
    verified_by_md5: list[str] = field(default_factory=list)
    """RSEs where nothing is verified of those."""
    hosts: Counter[str] = field(default_factory=Counter)
    """Files by the host they lie on."""
    access: Counter[str] = field(default_factory=Counter)
    """Files by their class of access."""
    no_head: dict[str, str] = field(default_factory=dict)
    """Why FTS, which asks by HEAD, would not get a file that was tried, by its host."""
    paid_bytes: int = 0
    """Size of those whose requester pays, as far as the items say."""
    already_there: int = 0
    """Files that the RSE has already."""
    files_outdated: int = 0
    """Of these, files whose items were updated since and say no size: their origins are asked."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Assets that cannot be registered, by reason."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """The first few assets that are rejected for each reason."""

    def _parts(self) -> tuple[Part, ...]:
        """How much it is, the hosts, and the reasons for which assets are rejected."""
        unknown = counted(self.files_without_size, "size")
        unknown += f", {counted(self.files_without_checksum, 'checksum')}"
        of_md5 = (
            f" Not verified at {', '.join(self.verified_by_md5)}: {self.files_without_md5:,} files"
        )
        of_md5 += " without md5."
        missing = "To be looked up" if self.looked_up else "Not known, nor looked up"
        updated = f", {self.files_outdated:,} updated since" if self.files_outdated else ""
        files = counted(self.files, "file")
        return (
            f"{counted(self.items, 'item')}, {files}, {decimal(self.size_bytes)}",
            f"Already there: {counted(self.already_there, 'file')}{updated}. {missing}: {unknown}."
            + (of_md5 if self.verified_by_md5 and self.files_without_md5 else ""),
            *self._payment(),
            *(f"FTS asks by HEAD, and would not get {why}." for why in self.no_head.values()),
            [{"host": host, "files": count} for host, count in self.hosts.most_common()],
            [{"access": kind, "files": count} for kind, count in self.access.most_common()],
            [
                {
                    "rejected": count,
                    "because": reason,
                    "such as": next(iter(self.examples.get(reason, ())), None),
                }
                for reason, count in self.rejected.most_common()
            ],
        )

    def _payment(self) -> Iterator[str]:
        """Who pays for how much, if anybody does."""
        if count := self.access[Kind.REQUESTER_PAYS.value]:
            yield (
                f"Who asks for {count:,} files, {decimal(self.paid_bytes)} or more, pays for each "
                "time: your AWS account for look-ups and downloads (--pays, pays=True), that of "
                "the gateway for transfers."
            )

    def __add__(self, other: Plan) -> Plan:
        """Return the plan of two parts of the items."""
        merged: dict[str, Any] = {
            name: value + getattr(other, name)
            for name, value in vars(self).items()
            if isinstance(value, (int, Counter)) and not isinstance(value, bool)
        }
        looked_up = self.looked_up and other.looked_up
        examples = {
            reason: [*self.examples.get(reason, ()), *other.examples.get(reason, ())][:_EXAMPLES]
            for reason in {**self.examples, **other.examples}
        }
        by_md5 = sorted({*self.verified_by_md5, *other.verified_by_md5})
        return Plan(
            **merged,
            looked_up=looked_up,
            examples=examples,
            verified_by_md5=by_md5,
            no_head={**self.no_head, **other.no_head},
        )

    def reject(self, outcome: Outcome) -> None:
        """Count an asset that cannot be registered."""
        self.rejected[outcome.reason] += 1
        examples = self.examples.setdefault(outcome.reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(f"{outcome.collection}/{outcome.item} asset {outcome.key}")

    def add(self, assets: list[Asset], there: Collection[DID]) -> None:
        """Count assets that can be registered, or are there already."""
        self.files += len(assets)
        self.hosts.update(map(_host, assets))
        for kind, count in Counter(asset.access.kind for asset in assets).items():
            self.access[kind.value] += count
        self.size_bytes += sum(asset.size_bytes or 0 for asset in assets)
        self.paid_bytes += sum(
            asset.size_bytes or 0 for asset in assets if asset.access.kind is Kind.REQUESTER_PAYS
        )
        new = [asset for asset in assets if asset.did not in there]
        self.already_there += len(assets) - len(new)
        self.files_without_size += sum(asset.size_bytes is None for asset in new)
        self.files_without_checksum += sum(
            asset.checksums.adler32 is None if self.looked_up else not asset.checksums
            for asset in new
        )
        complete = [asset for asset in assets if asset.is_complete]
        self.files_without_md5 += sum(not asset.checksums.md5 for asset in complete)


def _host(asset: Asset) -> str:
    """What urlsplit would find in a URL that can be registered, for less."""
    return asset.url.split("/", 3)[2].partition("?")[0]


def make_plan(
    rucio: Rucio,
    items: ItemsLike,
    rse: str,
    assets: AssetSelection,
    scope: str | None,
    *,
    probe: Probe,
    alternate_assets: Sequence[str] = (),
    check: bool = False,
    is_part: bool = False,
) -> Plan:
    """Look at all items, and ask Rucio what it has of them, once for each 1,000 assets.

    Raises:
        StacRucioError: There is no such RSE, or Rucio or the STAC API cannot be reached.
    """
    select, permits = selector(
        *(rucio, "planning a registration", rse, assets, scope),
        alternate_assets=alternate_assets,
        buckets=Buckets() if check else None,
    )
    plan = Plan(looked_up=probe is not Probe.ITEM)
    keys = Wanted(assets, alternate_assets=alternate_assets, is_part=is_part)
    look = Look(rucio, rse)
    asked: set[str] = set()
    for batch in batched(_registrable(keys.of(iter_items(items)), plan, select)):
        found = look.known(batch)
        files, there = found.files, found.at_rse
        same = [*kept(compare(batch, found, rse), plan.reject)]
        new = kept(permits.require(asset for asset in same if asset.did not in there), plan.reject)
        if not plan.looked_up:
            new = kept((sized(asset, probe) for asset in new), plan.reject)
        known = [asset for asset in same if asset.did in there]
        plan.files_outdated += sum(is_outdated(asset, files[asset.did]) for asset in known)
        taken = [*known, *new]
        plan.add(taken, there)
        for asset in taken if check else ():
            if asset.access.kind is Kind.OPEN and (host := _host(asset)) not in asked:
                asked.add(host)
                if reason := asked_by_head(asset.url)[1]:
                    plan.no_head[host] = f"{redact(asset.url)}: {reason}"
    for missing in keys.missing():
        plan.reject(missing)
    if plan.files_without_md5:
        plan.verified_by_md5 = rucio.verified_by_md5()
    return plan


def _registrable(
    items: Iterable[ItemDict], plan: Plan, select: Callable[[ItemDict], list[Asset | Outcome]]
) -> Iterator[Asset]:
    for item in items:
        plan.items += 1
        yield from kept(select(item), plan.reject)
