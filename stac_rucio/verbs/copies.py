"""`stac-rucio alternates`, `download`, `serve`, `gateway` and `completion`."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stac_rucio.errors import ExitCode, Failure, audit, resumable
from stac_rucio.options import MOUNTS, PAYS, SITE, VERBOSE, flag, number, option, verb, words
from stac_rucio.output import DOWNLOADED, progress, report, say, write_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stac_client._results import Progress
    from stac_client._selection import AssetSelection
    from stac_rucio.inputs import Connection, ItemSource
    from stac_rucio.output import Output

_BATCH = 100  # items; their assets fit into a few requests


@verb("alternates", VERBOSE)
def alternates(*, items: ItemSource, replicas: Mapping[str, Any], rucio: Connection) -> None:
    """Write items with every copy as an alternate asset.

    The items come out as they came in: NDJSON as NDJSON, all else as an item
    collection.

    Examples:
        stac-client search https://stac.example.org/v1 -c alps | stac-rucio alternates -
        stac-rucio alternates --api https://stac.example.org/v1 -c alps --prefer DISK-A > x.json
        stac-rucio alternates items.ndjson --only DISK-A,DISK-B
    """
    from stac_client._alternates import has_copies
    from stac_client._rucio import batched

    modify = rucio.modifier(replicas, items.completion).with_options(timeout_s=None)
    with items.opened() as stream:
        separator = "" if stream.as_lines else '{"type": "FeatureCollection", "features": ['
        came = found = False
        for batch in batched(stream.items, _BATCH):
            modify({"type": "FeatureCollection", "features": batch})
            for item in batch:
                came, found = True, found or has_copies(item)
                write_line(f"{separator}{json.dumps(item)}")
                separator = "" if stream.as_lines else ","
        if not stream.as_lines:
            write_line(f"{separator if separator != ',' else ''}]}}")
    if came and not found:
        say("No copies: Rucio knows none of these assets", err=True)


@verb("completion", click.Argument(["shell"], type=click.Choice(["bash", "zsh", "fish"])))
def completion(*, shell: str) -> None:
    """Print a shell completion script.

    Examples:
        eval "$(stac-rucio completion bash)"
        stac-rucio completion fish > ~/.config/fish/completions/stac-rucio.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found  # noqa: S101 - click has all three
    root = click.get_current_context().find_root()
    click.echo(found(root.command, {}, "stac-rucio", "_STAC_RUCIO_COMPLETE").source())


@verb(
    "download",
    option(
        "--folder",
        "Folder to download to, as COLLECTION/ITEM/ASSET; made if it is missing.",
        type=click.Path(file_okay=False),
        default=".",
    ),
    option("--rse", "The only RSE to download from; by default the best has it.", "RSE"),
    words("--prefer", "RSEs, the most wanted first, or nearest; the others come after.", "RSES"),
    SITE,
    flag("--only-available", "An asset without a replica is skipped, not failed."),
    number("--workers", "Files that are downloaded at the same time.", default=8),
    MOUNTS,
    PAYS,
)
def download(
    *,
    items: ItemSource,
    folder: str,
    assets: AssetSelection,
    rucio: Connection,
    output: Output,
    site: str | None,
    **options: Any,
) -> None:
    """Download assets, verified, as a STAC catalogue of their own.

    The assets have to be registered. Each comes from the best replica that gives
    it. Valid files are kept; interrupted downloads resume.

    Lines: collection, item, asset, state, path, reason.

    Examples:
        stac-rucio download --api https://stac.example.org/v1 -c alps --folder alps
        stac-rucio download items.json --assets red,nir --rse DISK-A --workers 4
    """
    resumable("The same command goes on where it stopped.")
    rucio.headers, rucio.site = items.origin_headers, site
    with progress() as show:

        def on_progress(now: Progress) -> None:
            show("downloading", now.bytes_done, now.bytes_total, str(now))

        downloads = rucio.stac.download(
            items, folder, assets=assets, on_progress=on_progress, **options
        )
    if output.for_people:
        click.echo(f"catalogue: {downloads.catalogue}")
    for problem in downloads.catalogue_problems:
        click.echo(f"Warning: {problem}", err=True)
    report(output, downloads, DOWNLOADED)


@contextmanager
def _listening(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        return  # that is how it ends
    except SystemExit as error:
        if error.code:
            raise Failure(
                f"cannot listen on {host}:{port}; choose another --port", ExitCode.CONFIGURATION
            ) from error


def _listen(port: int) -> tuple[click.Option, ...]:
    return (
        option("--host", "Address to listen on.", default="127.0.0.1"),
        option("--port", "TCP port to listen on.", type=click.IntRange(0, 65535), default=port),
    )


@verb(
    "serve",
    option("--api", "The upstream STAC API.", "URL", required=True),
    *_listen(8080),
    option("--root-url", "This server's URL in links; by default its address.", "URL"),
    flag("--trust-forwarded", "Take this server's URL from a reverse proxy's headers."),
    words(
        "--allow-origin allow_origins",
        "Origins whose web pages may read answers, or *; by default the API says.",
        "ORIGIN",
    ),
    flag("--allow-writes", "Pass on requests that may change the catalogue."),
    VERBOSE,
)
def serve(
    *,
    api: str,
    host: str,
    port: int,
    replicas: Mapping[str, Any],
    rucio: Connection,
    **options: Any,
) -> None:
    """Serve another STAC API with every copy in its items.

    For QGIS, web maps and what else is not Python: they search this server, and
    read the copies. It serves until Ctrl-C or SIGTERM; -v logs its requests.

    Examples:
        stac-rucio serve --api https://stac.example.org/v1
        stac-rucio serve --api https://stac.example.org/v1 --prefer DISK-A --port 9000 -v
    """
    from stac_client._item_completion import Completion
    from stac_policy.urls import redact
    from stac_rucio.serve import make_app
    from stac_rucio.serve import serve as serve_app

    app = make_app(api, rucio.modifier(replicas, Completion(offline=True)), **options)
    click.echo(f"Serving {redact(api)} at http://{host}:{port}; Ctrl-C ends it", err=True)
    with _listening(host, port):
        serve_app(app, host=host, port=port)


@verb(
    "gateway",
    click.Argument(["configuration"], type=click.Path(exists=True, dir_okay=False, path_type=Path)),
    *_listen(8090),
    VERBOSE,
)
def gateway(*, configuration: Path, host: str, port: int) -> None:
    """Fetch originals that need a credential for transfers.

    CONFIGURATION names the keys that it shares with Rucio's submitters, and the origins that
    it has credentials for. It serves until Ctrl-C or SIGTERM, and logs its requests.

    Examples:
        stac-rucio gateway /etc/stac-rucio/gateway.toml
    """
    from stac_rucio.gateway import load, make_app
    from stac_rucio.gateway import serve as serve_app

    audit("stac_rucio.gateway")
    found = load(configuration)
    click.echo(f"Gateway to {len(found.origins)} origins at http://{host}:{port}", err=True)
    with _listening(host, port):
        serve_app(make_app(found), host=host, port=port)
