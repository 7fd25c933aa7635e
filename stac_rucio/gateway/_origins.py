"""The origins that a gateway has credentials for, and what each does to a request.

A credential is used for the URLs that its entry begins with and for no others; what items
say chooses nothing here.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections import Counter
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import tomllib

from stac_client.errors import ConfigurationError
from stac_policy import http
from stac_policy.access import names_no_bucket
from stac_policy.gateway import Key, read_keys
from stac_policy.settings import hosts
from stac_policy.urls import DEFAULT_PORTS, redact, refusal
from stac_rucio.gateway._clients import Clients, networks
from stac_rucio.gateway._signers import Entry, make_session, make_signer

if TYPE_CHECKING:
    from stac_policy.http import Request

LOG = logging.getLogger("stac_rucio.gateway")
_DAY_S = 86_400
# As servers may read a segment: decoded once or twice, with parameters or backslashes.
_CLIMBS = re.compile(r"[/\\]\.{1,2}(?:[/\\;]|$)")


class Quota:
    """The bytes that an origin may give on a day of UTC, and that it has given.

    A request is refused when they are used up; what has begun goes on to its end.
    """

    def __init__(self, prefix: str, bytes_a_day: int | None) -> None:
        self._prefix = prefix
        self.bytes_a_day = bytes_a_day
        self.given_bytes = 0
        """In all, of what the gateway knows."""
        self._day, self._today_bytes = 0, 0

    def add(self, count_bytes: int) -> None:
        """Count bytes that are given."""
        self.given_bytes += count_bytes
        was_left = not self.wait_s()
        self._today_bytes += count_bytes
        if was_left and self.wait_s():
            what = "%s has given its %d bytes of today (UTC), and gives more tomorrow"
            LOG.warning(what, self._prefix, self.bytes_a_day)

    def today_bytes(self) -> int:
        """Return how many were given today."""
        today = int(time.time() // _DAY_S)
        if today != self._day:
            self._day, self._today_bytes = today, 0
        return self._today_bytes

    def wait_s(self) -> int:
        """Return in how many seconds there are more, or 0 if there are some left."""
        used_bytes = self.today_bytes()
        if self.bytes_a_day is None or used_bytes < self.bytes_a_day:
            return 0
        return int(_DAY_S - time.time() % _DAY_S) + 1


class Origin:
    """An origin, by an entry of the configuration."""

    kind = "origin"

    def __init__(self, prefix: str, said: object) -> None:
        self._require_beginning(prefix)
        entry = Entry(prefix, said, self.kind)
        self.prefix = prefix
        self.prefixes = (prefix, *map(str, entry.take("also", list, [])))
        self.mode = entry.mode
        self.at_a_time = entry.take("at_a_time", int, 16)
        bytes_a_day = entry.take("bytes_a_day", int) if "bytes_a_day" in entry else None
        for name, number in (("at_a_time", self.at_a_time), ("bytes_a_day", bytes_a_day)):
            if number is not None and number < 1:
                raise entry.wrong(f"{name} has to be 1 or more")
        self.quota = Quota(prefix, bytes_a_day)
        self.session = make_session(only_global=not entry.take("private", bool, default=False))
        try:
            self._leads_to = hosts(",".join(map(str, entry.take("leads_to", list, []))))
        except ValueError as error:
            raise entry.wrong(f"leads_to: {error}") from None
        self._signer = make_signer(entry)
        for each in self.prefixes:
            self._require_beginning(each)
            if reason := self.refusal(f"{each}x"):
                raise entry.wrong(reason)
            if self._signer.queries and names_no_bucket(each):
                raise entry.wrong("its URLs have the bucket in their path: begin with it, too")
        if self.prefixes[1:] and self._signer.queries:
            raise entry.wrong("also is not for stores: give each bucket an entry of its own")
        entry.end()

    def _require_beginning(self, prefix: str) -> None:
        if refusal(f"{prefix}x") or not prefix.endswith("/") or urlsplit(prefix).query:
            raise ConfigurationError(
                f"{self.kind} {redact(prefix)}: give the beginning of its URLs, up to a slash: "
                "https://bucket.s3.amazonaws.com/"
            )

    def sign(self, method: str, url: str) -> Request:
        """Return a request with its credential.

        Raises:
            FetchError: There is none, or none for now.
        """
        return self._signer.sign(method, url)

    def forget(self) -> None:
        """Ask for other tokens, as it refuses what it was given."""
        for token in self._signer.tokens:
            token.forget()

    def renewals(self) -> Counter[str]:
        """Return how often its tokens were asked for, by outcome."""
        found: Counter[str] = Counter()
        for token in self._signer.tokens:
            found.update(token.renewals)
        return found

    def refusal(self, url: str) -> str | None:
        """Return why the credential is not for a URL, or None if it is."""
        parts = urlsplit(url)
        if not url.startswith(self.prefixes) or url in self.prefixes:
            return f"it is no file below {self.prefix}"
        if any(map(_CLIMBS.search, (unquote(parts.path), unquote(unquote(parts.path))))):
            return "its path has `.` or `..`"
        # What else a query asks of a store is its permissions, or the names of all its objects.
        allowed = self._signer.queries
        if allowed and (parts.path.endswith("/") or not allowed.fullmatch(parts.query)):
            return "it is none of one object"
        return None

    def led_to(self, url: str, location: str) -> str:
        """Return the URL that a redirect leads to, as it is requested.

        Raises:
            FetchError: The entry does not name its host.
        """
        own = [
            each.netloc if each.port else f"{each.netloc}:{DEFAULT_PORTS[each.scheme]}"
            for each in map(urlsplit, self.prefixes)
        ]
        found = http.requested(url, location, [*own, *self._leads_to])
        if url.startswith("https:") and not found.startswith("https:"):
            raise http.HostNotAllowedError(f"it leads to {redact(found)}, without TLS")
        return found

    def is_host_of(self, url: str) -> bool:
        """Return whether a URL is of a host that the credential is for, there or elsewhere."""
        return http.origin(url) in map(http.origin, self.prefixes)


class Destination(Origin):
    """Where files may be sent to: who asks for that brings the credential."""

    kind = "destination"

    def __init__(self, prefix: str, said: object) -> None:
        if isinstance(said, dict) and (unknown := sorted({*said} - {"at_a_time", "private"})):
            raise ConfigurationError(f"{self.kind} {redact(prefix)}: no option {unknown[0]}")
        super().__init__(_with_plain_host(prefix), said)

    def refusal(self, url: str) -> str | None:
        """Return why no file may be sent to a URL, or None if it may."""
        is_folder = urlsplit(url).path.endswith("/")
        return "it is no file" if is_folder else super().refusal(_with_plain_host(url))


def _with_plain_host(url: str) -> str:
    """A URL with its host as servers compare it: Rucio writes default ports, FTS does not."""
    parts = urlsplit(url)
    host = parts.netloc.lower().removesuffix(f":{DEFAULT_PORTS.get(parts.scheme)}")
    return parts._replace(netloc=host).geturl()


@dataclass(frozen=True)
class Gateway:
    """What a gateway knows: its keys, its origins, and where it may send files."""

    keys_file: Path
    origins: tuple[Origin, ...]
    destinations: tuple[Destination, ...]
    clients: Clients
    digest: str
    """Of its configuration, by which hosts can be compared."""

    def read_keys(self) -> list[Key]:
        """Return the keys, as they are now."""
        return read_keys(self.keys_file)

    def origin(self, url: str) -> Origin | None:
        """Return the origin of a URL, if there is an entry for it."""
        found = (
            (len(prefix), each)
            for each in self.origins
            for prefix in each.prefixes
            if url.startswith(prefix)
        )
        return max(found, key=itemgetter(0), default=(0, None))[1]


def load(path: Path) -> Gateway:
    """Read the configuration of a gateway.

    Raises:
        ConfigurationError: It cannot be read, or says something that has no meaning.
    """
    try:
        text = path.read_text("utf-8")
        said = tomllib.loads(text)
        keys, entries = Path(said.pop("keys")), said.pop("origins", {})
        read_keys(keys)
        origins = [Origin(prefix, entry) for prefix, entry in entries.items()]
        entries = said.pop("destinations", {})
        destinations = [Destination(prefix, entry) for prefix, entry in entries.items()]
        clients = Clients(
            networks(said.pop("from")) if "from" in said else None,
            networks(said.pop("proxies", ())),
        )
    except (TypeError, AttributeError):
        what = "keys is no path, origins or destinations no tables, or from or proxies no list"
        raise ConfigurationError(f"{path}: {what}") from None
    except (OSError, ValueError, KeyError) as error:
        reason = f"it does not say {error}" if isinstance(error, KeyError) else error
        raise ConfigurationError(f"{path}: {reason}") from None
    if said:
        raise ConfigurationError(f"{path}: there is no option {', '.join(sorted(said))}")
    for origin in origins:
        if origin.mode == "nginx" and not clients.proxies:
            raise ConfigurationError(
                f"origin {origin.prefix}: mode nginx needs the address of nginx in proxies"
            )
    destinations.sort(key=lambda each: -len(each.prefix))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Gateway(keys, tuple(origins), tuple(destinations), clients, digest)
