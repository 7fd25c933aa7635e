"""A STAC API in front of another one, whose items show every replica: for what is not Python.

from stac_client import StacClient
from stac_client.serving import make_app, serve

serve(make_app("https://stac.example.org/v1", StacClient().modifier), port=8080)
"""

from __future__ import annotations

from stac_rucio.serve._app import make_app, serve
from stac_rucio.serve._pages import Modify

try:
    import httpx as _httpx  # noqa: F401 - only whether it is there
    import starlette as _starlette  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"stac_client.serving needs {error.name}; install it with: pip install 'stac-rucio[serve]'",
        name=error.name,
    ) from error

__all__ = ["Modify", "make_app", "serve"]
