"""The modifier for pystac-client: every available replica in every asset that it gives.

pystac_client.Client.open(url, modifier=StacClient().modifier)
"""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from stac_client._alternates import Copies, editable_items, find_assets, locations, make_edits
from stac_client._items import iter_items
from stac_client._preference import Mounts, allowed, choose, expressions, is_expression, preferences
from stac_client._replicas import SCHEMES, ReplicaSource
from stac_client._rucio import Rucio
from stac_client.errors import ConfigurationError, StacRucioError
from stac_policy.urls import absolute, link_href, redact

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from rucio.client import Client

    from stac_client._alternates import Asset
    from stac_client._preference import Choice, Preference, Resolved
    from stac_client._rucio import PFNs
    from stac_policy.naming import DID

    Prefer = Preference | Sequence[Preference]
    RSEs = str | Sequence[str]
    Prefixes = Mapping[str, str | os.PathLike[str]]
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stac_client._alternates import EditableItem
    from stac_client._items import ItemDict, ItemsLike


# Why a modifier chose a copy, for people to read; pure.


@dataclass(frozen=True)
class Candidate:
    """A way to a replica of an asset."""

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
    """The ways to its available replicas."""
    chosen: Candidate | None
    """The one that becomes the `href`; if there is none, the `href` stays."""
    reason: str

    def __str__(self) -> str:
        did = "" if self.did is None else f" ({self.did})"
        lines = [f"{self.item}/{self.asset}{did}: {self.reason}", *map(str, self.candidates)]
        return "\n  ".join(lines)


def explain(asset: Asset, copies: Copies | None, prefer: Sequence[Preference]) -> Explanation:
    """Explain what becomes of an asset.

    Args:
        asset: The asset.
        copies: Its copies, if Rucio knows it.
        prefer: What is wanted.
    """
    item = str(asset.item.id)
    if copies is None:
        reason = "the href stays, because Rucio does not know the asset"
        return Explanation(item, asset.key, None, (), None, reason)
    choice = copies.choice
    candidates = tuple(
        Candidate(
            place.key,
            place.rse,
            place.href,
            allowed=place.rse in copies.rses,
            chosen=choice is not None and choice.location == place,
        )
        for place in copies.found.values()
    )
    chosen = next((each for each in candidates if each.chosen), None)
    reason = _reason(candidates, prefer, choice)
    return Explanation(item, asset.key, copies.did, candidates, chosen, reason)


def _reason(
    candidates: Sequence[Candidate], prefer: Sequence[Preference], choice: Choice | None
) -> str:
    if choice is not None:
        return f"{choice.location.key} becomes the href, because {_because(choice)}"
    if not candidates:
        return "the href stays, because no replica is available"
    if not any(each.allowed for each in candidates):
        return "the href stays, because only and exclude leave no replica"
    if not prefer:
        return "the href stays, because nothing is preferred"
    wanted = ", ".join(_text(each) for each in prefer)
    return f"the href stays, because no replica is at any that is preferred: {wanted}"


def _because(choice: Choice) -> str:
    preference, place = choice.preference, choice.location
    if not isinstance(preference, str):
        return f"{_text(preference)} chose it"
    if is_expression(preference):
        return f"its RSE is the first by name that {preference} gives"
    if preference == place.rse:
        return f"{preference} is preferred"
    return f"its scheme {preference} is preferred"


def _text(preference: Preference) -> str:
    if isinstance(preference, str):
        return preference
    return f"the function {getattr(preference, '__name__', type(preference).__name__)}"


# What a modifier is told to do.


TIMEOUT_S = 30.0
CACHE_S = 30.0


@dataclass(frozen=True)
class Options:
    """The options of a modifier, checked."""

    prefer: tuple[Preference, ...]
    only: tuple[str, ...]
    exclude: tuple[str, ...]
    mounts: Mounts | None
    protocols: bool
    """Whether every protocol of each RSE is needed, not the best one only."""
    storage: bool
    strict: bool
    timeout_s: float | None
    cache_s: float

    @property
    def expressions(self) -> list[str]:
        """The RSE expressions, which Rucio must resolve."""
        texts = [each for each in self.prefer if isinstance(each, str)]
        return [text for text in (*texts, *self.only, *self.exclude) if is_expression(text)]

    def select(self, asset: Asset, did: DID, pfns: PFNs, resolved: Resolved) -> Copies:
        """Give the ways to an asset's replicas, and choose among them.

        Args:
            asset: The asset.
            did: Its DID.
            pfns: The PFNs of its available replicas.
            resolved: The RSEs of each RSE expression.

        Raises:
            ConfigurationError: A function given as `prefer` chose an RSE without
                a replica.
        """
        found = locations(pfns, self.mounts.path if self.mounts else None)
        rses = allowed(pfns, self.only, self.exclude, resolved)
        choice = choose(found.values(), self.prefer, rses, resolved)
        return Copies(asset, did, found, rses, choice)


def make_options(
    *,
    prefer: Prefer,
    only: RSEs,
    exclude: RSEs,
    mounts: Prefixes,
    protocols: bool,
    storage: bool,
    strict: bool,
    timeout_s: float | None,
    cache_s: float,
) -> Options:
    """Check options, and give them in their strict form.

    Raises:
        ConfigurationError: An option does not fit.
    """
    if timeout_s is not None and not timeout_s > 0:
        raise ConfigurationError(f"timeout_s is {timeout_s!r}; give seconds, or None for any time")
    if not cache_s >= 0:
        raise ConfigurationError(f"cache_s is {cache_s!r}; give seconds, or 0 for no cache")
    wanted = preferences(prefer)
    return Options(
        prefer=wanted,
        only=expressions("only", only),
        exclude=expressions("exclude", exclude),
        mounts=Mounts(mounts) if mounts else None,
        protocols=protocols or bool(mounts) or any(each in SCHEMES for each in wanted),
        storage=storage,
        strict=strict,
        timeout_s=timeout_s,
        cache_s=cache_s,
    )


_KEEP: Any = object()
"""For an option that is not given: it stays as it is."""


class AlternatesWarning(UserWarning):
    """Rucio could not be asked for replicas; the items are as the catalogue gave them."""


class Modifier:
    """Adds replicas to the items that pystac-client gives, in place.

    It takes what pystac-client hands to a modifier (a page, an item as object or
    dict, an item collection), and lists of these, and leaves alone what it does
    not know. It asks Rucio once for each 1,000 assets, and not again for those
    that it has just asked for. Calling it twice changes nothing more. It may be
    called from many threads.

    Client.open(url, modifier=rucio.modifier)
    Client.open(url, modifier=rucio.modifier(prefer=["DISK-A", "tier=disk"]))
    """

    def __init__(
        self,
        rucio: Client | Rucio,
        *,
        prefer: Prefer = (),
        only: RSEs = (),
        exclude: RSEs = (),
        mounts: Prefixes | None = None,
        protocols: bool = False,
        storage: bool = False,
        strict: bool = False,
        timeout_s: float | None = TIMEOUT_S,
        cache_s: float = CACHE_S,
        scope: str | None = None,
    ) -> None:
        """Make one.

        Args:
            rucio: A Rucio client.
            prefer: What is wanted, the most wanted first: RSEs, RSE expressions,
                URL schemes (`davs`; `file` is what is mounted), or functions
                that get the hrefs of an asset's copies by RSE and give the RSE
                they choose, or None. The first copy that meets one becomes the
                asset's `href`, so that tools which know nothing of alternates
                read it; the original goes to `alternate`.
            only: RSEs and RSE expressions; replicas elsewhere are left out.
            exclude: RSEs and RSE expressions whose replicas are left out.
            mounts: Where storages are mounted here, by the beginning of their
                PFNs: `{"davs://host:443/rucio/": "/eos/rucio/"}`. The paths
                become further alternates, and come first where their RSE is
                preferred.
            protocols: Ask for every protocol of each RSE, not for the best one only;
                the further ones get further keys (`DISK-A-root`). Rucio takes
                longer then. It is so in any case where `prefer` names a scheme,
                or with `mounts`.
            storage: Also write what Rucio knows of the RSEs, by the Storage
                extension; costs two requests for each RSE, once in ten minutes.
            strict: Raise an error where otherwise an `AlternatesWarning` says,
                once, that items stay as they are.
            timeout_s: How long to wait for Rucio at a page, in seconds; None for
                any time.
            cache_s: How old what Rucio said of a replica may be, in seconds; 0
                to ask at every call.
            scope: A fixed scope instead of those derived from the collections.

        Raises:
            ConfigurationError: An option does not fit.
        """
        self._given: dict[str, Any] = {
            "prefer": prefer,
            "only": only,
            "exclude": exclude,
            "mounts": mounts or {},
            "protocols": protocols,
            "storage": storage,
            "strict": strict,
            "timeout_s": timeout_s,
            "cache_s": cache_s,
        }
        self._options = make_options(**self._given)
        self._scope = scope
        self._rucio = Rucio.of(rucio)
        self._source = ReplicaSource(self._rucio)
        self._lock = threading.Lock()
        self._warned = False

    @overload
    def __call__(self, thing: object) -> None: ...
    @overload
    def __call__(
        self,
        *,
        prefer: Prefer = ...,
        only: RSEs = ...,
        exclude: RSEs = ...,
        mounts: Prefixes = ...,
        protocols: bool = ...,
        storage: bool = ...,
        strict: bool = ...,
        timeout_s: float | None = ...,
        cache_s: float = ...,
    ) -> Modifier: ...
    def __call__(
        self,
        thing: object = _KEEP,
        *,
        prefer: Prefer = _KEEP,
        only: RSEs = _KEEP,
        exclude: RSEs = _KEEP,
        mounts: Prefixes = _KEEP,
        protocols: bool = _KEEP,
        storage: bool = _KEEP,
        strict: bool = _KEEP,
        timeout_s: float | None = _KEEP,
        cache_s: float = _KEEP,
    ) -> Modifier | None:
        """Modify what pystac-client hands over; or, with options, give a modifier that has them.

        The options are those of the class. Those that are not given stay as they
        are, and so does the knowledge of what Rucio has said.

        Raises:
            StacRucioError: With `strict`, if Rucio can not be asked.
            ConfigurationError: An option does not fit.
        """
        options = {
            "prefer": prefer,
            "only": only,
            "exclude": exclude,
            "mounts": mounts,
            "protocols": protocols,
            "storage": storage,
            "strict": strict,
            "timeout_s": timeout_s,
            "cache_s": cache_s,
        }
        given = {name: value for name, value in options.items() if value is not _KEEP}
        if thing is _KEEP:
            other = Modifier(self._rucio, scope=self._scope, **{**self._given, **given})
            other._source = self._source
            return other
        if given:
            raise TypeError("options make another modifier; call that one with what to modify")
        self._modify(list(editable_items(thing)))
        return None

    def explain(self, thing: object) -> list[Explanation]:
        """Say, for each asset, where its copies are, which one is chosen, and why.

        for explanation in modifier.explain(item): print(explanation)

        Args:
            thing: What a modifier takes; it stays as it is.

        Raises:
            StacRucioError: Rucio can not be asked.
        """
        assets = list(find_assets(editable_items(thing), self._scope))
        copies = {id(each.asset): each for each in self._find(assets, insist=True)}
        prefer = self._options.prefer
        return [explain(asset, copies.get(id(asset)), prefer) for asset in assets]

    def clear(self) -> None:
        """Forget what Rucio has said, so that it is asked again."""
        self._source.clear()

    def _modify(self, items: Iterable[EditableItem]) -> None:
        assets = [asset for asset in find_assets(items, self._scope) if asset.dids]
        if not assets:
            return
        try:
            copies = self._find(assets)
            schemes = self._storage_schemes(copies)
        except StacRucioError as error:
            if self._options.strict:
                raise
            self._warn(error)
            return
        # Nothing is written before everything is computed: no page is ever half modified.
        for edit in make_edits(copies, schemes):
            edit.write()

    def _find(self, assets: Sequence[Asset], *, insist: bool = False) -> list[Copies]:
        """The copies of those assets that Rucio knows, and the choice among them."""
        options = self._options
        answers = self._source.find(
            (did for asset in assets for did in asset.dids),
            options.expressions,
            protocols=options.protocols,
            timeout_s=options.timeout_s,
            max_age_s=options.cache_s,
            insist=insist,
        )
        if answers.asked:
            with self._lock:
                self._warned = False
        known = ((asset, asset.did(answers.pfns)) for asset in assets)
        return [
            options.select(asset, did, answers.pfns[did], answers.resolved)
            for asset, did in known
            if did is not None
        ]

    def _storage_schemes(self, copies: Iterable[Copies]) -> Mapping[str, Mapping[str, Any]]:
        if not self._options.storage:
            return {}
        return self._source.storage_schemes(
            (rse for each in copies for rse in each.rses),
            timeout_s=self._options.timeout_s,
        )

    def _warn(self, error: StacRucioError) -> None:
        """Warn, but only once until Rucio has answered again."""
        with self._lock:
            warned, self._warned = self._warned, True
        if not warned:
            warnings.warn(f"no alternates: {error}", AlternatesWarning, stacklevel=4)


# For tools that take a function from URL to URL: the URL of the preferred copy.


def patch_url(items: ItemsLike, modifier: Modifier) -> Callable[[str], str]:
    """Give a function that gives the URL which a modifier would put into an asset's `href`.

    Rucio is asked here, once for all items (for each 1,000 assets), and not when
    the function is called. The modifier's time limit is for all of them together.
    The items themselves are not changed.

    Args:
        items: The items, in what can be gone through again: the tool does so.
        modifier: A modifier that prefers copies.

    Returns:
        A function that takes the URL of an asset of these items, as it stands in
        the item or absolute, and gives that of the preferred copy; any other URL,
        and that of an asset without such a copy, comes back as it is.

    Raises:
        ConfigurationError: The items can be gone through only once.
        StacRucioError: The STAC API that they come from does not give them.
    """
    if isinstance(items, Iterator):
        raise ConfigurationError(
            f"nothing would be left of this {type(items).__name__} of items for the tool that "
            "reads them next; make a list of it first"
        )
    page = [copy.deepcopy(item) for item in iter_items(items) if item.get("type") == "Feature"]
    bases = [link_href(item) for item in page]
    before = [_hrefs(item) for item in page]
    modifier({"type": "FeatureCollection", "features": page})
    urls: dict[str, str] = {}
    for item, base, hrefs in zip(page, bases, before):
        preferred = _hrefs(item)
        for key, href in hrefs.items():
            for url in (href, absolute(href, base)):
                urls.setdefault(url, preferred[key])
    return lambda url: urls.get(url, url)


def _hrefs(item: ItemDict) -> dict[str, str]:
    (editable,) = editable_items(item)
    return {key: asset["href"] for key, asset in editable.assets.items()}
