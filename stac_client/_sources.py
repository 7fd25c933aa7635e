"""The replicas that a file is read from: which are the best, and the others in turn."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from stac_client._replica_source import is_source_rse, rank
from stac_client._replicas import SCHEMES
from stac_client.errors import StacRucioError
from stac_policy.http import FetchError
from stac_policy.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stac_client._modifier import Modifier
    from stac_client._replicas import Replica
    from stac_client._rucio import Rucio, RucioFile
    from stac_policy.http import Attempts
    from stac_policy.naming import DID

T = TypeVar("T")

_PATIENCE = 3  # failures in a row


class Sources:
    """Knows the replicas that are wanted, and which of them are the best.

    An RSE that failed several times in a row comes after all others; else a modifier says, as
    `Selector.best` does.
    """

    def __init__(self, modifier: Modifier, rse: str | None = None) -> None:
        """Take replicas from one RSE or from all, as a modifier prefers them.

        Raises:
            ConfigurationError: The modifier prefers what is no RSE.
            StacRucioError: Rucio cannot be reached.
        """
        self._modifier = modifier
        self._only = rse
        self._resolved = modifier.resolved(())
        self._settings: dict[str, Mapping[str, Any]] = {}
        self.failures: Counter[str] = Counter()
        """How often in a row an RSE did not answer."""

    def learn(self, rses: Iterable[str]) -> None:
        """Ask Rucio for the RSEs that are not known yet, in one request for each."""
        new = sorted(set(rses) - set(self._settings))
        for rse in new:
            self._settings[rse] = {}
            try:
                self._settings |= self._modifier.settings([rse])
            except StacRucioError:  # of this one; the others are asked for all the same
                self._modifier.forgive()
        if new:
            with suppress(StacRucioError):
                self._resolved = self._modifier.resolved(self._settings)

    def files(self, rucio: Rucio, dids: Iterable[DID]) -> dict[DID, RucioFile]:
        """Ask for files with all replicas, and with all protocols if these matter."""
        schemes = SCHEMES if self._modifier.options.selector.needs_protocols else ()
        return rucio.files(dids, local=self._modifier.local(), schemes=schemes)

    def source_rses(self, rses: Iterable[str]) -> set[str]:
        """Return those of some RSEs that are source RSEs."""
        return {rse for rse in rses if is_source_rse(self._settings.get(rse, {}))}

    def of(self, file: RucioFile, urls: Sequence[str] = ()) -> list[Replica]:
        """Return the available replicas of a file whose item has these URLs, the best first."""
        available = {
            rse: pfns
            for rse, pfns in file.pfns.items()
            if self._only in (None, rse) and file.states.get(rse, "AVAILABLE") == "AVAILABLE"
        }
        selector = self._modifier.options.selector
        ranks = {rse: rank(settings) for rse, settings in self._settings.items()}
        best = selector.best(selector.every(available), self._resolved, ranks, urls)
        return sorted(best, key=lambda replica: self.failures[replica.rse] >= _PATIENCE)

    def first(
        self, sources: list[Replica], fetch: Callable[[Replica], T], attempts: Attempts
    ) -> tuple[Replica, T]:
        """Return the first of some replicas that gives what is wanted of it, and what it gives.

        Those whose failure may pass are tried again and again.

        Raises:
            FetchError: None gives it; says why, of each.
        """
        reasons: dict[Replica, FetchError] = {}
        while sources:
            for source in sources:
                try:
                    found = fetch(source)
                except FetchError as error:
                    reasons[source] = error
                    self.failures[source.rse] += error.may_pass
                    continue
                self.failures[source.rse] = 0
                return source, found
            sources = [source for source in sources if reasons[source].may_pass]
            busy = sorted(
                (reasons[source] for source in sources), key=lambda error: error.retry_after_s
            )
            if busy and not attempts.again(busy[-1]):
                break
        said = (f"{each.rse} {redact(each.pfn)}: {why}" for each, why in reasons.items())
        raise FetchError("; ".join(said))

    def absence(self, file: RucioFile) -> str:
        """Describe why there is no replica to download."""
        if self._only is None:
            return "no replica is available"
        state = file.states.get(self._only)
        if state is None:
            return f"no replica at {self._only}"
        return f"its replica at {self._only} is {state}"
