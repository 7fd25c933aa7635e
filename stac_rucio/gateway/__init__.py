"""The credential gateway: originals that need a credential, for storages and FTS that have none.

It answers URLs that Rucio's submitter has vouched for (`stac_policy.gateway`). Of each origin that
an operator names it redirects to a URL signed then and there, or passes the bytes on.
"""

from __future__ import annotations

try:
    from stac_rucio.gateway._app import make_app
    from stac_rucio.gateway._origins import Gateway, load
    from stac_rucio.listening import serve
except ModuleNotFoundError as error:
    from stac_policy import users_extra

    raise ModuleNotFoundError(
        f"stac_rucio.gateway needs {error.name}; install it with: "
        f"pip install 'stac-rucio[{users_extra()},gateway]'",
        name=error.name,
    ) from error

__all__ = ["Gateway", "load", "make_app", "serve"]
