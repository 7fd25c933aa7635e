"""How the bytes behind an href are got: its class of access, and the URL to store; pure.

One table of origins (origins.tsv, and what an operator adds) says of hosts and buckets who
may read them. What an item says (the Authentication and Storage extensions) classifies an
asset of an origin that the table lacks; it never chooses a host, a region or a credential.
"""

from __future__ import annotations

import re
from contextlib import suppress
from enum import Enum
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from stac_policy.urls import absolute, is_secret, is_url, plain_parts, printable, refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


class Kind(str, Enum):
    """The class of access of an asset."""

    OPEN = "open"
    """A server that answers anybody."""
    PUBLIC_BUCKET = "public bucket"
    """An object store that does."""
    SIGNED = "signed"
    """Requests are signed, with keys or tokens of the provider."""
    REQUESTER_PAYS = "requester pays"
    BEARER = "bearer"
    """Requests carry a token or a password in a header."""
    API_KEY = "API key"
    LOGIN_FORM = "login form"
    """A person has to log in with a browser."""
    FOLDER = "folder"
    """Many objects, and no file."""
    NOT_TO_BE_HAD = "not to be had"

    __hash__ = str.__hash__  # that of Enum is written in Python

    @property
    def is_anonymous(self) -> bool:
        """Whether transfers need no credential."""
        return self in _ANONYMOUS

    @property
    def is_fetchable(self) -> bool:
        """Whether transfers bring the bytes, given the credentials that it takes."""
        return self not in _NEVER


_ANONYMOUS = frozenset({Kind.OPEN, Kind.PUBLIC_BUCKET})
_NEVER = frozenset({Kind.LOGIN_FORM, Kind.FOLDER, Kind.NOT_TO_BE_HAD})


class Access(NamedTuple):
    """How the bytes behind an href are got."""

    kind: Kind
    url: str | None = None
    """The HTTPS (or HTTP) URL to store, whoever may read it; None if there is none."""
    needs: str = ""
    """What transfers need besides the URL: the credential gateway, and which credential."""
    reason: str = ""
    """Why it cannot be fetched, or cannot without what it needs."""
    is_doubtful: bool = False
    """Whether that is for want of knowledge alone, which a look at its bucket brings."""


class Origin(NamedTuple):
    """What the table says of a host or a bucket."""

    kind: Kind
    at: str = ""
    """Of a bucket of S3: its region, or the URL of its endpoint; one that ends in a slash is
    that of its keys. Of an account of Azure: the containers that go by their names alone."""
    needs: str = ""
    """Who hands out which credential, or why there is none."""
    how: str = ""
    """Where users have it from: a variable of the environment, or an endpoint, or both."""


class Place(NamedTuple):
    """Where an href leads, however it is spelled."""

    name: str
    """`s3://BUCKET`, `gs://BUCKET`, `az://ACCOUNT`, or a host, with its port if it is another."""
    key: str
    """Of an object, decoded (of Azure with its container); of a host, the path as it is."""
    query: str = ""

    @property
    def is_object(self) -> bool:
        """Whether it is an object in a bucket."""
        return "://" in self.name

    @property
    def is_version(self) -> bool:
        """Whether it is one version of an object, which S3 lets fewer read than the object."""
        return self.name.startswith("s3://") and bool(VERSION.fullmatch(self.query))


_SCHEMES = {
    **dict.fromkeys(["s3", "s3a", "s3n"], "s3"),
    **dict.fromkeys(["gs", "gcs"], "gs"),
    **dict.fromkeys(["az", "azure", "abfs", "abfss", "wasb", "wasbs"], "az"),
}
_GDAL = {"/vsis3/": "s3://", "/vsigs/": "gs://", "/vsiaz/": "az://", "/vsicurl/": ""}
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
VERSION = re.compile(r"versionId=[A-Za-z0-9._-]+")
_REGION = r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]"
_AWS = re.compile(
    rf"(?:(.+)\.)?s3(?:-accelerate|-fips|-external-1|-{_REGION})?(?:\.dualstack)?(?:\.{_REGION})?"
)
_AWS_ENDS = (".amazonaws.com", ".amazonaws.com.cn")
_AWS_ACCOUNTS = re.compile(
    r"(?:^|[.-])s3-(?:accesspoint|object-lambda|outposts)|\.accesspoint\.s3-global"
)
_GOOGLE = "storage.googleapis.com"
_AZURE = re.compile(r"([a-z0-9]{3,24})\.(?:blob|dfs)\.core\.windows\.net")
_HOST_LENGTH = 253
_SHOWN = 63  # characters of a name that is shown
# What stands in a path as it is. S3 takes `+` for a space, so a plus sign is escaped.
_PATH = "/-_.~!$&'()*,;=:@"

_ACCESS_POINT = "an access point, which is for accounts of AWS alone; give the bucket"
_CREDENTIALS = "the URL carries credentials"


class Origins:
    """The table of origins.

    Args:
        rows: The rows, each `origin, access, at, needs, source`; of two with the same
            origin the first counts. One whose origin begins with `=` is no origin but a
            credential, which others need by this name.

    Raises:
        ValueError: One has no such class of access, or too few columns, or needs a credential
            that is none of the table's.
    """

    def __init__(self, rows: Iterable[Sequence[str]]) -> None:
        self._known: dict[str, list[tuple[str, Origin]]] = {}
        self._patterns: list[tuple[str, Origin]] = []
        self._accounts: dict[str, str] = {}
        self._endpoints: dict[str, list[tuple[str, str]]] = {}
        rows = [*rows]
        credentials = {
            name: (needs, at) for name, _, at, needs, *_ in reversed(rows) if name[:1] == "="
        }
        for text, kind, at, needs, *_ in rows:
            said, how = credentials.get(needs, (needs, ""))
            if said[:1] == "=":
                raise ValueError(f"row {text} needs {needs}, which has no row")
            if text[:1] != "=":
                self._add(text, Origin(Kind(kind), at, said, how))
        for found in self._known.values():
            found.sort(key=lambda each: -len(each[0]))  # the longest prefix first
        self._of_name = lru_cache(4096)(self._find)
        self._of_server = lru_cache(4096)(self._of_whole_server)

    def _add(self, text: str, origin: Origin) -> None:
        store, mark, rest = text.rpartition("://")
        bucket, slash, prefix = rest.partition("/")
        name = f"{store}{mark}{bucket}"
        if mark and "*" in bucket:
            self._patterns.append((name, origin))
            return
        prefix = prefix if mark else slash + prefix
        known = self._known.setdefault(name, [])
        if all(prefix != other for other, _ in known):
            known.append((prefix, origin))
        if store == "az":
            for container in origin.at.split():
                # One that several accounts have is nobody's.
                other = self._accounts.setdefault(container, bucket)
                self._accounts[container] = bucket if other == bucket else ""
        elif "://" in origin.at:
            parts = urlsplit(origin.at)
            path = parts.path if parts.path.endswith("/") else f"{parts.path}/{bucket}/"
            for host, start in (parts.netloc, path), (f"{bucket}.{parts.netloc}", "/"):
                self._endpoints.setdefault(host, []).append((start, name))

    def _find(self, name: str) -> list[tuple[str, Origin]]:
        """What the table says of a name, by prefixes of keys or paths."""
        if "://" in name:
            matching = [
                ("", each) for pattern, each in self._patterns if fnmatchcase(name, pattern)
            ]
            return self._known.get(name, matching)
        host = name.partition(":")[0]
        names = [name, host, *(f"*{host[at:]}" for at, each in enumerate(host) if each == ".")]
        return next((self._known[each] for each in names if each in self._known), [])

    def _of_whole_server(self, netloc: str) -> tuple[Kind, int] | None:
        """The access to all of a server that answers anybody, and where keys begin in paths."""
        with suppress(ValueError):
            store, bucket = _server(netloc.lower())
            known = self._of_name(f"{store}://{bucket}" if store else bucket)
            if bucket in self._endpoints or (store and not (bucket and known)):
                return None
            prefix, origin = known[0] if known else ("", Origin(Kind.OPEN))
            if not prefix and not origin.needs and origin.kind.is_anonymous:
                return origin.kind, 1 if store else 0
        return None

    def origin(self, place: Place) -> Origin | None:
        """Return what the table says of a place, if anything."""
        for prefix, origin in self._of_name(place.name):
            if place.key.startswith(prefix):
                return origin
        return None

    def has_name(self, place: Place) -> bool:
        """Return whether a row has the very name of a place, port included, and no pattern."""
        return place.name in self._known

    def place(self, href: str) -> Place:
        """Return where an href leads, however it is spelled.

        Raises:
            ValueError: It leads nowhere; the message says why, and repeats no secret.
        """
        if plain := plain_parts(href):
            return self._on_web(*plain)
        scheme, mark, rest = href.partition("://")
        if store := mark and _SCHEMES.get(scheme.lower()):
            return self._in_bucket(store, rest)
        if href[:4].lower() == "arn:":
            raise ValueError("an ARN, which is no URL; give s3://BUCKET/KEY")
        if reason := refusal(href):
            raise ValueError(reason + _advice(href))
        rest, _, query = rest.partition("?")
        netloc = rest.partition("/")[0]
        return self._on_web(netloc, rest[len(netloc) :], query)

    def _in_bucket(self, store: str, rest: str) -> Place:
        rest, question, query = rest.partition("?")
        bucket, _, key = rest.partition("/")
        if is_secret(f"?{key.partition('#')[2]}"):
            raise ValueError("the href carries a secret behind #")
        if question and not (store == "s3" and VERSION.fullmatch(query)):
            raise ValueError(
                "it has a query that its store does not know; S3 knows versionId alone"
            )
        if bucket[:4].lower() == "arn:" or bucket.endswith(("-s3alias", "--ol-s3")):
            raise ValueError(_ACCESS_POINT)
        if not bucket:
            raise ValueError("the href names no bucket")
        if len(bucket) > _HOST_LENGTH:  # what is known of a name is remembered with it
            raise ValueError("the name of the bucket is too long")
        if store == "az":
            bucket, key = self._in_account(bucket, key)
        elif "@" in bucket:
            raise ValueError(_CREDENTIALS)
        if not {".", ".."}.isdisjoint(key.split("/")):
            raise ValueError(
                "the key has `.` or `..` between slashes, which HTTP clients take away"
            )
        return Place(f"{store}://{bucket}", key, query)

    def _in_account(self, bucket: str, key: str) -> tuple[str, str]:
        """The account of an Azure href, and the key with its container."""
        container, at, host = bucket.rpartition("@")
        if azure := _AZURE.fullmatch(host.lower()):
            return azure[1], f"{container}/{key}" if at else key
        if at:
            raise ValueError(_CREDENTIALS)
        if account := self._accounts.get(bucket):
            return account, f"{bucket}/{key}"
        shown = printable(bucket[:_SHOWN])
        raise ValueError(
            f"which account of Azure container {shown} is of is not known; the table of origins "
            "can say it"
        )

    def _on_web(self, netloc: str, path: str, query: str = "") -> Place:
        store, bucket = _server(netloc.lower())
        if store:
            key = path[1:]
            if not bucket:
                bucket, _, key = key.partition("/")
            key = key.replace("+", " ") if store == "s3" else key
            return Place(f"{store}://{bucket}", _decoded(key), query)
        for prefix, stored in self._endpoints.get(bucket, ()):
            if path.startswith(prefix):
                return Place(stored, _decoded(path[len(prefix) :]), query)
        return Place(bucket, path, query)

    def is_known(self, url: str) -> bool:
        """Return whether a URL leads to a place at all, so that it can be compared."""
        with suppress(ValueError):
            return bool(self.place(url))
        return False

    def is_among(self, url: str, others: Collection[str]) -> bool:
        """Return whether one of some URLs is a spelling of the same object."""
        if url in others:
            return True
        with suppress(ValueError):
            place = self.place(url)
            return place.is_object and any(self._leads_to(other, place) for other in others)
        return False

    def _leads_to(self, url: str, place: Place) -> bool:
        with suppress(ValueError):
            return self.place(url) == place
        return False

    def access(self, href: str, item: Mapping[str, Any], asset: Mapping[str, Any]) -> Access:
        """Return how the bytes behind an href are got.

        Args:
            href: The href, absolute.
            item: The item, which may say who may read it.
            asset: The fields of the asset, or of its alternate that has the href.
        """
        plain = plain_parts(href)
        if plain and "auth:refs" not in asset and (whole := self._of_server(plain[0])):
            kind, start = whole  # as of most servers all is open
            if not is_folder(plain[1][start:], asset.get("type")):
                return Access(kind, href)
        return self._of_any(href, item, asset)

    def _of_any(self, href: str, item: Mapping[str, Any], asset: Mapping[str, Any]) -> Access:
        if href.startswith("/vsi"):
            for prefix, scheme in _GDAL.items():
                if href.startswith(prefix):
                    href = scheme + href[len(prefix) :]
        is_web = is_url(href)
        try:
            place = self.place(href)
            _require_file(place, item)
            known = self.origin(place)
            url = href if is_web else _url(place, known)
        except ValueError as error:
            return _never(str(error))
        origin = known or said(item, asset, place)
        if is_folder(place.key, asset.get("type")) and not place.query:
            return Access(Kind.FOLDER, url, "", "a folder of many objects, not a file")
        if origin is None and not is_web:
            return _unknown(place.name, url)
        if origin is None:
            origin = Origin(Kind.PUBLIC_BUCKET if place.is_object else Kind.OPEN)
        if place.is_version and origin.kind.is_anonymous:
            return _doubtful(url, "whether anybody may read a version of an object is not known")
        if origin.kind.is_anonymous or not origin.kind.is_fetchable:
            return Access(origin.kind, url, "", origin.needs)
        needs = f"the credential gateway, with {origin.needs}"
        return Access(origin.kind, url, needs, f"{origin.kind.value}: it needs {needs}")


@lru_cache(4096)
def _server(netloc: str) -> tuple[str, str]:
    """The store that a server belongs to, and the bucket or account if its name says it.

    Of a server of no store it is nothing and the host, with its port if it is another.

    Raises:
        ValueError: It serves accounts of a provider alone, or has no name.
    """
    parts = urlsplit(f"//{netloc}")
    host = parts.hostname or ""
    if len(host) > _HOST_LENGTH:
        raise ValueError("the name of the host is too long")
    if host.endswith(_AWS_ENDS):
        head = host.rpartition(".amazonaws.com")[0]
        if _AWS_ACCOUNTS.search(head):
            raise ValueError(_ACCESS_POINT)
        if aws := _AWS.fullmatch(head):
            return "s3", aws[1] or ""
    if azure := _AZURE.fullmatch(host):
        return "az", azure[1]
    if host in {_GOOGLE, f"commondata{_GOOGLE}"}:
        return "gs", ""
    if host.endswith(f".{_GOOGLE}"):
        return "gs", host[: -len(_GOOGLE) - 1]
    return "", host if parts.port in {None, 443} else f"{host}:{parts.port}"


def found_access(
    table: Origins,
    item: Mapping[str, Any],
    asset: Mapping[str, Any],
    base_url: str,
    alternate_assets: Iterable[str] = (),
) -> Access:
    """Return how the bytes of an asset are got: from its href, or an alternate that is easier.

    Args:
        table: The table of origins.
        item: The item.
        asset: The fields of the asset, with the catalogue's own href.
        base_url: What relative hrefs are relative to.
        alternate_assets: Keys of alternates; the first that the asset has is taken.
    """
    href = _href(asset)
    if "alternate" not in asset and href:
        return table.access(absolute(href, base_url), item, asset)

    def access(fields: Mapping[str, Any]) -> Access:
        return table.access(absolute(_href(fields), base_url), item, fields)

    alternates = {key: each for key, each in _dict(asset.get("alternate")).items() if _href(each)}

    for key in alternate_assets:
        if key in alternates:
            return access({**asset, **alternates[key]})
    own = access(asset) if href else _never("no href")
    if own.kind.is_anonymous or not alternates:
        return own
    others = (
        access({**asset, **each})
        for key, each in sorted(alternates.items())
        if not (key.isupper() and each.get("alternate:name") == key)  # a copy at an RSE
    )
    return min([own, *others], key=_effort)  # of equals the first


def _href(fields: object) -> str:
    href = fields.get("href") if isinstance(fields, dict) else None
    return href if isinstance(href, str) else ""


def _effort(access: Access) -> int:
    return 2 - access.kind.is_anonymous - access.kind.is_fetchable


def _advice(href: str) -> str:
    if href.startswith("file:") or (href.startswith("/") and not href.startswith("//")):
        return ": it is a local file, and base_url= (--base-url) says where it is published"
    if href.startswith("//") or ":" in href.partition("/")[0]:
        return ""
    return ": it is relative, and base_url= (--base-url) says to what, as its item does not"


def _never(reason: str) -> Access:
    return Access(Kind.NOT_TO_BE_HAD, None, "", reason)


def _unknown(name: str, url: str) -> Access:
    """Access to a bucket of which neither the table nor the item says anything."""
    bucket = name.partition("://")[2]
    shown = f"{name[: name.index('://')]} bucket {printable(bucket[:_SHOWN])}"
    if not _BUCKET.fullmatch(bucket):
        return _never(f"no provider is known to have {shown}; the table of origins can name one")
    return _doubtful(url, f"whether {shown} is public is not known")


def _doubtful(url: str, doubt: str) -> Access:
    reason = f"{doubt}; a look (--check) or the table of origins tells"
    return Access(Kind.NOT_TO_BE_HAD, url, "", reason, is_doubtful=True)


def _decoded(path: str) -> str:
    return unquote(path, errors="surrogateescape") if "%" in path else path


def _url(place: Place, origin: Origin | None) -> str:
    """The URL of an object; it depends on nothing but the place and the table.

    Raises:
        ValueError: It is none that can be stored.
    """
    store, _, bucket = place.name.partition("://")
    at = origin.at if origin else ""
    if store == "gs":
        base = f"https://{_GOOGLE}/{bucket}/"
    elif store == "az":
        base = f"https://{bucket}.blob.core.windows.net/"
    elif "://" in at:
        base = at if at.endswith("/") else f"{at}/{bucket}/"
    else:
        host = f"s3{'.' * bool(at)}{at}.amazonaws.com{'.cn' * at.startswith('cn-')}"
        # A wildcard certificate covers no dots, and no host has what older names may hold.
        is_label = re.fullmatch("[a-z0-9-]+", bucket)
        base = f"https://{bucket}.{host}/" if is_label else f"https://{host}/{quote(bucket)}/"
    try:
        path = quote(place.key, _PATH, errors="surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("the key holds characters that UTF-8 does not have") from None
    url = f"{base}{path}?{place.query}" if place.query else base + path
    if reason := refusal(url):
        raise ValueError(reason)
    return url


def names_no_bucket(prefix: str) -> bool:
    """Return whether URLs that begin so are those of any bucket of a provider."""
    try:
        store, bucket = _server(urlsplit(prefix).netloc.lower())
    except ValueError:  # an access point
        return False
    return bool(store) and not bucket and not urlsplit(prefix).path.strip("/")


def region_of(url: str, origin: Origin) -> str:
    """Return the region of a bucket of AWS: that of the table, or of its host's name."""
    named = re.search(rf"[.-]({_REGION})\.amazonaws\.", url.partition("?")[0])
    return origin.at or (named[1] if named else "us-east-1")


_FOLDER_TYPES = re.compile(r"application/(?:vnd[.+]|x-)?zarr\b", re.IGNORECASE)
# `manifest.safe` is a file; `ept.json` and `tileset.json` are the indices of their folders.
_FOLDERS = (".zarr", ".SAFE", ".SEN3", ".gdb", ".icechunk", "/ept.json", "/tileset.json", "/")


def is_folder(path: str, media_type: object = None) -> bool:
    """Return whether a path, or what an item says of it, is that of many objects."""
    if path.endswith(_FOLDERS):
        return True
    # A group or an array in a store has no suffix, a file of it has one, or begins with a dot.
    if ".zarr/" in path and "." not in path[path.rfind("/") + 1 :]:
        return True
    is_zarr = isinstance(media_type, str) and _FOLDER_TYPES.match(media_type)
    return bool(is_zarr) and not path.endswith((".zip", ".json"))


# What items say.


_SCHEME_KINDS = {
    "http": Kind.BEARER,
    "oauth2": Kind.BEARER,
    "openIdConnect": Kind.BEARER,
    "earthdata": Kind.BEARER,  # v1.0
    "apiKey": Kind.API_KEY,
    "s3": Kind.SIGNED,
    "signedUrl": Kind.SIGNED,
    "planetaryComputer": Kind.SIGNED,  # v1.0
}


def _schemes(item: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = _dict(item.get("properties"))
    return {**_dict(item.get("auth:schemes")), **_dict(properties.get("auth:schemes"))}


def _require_file(place: Place, item: Mapping[str, Any]) -> None:
    """Refuse a place that is a whole bucket, or has a key in its query.

    Raises:
        ValueError: It is one of these.
    """
    if place.is_object and not place.key:
        raise ValueError("the href names a bucket and no object")
    if place.query and (name := _api_key(item, place.query)):
        raise ValueError(f"the URL carries a key (parameter {name}), which would be stored")


def _api_key(item: Mapping[str, Any], query: str) -> str | None:
    """The parameter of a query that an item calls its API key."""
    keys = [_dict(scheme) for scheme in _schemes(item).values()]
    names = {str(key.get("name")) for key in keys if key.get("type") == "apiKey"}
    found = (name for name, _ in parse_qsl(query, keep_blank_values=True) if name in names)
    return next((printable(name[:_SHOWN]) for name in found), None)


def said(item: Mapping[str, Any], asset: Mapping[str, Any], place: Place) -> Origin | None:
    """Return what an item says of an asset that the table of origins knows nothing of.

    By the Authentication extension (v1.0 and v1.1) and the Storage extension (v1 and v2).
    """
    refs = _list(asset.get("auth:refs"))
    schemes = _schemes(item) if refs else {}
    for ref in refs:
        kind = _SCHEME_KINDS.get(str(_dict(schemes.get(str(ref))).get("type")))
        if kind is not None:
            return Origin(kind, "", f"what the item calls {printable(str(ref)[:_SHOWN])}")
    if refs:
        shown = ", ".join(printable(str(ref)[:_SHOWN]) for ref in refs[:3])
        reason = f"the item wants authentication and does not say which: {shown}"
        return Origin(Kind.NOT_TO_BE_HAD, "", reason)
    if place.is_object and _requester_pays(_dict(item.get("properties")), asset):
        return Origin(Kind.REQUESTER_PAYS, "", "keys of an account that pays for the transfer")
    return None


def _requester_pays(properties: Mapping[str, Any], asset: Mapping[str, Any]) -> bool:
    refs = _list(asset.get("storage:refs"))
    schemes = _dict(properties.get("storage:schemes"))
    if refs:
        return all(_dict(schemes.get(str(ref))).get("requester_pays") is True for ref in refs)
    field = "storage:requester_pays"
    return asset.get(field, properties.get(field)) is True


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def is_bucket(href: str) -> bool:
    """Return whether an href is that of an object as catalogues write it: `s3://BUCKET/KEY`.

    The PFN of a storage (`s3://HOST:PORT/BUCKET/KEY`) is none.
    """
    scheme, mark, rest = href.partition("://")
    bucket = rest.partition("/")[0]
    return bool(mark) and scheme.lower() in _SCHEMES and ":" not in bucket


# The table that comes with the package, and what an operator adds.


def read_rows(text: str) -> list[list[str]]:
    """Return the rows of a table: five columns, divided by tabs; `#` begins a comment.

    Raises:
        ValueError: A line is none of a table, or names no class of access.
    """
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#") or not line.strip():
            continue
        row = [part.strip() for part in line.split("\t")]
        if len(row) != _COLUMNS or row[1] not in {kind.value for kind in Kind}:
            raise ValueError(f"line {number} is not `origin, access, at, needs, source` with tabs")
        rows.append(row)
    return rows


_COLUMNS = 5


@lru_cache(maxsize=4)
def origins(further: str = "") -> Origins:
    """Return the table of origins.

    Args:
        further: Path of a file with rows that come before those of the package.

    Raises:
        ValueError: It cannot be read, or is no table.
    """
    rows = []
    if further:
        try:
            rows = read_rows(Path(further).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"the table of origins {further}: {error}") from error
    return Origins(rows + read_rows(Path(__file__).with_name("origins.tsv").read_text("utf-8")))
