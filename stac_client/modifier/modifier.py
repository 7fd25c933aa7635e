"""The modifier for pystac-client: every available replica in every asset that it gives.

pystac_client.Client.open(url, modifier=StacClient().modifier)
"""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING, Any, overload

from stac_client.catalogue.editing import editable_items
from stac_client.errors import StacRucioError

from .annotating import find_assets, make_edits
from .explanation import explain
from .options import CACHE_S, TIMEOUT_S, make_options
from .replica_source import ReplicaSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rucio.client import Client

    from stac_client.catalogue.editing import EditableItem

    from .annotating import Asset, Copies
    from .explanation import Explanation
    from .options import Prefer, Prefixes, RSEs


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
        client: Client,
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
            client: A Rucio client.
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
        self._client = client
        self._source = ReplicaSource(client)
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
            other = Modifier(self._client, scope=self._scope, **{**self._given, **given})
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
