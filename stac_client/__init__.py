"""STAC searches as Rucio data: register, replicate, find the copies again.

from pystac_client import Client
from stac_client import StacClient

stac = StacClient()
catalogue = Client.open("https://stac.example.org/v1", modifier=stac.modifier)
items = catalogue.search(collections=["alps"], max_items=50).item_collection()
registration = stac.create_replicas(items, rse="STAC")
rules = stac.create_replication_rules(registration, "tier=disk", copies=2)
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if sys.version_info < (3, 10):  # noqa: UP036 - the wheel is for 3.9 too
    raise ImportError("stac_client needs Python 3.10 or later; stac_policy alone runs on 3.9")

try:
    import pystac_client as _pystac_client  # noqa: F401 - only whether it is there
    import rucio.client as _rucio_client  # noqa: F401
except ModuleNotFoundError as error:
    from stac_policy import users_extra

    raise ModuleNotFoundError(
        f"stac_client needs {error.name}; install it with: "
        f"pip install 'stac-rucio[{users_extra()}]'",
        name=error.name,
    ) from error
except Exception as error:  # noqa: BLE001 - Rucio's modules read rucio.cfg when they are imported
    from stac_client.errors import unusable_configuration as _unusable_configuration

    raise _unusable_configuration(error) from None

from stac_policy import __version__

if TYPE_CHECKING:
    from stac_client._alternates import ALTERNATE_ASSETS, write_back
    from stac_client._history import History, to_geodataframe
    from stac_client._in_rucio import LostFileWarning
    from stac_client._lookup import Probe
    from stac_client._modifier import (
        AlternatesWarning,
        Candidate,
        Explanation,
        Modifier,
        ModifierOptions,
    )
    from stac_client._new_rules import RuleWarning
    from stac_client._plan import Plan
    from stac_client._registration import MetadataWarning
    from stac_client._results import (
        DownloadOutcome,
        Downloads,
        Outcome,
        Progress,
        Registration,
        State,
    )
    from stac_client._rules import ReplicationRules, Rule
    from stac_client._selection import AssetsWarning, by_media_type, by_role
    from stac_client._stac_api import ItemsWarning
    from stac_client._status import (
        Availability,
        ItemStatus,
        ReplicationAvailability,
        RuleStatus,
        StuckFile,
    )
    from stac_client.admin import plan_setup, summarise_catalogue
    from stac_client.client import StacClient
    from stac_client.errors import (
        AccessError,
        ConfigurationError,
        RequestError,
        StacRucioError,
        UnreachableError,
    )

# A library is silent unless it is asked.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "ALTERNATE_ASSETS",
    "AccessError",
    "AlternatesWarning",
    "AssetsWarning",
    "Availability",
    "Candidate",
    "ConfigurationError",
    "DownloadOutcome",
    "Downloads",
    "Explanation",
    "History",
    "ItemStatus",
    "ItemsWarning",
    "LostFileWarning",
    "MetadataWarning",
    "Modifier",
    "ModifierOptions",
    "Outcome",
    "Plan",
    "Probe",
    "Progress",
    "Registration",
    "ReplicationAvailability",
    "ReplicationRules",
    "RequestError",
    "Rule",
    "RuleStatus",
    "RuleWarning",
    "StacClient",
    "StacRucioError",
    "State",
    "StuckFile",
    "UnreachableError",
    "__version__",
    "by_media_type",
    "by_role",
    "plan_setup",
    "summarise_catalogue",
    "to_geodataframe",
    "write_back",
]

_NAMES = {
    "_alternates": "ALTERNATE_ASSETS write_back",
    "_history": "History to_geodataframe",
    "_in_rucio": "LostFileWarning",
    "_lookup": "Probe",
    "_modifier": "AlternatesWarning Candidate Explanation Modifier ModifierOptions",
    "_new_rules": "RuleWarning",
    "_plan": "Plan",
    "_registration": "MetadataWarning",
    "_results": "DownloadOutcome Downloads Outcome Progress Registration State",
    "_rules": "ReplicationRules Rule",
    "_selection": "AssetsWarning by_media_type by_role",
    "_stac_api": "ItemsWarning",
    "_status": "Availability ItemStatus ReplicationAvailability RuleStatus StuckFile",
    "admin": "plan_setup summarise_catalogue",
    "client": "StacClient",
    "errors": "AccessError ConfigurationError RequestError StacRucioError UnreachableError",
}
"""The public names by the modules that have them, which are imported when they are first used."""
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
