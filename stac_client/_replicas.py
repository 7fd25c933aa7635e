"""Replicas of an asset: how tools reach them from here, which are shown, which is preferred; pure.

From a PFN to what tools read: a URL of HTTP, a gateway, a mounted path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

from stac_client._rucio import grouped
from stac_client.errors import ConfigurationError
from stac_policy.urls import is_secret, is_url, refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable

Prefixes = Mapping[str, "str | os.PathLike[str]"]

MOUNTED = "file"
"""The scheme of a path below which an RSE is mounted."""

# fmt: off
SCHEMES = (
    "davs", "https", "root", "http", "dav", "s3s", "s3", "gs", "gsiftp", "srm", "srm+https",
    "file", "storm", "scp", "rsync", "rclone",
)
# fmt: on
"""The schemes of the protocols that RSEs have."""

_TOOLS = {"davs": "https", "dav": "http", "https": "https", "http": "http"}
"""The schemes of HTTP, and what tools that are not of grids call them."""
_PREFIX = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]+/[^?#]*", re.IGNORECASE)
_SLASHES = re.compile("(?<!:)/+")  # root:// has two of them where the path begins
_NO_FILE = re.compile(r"[?#]|/\Z")
_NO_NAME = re.compile(r"\A\.\.?\Z|[/\\\0]")
_KEPT_IN_URLS = "!$&'()*+,;=:@"  # RFC 3986: what a part of a path has besides what quote keeps


class Replica(NamedTuple):
    """A replica of a file, at one of the URLs by which it can be read."""

    key: str
    """Its key among alternates: the RSE, with the scheme where the RSE has several URLs."""
    rse: str
    pfn: str
    url: str
    """What tools read: a URL, or the path of the file where the RSE is mounted."""

    @property
    def is_mounted(self) -> bool:
        """Whether tools read it at a path here; a PFN of the scheme `file` is of another host."""
        return self.url.startswith("/")

    @property
    def scheme(self) -> str:
        """The scheme of the PFN; `file` for a path."""
        return MOUNTED if self.is_mounted else _scheme(self.pfn)

    @property
    def is_at_gateway(self) -> bool:
        """Whether tools read it from a gateway that `mounts` name."""
        return not self.is_mounted and self.url != _NO_MOUNTS.url(self.pfn)

    @property
    def schemes(self) -> tuple[str, str]:
        """The scheme of the PFN, and that of what tools read."""
        return self.scheme, _scheme(self.url)


def _scheme(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    return scheme if separator else MOUNTED


class Mounts:
    """How storages are reached from here: at mounted folders, by gateways, or as they are.

    No PFN leads out of the folder that its prefix is mounted at, nor of what a gateway serves
    there: one with `..`, plainly or percent-encoded, has no path here. (What symbolic links in
    that folder lead to is up to who made them.)
    """

    def __init__(self, prefixes: Prefixes | None = None) -> None:
        """Take the folder, or the gateway's URL, of each prefix.

        `davs://host:443/rucio/` -> `/eos/rucio/`; `root://host//eos/` -> `https://host/eos/`.

        Raises:
            ConfigurationError: A prefix is no URL with a host and a path, or what it stands for
                is neither an absolute path nor a URL of HTTP without secrets.
        """
        self._folders: dict[str, str] = {}
        self._gateways: dict[str, str] = {}
        # The longest prefix is the closest.
        for given, target in sorted((prefixes or {}).items(), key=lambda each: -len(each[0])):
            prefix, place = _ended(given), os.fspath(target)
            if not _PREFIX.fullmatch(prefix):
                raise ConfigurationError(
                    f"mounts: {given!r} is not the beginning of a URL (davs://host:443/rucio/ is)"
                )
            if place.startswith("/") and ".." not in place.split("/"):
                self._folders[prefix] = _ended(place)
            elif is_url(place) and not refusal(place):
                self._gateways[prefix] = _ended(place)
            else:
                raise ConfigurationError(
                    f"mounts: what {given!r} stands for is not the absolute path of a folder, "
                    "nor the URL of a gateway"
                )

    def unused(self, urls: Iterable[str]) -> list[str]:
        """Return the prefixes that begin none of some PFNs, nor with what PFNs begin with."""
        begins = {each: _SLASHES.sub("/", each) for each in (*self._folders, *self._gateways)}
        flat = [_SLASHES.sub("/", url) for url in urls] if begins else []
        return [
            prefix
            for prefix, begin in begins.items()
            if not any(url.startswith(begin) or begin.startswith(url) for url in flat)
        ]

    @property
    def has_folders(self) -> bool:
        """Whether any storage is mounted at a folder."""
        return bool(self._folders)

    def path(self, pfn: str) -> str | None:
        """Return the local path of a PFN, or None if it has none."""
        found = _below(pfn, self._folders)
        return None if found is None else found[0] + "/".join(found[1])

    def url(self, pfn: str) -> str:
        """Return the URL by which tools read a PFN: of HTTP wherever that is possible."""
        if self._gateways and (found := _below(pfn, self._gateways)):
            return found[0] + "/".join(quote(part, safe=_KEPT_IN_URLS) for part in found[1])
        scheme, separator, rest = pfn.partition("://")
        known = _TOOLS.get(scheme) or _TOOLS.get(scheme.lower())
        return f"{known}://{rest}" if known and separator else pfn


_NO_MOUNTS = Mounts()


def _ended(prefix: str) -> str:
    return prefix if prefix.endswith("/") else f"{prefix}/"


def _below(pfn: str, places: Mapping[str, str]) -> tuple[str, list[str]] | None:
    """The place of the prefix that a PFN begins with, and the parts of the path below it."""
    prefix = next((each for each in places if pfn.startswith(each)), None)
    if prefix is None:
        return None
    below = pfn[len(prefix) :]
    parts = [part for part in below.split("/") if part]
    if _scheme(prefix).lower() in _TOOLS:  # in these URLs, `%20` in the path stands for a space
        try:
            parts = [unquote(part, errors="strict") for part in parts]
        except UnicodeDecodeError:
            return None
    if not parts or _NO_FILE.search(below) or any(map(_NO_NAME.search, parts)):
        return None
    return places[prefix], parts


def without_secrets(pfns: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the PFNs that may be shown to whoever gets an item: none that Rucio has signed."""
    return {rse: [pfn for pfn in some if not is_secret(pfn)] for rse, some in pfns.items()}


def replicas_by_key(
    pfns: Mapping[str, Sequence[str]], mounts: Mounts = _NO_MOUNTS
) -> dict[str, Replica]:
    """Return the replicas of a file, each PFN under a key of its own.

    The best PFN of an RSE has the RSE's name as its key, a further one that of
    its scheme besides (`DISK-A-root`, `DISK-A-root-2`), and the path where the
    RSE is mounted that of `file` (`DISK-A-file`).

    Args:
        pfns: The PFNs of the available replicas by RSE, the best first.
        mounts: How they are reached from here.
    """
    found = {
        rse: Replica(rse, rse, some[0], mounts.url(some[0]))
        for rse, some in sorted(pfns.items())
        if some
    }
    for rse in [rse for rse in found if len(pfns[rse]) > 1 or mounts.has_folders]:
        best = found[rse]
        some = dict.fromkeys(pfns[rse])
        ways = [(pfn, mounts.url(pfn)) for pfn in some if pfn != best.pfn]
        ways += [(pfn, path) for pfn in some if (path := mounts.path(pfn)) is not None]
        for pfn, url in ways:
            replica = Replica(rse, rse, pfn, url)
            key = _free_key(found, f"{rse}-{replica.scheme}")
            found[key] = replica._replace(key=key)
    return found


def _free_key(taken: Container[str], wanted: str) -> str:
    key, number = wanted, 1
    while key in taken:
        number += 1
        key = f"{wanted}-{number}"
    return key


# Which of them are shown, and which one is preferred.


NEAREST = "nearest"
"""The preference for copies at a site, and then for those at the least distance from it."""

Chooser = Callable[[Mapping[str, Sequence[str]]], str | None]
"""Given the URLs of an asset's replicas by RSE, returns the RSE of the wanted one, or None."""
Preference = str | Chooser
"""An RSE, an RSE expression, a URL scheme (`davs`; `file` is what is mounted), `nearest`, or a
chooser."""
Prefer = Preference | Sequence[Preference]
RSEs = str | Sequence[str]
Resolved = Mapping[str, "Collection[str]"]
"""The RSEs of each RSE expression; those that are near with their distances (of `nearest`)."""

_WORD = re.compile(r"[A-Za-z0-9_.+-]+")


class Choice(NamedTuple):
    """A replica, and the preference that led to it."""

    replica: Replica
    preference: Preference


class Selector:
    """Selects the replicas of an asset that are shown, and the one that is preferred."""

    def __init__(
        self, prefer: Prefer, only: RSEs, exclude: RSEs, mounts: Prefixes | None = None
    ) -> None:
        """Check what is wanted; a single preference or RSE needs no list.

        Raises:
            ConfigurationError: Something is neither an RSE nor an expression, nor a
                function among the preferences, or a mount does not fit.
        """
        self.prefer = (prefer,) if callable(prefer) else _terms("prefer", prefer)
        self._only = _terms("only", only)
        self._exclude = _terms("exclude", exclude)
        self._mounts = Mounts(mounts)
        texts = [each for each in self.prefer if isinstance(each, str)]
        self.named = (*texts, *self._only, *self._exclude)
        """All that is wanted or not by name."""
        self.expressions = [each for each in self.named if is_expression(each)]
        """The RSE expressions, which Rucio must resolve."""
        self.needs_site = NEAREST in texts
        """Whether it matters where this is."""
        self.needs_protocols = bool(mounts) or not {*SCHEMES}.isdisjoint(texts)
        """Whether the best PFN of each RSE does not suffice."""

    def replicas(self, pfns: Mapping[str, Sequence[str]]) -> dict[str, Replica]:
        """Return the replicas with these PFNs by RSE that may be shown, as they are reached."""
        return replicas_by_key(without_secrets(pfns), self._mounts)

    def every(self, pfns: Mapping[str, Sequence[str]]) -> Collection[Replica]:
        """Return all replicas with these PFNs by RSE, for who may read what Rucio has signed."""
        return replicas_by_key(pfns, self._mounts).values()

    def shown(self, rses: Collection[str], resolved: Resolved) -> list[str]:
        """Return the RSEs that are in one of `only`, if there are any, and in none of `exclude`."""
        if not (self._only or self._exclude):
            return list(rses)
        kept = _rses(self._only, resolved) if self._only else rses
        left_out = _rses(self._exclude, resolved)
        return [rse for rse in rses if rse in kept and rse not in left_out]

    def unmet(self, rses: Collection[str], resolved: Resolved) -> list[str]:
        """Return what is named and is none of some RSEs, no scheme, and stands for no RSE."""
        words = [each for each in self.prefer if each in {*SCHEMES, NEAREST}]
        known = {*words, *rses, *(each for each, found in resolved.items() if found)}
        return [each for each in self.named if each not in known]

    def unmounted(self, urls: Iterable[str]) -> list[str]:
        """Return the prefixes of `mounts` that begin no PFN, as far as some URLs show it.

        Args:
            urls: PFNs, and what the PFNs of RSEs begin with.
        """
        return self._mounts.unused(urls)

    def choose(
        self, replicas: Iterable[Replica], resolved: Resolved, urls: Sequence[str] = ()
    ) -> Choice | None:
        """Choose one of the replicas that are shown: the most wanted, if any is wanted.

        Args:
            replicas: The replicas.
            resolved: The RSEs of each RSE expression.
            urls: The URLs that the item gives, in the catalogue's order.

        Raises:
            ConfigurationError: A chooser names an RSE without a replica.
        """
        return next(self._choices(replicas, resolved, urls), None)

    def best(
        self,
        replicas: Iterable[Replica],
        resolved: Resolved,
        ranks: Mapping[str, int],
        urls: Sequence[str],
    ) -> list[Replica]:
        """Return replicas, the best first: the preferred ones, then the others by their RSEs.

        Among equals, that is first whose URL the item gives (as a modifier with `prefer` makes
        it), and what is mounted here, and HTTP, before protocols that cannot be continued.

        Args:
            replicas: The replicas.
            resolved: The RSEs of each RSE expression.
            ranks: The ranks of the RSEs, as `rank` returns them.
            urls: The URLs that the item gives, in the catalogue's order.

        Raises:
            ConfigurationError: A chooser names an RSE without a replica.
        """

        def key(replica: Replica) -> tuple[Any, ...]:
            return (
                ranks.get(replica.rse, 0),
                replica.url not in urls[:1],
                not (replica.is_mounted or is_url(replica.url)),
                not replica.is_mounted,
            )

        usual = sorted(replicas, key=key)
        wanted = [choice.replica for choice in self._choices(usual, resolved, urls)]
        return [*wanted, *(each for each in usual if each not in wanted)]

    def _choices(
        self, replicas: Iterable[Replica], resolved: Resolved, urls: Sequence[str]
    ) -> Iterator[Choice]:
        """Yield the replicas that meet a preference, in the order of the preferences, each once.

        Where several meet one, a mounted RSE comes first, then the RSEs come by name, and the
        URLs of one of them in Rucio's order, so that the choice is always the same. Those that
        are near come by their distance, and at the same one in the order of the catalogue.
        """
        if not self.prefer:
            return
        left = sorted(replicas, key=lambda each: (each.scheme != MOUNTED, each.rse))
        for preference in self.prefer:
            if isinstance(preference, str):
                found = [each for each in left if _meets(each, preference, resolved)]
                if found and preference == NEAREST:
                    found.sort(key=partial(_distance, resolved[NEAREST], urls))
            else:
                found = _chosen(left, preference)
            if found:
                yield from (Choice(each, preference) for each in found)
                left = [each for each in left if each not in found]


def is_expression(text: str) -> bool:
    """Return whether a text is an RSE expression, and neither an RSE's name nor a scheme."""
    return not _WORD.fullmatch(text)


def _distance(
    distances: Collection[str], urls: Sequence[str], replica: Replica
) -> tuple[float, bool, int]:
    """What sorts replicas that are near."""
    known = {url: number for number, url in enumerate(reversed(urls))}
    place = max(known.get(replica.url, -1), known.get(replica.pfn, -1))
    far = distances[replica.rse] if isinstance(distances, Mapping) else 0
    return far, replica.scheme != MOUNTED, -place


def _meets(replica: Replica, preference: str, resolved: Resolved) -> bool:
    if preference in resolved:
        return replica.rse in resolved[preference]
    return preference == replica.rse or preference in replica.schemes


def _chosen(ordered: Sequence[Replica], chooser: Chooser) -> list[Replica]:
    replicas = grouped(ordered, attrgetter("rse"))
    rse = chooser({rse: [each.url for each in some] for rse, some in replicas.items()})
    if rse is not None and rse not in replicas:
        raise ConfigurationError(
            f"a function given as prefer chose {rse!r}, where no replica is",
            hint="let it return one of the RSEs that it is given, or None",
        )
    return [each for each in ordered if each.rse == rse]


def _rses(terms: Iterable[str], resolved: Resolved) -> set[str]:
    return {rse for each in terms for rse in (each, *resolved.get(each, ()))}


def _terms(option: str, given: Any) -> tuple[Any, ...]:
    """The RSEs and RSE expressions of an option, and the functions of `prefer`."""
    several = [given] if isinstance(given, str) else given
    for each in several if isinstance(several, Sequence) else [several]:
        is_text = isinstance(each, str) and each.strip()
        if not is_text and not (option == "prefer" and callable(each)):
            raise ConfigurationError(f"{option} has {each!r}, which is no RSE nor RSE expression")
    return tuple(several)
