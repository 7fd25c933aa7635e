"""What verbs work with: items from where a command line says, and the connection to Rucio."""

from __future__ import annotations

import logging
import re
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stac_rucio.output import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rucio.client import Client

    from stac_client import Modifier, StacClient
    from stac_client._item_completion import Completion
    from stac_client._items import ItemDict, ItemStream
    from stac_client._partition import Partition
    from stac_client._rucio import Rucio

_LOGGER = logging.getLogger(__name__)


# The connection to Rucio, made when a verb needs it and not before.


# Seconds until Rucio accepts a connection, and until its answer begins or goes on: to who
# it is that asks, which takes no time, and to all else.
_FIRST_TIMEOUT_S = (20.0, 60.0)
_TIMEOUT_S = (20.0, 600.0)


@dataclass
class Connection:
    """Rucio, as an account of it sees it."""

    account: str | None = None
    """By default that of rucio.cfg."""
    scope: str | None = None
    """A fixed scope for all assets."""
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """Headers for origins of assets, by their URLs."""
    site: str | None = None
    """What `nearest` means, by default the site of this machine."""

    @cached_property
    def session(self) -> Rucio:
        """Rucio as `stac_client` asks it."""
        from stac_client._rucio import Rucio

        session = Rucio.connect(self.connect)
        _LOGGER.info("Rucio at %s, account %s", session.host, session.account)
        return session

    def connect(self) -> Client:
        """Make a client of Rucio, and see that Rucio answers.

        Raises:
            AccessError: Rucio takes it for another account than the one asked for.
            Exception: What Rucio raises.
        """
        from stac_client._rucio import make_client

        # Its own logger writes to the terminal, colours and all.
        logger = logging.getLogger("rucio.client")
        client = make_client(self.account, timeout=_FIRST_TIMEOUT_S, logger=logger)
        client.timeout = _TIMEOUT_S
        return client

    def require_scope(self) -> None:
        """Check that there is the fixed scope, if one is given.

        Raises:
            ConfigurationError: There is none.
        """
        if self.scope:
            self.session.require_scope(self.scope)

    @cached_property
    def stac(self) -> StacClient:
        """A StacClient."""
        from stac_client import StacClient

        return StacClient(
            self.session.client, scope=self.scope, headers=self.headers, site=self.site
        )

    def modifier(self, replicas: Mapping[str, Any], completion: Completion) -> Modifier:
        """Return what adds the replicas to items, or raises the reason why it cannot."""
        from stac_client._modifier import Modifier

        self.require_scope()
        modifier = Modifier(self.session, scope=self.scope, completion=completion)
        modifier = modifier.with_options(**replicas, strict=True)
        modifier.require_known()
        return modifier


# Items: from a STAC API, from files, or from standard input.


_STDIN = "-"


def is_rule_id(text: str) -> bool:
    """Return whether a word of the command line is the id of a rule, and no file."""
    from stac_client import _rules

    return _rules.is_rule_id(text)


def _is_url(file: str) -> bool:
    return "://" in file


@dataclass
class ItemSource:
    """Items that a command line names; iterating reads them, from the start each time."""

    api: str | None
    """URL of a STAC API."""
    search: Mapping[str, Any]
    """What is searched there, in the words of pystac-client."""
    headers: Mapping[str, str] = field(repr=False)
    """For the STAC API; they may hold credentials."""
    files: Sequence[str]
    """Files and URLs of files; `-` is standard input."""
    collection: str | None = None
    """Of items that name none."""
    base_url: str | None = None
    """What relative hrefs start at, where items have no URL."""
    part: str | None = None
    """The part of them that is wanted, as 3/16."""
    offline: bool = False
    """Whether no server is asked what items do not say."""
    total: int | None = field(default=None, init=False)
    """How many items a search will find, as far as that is known."""

    def __post_init__(self) -> None:
        if self.api and self.files:
            raise click.UsageError(f"give --api or files, not both ({self.files[0]!r} is a file)")
        if not self.api and (self.search or self.headers):
            name = f"--{next(iter(self.search), 'headers')}".replace("_", "-")
            raise click.UsageError(f"{name} is about a search, which needs --api")
        if not self.api and not self.files:
            raise click.UsageError(
                "no items: give --api URL, files of items, or - for standard input"
            )
        for file in self.files:
            if not (file == _STDIN or _is_url(file) or Path(file).exists() or is_rule_id(file)):
                short = re.fullmatch(r"[0-9a-f]{8,31}", file)  # as tables and progress show it
                whole = ", nor the whole id of a rule, 32 digits" if short else ""
                raise click.UsageError(f"{file}: no such file{whole}")
        if self.api and self.collection:
            raise click.UsageError(
                "--collection is for items in files that name none; to search, give --collections"
            )
        if self.files.count(_STDIN) > 1:
            raise click.UsageError("standard input can be read only once")

    @property
    def origin_headers(self) -> dict[str, Mapping[str, str]]:
        """The headers by their origin, where they are good for assets, too."""
        return {self.api: self.headers} if self.api and self.headers else {}

    @property
    def name(self) -> str:
        """A name for it, without what is searched."""
        from stac_policy.urls import redact

        return self.api or " ".join(
            redact(file) if _is_url(file) else file if file == _STDIN else str(Path(file).resolve())
            for file in self.files
        )

    @cached_property
    def partition(self) -> Partition:
        """The part of them that is wanted.

        Raises:
            ConfigurationError: There is no such part.
        """
        from stac_client._partition import Partition

        return Partition.of(self.part)

    @cached_property
    def completion(self) -> Completion:
        """What tells the collections and places of items that do not say them."""
        from stac_client._item_completion import Completion

        return Completion(self.collection, self.base_url, self.offline)

    def __iter__(self) -> Iterator[ItemDict]:
        from stac_client._items import iter_items

        with self.opened() as stream:
            yield from iter_items(stream.items, self.completion)

    @contextmanager
    def opened(self) -> Iterator[ItemStream]:
        """Provide the items, and whether the first of them came as NDJSON."""
        from stac_client._items import ItemStream, open_items, read_items, read_stream

        if self.api:
            yield ItemStream(self.told(self._searched()), as_lines=False)
            return
        file, *rest = self.files
        others = [sys.stdin.buffer if file == _STDIN else file for file in rest]
        part = self.partition
        with (
            nullcontext(read_stream(sys.stdin.buffer, "standard input", part=part))
            if file == _STDIN
            else open_items(file, part)
        ) as first:
            yield ItemStream(
                self.told(chain(first.items, read_items(others, part))), first.as_lines
            )

    def told(self, items: Iterable[ItemDict]) -> Iterator[ItemDict]:
        """Pass items on, and say so if there are none."""
        came = False
        for item in items:
            came = True
            yield item
        if not came:
            name = "standard input" if [*self.files] == [_STDIN] else self.name
            where = "the search finds none" if self.api else f"there are none in {name}"
            where += f" of partition {self.partition}" if self.partition else ""
            say(f"No items: {where}", err=True)
        elif self.completion.unneeded:
            unneeded = sorted(self.completion.unneeded)
            names = " and ".join(f"--{name.replace('_', '-')}" for name in unneeded)
            say(f"{names}: not needed by any item, so without effect", err=True)

    def _searched(self) -> Iterator[ItemDict]:
        from pystac import STACError

        from stac_client._items import read_items
        from stac_client._stac_api import cut, open_api, searched, stac_errors
        from stac_policy.urls import redact

        api = str(self.api)
        _LOGGER.info("searching the STAC API %s", redact(api))
        catalogue = open_api(api, self.headers)
        try:
            search, take = cut(catalogue.search(**self.search), self.partition)
            pages = searched(search)
        except STACError as error:  # it asks for the API's root once more
            with stac_errors(api):
                raise error.__cause__ or error from None
        except Exception as error:  # pystac-client raises all kinds, down to Exception itself
            raise click.UsageError(f"pystac-client cannot search for this: {error}") from error
        yield from take(read_items(self._counted(pages)))

    def _counted(self, pages: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        from stac_client._stac_api import matched

        for page in pages:
            self.total = found = matched(page)
            if found and (most := self.search.get("max_items")):
                self.total = min(found, most)
            yield page
