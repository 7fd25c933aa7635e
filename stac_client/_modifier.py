"""The modifier for pystac-client: every available replica in every asset that it returns.

pystac_client.Client.open(url, modifier=StacClient().modifier)
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

import pystac

from stac_client._alternates import (
    AssetReplicas,
    ItemView,
    all_hrefs,
    find_assets,
    item_views,
    make_edits,
)
from stac_client._checksums import Description
from stac_client._item_completion import Completion
from stac_client._items import iter_items
from stac_client._public_urls import is_public, location
from stac_client._replica_source import (
    SITE,
    ReplicaSource,
    beginnings,
    difference,
    is_source_rse,
    rank,
    site_expression,
    storage_scheme,
)
from stac_client._replicas import NEAREST, Selector, is_expression
from stac_client._rucio import Rucio
from stac_client.errors import ConfigurationError, StacRucioError, near
from stac_policy.urls import absolute, link_href, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rucio.client import Client
    from typing_extensions import Never

    from stac_client._alternates import AssetView
    from stac_client._items import ItemsLike
    from stac_client._replicas import (
        Choice,
        Prefer,
        Preference,
        Prefixes,
        Replica,
        Resolved,
        RSEs,
    )
    from stac_client._rucio import RucioFile
    from stac_policy.naming import DID

Modifiable = pystac.STACObject | pystac.ItemCollection | MutableMapping[str, Any]
"""What pystac-client hands to a modifier: objects of pystac, items and pages as dicts."""

_KEPT: Any = type("Kept", (), {"__repr__": lambda _: "KEPT"})()
"""For an option that stays as it is."""
_NOTHING: Any = None


# Why a modifier chose a replica, for people to read.


@dataclass(frozen=True)
class Candidate:
    """A replica of an asset, and what the options say to it."""

    key: str
    """Its key among the alternates: the RSE, with the scheme where the RSE has several."""
    rse: str
    href: str
    allowed: bool
    """Whether `only` and `exclude` let it through."""
    chosen: bool

    def __str__(self) -> str:
        mark = "*" if self.chosen else " "
        why = "" if self.allowed else "  (left out by only or exclude)"
        return f"{mark} {self.key}  {redact(self.href)}{why}"


@dataclass(frozen=True)
class Explanation:
    """What a modifier does to an asset, and why."""

    item: str
    asset: str
    did: DID | None
    """The file in Rucio; none where Rucio knows none."""
    candidates: tuple[Candidate, ...]
    """Its available replicas, by each URL."""
    chosen: Candidate | None
    """The one that becomes the `href`; if there is none, the `href` stays."""
    reason: str

    def __str__(self) -> str:
        did = "" if self.did is None else f" ({self.did})"
        lines = [f"{self.item}/{self.asset}{did}: {self.reason}", *map(str, self.candidates)]
        return "\n  ".join(lines)


def _explain(
    asset: AssetView, found: AssetReplicas | None, prefer: Sequence[Preference]
) -> Explanation:
    item = str(asset.item.id)
    if found is None:
        reason = "the href stays, because Rucio does not know the asset"
        return Explanation(item, asset.key, None, (), None, reason)
    chosen = found.choice.replica if found.choice else None
    candidates = {
        each: Candidate(each.key, each.rse, each.url, each.rse in found.shown, each == chosen)
        for each in found.replicas.values()
    }
    if found.choice:
        reason = f"{found.choice.replica.key} becomes the href, because {_because(found.choice)}"
    elif found.difference:
        reason = f"the href stays, because {found.difference}"
    elif not candidates:
        reason = "the href stays, because no replica is available"
    elif not found.shown:
        reason = "the href stays, because only and exclude leave no replica"
    elif not prefer:
        reason = "the href stays, because nothing is preferred"
    else:
        wanted = ", ".join(map(_text, prefer))
        reason = f"the href stays, because no replica is at any that is preferred: {wanted}"
    shown = tuple(candidates.values())
    picked = candidates[chosen] if chosen else None
    return Explanation(item, asset.key, found.did, shown, picked, reason)


def _because(choice: Choice) -> str:
    text = _text(choice.preference)
    if callable(choice.preference):
        return f"{text} chose it"
    if is_expression(text):
        return f"its RSE is the first by name that {text} gives"
    if text == NEAREST:
        return "it is the nearest"
    whose = "" if text == choice.replica.rse else "its scheme "
    return f"{whose}{text} is preferred"


def _text(preference: Preference) -> str:
    if isinstance(preference, str):
        return preference
    return f"the function {getattr(preference, '__name__', type(preference).__name__)}"


# The modifier and its options.


@dataclass(frozen=True)
class ModifierOptions:
    """The options of a modifier; `Modifier.with_options` says what they do.

    Raises:
        ConfigurationError: An option does not fit.
    """

    prefer: Prefer = ()
    only: RSEs = ()
    exclude: RSEs = ()
    mounts: Prefixes | None = None
    protocols: bool = False
    storage: bool = False
    strict: bool = False
    site: str | None = None
    timeout_s: float | None = 30.0
    cache_s: float = 30.0

    def __post_init__(self) -> None:
        if self.timeout_s is not None and not (_is_number(self.timeout_s) and self.timeout_s > 0):
            raise ConfigurationError(f"timeout_s is {self.timeout_s!r}, neither seconds nor None")
        if not (_is_number(self.cache_s) and self.cache_s >= 0):
            raise ConfigurationError(f"cache_s is {self.cache_s!r}, but must be seconds, or 0")
        if self.selector.needs_site or self.site:  # which also checks the others
            site_expression(self.site)

    @cached_property
    def selector(self) -> Selector:
        """What selects replicas by these options."""
        return Selector(self.prefer, self.only, self.exclude, self.mounts)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


class AlternatesWarning(UserWarning):
    """Items, or some of their assets, are as the catalogue gave them.

    Rucio could not be asked for replicas, or those that it has are of other bytes, or the options
    name what is no RSE, or storages that no RSE has.
    """


class Modifier:
    """Adds replicas to the items that pystac-client returns, in place.

    It takes what pystac-client hands to a modifier (a page, an item as object or
    dict, an item collection, a collection), and lists of these, and leaves alone
    what holds no items. It asks Rucio once for each 1,000 assets, and not again for
    those that it has just asked for. Calling it twice changes nothing more. It may
    be called from many threads, pickled and copied; then, as in other processes, it
    remembers afresh.

    Examples:
        >>> Client.open(url, modifier=stac.modifier)
        >>> Client.open(url, modifier=stac.modifier.with_options(prefer=["DISK-A", "tier=disk"]))
    """

    def __init__(
        self,
        rucio: Client | Rucio,
        options: ModifierOptions | None = None,
        scope: str | None = None,
        completion: Completion | None = None,
    ) -> None:
        """Connect a modifier with Rucio.

        Args:
            rucio: A Rucio client.
            options: The options; by default those of `ModifierOptions`.
            scope: A fixed scope instead of those derived from the collections.
            completion: Tells the collections of items that name none.
        """
        self.options = options or ModifierOptions()
        """The options, which `with_options` replaces."""
        self._scope = scope
        self.completion = completion or Completion()
        """Tells the collections of items that name none."""
        self._source = ReplicaSource(Rucio.of(rucio))
        self._failures = count()
        """Counts those since Rucio has answered, without a lock that a fork could leave locked."""

    def __repr__(self) -> str:
        shown = (
            f"{each.name}={getattr(self.options, each.name)!r}"
            for each in fields(self.options)
            if getattr(self.options, each.name) != each.default and each.name != "mounts"
        )
        return f"<Modifier: {', '.join([str(self._source.rucio), *shown])}>"

    def __reduce__(self) -> tuple[type[Modifier], tuple[Any, ...]]:
        return type(self), (self._source.rucio, self.options, self._scope, self.completion)

    def with_options(
        self,
        *,
        prefer: Prefer = _KEPT,
        only: RSEs = _KEPT,
        exclude: RSEs = _KEPT,
        mounts: Prefixes | None = _KEPT,
        protocols: bool = _KEPT,
        storage: bool = _KEPT,
        strict: bool = _KEPT,
        site: str | None = _KEPT,
        timeout_s: float | None = _KEPT,
        cache_s: float = _KEPT,
    ) -> Modifier:
        """Return a modifier with other options, which shares what this one remembers of Rucio.

        Options that are not given stay as they are: at first as in brackets.

        Args:
            prefer: What is wanted, the most wanted first: RSEs, RSE expressions, URL schemes
                (`davs`; `file` is what is mounted), `nearest` (RSEs at the `site`, by their
                protocols of the local network, then by RSE distance from these), or functions
                that get the URLs of an asset's replicas by RSE and return the RSE they choose,
                or None. The first replica that meets one becomes the asset's `href`, so that
                tools which know nothing of alternates read it; the original goes to `alternate`.
                [nothing]
            only: RSEs and RSE expressions; replicas elsewhere are left out. [all]
            exclude: RSEs and RSE expressions whose replicas are left out. [none]
            mounts: Where storages are mounted here, or a gateway serves them, by the beginning of
                their PFNs: `{"davs://host:443/rucio/": "/eos/rucio/", "root://host//":
                "https://host/"}`. The paths become further alternates, and come first where
                their RSE is preferred. [nowhere]
            protocols: Whether to ask for every protocol of each RSE, not for the best one only;
                the further ones get further keys (`DISK-A-root`). Rucio takes longer then. It is
                so in any case where `prefer` names a scheme, or with `mounts`. [False]
            storage: Whether to write what Rucio knows of the RSEs, too, by the Storage extension;
                costs two requests for each RSE, once in ten minutes. [False]
            strict: Whether to raise an error where otherwise an `AlternatesWarning` says, once,
                that items stay as they are. [False]
            site: The site that `nearest` means, as the RSEs' attribute `site` names it; by default
                that of `SITE_NAME` in the environment, as for Rucio's own clients.
            timeout_s: How long to wait for Rucio at a page, in seconds; None for any time. [30]
            cache_s: How old what Rucio said of a replica may be, in seconds; 0 to ask at every
                call. [30]

        Raises:
            ConfigurationError: An option does not fit.
        """
        given = {name: value for name, value in locals().items() if value is not _KEPT}
        del given["self"]
        options = replace(self.options, **given)
        other = Modifier(self._source.rucio, options, self._scope, self.completion)
        other._source = self._source
        return other

    def __call__(
        self, items: Modifiable | Collection[Modifiable] = _NOTHING, /, **options: Never
    ) -> None:
        """Write replicas into what pystac-client hands over, in place.

        Args:
            items: Objects of pystac (an item, an item collection, …), dicts (an item,
                a page, …), or a list of these.
            options: None; `with_options` takes them.

        Raises:
            TypeError: It is none of these, or options are given.
            StacRucioError: With `strict`, if Rucio cannot be asked, or a function given
                as `prefer` chose an RSE without a replica.
        """
        if options:
            named = ", ".join(f"{name}=…" for name in options)
            raise TypeError(f"a modifier takes items alone; use modifier.with_options({named})")
        assets = [
            each
            for each in find_assets(item_views(items), self._scope, self.completion)
            if each.dids
        ]
        try:
            found = self._find(assets)
            if assets and (self.options.selector.named or self.options.mounts):
                self.require_known(one for each in found for one in each.replicas.values())
            rses = (rse for each in found for rse in each.shown) if self.options.storage else ()
            schemes = self._storage_schemes(rses)
        except StacRucioError as error:
            if self.options.strict:
                raise
            if next(self._failures) == 0:
                warnings.warn(f"no alternates: {error}", AlternatesWarning, stacklevel=2)
            return
        # Nothing is written before everything is computed: no page is ever half modified.
        for write in make_edits((each for each in found if not each.difference), schemes):
            write()
        differences = [each.difference for each in found if each.difference]
        if differences and next(self._source.differences) == 0:
            text = f"no alternates where Rucio has another file than the item: {differences[0]}"
            warnings.warn(text, AlternatesWarning, stacklevel=2)

    def explain(self, items: Modifiable | Collection[Modifiable]) -> list[Explanation]:
        """Return, for each asset, where its replicas are, which one is chosen, and why.

        Args:
            items: What a modifier takes; it stays as it is.

        Raises:
            TypeError: It is nothing that a modifier takes.
            StacRucioError: Rucio cannot be asked.

        Examples:
            >>> for explanation in modifier.explain(item):
            ...     print(explanation)
        """
        assets = list(self._assets(items))
        self._source.forgive()
        found = {id(each.asset): each for each in self._find(assets)}
        prefer = self.options.selector.prefer
        return [_explain(asset, found.get(id(asset)), prefer) for asset in assets]

    def require_known(self, seen: Iterable[Replica] | None = None) -> None:
        """Say so if the options name what is no RSE; Rucio is asked only of what was not seen.

        Of `mounts` that no RSE's protocols show it warns only, as sites have servers of their own
        before them.

        Args:
            seen: Replicas that there are. Without them, a site is looked at that nothing needs yet.

        Raises:
            ConfigurationError: With `strict`; else it is an `AlternatesWarning`, once.
            StacRucioError: Rucio cannot be asked.
        """
        selector = self.options.selector
        if selector.needs_site or (seen is None and self.options.site):
            self._require_site()
        resolved, replicas = self.resolved(()), [*(seen or ())]
        if selector.unmet({each.rse for each in replicas}, resolved):
            rses = self._rses()
            for name in selector.unmet(rses, resolved):
                known = [*sorted(rses), *([NEAREST] if name in selector.prefer else ())]
                self._complain(f"{name!r} is no RSE, and stands for none", near(name, known))
        unseen = {*selector.unmounted(each.pfn for each in replicas)} - self._source.mounts
        if unseen:  # of each prefix once: it takes a request for each RSE
            settings = self.settings(self._rses()).values()
            urls = sorted(url for each in settings for url in beginnings(each))
            self._source.mounts |= unseen
            for prefix in unseen.intersection(selector.unmounted(urls)):
                text = f"mounts: no RSE has a protocol whose PFNs begin with {prefix!r}"
                self._warn(text, near(prefix, urls))

    def _require_site(self) -> None:
        expression = site_expression(self.options.site)
        if self._at(expression):
            return
        attributes = self._attributes(self._rses()).values()
        sites = {str(each[SITE]) for each in attributes if SITE in each}
        name = expression.partition("=")[2]
        text = f"no RSE has the attribute {SITE}={name}"
        self._complain(text, near(name, sorted(sites)))

    def _complain(self, text: str, hint: str) -> None:
        if self.options.strict:
            raise ConfigurationError(text, hint=hint)
        self._warn(text, hint)

    def _warn(self, text: str, hint: str) -> None:
        if text not in self._source.unknown:
            self._source.unknown.add(text)
            warnings.warn(f"{text}; {hint}", AlternatesWarning, stacklevel=5)

    def _rses(self) -> Collection[str]:
        """Return the names of all RSEs."""
        return self._at("*")

    def forgive(self) -> None:
        """Ask Rucio again even if it has just failed."""
        self._source.forgive()

    def clear(self) -> None:
        """Forget what Rucio has said, so that it is asked again."""
        self._source.clear()
        self.completion.forgive()

    def _assets(self, items: Modifiable | Collection[Modifiable]) -> Iterator[AssetView]:
        return find_assets(item_views(items), self._scope, self.completion)

    def _find(self, assets: Sequence[AssetView], *, lan: bool = True) -> list[AssetReplicas]:
        """The replicas of those assets that Rucio knows, and the choice among them."""
        dids = [did for asset in assets for did in asset.dids]
        known, resolved = self._look_up(dids, lan=lan)
        found = []
        for asset in assets:
            there = ((did, file) for did in asset.dids if (file := known[did]) is not None)
            did, file = next(there, (None, None))
            if did is None or file is None:
                continue
            fields = asset.item.assets[asset.key]
            said, urls = Description.of(fields), all_hrefs(fields)
            if other := difference(did, urls, said, file, self._source_rses):
                found.append(AssetReplicas(asset, did, {}, (), None, other))
                continue
            found.append(AssetReplicas(asset, did, *self._select(file, resolved, urls)))
        return found

    def public_copy(self, item: MutableMapping[str, Any], key: str) -> str | None:
        """Return the URL of the best copy of an asset that anybody can read, or None.

        Copies are public at RSEs with the attribute `stac_public`, behind gateways of `mounts`,
        and at origins that ask for no credential. The best is the one that is preferred; else
        disks come before originals, and these before tapes.

        Args:
            item: The item, which stays as it is.
            key: The key of the asset.

        Raises:
            ConfigurationError: The options name what is no RSE.
            StacRucioError: Rucio cannot be asked.
        """
        assets = [each for each in self._assets(item) if each.key == key and each.dids]
        replicas = [
            replica
            for each in self._find(assets, lan=False)
            for replica in each.replicas.values()
            if replica.rse in each.shown
        ]
        self.require_known(replicas)
        rses = {each.rse for each in replicas}
        settings, attributes = self.settings(rses), self._attributes(rses)
        fields = assets[0].item.assets[key] if assets else {}
        public = [
            each
            for each in replicas
            if is_public(each, settings[each.rse], attributes[each.rse], item, fields)
        ]
        ranks = {rse: rank(each) for rse, each in settings.items()}
        resolved = self.resolved(rses)
        best = self.options.selector.best(public, resolved, ranks, all_hrefs(fields))
        return location(best[0].url) if best else None

    def find(self, did: DID) -> tuple[RucioFile | None, Sequence[str]]:
        """Return a file, and the RSEs of its replicas that may be read.

        Raises:
            StacRucioError: Rucio cannot be asked.
        """
        known, resolved = self._look_up([did])
        file = known[did]
        return file, self.options.selector.shown(file.pfns, resolved) if file else ()

    def _look_up(
        self, dids: Sequence[DID], *, lan: bool = True
    ) -> tuple[dict[DID, RucioFile | None], Resolved]:
        """Files, with or without PFNs of the local network, and the RSEs of RSE expressions."""
        options, source = self.options, self._source
        selector, answered = options.selector, source.answered
        protocols = options.protocols or selector.needs_protocols
        memory = source.replicas(self.local() if dids and lan else frozenset(), protocols=protocols)
        known = source.look_up(memory, dids, options.timeout_s, options.cache_s)
        files = known.values() if selector.needs_site else ()
        rses = {rse for file in files if file for rse in file.pfns}
        resolved = self.resolved(rses) if dids else {}
        if source.answered != answered:
            self._failures = count()
        return known, resolved

    def resolved(self, rses: Iterable[str]) -> Resolved:
        """Return the RSEs of each RSE expression in the options, and which of some are near.

        Raises:
            StacRucioError: Rucio cannot be asked, or there is no such RSE expression.
        """
        source, options = self._source, self.options
        found = source.look_up(source.resolved, options.selector.expressions, options.timeout_s)
        if options.selector.needs_site:
            found[NEAREST] = source.nearness(self.local(), rses, options.timeout_s)
        return found

    def local(self) -> frozenset[str]:
        """Return the RSEs at the site here, if the options need them.

        Raises:
            StacRucioError: Rucio cannot be asked.
        """
        if not self.options.selector.needs_site:
            return frozenset()
        return self._at(site_expression(self.options.site))

    def _at(self, expression: str) -> frozenset[str]:
        found = self._source.look_up(self._source.resolved, [expression], self.options.timeout_s)
        return frozenset(found[expression])

    def _select(
        self, file: RucioFile, resolved: Resolved, urls: Sequence[str]
    ) -> tuple[dict[str, Replica], list[str], Choice | None]:
        """The replicas of a file, the RSEs that are shown, and the choice among them."""
        selector = self.options.selector
        replicas = selector.replicas(file.pfns)
        shown = selector.shown(file.pfns, resolved)
        wanted = (each for each in replicas.values() if each.rse in shown)
        return replicas, shown, selector.choose(wanted, resolved, urls)

    def _source_rses(self, rses: Iterable[str]) -> list[str]:
        """Return those of some RSEs that are source RSEs."""
        found = self.settings(rses)
        return [rse for rse, settings in found.items() if is_source_rse(settings)]

    def settings(self, rses: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return the settings of RSEs.

        Raises:
            StacRucioError: Rucio cannot be asked.
        """
        return self._source.look_up(self._source.settings, rses, self.options.timeout_s)

    def _attributes(self, rses: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        return self._source.look_up(self._source.attributes, rses, self.options.timeout_s)

    def _storage_schemes(self, rses: Iterable[str]) -> dict[str, dict[str, Any]]:
        rses = [*rses]
        settings, attributes = self.settings(rses), self._attributes(rses)
        host = self._source.rucio.host
        return {rse: storage_scheme(rse, host, settings[rse], attributes[rse]) for rse in settings}


# For tools that take a function from URL to URL.


def patch_url(items: ItemsLike, modifier: Modifier) -> Callable[[str], str]:
    """Return a function that returns the URL which a modifier would put into an asset's `href`.

    Rucio is asked here, once for all items (for each 1,000 assets), and not when
    the function is called. The modifier's time limit is for all of them together.
    The items themselves are not changed. The function can be pickled.

    Args:
        items: The items, in what can be gone through again: the tool does so.
        modifier: A modifier that prefers replicas.

    Returns:
        A function that takes the URL of an asset of these items, as it stands in
        the item or absolute, and returns that of the preferred replica; any other
        URL, and that of an asset without such a replica, comes back as it is.

    Raises:
        ConfigurationError: The items can be gone through only once.
        StacRucioError: The STAC API that they come from does not return them.
    """
    if isinstance(items, Iterator):
        raise ConfigurationError("items is an iterator and would be exhausted; pass a list")
    read = iter_items(items, modifier.completion)
    page = [copy.deepcopy(item) for item in read if item.get("type") == "Feature"]
    before = [_hrefs(item) for item in page]
    modifier(page)
    urls: dict[str, str] = {}
    for item, hrefs in zip(page, before, strict=True):
        for key, url in _hrefs(item).items():
            for known in (hrefs[key], absolute(hrefs[key], link_href(item))):
                urls.setdefault(known, url)
    return _URLs(urls)


@dataclass(frozen=True)
class _URLs:
    """A function from URL to URL, which shows none of them: some are signed."""

    urls: Mapping[str, str] = field(repr=False)

    def __call__(self, url: str) -> str:
        return self.urls.get(url, url)


def _hrefs(item: MutableMapping[str, Any]) -> dict[str, str]:
    return {key: asset["href"] for key, asset in ItemView(item).assets.items()}
