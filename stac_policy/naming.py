"""Names: which DID stands for which collection, item and asset.

    collection  `/COLLECTION`                 container, and the scope
    item        `/COLLECTION/ITEM`            dataset
    asset       `/COLLECTION/ITEM/ASSETKEY`   file, with the suffix of its href

Each part is escaped on its own, so that names stay readable, keep within
Rucio's generic schema (`rucio.common.schema.generic`) and can be read back
without the catalogue. The grammar is described in docs/names.md. It is stored
in every Rucio that uses this package and must therefore never change.

This module is pure: it knows no network, no Rucio and no settings.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

COLLECTION_PARTS, ITEM_PARTS, ASSET_PARTS = 1, 2, 3  # of names, as `split_name` returns them
NAME_LENGTH = 250  # characters; rucio.common.schema.generic.NAME_LENGTH
SCOPE_LENGTH = 25  # characters; rucio.common.schema.generic.SCOPE_LENGTH

SAMPLES = ("/stac-rucio/doctor/none.tif", "/-.2Estac-rucio/doctor/none-.20.tif")
"""Names that no asset has, one with escapes: what takes both takes every name."""

_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_PLAIN_NAME = re.compile(r"(?:/(?!\.)[A-Za-z0-9._-]+){1,3}")
_NOT_LITERAL = re.compile(rb"[^A-Za-z0-9._-]|\A\.|-(?=\.)", re.DOTALL)
_ESCAPED_BYTE = re.compile(r"-\.([0-9A-F]{2})")
_CUT_ESCAPE = re.compile(r"-(\.[0-9A-F]?)?$")
_SHORTENED = re.compile(r"(.+)-\.H[0-9a-f]{16}(.*)")
_SHORTENED_TAIL = 3 + 16  # `-.H` and the hex digits
_SHORTENED_LEAST = 32  # three parts as short as this always fit
_CUT_MOST = 3  # characters that a cut takes beyond its length: `-.4`
_SUFFIX_LENGTH = 16  # characters behind the dot
_TAR = ".tar"
_COMPRESSED = frozenset({".gz", ".bz2", ".xz", ".zst"})  # `.tar.gz` is one suffix
_ACCOUNTS = ("user.", "group.")  # how the scopes of accounts and groups begin


class DID(NamedTuple):
    """A data identifier of Rucio."""

    scope: str
    name: str

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}"


def escape(part: str) -> str:
    """Return any id or key as a part of a name: `a-.20b` for `a b`.

    UTF-8 bytes outside `A-Za-z0-9._-` become `-.` and two upper-case hex
    digits, and so do the `-` of a literal `-.` and a leading dot. Different
    parts give different results, and `unescape` gives them back.

    Raises:
        ValueError: The part is empty; Rucio has no name for it.
    """
    if not part:
        raise ValueError("an empty id or key has no name in Rucio")
    if _PLAIN.fullmatch(part) and "-." not in part:
        return part
    # JSON can hold lone surrogates, which strict UTF-8 refuses.
    return _escape_bytes(part.encode("utf-8", "surrogatepass"))


def _escape_bytes(data: bytes) -> str:
    return _NOT_LITERAL.sub(lambda match: b"-.%02X" % ord(match[0]), data).decode("ascii")


def unescape(part: str) -> str:
    """Return the id or key that `escape` was given.

    Raises:
        ValueError: `escape` never gives this, or the part was shortened to fit
            into Rucio's 250 characters, so that only the catalogue knows it.
    """
    if not _PLAIN.fullmatch(part):
        raise ValueError(f"{part!r} is not a part of a name")
    if "-." not in part:
        return part
    original = _unescape_bytes(part).decode("utf-8", "surrogatepass")
    if escape(original) != part:
        raise ValueError(f"{part!r} is not a part of a name, or was shortened")
    return original


def _unescape_bytes(part: str) -> bytes:
    return _ESCAPED_BYTE.sub(lambda match: chr(int(match[1], 16)), part).encode("latin-1")


def collection_scope(collection: str) -> str:
    """Return the scope of a collection: its escaped id, or a digest of it above 25 characters.

    Raises:
        ValueError: The collection id is empty, or begins like the scope of an account or
            group (`user.`, `group.`), which is never derived.
    """
    scope = escape(collection)
    if "." in scope and scope.lower().startswith(_ACCOUNTS):
        raise ValueError(
            f"collection {collection!r} would get an account's scope, which is never derived; "
            "give another with scope= (--scope)"
        )
    if len(scope) <= SCOPE_LENGTH:
        return scope
    return f"{scope[:16]}-{hashlib.sha256(scope.encode()).hexdigest()[:8]}"


def collection_name(collection: str) -> str:
    """Return the name of a collection's container.

    Raises:
        ValueError: The collection id is empty.
    """
    return _join(collection)


def item_name(collection: str, item: str) -> str:
    """Return the name of an item's dataset.

    Raises:
        ValueError: An id is empty.
    """
    return _join(collection, item)


def asset_name(  # noqa: PLR0917 - as many things make a name
    collection: str,
    item: str,
    key: str,
    href: str | None,
    keys: Container[str] = (),
    local_path: object = None,
) -> str:
    """Return the name of an asset's file, or of its folder.

    Args:
        collection: Id of the collection.
        item: Id of the item.
        key: Key of the asset.
        href: What the catalogue has for the asset's href, URL or path, relative or not,
            and not an alternate that is fetched in its place; the name takes its suffix
            (`.tif`, `.tar.gz`) where the key lacks it.
        keys: Keys of the item's assets. If one of them is this key with the
            suffix, this asset keeps its bare key.
        local_path: The asset's `file:local_path`, whose suffix is taken where the href
            has none; what is no text counts as nothing.

    Raises:
        ValueError: An id or the key is empty.
    """
    suffix = ""
    if href:
        path = href.partition("#")[0].partition("?")[0] if "?" in href or "#" in href else href
        suffix = _suffix_of_path(path)
    if not suffix and local_path and isinstance(local_path, str):
        suffix = _suffix_of_path(local_path)
    if suffix and key:
        lower_key, lower_suffix = key.lower(), suffix.lower()
        # Or `a.tar` of `x.gz` would meet `a` of `x.tar.gz`.
        splits = lower_suffix in _COMPRESSED and lower_key.endswith(_TAR)
        if not splits and not lower_key.endswith(lower_suffix) and key + suffix not in keys:
            key += suffix
    return _join(collection, item, key)


def asset_key(
    name: str,
    collection: str,
    item: str,
    hrefs: Mapping[str, str | None],
    local_paths: Mapping[str, object] = MappingProxyType({}),
) -> str | None:
    """Return the key of the asset that a name stands for, among an item's assets.

    Args:
        name: The name of a file, as `asset_name` gives it.
        collection: Id of the collection.
        item: Id of the item.
        hrefs: The href of each asset of the item, by its key.
        local_paths: The `file:local_path` of those that have one, by its key.

    Returns:
        The key, or None if the name is not that of one of these assets.

    Raises:
        ValueError: An id is empty.
    """
    for key, href in hrefs.items():
        named = key and asset_name(collection, item, key, href, hrefs, local_paths.get(key))
        if named == name:
            return key
    return None


def split_name(name: str) -> tuple[str, ...]:
    """Return the escaped parts of a name: of a collection, an item or an asset.

    Returns:
        One to three parts, or none if the name has not the form that this
        module gives.
    """
    if not name.startswith("/") or name.count("/") > ASSET_PARTS or len(name) > NAME_LENGTH:
        return ()
    parts = tuple(name[1:].split("/"))
    if _is_plain_name(name):
        return parts
    # No name is shortened further than needed.
    may_be_short = len(name) >= NAME_LENGTH - _CUT_MOST
    for index, part in enumerate(parts):
        if not _is_part(part) and not (may_be_short and _is_shortened(part, index)):
            return ()
    return parts


def _is_plain_name(name: str) -> bool:
    """Return whether a name has one to three parts, none of which needs or holds an escape."""
    return "-." not in name and _PLAIN_NAME.fullmatch(name) is not None


def _is_part(part: str) -> bool:
    try:
        unescape(part)
    except ValueError:
        return False
    return True


def _is_shortened(part: str, index: int) -> bool:
    match = _SHORTENED.fullmatch(part)
    if not match or not _PLAIN.fullmatch(part) or match[2] != _kept_suffix(part, index):
        return False
    if len(part) - len(match[2]) < _SHORTENED_LEAST - _CUT_MOST:
        return False
    data = _unescape_bytes(match[1])
    try:  # the head may end within a character
        codecs.getincrementaldecoder("utf-8")("surrogatepass").decode(data)
    except UnicodeDecodeError:
        return False
    # or between the two characters of a literal `-.`
    return match[1] in {_escape_bytes(data), _escape_bytes(data + b".")[:-1]}


def _suffix_of_path(path: str) -> str:
    """Return the suffix of the name of a file or folder, with its dot, or nothing."""
    folder, _, filename = path.rpartition("/")
    if not filename:  # a folder is the same with and without a slash behind it
        folder, _, filename = path.rstrip("/").rpartition("/")
    if folder.endswith(":/"):  # https://example.com names no file
        return ""
    return _suffix_of_file(filename)


def _suffix_of_file(filename: str) -> str:
    stem, dot, end = filename.rpartition(".")
    if not (stem and end.isalnum() and end.isascii()) or end.isdigit() or len(end) > _SUFFIX_LENGTH:
        return ""
    suffix = dot + end
    if suffix.lower() in _COMPRESSED and stem.lower().endswith(_TAR) and len(stem) > len(_TAR):
        return stem[-len(_TAR) :] + suffix
    return suffix


def _kept_suffix(part: str, index: int) -> str:
    """Return the suffix that a shortened part keeps: only those of assets are of files."""
    return _suffix_of_file(part) if index == ASSET_PARTS - 1 else ""


def _join(*originals: str) -> str:
    name = "/" + "/".join(originals)
    if len(name) <= NAME_LENGTH and name.count("/") == len(originals) and _is_plain_name(name):
        return name
    parts = [escape(original) for original in originals]
    while (excess := sum(map(len, parts)) + len(parts) - NAME_LENGTH) > 0:
        longest = max(range(len(parts)), key=lambda index: len(parts[index]))
        suffix = _kept_suffix(originals[longest], longest)
        parts[longest] = _shorten(originals[longest], parts[longest], excess, suffix)
    return "/" + "/".join(parts)


def _shorten(original: str, part: str, excess: int, suffix: str) -> str:
    """Return a part cut by `excess` characters or more, which ends in a digest of the original."""
    length = max(len(part) - excess - len(suffix), _SHORTENED_LEAST)
    head = _CUT_ESCAPE.sub("", part[: length - _SHORTENED_TAIL])
    digest = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{head}-.H{digest}{suffix}"
