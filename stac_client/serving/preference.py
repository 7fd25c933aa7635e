"""The query parameter `prefer`: the RSEs whose copies one request wants as hrefs; pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote_plus

from .refusals import Refusal

_NAME = "prefer"
_MOST = 16
_LONGEST = 256  # characters; an RSE expression may be long


@dataclass(frozen=True)
class Preference:
    """What one request prefers, the most wanted first; nothing by default."""

    wanted: tuple[str, ...] = ()

    def carried_by(self, href: str) -> str:
        """Give a URL with this preference in its query."""
        if not self.wanted:
            return href
        start, hash_sign, fragment = href.partition("#")
        values = ",".join(quote(value, safe="") for value in self.wanted)
        return f"{start}{'&' if '?' in start else '?'}{_NAME}={values}{hash_sign}{fragment}"


def split_query(query: bytes) -> tuple[bytes, Preference]:
    """Take `prefer=A,B` out of a query string; all else stays byte for byte.

    Returns:
        The query string for the API behind, and the preference.

    Raises:
        Refusal: The preference is none that Rucio could be asked for.
    """
    rest: list[bytes] = []
    wanted: list[str] = []
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if unquote_plus(name.decode("latin-1")) != _NAME:
            rest.append(part)
            continue
        for one in value.decode("latin-1").split(","):
            wanted.extend(unquote_plus(one).split(","))
    if not wanted:
        return query, Preference()
    wanted = list(dict.fromkeys(one.strip(" ") for one in wanted if one.strip(" ")))
    if len(wanted) > _MOST or any(len(one) > _LONGEST for one in wanted):
        raise Refusal(400, f"prefer takes up to {_MOST} RSEs of up to {_LONGEST} characters")
    if not all(one.isascii() and one.isprintable() for one in wanted):
        raise Refusal(400, "prefer takes RSEs, separated by commas")
    return b"&".join(rest), Preference(tuple(wanted))
