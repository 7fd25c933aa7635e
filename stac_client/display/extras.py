"""Libraries that are needed only for some purposes."""

from __future__ import annotations

import importlib
from typing import Any


def import_extra(module: str) -> Any:
    """Import a library of the extra `[notebook]`.

    Raises:
        ModuleNotFoundError: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"this needs {error.name}; install it with: pip install 'stac-rucio[notebook]'",
            name=error.name,
        ) from error
