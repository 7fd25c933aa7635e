"""`stac-rucio alternates`."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

import click

from stac_rucio.errors import ExitCode, Failure, human_bytes, resumable
from stac_rucio.options import (
    option,
    takes_assets,
    takes_copies,
    takes_items,
    takes_output,
    takes_rucio,
    verb,
    verbose,
)
from stac_rucio.output import DOWNLOADED, progress, report, write_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_client._items import Item
    from stac_client._results import Progress
    from stac_rucio.options import AssetOptions, Connection, CopyOptions, ItemSource
    from stac_rucio.output import Output


_BATCH = 100  # items; their assets fit into a few requests


@verb(
    "alternates",
    "stac-client search https://stac.example.org/v1 -c alps | stac-rucio alternates -",
    "stac-rucio alternates --api https://stac.example.org/v1 -c alps --prefer DISK-A > near.json",
    "stac-rucio alternates items.ndjson --only DISK-A,DISK-B",
)
@takes_items()
@takes_copies()
@takes_rucio()
@verbose
def alternates(items: ItemSource, copies: CopyOptions, rucio: Connection) -> None:
    """Write items with every copy as an alternate asset.

    The items come out as they came in: NDJSON as NDJSON, all else as an item
    collection.
    """
    modify = rucio.modifier(copies, patient=True)
    as_lines, found = _opened(items)
    separator = "" if as_lines else '{"type": "FeatureCollection", "features": ['
    while batch := list(islice(found, _BATCH)):
        modify({"type": "FeatureCollection", "features": batch})
        for item in batch:
            if as_lines:
                write_line(json.dumps(item))
            else:
                write_line(f"{separator}{json.dumps(item)}")
                separator = ","
    if not as_lines:
        write_line(f"{separator if separator != ',' else ''}]}}")


def _opened(items: ItemSource) -> tuple[bool, Iterator[Item]]:
    """Items that may be changed, and whether they came as NDJSON."""
    from stac_client._items import iter_items

    if items.api:
        return False, iter_items(items.items())
    streams = items.streams()
    first = next(streams)

    def all_items() -> Iterator[Item]:
        yield from first.items
        for stream in streams:
            yield from stream.items

    return first.as_lines, iter_items(all_items())


# `stac-rucio completion`.


@verb(
    "completion",
    'eval "$(stac-rucio completion bash)"',
    "stac-rucio completion fish > ~/.config/fish/completions/stac-rucio.fish",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a shell completion script."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found  # noqa: S101 - click has all three
    root = context.find_root()
    click.echo(found(root.command, {}, "stac-rucio", "_STAC_RUCIO_COMPLETE").source())


# `stac-rucio download`.


@verb(
    "download",
    "stac-rucio download --api https://stac.example.org/v1 -c alps --dir alps",
    "stac-rucio download items.json --assets red,nir --rse DISK-A --workers 4",
)
@takes_items()
@option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False),
    default=".",
    show_default=True,
    help="Folder to download to, as COLLECTION/ITEM/ASSET; made if it is missing.",
)
@option("--rse", metavar="RSE", help="The only RSE to download from; by default the best has it.")
@option("--only-available", is_flag=True, help="An asset without a replica is skipped, not failed.")
@option(
    "--workers",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Files that are downloaded at the same time.",
)
@takes_assets()
@takes_rucio()
@takes_output()
def download(  # noqa: PLR0917 - click gives them by name
    items: ItemSource,
    folder: str,
    rse: str | None,
    workers: int,
    assets: AssetOptions,
    rucio: Connection,
    output: Output,
    *,
    only_available: bool,
) -> None:
    """Download assets, verified, as a STAC catalogue of their own.

    The assets have to be registered. Each comes from the best replica that gives
    it. Files that are there and right stay; what was interrupted goes on where it
    stopped.

    Lines: collection, item, asset, state, path, reason.
    """
    resumable("The same command goes on where it stopped.")
    with progress() as show:

        def on_progress(now: Progress) -> None:
            sizes = f"{human_bytes(now.bytes_done)} of {human_bytes(now.bytes_total)}"
            said = f"{now.files_done:,} of {now.files_total:,} files, {sizes}"
            show("downloading", now.bytes_done, now.bytes_total, said)

        downloads = rucio.stac.download(
            items.items(),
            folder,
            rse=rse,
            assets=assets.selection,
            only_available=only_available,
            workers=workers,
            on_progress=on_progress,
        )
    if output.for_people:
        click.echo(f"catalogue: {downloads.catalogue}")
    for problem in downloads.catalogue_problems:
        click.echo(f"Warning: {problem}", err=True)
    report(output, downloads, DOWNLOADED)


# `stac-rucio serve`.


@verb(
    "serve",
    "stac-rucio serve --api https://stac.example.org/v1",
    "stac-rucio serve --api https://stac.example.org/v1 --prefer DISK-A --port 9000 -v",
)
@option("--api", required=True, metavar="URL", help="The upstream STAC API.")
@option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="TCP port to listen on.",
)
@takes_copies()
@option("--root-url", metavar="URL", help="This server's URL in links; by default its address.")
@option(
    "--trust-forwarded",
    is_flag=True,
    help="Take this server's URL from a reverse proxy's headers.",
)
@option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Origin whose web pages may read answers, or *; by default the API says. Repeatable.",
)
@option("--allow-writes", is_flag=True, help="Pass on requests that may change the catalogue.")
@takes_rucio()
@verbose
def serve(  # noqa: PLR0917 - click gives them by name
    api: str,
    host: str,
    port: int,
    copies: CopyOptions,
    root_url: str | None,
    origins: tuple[str, ...],
    rucio: Connection,
    *,
    trust_forwarded: bool,
    allow_writes: bool,
) -> None:
    """Serve another STAC API with every copy in its items.

    For QGIS, web maps and what else is not Python: they search this server, and
    read the copies. It serves until Ctrl-C or SIGTERM; -v logs its requests.
    """
    from stac_policy.urls import redact
    from stac_rucio.serve import make_app
    from stac_rucio.serve import serve as serve_app

    modifier = rucio.modifier(copies)
    app = make_app(
        api,
        modifier,
        root_url=root_url,
        trust_forwarded=trust_forwarded,
        allow_origins=origins,
        allow_writes=allow_writes,
    )
    click.echo(f"Serving {redact(api)} at http://{host}:{port}; Ctrl-C ends it", err=True)
    try:
        serve_app(app, host=host, port=port)
    except KeyboardInterrupt:
        return  # that is how it ends
    except SystemExit as error:
        if error.code:
            raise Failure(
                f"cannot listen on {host}:{port}; choose another --port",
                ExitCode.CONFIGURATION,
            ) from error
