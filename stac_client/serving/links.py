"""Links that led to the API behind and now lead to this server; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .preference import Preference

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PAGING = frozenset({"next", "prev", "previous", "first", "last"})
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
# What a `Link` header consists of. A quote that is never closed goes on to the end: whoever
# looked for its end again and again would never come to one.
_IN_HEADER = re.compile(r'<[^<>]*>|"(?:[^"\\]|\\.)*"?|[^<",]+|.', re.DOTALL)
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^";,\s]+))', re.IGNORECASE)


class Links:
    """Rewrites URLs below the API behind to URLs below this server, and leaves all others."""

    def __init__(self, api: str) -> None:
        """Make one.

        Args:
            api: URL of the API behind, without a slash at its end.
        """
        parts = urlsplit(api)
        host = re.escape((parts.hostname or "").lower())
        host = rf"\[{host}\]" if ":" in host else host
        # An API behind a proxy that ends TLS often gives links with the other scheme.
        default = parts.port in {None, _DEFAULT_PORTS[parts.scheme]}
        port = "(?::80|:443)?" if default else f":{parts.port}"
        end = r"(?=[/?#]|$)"
        path = re.escape(parts.path)
        self._below = re.compile(rf"(?i:(?:https?:)?//{host}{port}){path}{end}")
        self._path_below = re.compile(rf"(?=/(?!/)){path}{end}")

    def href(self, href: str, root: str) -> str:
        """Rewrite a URL.

        Args:
            href: The URL, or one relative to the API's host.
            root: URL of this server, without a slash at its end.
        """
        found = self._below.match(href) or self._path_below.match(href)
        return root + href[found.end() :] if found else href

    def body(self, body: dict[str, Any], root: str, preference: Preference) -> bool:
        """Rewrite the links of a document and of the objects that it lists, in place.

        Hrefs of assets are data and stay.

        Returns:
            Whether anything has changed.
        """
        changed = False
        for holder in _holders(body):
            for link in _dicts(holder.get("links")):
                href = link.get("href")
                if not isinstance(href, str):
                    continue
                paging = holder is body and link.get("rel") in _PAGING
                link["href"] = self._link(href, root, preference if paging else None)
                changed |= link["href"] != href
        identity = body.get("$id")  # of queryables and other schemas
        if isinstance(identity, str):
            body["$id"] = self.href(identity, root)
            changed |= body["$id"] != identity
        return changed

    def header(self, value: str, root: str, preference: Preference) -> str:
        """Rewrite the value of a `Link` header."""
        return "".join(self._in_header(link, root, preference) for link in _split_header(value))

    def _in_header(self, link: str, root: str, preference: Preference) -> str:
        href, bracket, parameters = link.partition(">")
        if not (href.startswith("<") and bracket):
            return link
        rel = _REL.search(parameters)
        rels = set((rel[1] or rel[2] or "").split()) if rel else set()
        carried = preference if rels & _PAGING else None
        return f"<{self._link(href[1:], root, carried)}>{parameters}"

    def _link(self, href: str, root: str, preference: Preference | None) -> str:
        rewritten = self.href(href, root)
        leads_here = rewritten != href or not _ABSOLUTE.match(href)
        return preference.carried_by(rewritten) if preference and leads_here else rewritten


def _split_header(value: str) -> Iterator[str]:
    """The parts of a `Link` header, each from a bracket to before a comma or the next bracket."""
    part = ""
    for token in _IN_HEADER.findall(value):
        if token.startswith(("<", ",")):
            yield part
            part = ""
        part += token
    yield part


def _holders(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The document itself and the objects in its lists, as features and collections are."""
    yield body
    for name, value in body.items():
        if name != "links":
            yield from _dicts(value)


def _dicts(value: object) -> Iterator[dict[str, Any]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())
