"""Options that several verbs share, and what the verbs get of them."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from inspect import cleandoc, signature
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stac_rucio.errors import Failure, set_verbosity
from stac_rucio.inputs import Connection, ItemSource
from stac_rucio.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stac_client._selection import AssetSelection


# Verbs: commands whose options are in sections, and may become one value together.


@dataclass(frozen=True)
class Group:
    """Options that a verb gets as one value."""

    name: str
    """Of the value, among the verb's arguments."""
    make: Callable[..., Any]
    """Makes it from the values of the options, by their names."""
    parameters: Sequence[click.Parameter]
    section: str = "Options"
    """Of the help."""


class Verb(click.Command):
    """A verb of `stac-rucio`, which gets what the parameters of its function name.

    Args:
        name: Its name.
        function: Does it; its docstring is the help.
        own: Its options besides those of `SHARED`, or in the place of one of these.
    """

    def __init__(
        self, name: str, function: Callable[..., None], own: Sequence[Group | click.Parameter]
    ) -> None:
        parts = {**SHARED, **{str(part.name): part for part in own}}
        named = [parts.pop(name) for name in signature(function).parameters if name in parts]
        groups = [
            part if isinstance(part, Group) else Group("", dict, [part])
            for part in [*named, *(part for part in own if part not in named)]
        ]

        def callback(**values: Any) -> None:
            for group in groups:
                if group.name:
                    names = [str(each.name) for each in group.parameters if each.expose_value]
                    values[group.name] = group.make(**{name: values.pop(name) for name in names})
            function(**values)

        text, _, examples = cleandoc(function.__doc__ or "").partition("\n\nExamples:\n")
        super().__init__(
            name,
            callback=callback,
            params=[parameter for group in groups for parameter in group.parameters],
            help=text,
            epilog=f"\b\nExamples:\n{examples}",
        )
        self._sections = {each.name: group.section for group in groups for each in group.parameters}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Understand a command line."""
        return super().parse_args(ctx, spread(args))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for parameter in options:
            if record := parameter.get_help_record(ctx):
                section = self._sections.get(parameter.name, "Options")
                sections.setdefault(section, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def verb(name: str, *own: Group | click.Parameter) -> Callable[[Callable[..., None]], Verb]:
    """Make a function a verb, as `Verb` describes it."""
    return lambda function: Verb(name, function, own)


def option(names: str, text: str, metavar: str | None = None, **attributes: Any) -> click.Option:
    """Return an option.

    Args:
        names: Its names, and that of the argument if it is another, separated by spaces.
        text: Its help.
        metavar: What the help shows for its value.
        attributes: Those of `click.Option`.
    """
    shown = {"show_default": bool(attributes.get("default"))}
    return click.Option(names.split(), help=text, metavar=metavar, **{**shown, **attributes})


def flag(names: str, text: str) -> click.Option:
    """Return an option without a value."""
    return option(names, text, is_flag=True)


def words(names: str, text: str, metavar: str) -> click.Option:
    """Return an option that takes several words, separated by commas or in several options."""

    def split(_: click.Context, __: click.Parameter, value: Sequence[str]) -> list[str]:
        return [word.strip() for text in value for word in text.split(",") if word.strip()]

    return option(names, text, metavar, multiple=True, callback=split)


def choice(
    names: str, text: str, choices: Sequence[str], default: str | None = None
) -> click.Option:
    """Return an option that takes one of a few words."""
    return option(names, text, type=click.Choice(choices), default=default)


def number(
    names: str, text: str, metavar: str | None = None, *, least: float = 1, **attributes: Any
) -> click.Option:
    """Return an option that takes a number, a whole one if the least is."""
    kind = click.IntRange(min=least) if isinstance(least, int) else click.FloatRange(min=least)
    return option(names, text, metavar, type=kind, **attributes)


class _Duration(click.FloatRange):
    """A time in seconds, or with its unit: 45s, 90m, 12h, 30d, 2w."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return seconds."""
        text = str(value)
        unit = _UNITS.get(text[-1:], 1)
        try:
            number = float(text[:-1] if text[-1:] in _UNITS else text)
        except ValueError:
            number = nan
        if not isfinite(number):
            self.fail(f"{text!r} is no time, as 45s, 90m, 12h, 30d, 2w are", param, ctx)
        seconds = super().convert(number * unit, param, ctx)
        return int(seconds) if seconds == seconds // 1 else seconds


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration(names: str, text: str, *, least: float = 1.0, **attributes: Any) -> click.Option:
    """Return an option that takes a time, which becomes seconds."""
    return option(
        names,
        f"{text} In seconds, or as 30d, 12h, 90m.",
        "TIME",
        type=_Duration(least),
        **attributes,
    )


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


# Assets, and the replicas that are wanted of them.


@dataclass(frozen=True)
class _Selection:
    """A predicate for the assets for which all that is given holds."""

    named_keys: tuple[str, ...]
    roles: tuple[str, ...]
    media_types: tuple[str, ...]

    @property
    def wanted(self) -> list[tuple[str, str]]:
        """What is named, so that it can be looked for."""
        kinds = {"key": self.named_keys, "role": self.roles, "media type": self.media_types}
        return [(kind, name) for kind, names in kinds.items() for name in names]

    def __call__(self, key: str, asset: Mapping[str, Any]) -> bool:
        from stac_client import by_media_type, by_role

        return (
            (not self.named_keys or key in self.named_keys)
            and (not self.roles or by_role(*self.roles)(key, asset))
            and (not self.media_types or by_media_type(*self.media_types)(key, asset))
        )


def _selection(assets: list[str], role: list[str], media_type: list[str]) -> AssetSelection:
    if role or media_type:
        return _Selection(tuple(assets), tuple(role), tuple(media_type))
    return assets or None


_ASSETS = Group(
    "assets",
    _selection,
    [
        words(
            "--assets",
            "Keys of the assets, as in red,nir. By default those that are data.",
            "KEYS",
        ),
        words("--role", "Only assets with one of these roles.", "ROLE"),
        words(
            "--media-type",
            "Only assets of one of these media types, with the parameters that are given.",
            "TYPE",
        ),
    ],
    "Assets",
)
"""`assets`, as `StacClient` takes them."""


def _pairs(_: click.Context, __: click.Parameter, value: Sequence[str]) -> dict[str, str]:
    parts = [text.partition("=") for text in value]
    if not all(name and equals for name, equals, _ in parts):
        raise click.BadParameter("each is written NAME=VALUE")  # repeats no credentials
    return {name: content for name, _, content in parts}


MOUNTS = option(
    "--mounts",
    "Folder where a storage is mounted here, or a gateway to it, by the beginning of its URLs.",
    "URL=PLACE",
    multiple=True,
    callback=_pairs,
)

SITE = option("--site", "The site that nearest means; by default that of SITE_NAME.", "SITE")

_REPLICAS = Group(
    "replicas",
    dict,
    [
        words(
            "--prefer",
            "RSEs, the most wanted first, or nearest: the copy at the first that has one "
            "becomes the href.",
            "RSES",
        ),
        words("--only", "Only the copies at these RSEs.", "RSES"),
        words("--exclude", "No copies at these RSEs.", "RSES"),
        MOUNTS,
        SITE,
    ],
)
"""`replicas`, options of `StacClient.modifier`."""

_ALTERNATES = words(
    "--alternate-assets",
    "Keys of alternates to take, where an asset has one; by default the easiest to fetch.",
    "KEYS",
)
PAYS = flag("--pays", "Pay with your AWS account where the requester does.")
_CHECK = flag(
    "--check",
    "Ask buckets once each whether anybody may read them; a plan asks hosts by HEAD, as FTS does.",
)

_PROBE = choice(
    "--probe",
    "How far to go for sizes and checksums that items do not say.",
    ["item", "head", "download"],
    "download",
)
_REGISTRATION = Group(
    "registration",
    dict,
    [
        _PROBE,
        flag("--containers", "Put the items' datasets into a container for each collection."),
        _ALTERNATES,
        number(
            "--in-flight",
            "The most requests to Rucio at a time; fewer while it is busy or slow.",
            "N",
            default=4,
        ),
        flag("--metadata", "Give the datasets metadata from their items, for searches in Rucio."),
        PAYS,
    ],
)
"""`registration`, options of `StacClient.create_replicas`."""

_SOURCE_RSE = option("--rse", "The source RSE, which has the original URLs.", "RSE", required=True)
_DRY_RUN = flag("--dry-run", "Only show what would be done.")


@dataclass(frozen=True)
class Consent:
    """Whether what a verb is about to change may be changed, or has to be confirmed."""

    dry_run: bool
    yes: bool
    """Whether the answer was on the command line already."""

    def require_answerable(self) -> None:
        """Check that nothing has to be asked, or somebody is there to answer.

        Raises:
            click.UsageError: Nobody can be asked.
        """
        if not (self.dry_run or self.yes or sys.stdin.isatty()):
            raise click.UsageError("refusing to change anything without a terminal; pass --yes")

    def confirm(self, question: str) -> None:
        """Go on only if somebody says so.

        Raises:
            Failure: They said no.
        """
        if not self.yes and not click.confirm(question, err=True):
            raise Failure("nothing was changed")


_CONSENT = Group("consent", Consent, [_DRY_RUN, flag("--yes", "Do not ask whether to go on.")])


# The connection to Rucio.


def _use_config(_: click.Context, __: click.Parameter, value: str | None) -> None:
    if value:
        # Rucio knows no other way to name it, and reads it when it is imported.
        os.environ["RUCIO_CONFIG"] = value


_ACCOUNT = [
    option("--account", "Rucio account; by default that of rucio.cfg."),
    option(
        "--config",
        "A rucio.cfg other than the usual one.",
        type=click.Path(exists=True, dir_okay=False),
        expose_value=False,
        callback=_use_config,
    ),
]
_SCOPE = option("--scope", "One scope for all assets, instead of one for each collection.")

_RUCIO = Group("rucio", Connection, [*_ACCOUNT, _SCOPE], "Rucio")
"""`rucio`, a connection."""
ACCOUNT = Group("rucio", Connection, _ACCOUNT, "Rucio")
"""The same for verbs that do not deal with assets, which may have a scope of their own."""

VERBOSE = Group(
    "",
    dict,
    [
        option(
            "-v --verbose",
            "Say what is done; twice: log requests too. Shows no secrets.",
            count=True,
            is_eager=True,
            expose_value=False,
            callback=set_verbosity,
        )
    ],
    "Output",
)
"""For verbs whose output has one form."""

_OUTPUT = Group(
    "output",
    Output,
    [
        flag("--json as_json", "JSON, one object a line, with all there is to say."),
        *VERBOSE.parameters,
    ],
    "Output",
)
"""`output`; and errors as many words as `-v` asks for."""


# Items: from a STAC API, from files, or from standard input.


def _intersects(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    """The geometry of GeoJSON, or of a file of it."""
    if not value:
        return None
    try:
        is_text = value.lstrip().startswith("{")
        found = json.loads(value if is_text else Path(value).read_text(encoding="utf-8"))
        if found["type"] == "FeatureCollection":
            (found,) = found["features"][:1]
        return dict(found["geometry"] if found["type"] == "Feature" else found)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise click.BadParameter(f"neither GeoJSON nor a file of it ({error})") from error


_COMPLETION = (
    option("--collection", "Collection of items in files that name none.", "ID"),
    option(
        "--base-url",
        "URL of the folder that relative hrefs start at, where items have no URL themselves.",
        "URL",
    ),
)
_SEARCH = (
    option("--api", "STAC API to search for the items.", "URL"),
    words("-c --collections", "Ids of collections.", "ID"),
    words("--ids", "Ids of items.", "ID"),
    option("--bbox", "Bounding box, in degrees.", "W S E N", nargs=4, type=float),
    option(
        "--intersects", "Geometry or feature, or a file of it.", "GEOJSON", callback=_intersects
    ),
    option("--datetime", "Time or interval, as in 2025-06-01/2025-06-30.", "TIME"),
    option("--query", "Property and value, as in 'eo:cloud_cover<10'.", "TEXT", multiple=True),
    option("--filter", "Filter on queryables.", "CQL2"),
    choice(
        "--filter-lang",
        "Language of the filter; by default told from its looks.",
        ["cql2-json", "cql2-text"],
    ),
    words("--sortby", "Fields to sort by; -FIELD for descending order.", "FIELD"),
    words("--fields", "Fields to ask for; id, collection and assets are needed.", "FIELD"),
    number("--max-items", "The most items to take."),
    number("--limit", "Items on a page of answers."),
    choice("--method", "HTTP method; POST by default.", ["GET", "POST"]),
    option(
        "--headers",
        "Headers for the STAC API, and for look-ups and downloads at its host.",
        "NAME=VALUE",
        multiple=True,
        callback=_pairs,
    ),
)
LISTS = frozenset(name for each in _SEARCH if each.multiple for name in each.opts)
"""Options that take several values: `-c alps dolomites` and `-c alps -c dolomites`."""


def _item_source(
    *,
    api: str | None,
    headers: Mapping[str, str],
    files: Sequence[str],
    collection: str | None,
    base_url: str | None,
    partition: str | None = None,
    **options: Any,
) -> ItemSource:
    search = {name: value for name, value in options.items() if value not in (None, (), [])}
    if "filter_lang" in search and "filter" not in search:
        raise click.UsageError("--filter-lang is about --filter, which is not given")
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
    return ItemSource(api, search, headers, files, collection, base_url, partition)


_PARTITION = option(
    "--partition",
    "Only the items of one part, for one of several clients: 1/16 to 16/16.",
    "K/N",
)


def part_of_items() -> Group:
    """Return the group of `items`, of which a part can be taken."""
    whole = items()
    return replace(whole, parameters=[*whole.parameters, _PARTITION])


def items(metavar: str = "ITEMS", *, required: bool = True) -> Group:
    """Return the group of `items`, from a search, from files or from standard input.

    Args:
        metavar: What the help calls the files.
        required: Whether there must be any; if not, `items` may be None.
    """

    def make(**options: Any) -> ItemSource | None:
        return _item_source(**options) if required or any(options.values()) else None

    files = click.Argument(
        ["files"], nargs=-1, metavar=f"[{metavar}]...", type=click.Path(allow_dash=True)
    )
    return Group("items", make, [files, *_COMPLETION, *_SEARCH], "Search, as of stac-client")


SHARED: Mapping[str, Group | click.Parameter] = {
    str(part.name): part
    for part in (
        *(items(), _SOURCE_RSE, _ASSETS, _REPLICAS, _REGISTRATION),
        *(_PROBE, _ALTERNATES, _CHECK, _DRY_RUN, _CONSENT, _RUCIO, _OUTPUT),
    )
}
"""What verbs get by the names of their parameters."""
