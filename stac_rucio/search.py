"""The items that a command line names: pystac-client's search options, and files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from .commands import option
from .gathering import gathered, words
from .source import ItemSource, read_intersects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .gathering import Decorator

_SEARCH = "Search, as of stac-client"


def _intersects(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    try:
        return value and read_intersects(value)
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"neither GeoJSON nor a file of it ({error})") from error


def _headers(_: click.Context, __: click.Parameter, value: Sequence[str]) -> dict[str, str]:
    if not all(text.partition("=")[0] and "=" in text for text in value):
        raise click.BadParameter("a header is written NAME=VALUE")  # repeats no credentials
    return {text.partition("=")[0]: text.partition("=")[2] for text in value}


_search_options = (
    option("--api", metavar="URL", section=_SEARCH, help="STAC API to search for the items."),
    option(
        "-c",
        "--collections",
        multiple=True,
        metavar="ID",
        section=_SEARCH,
        callback=words,
        help="Ids of collections.",
    ),
    option(
        "--ids",
        multiple=True,
        metavar="ID",
        section=_SEARCH,
        callback=words,
        help="Ids of items.",
    ),
    option(
        "--bbox",
        nargs=4,
        type=float,
        metavar="W S E N",
        section=_SEARCH,
        help="Bounding box, in degrees.",
    ),
    option(
        "--intersects",
        metavar="GEOJSON",
        section=_SEARCH,
        callback=_intersects,
        help="Geometry or feature, or a file of it.",
    ),
    option(
        "--datetime",
        metavar="TIME",
        section=_SEARCH,
        help="Time or interval, as in 2025-06-01/2025-06-30.",
    ),
    option(
        "--query",
        multiple=True,
        metavar="TEXT",
        section=_SEARCH,
        help="Property and value, as in 'eo:cloud_cover<10'.",
    ),
    option("--filter", metavar="CQL2", section=_SEARCH, help="Filter on queryables."),
    option(
        "--filter-lang",
        type=click.Choice(["cql2-json", "cql2-text"]),
        section=_SEARCH,
        help="Language of the filter; by default told from its looks.",
    ),
    option(
        "--sortby",
        multiple=True,
        metavar="FIELD",
        section=_SEARCH,
        callback=words,
        help="Fields to sort by; -FIELD for descending order.",
    ),
    option(
        "--fields",
        multiple=True,
        metavar="FIELD",
        section=_SEARCH,
        callback=words,
        help="Fields to ask for; id, collection and assets are needed.",
    ),
    option(
        "--max-items", type=click.IntRange(min=1), section=_SEARCH, help="The most items to take."
    ),
    option(
        "--limit", type=click.IntRange(min=1), section=_SEARCH, help="Items on a page of answers."
    ),
    option(
        "--method",
        type=click.Choice(["GET", "POST"]),
        section=_SEARCH,
        help="HTTP method; POST by default.",
    ),
    option(
        "--headers",
        multiple=True,
        metavar="NAME=VALUE",
        section=_SEARCH,
        callback=_headers,
        help="Headers for the STAC API.",
    ),
)


def _item_source(values: Mapping[str, Any], files: Sequence[str]) -> ItemSource:
    search = {
        name: value
        for name, value in values.items()
        if value not in (None, (), []) and name not in {"api", "headers"}
    }
    if "query" in search:
        search["query"] = list(search["query"])
    if "filter" in search:
        is_json = search["filter"].lstrip().startswith("{")
        language = search.setdefault("filter_lang", "cql2-json" if is_json else "cql2-text")
        if language == "cql2-json":
            try:
                search["filter"] = json.loads(search["filter"])
            except ValueError as error:
                raise click.UsageError(f"--filter is not JSON: {error}") from error
    return ItemSource(values["api"], search, values["headers"], tuple(files))


def takes_items(argument: str = "ITEMS", *, required: bool = True) -> Decorator:
    """Give a verb `items`, from a search, from files or from standard input.

    Args:
        argument: What the help calls the files.
        required: Whether there must be any; if not, `items` may be None.
    """

    def make(values: Mapping[str, Any]) -> ItemSource | None:
        options = dict(values)
        files = options.pop("files")
        if not required and not any(options.values()) and not files:
            return None
        return _item_source(options, files)

    files = click.argument(
        "files", nargs=-1, metavar=f"[{argument}]...", type=click.Path(allow_dash=True)
    )
    return gathered("items", make, files, *_search_options)
