"""Which assets of an item are meant: those named, those that a predicate takes, or data; pure."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs

from stac_client._results import Outcome, State
from stac_client.errors import ConfigurationError, near
from stac_policy.urls import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stac_client._items import ItemDict

AssetPredicate = Callable[[str, Mapping[str, Any]], bool]
"""Takes the key and the fields of an asset, and returns whether it is meant."""

AssetSelection = str | Collection[str] | AssetPredicate | None
"""Key or keys of assets, a predicate, or None for those that are data."""


def named_keys(selection: AssetSelection) -> set[str]:
    """Return the keys of a selection, which has none if it is a predicate.

    Raises:
        ConfigurationError: It is neither keys nor a predicate.
    """
    if selection is None or callable(selection):
        return set()
    keys = [selection] if isinstance(selection, str) else selection
    if not isinstance(keys, Collection) or not all(isinstance(key, str) for key in keys):
        raise ConfigurationError(
            f"assets is {selection!r}; give the key of an asset, a list of keys, or a predicate "
            "such as by_role or by_media_type"
        )
    return {*keys}


class AssetsWarning(UserWarning):
    """Assets or alternates were asked for by keys, roles or media types that no item has."""


def alternate_keys(given: str | Sequence[str]) -> list[str]:
    """Return the keys of alternates that are given, one of which needs no list.

    Raises:
        ConfigurationError: They are none.
    """
    keys = [given] if isinstance(given, str) else given
    if not isinstance(keys, Sequence) or not all(key and isinstance(key, str) for key in keys):
        raise ConfigurationError(
            f"alternate_assets is {given!r}; give the key of an alternate, or a list of keys"
        )
    return [*keys]


class Wanted:
    """What a selection names, and whether items have it."""

    def __init__(
        self,
        selection: AssetSelection,
        *,
        alternate_assets: str | Sequence[str] = (),
        is_part: bool = False,
    ) -> None:
        """Look for what a selection names.

        Args:
            selection: The selection.
            alternate_assets: Keys of alternates that are looked for, too.
            is_part: Whether other items, which are not looked at, may have it.

        Raises:
            ConfigurationError: It is neither keys nor a predicate, or these are no keys.
        """
        keys = named_keys(selection)
        names = getattr(selection, "wanted", [("key", key) for key in sorted(keys)])
        names = [*names, *((_ALTERNATE, key) for key in alternate_keys(alternate_assets))]
        self._unseen = {name: _WANTED[name[0]](name[1]) for name in names}
        self._is_meant = selection if callable(selection) else lambda key, _: key in keys
        self._found, self._came, self._is_part = selection is None, False, is_part
        self._others: dict[str, dict[str, None]] = {}

    def of(self, items: Iterable[ItemDict]) -> Iterator[ItemDict]:
        """Pass items on, and take note of what they have."""
        for item in items:
            self._came = True
            if self._unseen or not self._found:
                self._look(item.get("assets"))
            yield item

    def _look(self, assets: object) -> None:
        found = assets if isinstance(assets, dict) else {}
        known = [(key, asset if isinstance(asset, dict) else {}) for key, asset in found.items()]
        self._found = self._found or any(self._is_meant(*each) for each in known)
        for name, has in [*self._unseen.items()]:
            if any(has(*each) for each in known):
                del self._unseen[name]
        for kind in {kind for kind, _ in self._unseen} or {"key"}:
            others = self._others.setdefault(kind, {})
            names = (name for each in known for name in _NAMES[kind](*each))
            others |= dict.fromkeys(islice(names, _OTHERS - len(others)))

    def missing(self) -> list[Outcome]:
        """Return what became of the names that no item has; of a part it warns if none is selected.

        Raises:
            ConfigurationError: There were items, and no asset of them is selected.
        """
        if self._is_part and self._came and not self._found:
            text = "no asset of this part is selected; look whether the whole has any"
            warnings.warn(text, AssetsWarning, stacklevel=2)
        if not self._came or self._is_part:
            return []
        if not self._found:
            unseen = [each for each in self._unseen if each[0] != _ALTERNATE]
            said = [f"{name}: {self._reason(kind, name)}" for kind, name in unseen]
            why = "; ".join(said[:_SHOWN]) or f"keys {near('', self._others.get('key', ()))}"
            raise ConfigurationError(f"no asset is selected: {printable(why)}")
        return [
            Outcome("", "", name, State.SKIPPED, self._reason(kind, name))
            for kind, name in self._unseen
        ]

    def warn(self) -> None:
        """Warn of them, where nothing else would say so.

        Raises:
            ConfigurationError: As `missing`.
        """
        for outcome in self.missing():
            text = f"asset {printable(outcome.key)}: {outcome.reason}"
            warnings.warn(text, AssetsWarning, stacklevel=2)

    def _reason(self, kind: str, name: str) -> str:
        others = self._others.get(kind, {})
        if {part.strip() for part in name.split(",")} & others.keys():
            return f"it is one {kind}, so give several as a list"
        return f"no item has an asset with this {kind}; {near(name, others)}"


_ALTERNATE = "alternate"
"""The kind of names that choose among the URLs of an asset, and not among assets."""
_OTHERS = 200  # names of a kind that are remembered
_SHOWN = 5


@dataclass(frozen=True)
class _Predicate:
    """A predicate that says what it looks for."""

    is_meant: AssetPredicate = field(repr=False)
    wanted: Sequence[tuple[str, str]]
    """Kinds (`role`, `media type`) and names."""

    def __call__(self, key: str, asset: Mapping[str, Any]) -> bool:
        return self.is_meant(key, asset)


def by_role(*roles: str) -> AssetPredicate:
    """Select the assets that have one of these roles: `by_role("data", "metadata")`.

    Raises:
        ConfigurationError: No role is given, or something that is none.
    """
    _check(roles, "by_role", "data")
    wanted = {role.lower() for role in roles}
    return _Predicate(
        lambda _, asset: not wanted.isdisjoint(_roles(asset)), [("role", role) for role in roles]
    )


def by_media_type(*media_types: str) -> AssetPredicate:
    """Select the assets of one of these media types, with the parameters that are given.

    `by_media_type("image/tiff")` selects `image/tiff; application=geotiff` too, and
    `by_media_type(pystac.MediaType.COG)` whatever has its two parameters.

    Raises:
        ConfigurationError: No media type is given, or something that is none.
    """
    _check(media_types, "by_media_type", "image/tiff")
    wanted = [_media_type(media_type) for media_type in media_types]

    def is_of_type(_: str, asset: Mapping[str, Any]) -> bool:
        name, parameters = _media_type(str(asset.get("type") or ""))
        return any(name == of and parameters >= given for of, given in wanted)

    return _Predicate(is_of_type, [("media type", str(each)) for each in media_types])


def _media_type(text: str) -> tuple[str, set[str]]:
    """A media type's name and its parameters."""
    name, *parameters = (part.strip() for part in text.lower().split(";"))
    return name, {"".join(parameter.split()) for parameter in parameters} - {""}


def _check(given: tuple[object, ...], function: str, example: str) -> None:
    if not given or not all(value and isinstance(value, str) for value in given):
        raise ConfigurationError(f"{function} needs one or more texts: {function}({example!r})")


_WANTED: Mapping[str, Callable[[str], AssetPredicate]] = {
    "key": lambda name: lambda key, _: key == name,
    "role": by_role,
    "media type": by_media_type,
    _ALTERNATE: lambda name: lambda _, asset: name in _alternates(asset),
}
"""What finds out whether an asset has a name of a kind."""
_NAMES: Mapping[str, Callable[[str, Mapping[str, Any]], list[str]]] = {
    "key": lambda key, _: [key],
    "role": lambda _, asset: _roles(asset),
    "media type": lambda _, asset: [*str(asset.get("type") or "").partition(";")[:1]],
    _ALTERNATE: lambda _, asset: _alternates(asset),
}
"""The names that an asset has."""


def _alternates(asset: Mapping[str, Any]) -> list[str]:
    found, own = asset.get("alternate"), asset.get("alternate:name")
    return [*(found if isinstance(found, dict) else ()), *([own] if isinstance(own, str) else ())]


# What is meant by default. docs/catalogues.md has the same rules, in the same order.


def unwanted_by_default(item_id: str, assets: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the assets that are not registered unless they are asked for, each with the reason."""
    whole = f"{item_id.lower()}."
    known = _known(*assets)
    files = {key: _read(key, asset, whole, known) for key, asset in assets.items()}
    least = min((file.rank for file in files.values()), default=_Rank.NEVER)
    wanted, unwanted = {}, {}
    for key, file in files.items():
        if file.rank > least or file.rank is _Rank.NEVER:
            unwanted[key] = file.reason
        else:
            wanted[key] = file
    if len({file.suffix for file in wanted.values()}) > 1:
        unwanted |= _second_formats(assets, wanted)
    return unwanted


class _Rank(IntEnum):
    """How much an asset is data. Of an item those of the least rank are meant."""

    DATA = 0
    ARCHIVE = 1
    PICTURE = 2
    DOCUMENT = 3
    NEVER = 4


class _File(NamedTuple):
    """What an asset is taken for."""

    rank: _Rank
    reason: str = ""
    """Why it is not meant, where others are."""
    unless_named: bool = False
    """Whether it is a preview if its file has the name of one."""
    kind: str = ""
    suffix: str = ""
    """Its suffix, if that is one of a known kind."""


_IS_DATA = _File(_Rank.DATA)


_Known = dict[str, tuple[tuple[object, ...], tuple[_File, _File]]]
"""What assets with some keys say of themselves, and what they are by that (`_by_words`)."""


@lru_cache(maxsize=256)
def _known(*_keys: str) -> _Known:
    """What the last item with these keys had: the items of a collection are alike."""
    return {}


def _read(key: str, asset: Mapping[str, Any], whole: str, known: _Known) -> _File:
    """What an asset is taken for; an archive of its whole item has a name that begins so."""
    href = asset.get("href")
    href = href if isinstance(href, str) else ""
    name = _path(href).rpartition("/")[2].lower()
    said = asset.get("type"), asset.get("roles"), _suffix(name) or _suffix(key.lower())
    before = known.get(key)
    if before is None or before[0] != said:
        before = known[key] = (*map(_flat, said),), _by_words(key, asset, said[-1])
    file = before[1][name.startswith(whole)]
    if _is_endpoint(href, name) and file.kind != "page":
        return _File(_Rank.NEVER, _ENDPOINT)
    if file.unless_named and (word := _PREVIEW.search(name)):
        return _called(word)
    return file


def _flat(said: object) -> object:
    """A copy of a field of an asset; what no item should say, and only that, is another then."""
    if isinstance(said, list):
        return [each for each in said if isinstance(each, str)]
    return said if isinstance(said, str) else None


def _path(href: str) -> str:
    """An href without query and fragment."""
    return href.partition("#")[0].partition("?")[0]


_SERVICES = {"opendap", "rendered_preview", "tilejson", "tiles", "wcs", "wfs", "wms", "wmts", "xyz"}
_CAPABILITIES = {"tilejson.json", "wmtscapabilities.xml"}
_TILE = re.compile(r"\{-?[xyz]\}|\{TileMatrix\}")
_ENDPOINT = "an API endpoint, not a file"


def _is_endpoint(href: str, name: str) -> bool:
    """Return whether an href shows that it is none of a file."""
    return bool(
        name in _CAPABILITIES
        or ("?" in href and _is_service(href.partition("?")[2]))
        or ("{" in href and _TILE.search(href))
    )


def _is_service(query: str) -> bool:
    """Return whether a query is for a map, or for an item to be rendered."""
    values = {name.lower(): values for name, values in parse_qs(query).items()}
    services = {service.lower() for service in values.get("service", ())}
    return {"collection", "item"} <= values.keys() or not _SERVICES.isdisjoint(services)


_WORD = re.compile(r"[a-z0-9]+")
# Words of roles, keys and file names.
_PREVIEW = re.compile(
    r"thumb(?:nail)?|preview|quick[-_]?look|browse|overview|low[-_]?res|(?<![a-z])(?:pvi|ql)(?![a-z])"
)
_ABOUT = re.compile(
    r"checksum|citation|documentation|footprint|inspire|licen[cs]e|manifest|metadata|provenance"
    r"|readme|(?<![a-z])(?:code|icon|index|info|json|legend|logo|md5|mtd|mtl|report|sha1|sha256"
    r"|style|xml)(?![a-z])"
)
_WHOLE = {"archive", "bundle", "data", "package", "product", "safe", "zip", "zipped"}


def _by_words(key: str, asset: Mapping[str, Any], suffix: str) -> tuple[_File, _File]:
    """What an asset is by all but its href: if its file has not its item's name, and if it has."""
    media_type, suffix = asset.get("type"), suffix if suffix in _SUFFIXES else ""
    kind = _kind(media_type[:_LOOKED_AT] if isinstance(media_type, str) else "", suffix)
    roles = [role[:_LOOKED_AT] for role in _roles(asset)[:_ROLES]]
    key = key[:_LOOKED_AT]
    apart = _ranked(key, kind, roles, is_whole=False)._replace(kind=kind, suffix=suffix)
    if kind != "archive":
        return apart, apart
    return apart, _ranked(key, kind, roles, is_whole=True)._replace(kind=kind, suffix=suffix)


def _ranked(  # noqa: PLR0911 - one return a rule
    key: str, kind: str, roles: Sequence[str], *, is_whole: bool
) -> _File:
    # Neither endpoints nor web pages are files, whatever is said of them.
    if kind == "page":
        return _File(_Rank.NEVER, "a web page, not a file")
    if kind == "service" or key in _SERVICES or not _SERVICES.isdisjoint(roles):
        return _File(_Rank.NEVER, _ENDPOINT)
    # Roles say what is a preview, what is about data, and what is data.
    is_data = "data" in roles
    # A raster that is about another, such as its quality, is data too.
    is_about = not is_data and kind != "raster"
    for role in roles:
        if word := _PREVIEW.search(role) or (_ABOUT.search(role) if is_about else None):
            return _File(_Rank.NEVER, f"not data: its role is {word[0]}")
    key = key.lower()
    words = _WORD.findall(key)
    if is_whole or (kind == "archive" and words and _WHOLE.issuperset(words)):
        return _File(_Rank.ARCHIVE, "an archive of what stands beside it")
    if is_data and kind not in {"picture", "document"}:
        return _IS_DATA
    # Keys and file names say so where roles do not; a thumbnail is one, whatever its role.
    if word := _PREVIEW.search(key):
        return _called(word)
    if kind not in _DATA and (word := _ABOUT.search(key)):
        return _called(word)._replace(unless_named=True)
    found = _IS_DATA if is_data else _BY_KIND.get(kind, _IS_DATA)
    return found._replace(unless_named=True)


def _called(word: re.Match[str]) -> _File:
    return _File(_Rank.NEVER, f"not data: it is called {word[0]}")


_BY_KIND = {
    "picture": _File(_Rank.PICTURE, "a picture beside data"),
    "document": _File(_Rank.DOCUMENT, "a document beside data"),
}
"""What is meant where an item has nothing else."""


def _second_formats(
    assets: Mapping[str, Mapping[str, Any]], files: Mapping[str, _File]
) -> dict[str, str]:
    """The assets that are others in another format, by URL (`a.tif`, `a.nc`) or key (`a-jp2`)."""
    groups: dict[object, list[str]] = {}
    firsts: dict[tuple[str, str, str], str] = {}
    for key, file in files.items():
        if file.suffix and file.kind in _DATA:
            base = key[: -len(file.suffix) - 1]
            is_named = base in files and key.lower() == f"{base}-{file.suffix}".lower()
            href = assets[key].get("href")
            folder, _, name = _path(href if isinstance(href, str) else "").rpartition("/")
            # Of a file that is named in the query there is no stem.
            stem = name.lower().rpartition(f".{file.suffix}")[0] or key
            place = file.kind, folder, stem
            first = base if is_named else firsts.setdefault(place, key)
            groups.setdefault(first, []).append(key)
    unwanted = {}
    for keys in groups.values():
        best = min(keys, key=lambda key: _SUFFIXES[files[key].suffix][1])
        preferred = files[best].suffix
        for key in keys:
            if (suffix := files[key].suffix) != preferred:
                unwanted[key] = f"the same as {printable(best)}: {preferred} goes before {suffix}"
    return unwanted


_DATA = {"raster", "vector", "points", "archive"}
# Kinds of files by words of their media types, in the order in which they are looked for, and by
# suffixes. Of two formats of a kind the one whose suffix comes first is taken: those that are
# read in parts over HTTP go first.
_KINDS = {
    "raster": (
        "tif tiff geotiff jp2 jpx jpeg2000 netcdf netcdf4 hdf hdf5 grib grib2 zarr nitf",
        "tif tiff nc nc4 h5 he5 hdf5 hdf grib2 grb2 grib grb jp2 j2k img asc xyz nitf zarr vrt",
    ),
    "vector": (
        "parquet geopackage flatgeobuf geo geojson gml csv shapefile",
        "parquet geoparquet fgb gpkg geojson geojsonl gdb shp gml csv",
    ),
    "points": ("laszip copc las laz e57", "laz las ept e57 ply"),
    "picture": ("png jpeg jpg gif webp svg bmp", "png jpg jpeg gif webp svg bmp"),
    "page": ("html xhtml", "html htm xhtml php asp aspx jsp"),
    "service": ("wms wmts wfs wcs mapbox tilejson", ""),
    "archive": ("zip gzip tar gtar 7z rar", "zip tar tgz 7z rar gz bz2 xz zst"),
    "document": (
        "json ndjson xml yaml pdf text",
        "xml json txt md pdf yaml kml kmz py idx index md5 sha256 tfw ovr att eph geo imd rpb til",
    ),
}
_TYPES = {kind: frozenset(words.split()) for kind, (words, _) in _KINDS.items()}
_SUFFIXES = {
    suffix: (kind, place)
    for kind, (_, suffixes) in _KINDS.items()
    for place, suffix in enumerate(suffixes.split())
}
_UNKNOWN = "", 0
_LOOKED_AT = 250  # characters of a key, a role or a media type
_ROLES = 50


def _kind(media_type: str, suffix: str) -> str:
    """The kind of a file by its media type, or by its suffix where that says more."""
    words = _WORD.findall(media_type.partition(";")[0].lower())
    by_type = next((kind for kind, of in _TYPES.items() if not of.isdisjoint(words)), "")
    by_suffix = _SUFFIXES.get(suffix, _UNKNOWN)[0]
    return by_suffix or by_type if by_type in {"", "archive", "document"} else by_type


def _suffix(name: str) -> str:
    """The suffix of a file name: of what is in it, where that is compressed."""
    stem, _, suffix = name.rpartition(".")
    if not stem:
        return ""
    if suffix == "json" and stem in {"ept", "tileset"}:  # indices of point clouds that are folders
        return "ept"
    if _SUFFIXES.get(suffix, _UNKNOWN)[0] == "archive":
        inner = stem.rpartition(".")[2]
        return inner if inner != stem and inner in _SUFFIXES else suffix
    return suffix


def _roles(asset: Mapping[str, Any]) -> list[str]:
    """The roles of an asset, in lower case."""
    named = asset.get("roles")
    return [
        role.lower()
        for role in (named if isinstance(named, list) else [named])
        if isinstance(role, str)
    ]
