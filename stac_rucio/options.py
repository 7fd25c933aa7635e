"""Options that several verbs share, gathered into what the verbs work with."""

from __future__ import annotations

import functools
import json
import logging
import os
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stac_rucio.errors import set_up_logs, set_verbosity, stac_errors
from stac_rucio.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rucio.client import Client

    from stac_client import Modifier, Outcome, StacClient
    from stac_client._assets import AssetSelection

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

    from stac_client._items import Item, ItemStream


# The assets that a command line names.


@dataclass(frozen=True)
class AssetOptions:
    """Which assets are wanted: those for which all that is given holds."""

    keys: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    media_types: tuple[str, ...] = ()

    @property
    def selection(self) -> AssetSelection:
        """The selection, as `StacClient` takes it."""
        if not self.roles and not self.media_types:
            return self.keys or None
        from stac_client._assets import by_media_type, by_role

        predicates = [
            by_role(*self.roles) if self.roles else _any,
            by_media_type(*self.media_types) if self.media_types else _any,
            (lambda key, _: key in self.keys) if self.keys else _any,
        ]
        return lambda key, asset: all(predicate(key, asset) for predicate in predicates)

    def watched(self) -> tuple[AssetSelection, Callable[[], Iterator[Outcome]]]:
        """The selection, and afterwards an outcome for each key that no item had.

        For what works through items in groups: it can not tell itself.
        """
        selection = self.selection
        if not isinstance(selection, tuple):
            return selection, lambda: iter(())
        unseen = set(selection)
        looked = False

        def select(key: str, _: Mapping[str, Any]) -> bool:
            nonlocal looked
            looked = True
            unseen.discard(key)
            return key in selection

        def outcomes() -> Iterator[Outcome]:
            from stac_client._results import Outcome, State

            for key in sorted(unseen) if looked else ():
                yield Outcome("", "", key, State.SKIPPED, "no item has an asset with this key")

        return select, outcomes


def _any(_: str, __: Mapping[str, Any]) -> bool:
    return True


# Commands whose help has sections, and whose lists are typed as for pystac-client.


LISTS = frozenset({"-c", "--collections", "--ids", "--query", "--sortby", "--fields", "--headers"})
"""Options that take several values: `-c alps dolomites` and `-c alps -c dolomites`."""

_OTHERS = "Options"


class Option(click.Option):
    """An option with the section of the help that it belongs to."""

    def __init__(self, *args: Any, section: str = _OTHERS, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section


class Verb(click.Command):
    """A verb of `stac-rucio`."""

    def __init__(self, *args: Any, examples: Iterable[str] = (), **attributes: Any) -> None:
        """Make one.

        Args:
            args: As those of click.
            examples: Command lines for the end of its help.
            attributes: As those of click.
        """
        lines = "\n".join(f"  {line}" for example in examples for line in example.splitlines())
        attributes["epilog"] = f"\b\nExamples:\n{lines}"
        super().__init__(*args, **attributes)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Understand a command line."""
        return super().parse_args(ctx, spread(args))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {_OTHERS: []}
        for parameter in self.get_params(ctx):
            record = None
            if isinstance(parameter, click.Option):
                record = parameter.get_help_record(ctx)
            if record is not None:
                section = getattr(parameter, "section", _OTHERS)
                sections.setdefault(section, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def verb(name: str, *examples: str) -> Callable[[Callable[..., Any]], Verb]:
    """Make a function the verb of this name; its docstring is the help."""

    def decorate(function: Callable[..., Any]) -> Verb:
        return click.command(name, cls=Verb, examples=examples)(function)

    return decorate


def option(*names: str, section: str = _OTHERS, **attributes: Any) -> Callable[[Any], Any]:
    """Make an option, as `click.option` does."""
    return click.option(*names, cls=Option, section=section, **attributes)


def spread(args: list[str]) -> list[str]:
    """Repeat the name of a list's option before each of its values, as click wants it; pure.

    Only of searches (`--api`): elsewhere words that follow are files.
    """
    if not any(arg == "--api" or arg.startswith("--api=") for arg in args):
        return args
    result: list[str] = []
    current = None  # the list whose values come
    for arg in args:
        is_option = arg.startswith("-") and arg != "-"
        if is_option:
            current = arg if arg in LISTS else None
        elif current and result[-1] != current:
            result.append(current)
        result.append(arg)
    return result


# The connection to Rucio, made when a verb needs it and not before.


_LOGGER = logging.getLogger(__name__)

# Seconds until Rucio accepts a connection, and until its answer begins or goes on: to who
# it is that asks, which takes no time, and to all else.
_FIRST_TIMEOUT_S = (20.0, 60.0)
_TIMEOUT_S = (20.0, 600.0)


@dataclass
class Connection:
    """Rucio, as an account of it sees it."""

    account: str | None
    """By default that of rucio.cfg."""
    scope: str | None
    """A fixed scope for all assets."""

    @cached_property
    def rucio(self) -> Client:
        """A client of Rucio.

        Raises:
            StacRucioError: There is no usable rucio.cfg, or Rucio does not answer or
                does not accept the account.
        """
        from stac_client.errors import rucio_errors

        with rucio_errors("connecting to Rucio"):
            client = self.connect()
        _LOGGER.info("Rucio at %s, account %s", client.host, client.account)
        return client

    def connect(self) -> Client:
        """Make a client of Rucio, and see that Rucio answers.

        Raises:
            AccessError: Rucio takes it for another account than the one asked for.
            Exception: What Rucio raises.
        """
        from rucio.client import Client

        from stac_client.errors import AccessError

        # Its own logger writes to the terminal, colours and all.
        logger = logging.getLogger("rucio.client")
        client = Client(account=self.account, timeout=_FIRST_TIMEOUT_S, logger=logger)
        known = client.whoami()["account"]
        client.timeout = _TIMEOUT_S
        if self.account and known != self.account:
            # A token of another account lay where rucio.cfg says (auth_token_file_path).
            raise AccessError(
                f"Rucio takes this for account {known}, not {self.account}; "
                "rucio.cfg names a token or credentials of that account"
            )
        return client

    @cached_property
    def stac(self) -> StacClient:
        """A StacClient.

        Raises:
            StacRucioError: As for `rucio`.
        """
        from stac_client import StacClient

        return StacClient(self.rucio, scope=self.scope)

    def modifier(self, copies: CopyOptions, *, patient: bool = False) -> Modifier:
        """What adds the replicas to items, or raises the reason why it can not.

        Args:
            copies: Which replicas count, and which are wanted most.
            patient: Wait for Rucio as long as it takes.

        Raises:
            StacRucioError: As for `rucio`, or there is no such RSE.
        """
        modifier = self.stac.modifier.with_options(**asdict(copies), strict=True)
        return modifier.with_options(timeout_s=None) if patient else modifier


# The copies that a command line wants of assets.


@dataclass(frozen=True)
class CopyOptions:
    """Which copies count, and which are wanted most."""

    prefer: tuple[str, ...] = ()
    """RSEs whose copy shall be the `href`, the most wanted first."""
    only: tuple[str, ...] = ()
    """The only RSEs whose copies count; all, if there are none."""
    exclude: tuple[str, ...] = ()
    """RSEs whose copies do not count."""


# Options gathered into one value for the verb that takes them.


def gathered(name: str, make: Callable[[Mapping[str, Any]], Any], *options: Decorator) -> Decorator:
    """Make a decorator that gives a verb one value made from several options.

    Args:
        name: Of the value, among the verb's arguments.
        make: Makes it from the values of the options by their names.
        options: The options, as click's decorators.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        names: list[str | None] = []

        @functools.wraps(function)
        def wrapper(**values: Any) -> Any:
            taken = {key: values.pop(key) for key in names if key in values}
            return function(**values, **{name: make(taken)})

        before = len(_parameters(wrapper))
        for option in reversed(options):
            option(wrapper)
        names += [parameter.name for parameter in _parameters(wrapper)[before:]]
        return wrapper

    return decorate


def _parameters(function: Callable[..., Any]) -> list[click.Parameter]:
    """What click's decorators have noted on a function; a wrapper shares it with what it wraps."""
    parameters: list[click.Parameter] = vars(function).setdefault("__click_params__", [])
    return parameters


def words(_: click.Context, __: click.Parameter, value: Sequence[str]) -> list[str]:
    """Split each value at its commas."""
    words = [word.strip() for text in value for word in text.split(",")]
    return [word for word in words if word]


_ASSETS = "Assets"
_RUCIO = "Rucio"
_OUTPUT = "Output"


def takes_assets() -> Decorator:
    """Give a verb `assets`, which say what `StacClient` shall select."""
    return gathered(
        "assets",
        lambda values: AssetOptions(
            tuple(values["assets"]), tuple(values["role"]), tuple(values["media_type"])
        ),
        option(
            "--assets",
            multiple=True,
            metavar="KEYS",
            section=_ASSETS,
            callback=words,
            help="Keys of the assets, as in red,nir. By default those with the role data where "
            "an item has any, and otherwise all that are files.",
        ),
        option(
            "--role",
            multiple=True,
            metavar="ROLE",
            section=_ASSETS,
            callback=words,
            help="Only assets with one of these roles.",
        ),
        option(
            "--media-type",
            multiple=True,
            metavar="TYPE",
            section=_ASSETS,
            callback=words,
            help="Only assets of one of these media types, whatever their parameters.",
        ),
    )


def takes_copies() -> Decorator:
    """Give a verb `copies`, which say what a modifier shall list and prefer."""
    return gathered(
        "copies",
        lambda values: CopyOptions(
            tuple(values["prefer"]), tuple(values["only"]), tuple(values["exclude"])
        ),
        option(
            "--prefer",
            multiple=True,
            metavar="RSES",
            callback=words,
            help="RSEs, the most wanted first: the copy at the first that has one becomes "
            "the href.",
        ),
        option(
            "--only",
            multiple=True,
            metavar="RSES",
            callback=words,
            help="Only the copies at these RSEs.",
        ),
        option(
            "--exclude",
            multiple=True,
            metavar="RSES",
            callback=words,
            help="No copies at these RSEs.",
        ),
    )


def takes_registration() -> Decorator:
    """Give a verb `registration`, options that `StacClient.sync` takes."""
    return gathered(
        "registration",
        dict,
        option(
            "--learn-from",
            type=click.Choice(["item", "head", "download"]),
            default="download",
            show_default=True,
            help="How far to go for sizes and checksums that items do not say.",
        ),
        option(
            "--containers",
            is_flag=True,
            help="Put the items' datasets into a container for each collection.",
        ),
        option(
            "--metadata",
            is_flag=True,
            help="Give the datasets metadata from their items, for searches in Rucio.",
        ),
    )


def takes_rucio(*, scope: bool = True) -> Decorator:
    """Give a verb `rucio`, a connection.

    Args:
        scope: Whether the verb deals with assets, which may have a scope of their own.
    """
    options = [
        option("--account", section=_RUCIO, help="Rucio account; by default that of rucio.cfg."),
        option(
            "--config",
            type=click.Path(exists=True, dir_okay=False),
            expose_value=False,
            callback=_use_config,
            section=_RUCIO,
            help="A rucio.cfg other than the usual one.",
        ),
    ]
    if scope:
        options.append(
            option(
                "--scope",
                section=_RUCIO,
                help="One scope for all assets, instead of one for each collection.",
            )
        )
    return gathered(
        "rucio",
        lambda values: Connection(values["account"], values.get("scope")),
        *options,
    )


def takes_output() -> Decorator:
    """Give a verb `output`; and errors as many words as `-v` asks for."""
    return gathered(
        "output",
        lambda values: Output(as_json=values["as_json"]),
        option(
            "--json",
            "as_json",
            is_flag=True,
            section=_OUTPUT,
            help="JSON, one object a line, with all there is to say.",
        ),
        verbose,
    )


def _use_config(_: click.Context, __: click.Parameter, value: str | None) -> None:
    if value:
        # Rucio knows no other way to name it, and reads it when it is imported.
        os.environ["RUCIO_CONFIG"] = value


def _verbose(context: click.Context, parameter: click.Parameter, value: int) -> None:
    set_up_logs(set_verbosity(context, parameter, value))


verbose = option(
    "-v",
    "--verbose",
    count=True,
    is_eager=True,
    expose_value=False,
    callback=_verbose,
    section=_OUTPUT,
    help="Say what is done; twice: log requests too. Shows no secrets.",
)
"""The option alone, for verbs whose output has one form."""

source_rse = option(
    "--rse", required=True, metavar="RSE", help="The source RSE, which has the original URLs."
)
dry_run = option("--dry-run", is_flag=True, help="Only show what would be done.")
yes = option("--yes", is_flag=True, help="Do not ask whether to go on.")

# Where items come from: a STAC API, files, or standard input.


STDIN = "-"
_TIMEOUT_S_SOURCE = 60


@dataclass(frozen=True)
class ItemSource:
    """Items that a command line names; iterating reads them, from the start each time."""

    api: str | None
    """URL of a STAC API."""
    search: Mapping[str, Any]
    """What is searched there, in the words of pystac-client."""
    headers: Mapping[str, str] = field(repr=False)
    """Sent with every request to the STAC API; they may hold credentials."""
    files: tuple[str, ...]
    """Files; `-` is standard input."""

    def __post_init__(self) -> None:
        if self.api and self.files:
            raise click.UsageError(f"give --api or files, not both ({self.files[0]!r} is a file)")
        if not self.api and (self.search or self.headers):
            option = f"--{next(iter(self.search), 'headers')}".replace("_", "-")
            raise click.UsageError(f"{option} is about a search, which needs --api")
        if not self.api and not self.files:
            raise click.UsageError(
                "no items: give --api URL, files of items, or - for standard input"
            )
        if self.files.count(STDIN) > 1:
            raise click.UsageError("standard input can be read only once")

    @property
    def from_stdin(self) -> bool:
        """Whether any of it can be read only once."""
        return STDIN in self.files

    @property
    def name(self) -> str:
        """A name for it, without what is searched."""
        return self.api or " ".join(
            file if file == STDIN else str(Path(file).resolve()) for file in self.files
        )

    def __iter__(self) -> Iterator[Item]:
        return self.items()

    def items(self, on_read: Callable[[int, int | None], None] | None = None) -> Iterator[Item]:
        """Give the items.

        Args:
            on_read: Called with the number of items read so far, and of all if
                that is known.
        """
        found = self._searched(on_read) if self.api else self._read()
        for count, item in enumerate(found, start=1):
            yield item
            if on_read and not self.api:
                on_read(count, None)

    def streams(self) -> Iterator[ItemStream]:
        """Give the items of each file, with the form that it has.

        Raises:
            ConfigurationError: A file can not be read.
        """
        from stac_client._items import read_stream

        for file in self.files:
            try:
                with click.open_file(file, "rb") as stream:
                    yield read_stream(stream, "standard input" if file == STDIN else file)
            except OSError as error:
                raise click.UsageError(f"{file}: {error.strerror or error}") from error

    def _read(self) -> Iterator[Item]:
        for stream in self.streams():
            yield from stream.items

    def _searched(self, on_read: Callable[[int, int | None], None] | None) -> Iterator[Item]:
        from pystac import STACError
        from pystac_client import Client

        from stac_client._items import ApiIO

        assert self.api  # noqa: S101 - the caller has looked
        _LOGGER.info("searching %s", self.api)
        with stac_errors(self.api):
            catalogue = Client.open(
                self.api, stac_io=ApiIO(self.api, self.headers, _TIMEOUT_S_SOURCE)
            )
        try:
            search = catalogue.search(**self.search)
        except STACError as error:  # it asks for the API's root once more
            with stac_errors(self.api):
                raise error.__cause__ or error from None
        except Exception as error:  # pystac-client raises all kinds, down to Exception itself
            raise click.UsageError(f"pystac-client can not search for this: {error}") from error
        count = 0
        pages = search.pages_as_dicts()
        while True:
            with stac_errors(self.api):
                page = next(pages, None)
            if page is None:
                return
            total = _matched(page, self.search.get("max_items"))
            for item in page.get("features", []):
                yield item
                count += 1
                if on_read:
                    on_read(count, total)


def read_intersects(value: str) -> dict[str, Any]:
    """Give the geometry that `--intersects` names: GeoJSON, or a file of it.

    Raises:
        ValueError: It is neither.
    """
    if not value.lstrip().startswith("{"):
        value = Path(value).read_text(encoding="utf-8")
    found = json.loads(value)
    if isinstance(found, dict) and found.get("type") == "FeatureCollection":
        found = next(iter(found.get("features") or []), None)
    if isinstance(found, dict) and found.get("type") == "Feature":
        found = found.get("geometry")
    if not isinstance(found, dict):
        raise ValueError("neither a geometry nor a feature")  # noqa: TRY004 - as of bad JSON
    return found


def _matched(page: Mapping[str, Any], max_items: int | None) -> int | None:
    context = page.get("context")
    matched = page.get("numberMatched") or (
        context.get("matched") if isinstance(context, dict) else None
    )
    if not isinstance(matched, int):
        return None
    return min(matched, max_items) if max_items else matched


# The items that a command line names: pystac-client's search options, and files.


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
