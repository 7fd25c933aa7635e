"""Storages that are mounted here: from a PFN to the path of its file; pure."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from stac_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]+/[^?#]*", re.IGNORECASE)
_PERCENT_ENCODED = ("http://", "https://", "dav://", "davs://")
"""In URLs of these schemes, `%20` in the path stands for a space."""


class Mounts:
    """Gives the local path of a PFN that lies below a mounted prefix.

    No PFN leads out of the folder that its prefix is mounted at: one with `..`,
    plainly or percent-encoded, has no path here. (What symbolic links in that
    folder lead to is up to who made them.)
    """

    def __init__(self, prefixes: Mapping[str, str | os.PathLike[str]]) -> None:
        """Take the folder of each prefix: `davs://host:443/rucio/` -> `/eos/rucio/`.

        Raises:
            ConfigurationError: A prefix is no URL with a host and a path, or a
                folder is no absolute path.
        """
        self._folders = {}
        for prefix, folder in prefixes.items():
            path = os.fspath(folder)
            if not _PREFIX.fullmatch(_ended(prefix)):
                raise ConfigurationError(
                    f"mounts: {prefix!r} is not the beginning of a URL (davs://host:443/rucio/ is)"
                )
            if not path.startswith("/") or ".." in path.split("/"):
                raise ConfigurationError(f"mounts: {path!r} is not the absolute path of a folder")
            self._folders[_ended(prefix)] = _ended(path)
        # The longest prefix is the closest.
        self._prefixes = sorted(self._folders, key=len, reverse=True)

    def path(self, pfn: str) -> str | None:
        """Give the local path of a PFN, or None if it has none."""
        for prefix in self._prefixes:
            if pfn.startswith(prefix):
                encoded = prefix.lower().startswith(_PERCENT_ENCODED)
                below = _below(pfn[len(prefix) :], percent_encoded=encoded)
                return None if below is None else self._folders[prefix] + below
        return None


def _below(path: str, *, percent_encoded: bool) -> str | None:
    """A path below a folder, or None if it is none."""
    if "?" in path or "#" in path or path.endswith("/"):
        return None
    parts = [part for part in path.split("/") if part]
    if percent_encoded:
        try:
            parts = [unquote(part, errors="strict") for part in parts]
        except UnicodeDecodeError:
            return None
    if not parts or any(part in {".", ".."} or re.search(r"[/\\\0]", part) for part in parts):
        return None
    return "/".join(parts)


def _ended(prefix: str) -> str:
    return prefix if prefix.endswith("/") else f"{prefix}/"
