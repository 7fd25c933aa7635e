"""Items, from whatever holds items."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from json import JSONDecodeError
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Union
from urllib.parse import urlsplit

import pystac
import requests
from pystac_client import ItemSearch
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from stac_client.errors import ConfigurationError, RequestError, UnreachableError
from stac_policy.http import BYTES_A_VALUE, GuardedAdapter, values_in

if TYPE_CHECKING:
    Item = dict[str, Any]


# Items from files: item collections, NDJSON and stac-geoparquet, without holding them all.


_BUFFER_BYTES = 2**20  # lines are often longer than the 8 KiB that would be read at a time


def read_items(path: Path) -> Iterator[Mapping[str, Any]]:
    """Give the items of a file one by one.

    Args:
        path: `*.ndjson` or `*.jsonl` with an item on each line, `*.parquet`
            (stac-geoparquet), or anything else: JSON of an item or an item
            collection.

    Raises:
        ConfigurationError: There is no such file, or it is not what its name says.
    """
    try:
        if path.suffix in {".ndjson", ".jsonl"}:
            yield from _lines(path)
        elif path.suffix == ".parquet":
            yield from _geoparquet(path)
        else:
            yield from _json(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    # As bytes, so that a line that is not UTF-8 is told by its number.
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        for number, line in enumerate(file, start=1):
            if line.isspace():
                continue
            try:
                item = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ConfigurationError(f"{path}, line {number}: not JSON") from error
            yield item


def _json(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not JSON") from error
    features = content.get("features", [content]) if isinstance(content, dict) else None
    if not isinstance(features, list):
        raise ConfigurationError(f"{path}: neither an item nor an item collection")
    yield from features


def _geoparquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow.parquet
        from stac_geoparquet.arrow import stac_table_to_items
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{path}: reading stac-geoparquet needs pip install 'stac-rucio[geoparquet]'"
        ) from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from stac_table_to_items(pyarrow.Table.from_batches([batch]))
    except pyarrow.ArrowInvalid as error:
        raise ConfigurationError(f"{path}: not stac-geoparquet") from error


ItemDict = dict[str, Any]
ItemsLike = Union[
    ItemSearch,
    pystac.ItemCollection,
    pystac.Collection,
    pystac.Item,
    Mapping[str, Any],
    Path,
    Iterable[Union[pystac.Item, Mapping[str, Any]]],
]
"""A search, an item collection, a collection with its items, a page, the path of a
file of items, or items as objects or dicts, singly or in any iterable."""


def iter_items(items: ItemsLike) -> Iterator[ItemDict]:
    """Give items one by one as dicts, which the caller must not change.

    Raises:
        ConfigurationError: There is something among them that is no item.
        RequestError: The STAC API or catalogue that they come from does not give them.
        UnreachableError: It does not answer.
    """
    try:
        members = _members(items)
        if not isinstance(members, Iterable):
            raise _no_item(members)
        for item in members:
            yield _as_dict(item)
    except (APIError, requests.RequestException) as error:
        if status := getattr(error, "status_code", None):
            raise RequestError(f"the STAC API answers {status}: {_first_line(error)}") from error
        raise UnreachableError(f"the STAC API does not answer: {_first_line(error)}") from error
    except RecursionError as error:
        raise RequestError("the STAC catalogue can not be read: nested too deeply") from error
    except (pystac.STACError, JSONDecodeError) as error:
        raise RequestError(f"the STAC catalogue can not be read: {_first_line(error)}") from error


def id_text(found: object) -> str:
    """The id of an item or a collection for people; nothing where it is no text or number."""
    return str(found) if found and isinstance(found, (str, int, float)) else ""


def _members(items: ItemsLike) -> object:
    if isinstance(items, ItemSearch):
        return items.items_as_dicts()
    if isinstance(items, pystac.Catalog):
        return items.get_items(recursive=True)
    if isinstance(items, pystac.Item):
        return [items]
    if isinstance(items, Path):
        return read_items(items)
    if isinstance(items, Mapping):
        return items.get("features", [items])
    return items


def _as_dict(item: object) -> ItemDict:
    if isinstance(item, pystac.Item):
        return item.to_dict(include_self_link=True, transform_hrefs=False)
    if isinstance(item, Mapping) and item.get("type") == "Feature":
        return item if isinstance(item, dict) else dict(item)
    raise _no_item(item)


def _no_item(found: object) -> ConfigurationError:
    return ConfigurationError(
        f"a {type(found).__name__} is not a STAC item; give items, dicts of items, "
        "or what holds them (a search, a collection, a page)"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


# Items from a stream of bytes, whatever it holds, and without holding all of them.


_PARQUET = b"PAR1"


@dataclass(frozen=True)
class ItemStream:
    """Items as they come."""

    items: Iterator[Item]
    as_lines: bool
    """Whether they came as NDJSON, one item a line."""


def read_stream(stream: IO[bytes], name: str, begin: bytes = b"") -> ItemStream:
    """Tell what a stream holds by its beginning, and give its items.

    Args:
        stream: Of an item collection, an item, NDJSON of either, or stac-geoparquet.
        name: What to call it in errors.
        begin: The first line, where that has been read already.

    Raises:
        ConfigurationError: It is none of these.
    """
    numbered = enumerate(chain([begin] if begin else [], stream), start=1)
    lines = ((number, line) for number, line in numbered if line.strip())
    first = next(lines, None)
    if first is None:
        return ItemStream(iter(()), as_lines=True)
    if first[1].startswith(_PARQUET):
        return ItemStream(_geoparquet_streams(chain([first[1]], stream)), as_lines=False)
    try:
        begin = _loads(first[1])
    except ValueError:  # JSON that spans several lines
        return ItemStream(_whole(first[1] + stream.read(), name), as_lines=False)
    as_lines = not (isinstance(begin, dict) and "features" in begin)
    return ItemStream(_lines_streams(begin, lines, name), as_lines)


def _lines_streams(begin: Any, lines: Iterable[tuple[int, bytes]], name: str) -> Iterator[Item]:
    yield from _members_streams(begin, name)
    for number, line in lines:
        try:
            value = _loads(line)
        except ValueError as error:
            raise _wrong(f"{name}, line {number}: not JSON") from error
        yield from _members_streams(value, f"{name}, line {number}")


def _whole(content: bytes, name: str) -> Iterator[Item]:
    try:
        value = _loads(content)
    except ValueError as error:
        raise _wrong(f"{name}: neither JSON nor NDJSON nor stac-geoparquet") from error
    yield from _members_streams(value, name)


def _members_streams(value: Any, name: str) -> list[Item]:
    features = value.get("features", [value]) if isinstance(value, dict) else None
    if not isinstance(features, list):
        raise _wrong(f"{name}: neither an item nor an item collection")
    return features


def _geoparquet_streams(chunks: Iterable[bytes]) -> Iterator[Item]:
    """Its table of contents is at its end: it has to be a file."""
    with tempfile.TemporaryDirectory(prefix="stac-rucio-") as folder:
        file = Path(folder, "items.parquet")
        with file.open("wb") as copy:
            copy.writelines(chunks)
        yield from (dict(item) for item in read_items(file))


def _loads(line: bytes) -> Any:
    return json.loads(line.decode("utf-8-sig"))


def _wrong(message: str) -> Exception:
    from stac_client.errors import ConfigurationError

    return ConfigurationError(message)


# How a STAC API is read with limits, whatever its pages and links say.


_PAGE_BYTES = 64 << 20
_PIECE_BYTES = 1 << 16
_CONNECT_RETRIES = 5  # as pystac-client has it


class ApiIO(StacApiIO):
    """pystac-client's way to a STAC API, for one that nobody trusts.

    It connects to no forbidden address, sends the user's headers to the API's host alone, reads
    neither endless nor enormous answers, only asks (GET and POST), and goes in no circles.
    """

    def __init__(self, api: str, headers: Mapping[str, str], timeout_s: float) -> None:
        """Make one.

        Args:
            api: URL of the STAC API.
            headers: For the API alone; they may hold credentials.
            timeout_s: The longest silence, in seconds.
        """
        super().__init__(timeout=timeout_s)
        self.session = _Session(urlsplit(api).hostname, headers)

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Ask, by a method that changes nothing.

        Raises:
            ValueError: A link has another method.
        """
        if method is not None and str(method).upper() not in {"GET", "POST"}:
            raise ValueError("a link to a page with a method that is neither GET nor POST")
        return str(super().request(href, method, headers, parameters))

    def get_pages(
        self, url: str, method: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Give pages.

        Raises:
            ValueError: One is none, or leads to one that there was already.
            pystac_client.exceptions.APIError: The API does not answer as it should.
        """
        pages = super().get_pages(url, method, parameters)
        seen: set[int] = set()
        while True:
            try:
                page = next(pages, None)
                if page is None:
                    return
                links = [link for link in page.get("links", []) if link.get("rel") == "next"]
                following = hash(json.dumps(links[:1], sort_keys=True))
            except (AttributeError, KeyError, TypeError, RecursionError) as error:
                raise ValueError(f"a page that can not be read ({type(error).__name__})") from error
            if links and following in seen:
                raise ValueError("pages that lead in circles")
            seen.add(following)
            if not isinstance(page.get("features", []), list):
                raise ValueError("a page whose features are no list")  # noqa: TRY004 - as of bad JSON
            yield page


class _Session(requests.Session):
    """Keeps the user's headers for one host, and reads no more than a page may have."""

    def __init__(self, host: str | None, headers: Mapping[str, str]) -> None:
        super().__init__()
        self._host = host
        self._own = {name.lower() for name in headers}
        self.headers.update(headers)
        self.auth = self._keep_headers
        self.hooks["response"].append(_read)
        self.stream = True
        for scheme in ("http://", "https://"):
            self.mount(scheme, GuardedAdapter(max_retries=_CONNECT_RETRIES))

    def _keep_headers(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if urlsplit(request.url or "").hostname != self._host:
            for name in [name for name in request.headers if name.lower() in self._own]:
                del request.headers[name]
        return request

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """After a redirect, too."""
        super().rebuild_auth(prepared_request, response)  # type: ignore[no-untyped-call]
        self._keep_headers(prepared_request)


def _read(response: requests.Response, **_: Any) -> None:
    """Read an answer, unpacked, as far as a page may go; of a redirect nothing."""
    content = bytearray()
    if not response.is_redirect:
        for piece in response.iter_content(_PIECE_BYTES):
            content += piece
            if len(content) > _PAGE_BYTES:
                response.close()
                raise ValueError(f"a page of more than {_PAGE_BYTES} bytes")
        most_values = _PAGE_BYTES // BYTES_A_VALUE
        if values_in(content) > most_values:
            raise ValueError(f"a page of more than {most_values} values")
    else:
        response.close()
    # So that requests does not read it, which has no limit.
    response._content = bytes(content)  # noqa: SLF001
    response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
