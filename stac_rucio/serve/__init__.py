"""A STAC API in front of another one, whose items list every replica as an alternate asset.

from stac_client import StacClient
from stac_rucio.serve import make_app, serve

modifier = StacClient().modifier.with_options(strict=True)
serve(make_app("https://stac.example.org/v1", modifier), port=8080)
"""

from __future__ import annotations

try:
    from stac_rucio.listening import serve
    from stac_rucio.serve._app import make_app
    from stac_rucio.serve._pages import Modify
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"stac_rucio.serve needs {error.name}; install it with: pip install 'stac-rucio[serve]'",
        name=error.name,
    ) from error

__all__ = ["Modify", "make_app", "serve"]
