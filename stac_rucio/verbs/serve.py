"""`stac-rucio serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stac_rucio.commands import option, verb
from stac_rucio.exits import ExitCode, Failure
from stac_rucio.options import takes_copies, takes_rucio, verbose

if TYPE_CHECKING:
    from stac_rucio.connection import Connection
    from stac_rucio.copies import CopyOptions


@verb(
    "serve",
    "stac-rucio serve --api https://stac.example.org/v1",
    "stac-rucio serve --api https://stac.example.org/v1 --prefer DISK-A --port 9000 -v",
)
@option("--api", required=True, metavar="URL", help="The STAC API behind.")
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
@takes_rucio()
@verbose
def serve(  # noqa: PLR0917 - click gives them by name
    api: str,
    host: str,
    port: int,
    copies: CopyOptions,
    root_url: str | None,
    rucio: Connection,
    *,
    trust_forwarded: bool,
) -> None:
    """Serve another STAC API with every copy in its items.

    For QGIS, web maps and what else is not Python: they search this server, and
    read the copies. It serves until Ctrl-C or SIGTERM; -v logs its requests.
    """
    from stac_client.serving import make_app
    from stac_client.serving import serve as serve_app
    from stac_policy.urls import redact

    modifier = rucio.modifier(copies)
    app = make_app(api, modifier, root_url=root_url, trust_forwarded=trust_forwarded)
    click.echo(f"Serving {redact(api)} at http://{host}:{port}; Ctrl-C ends it", err=True)
    try:
        serve_app(app, host=host, port=port)
    except KeyboardInterrupt:
        return  # that is how it ends
    except SystemExit as error:
        if error.code:
            raise Failure(
                f"port {port} of {host} can not be listened on; --port takes another",
                ExitCode.CONFIGURATION,
            ) from error
