"""STAC searches as Rucio data: register, replicate, find the copies again.

from pystac_client import Client
from stac_client import StacClient

rucio = StacClient()
catalogue = Client.open("https://stac.example.org/v1", modifier=rucio.modifier)
items = catalogue.search(collections=["alps"], max_items=50).item_collection()
registration = rucio.create_replicas(items, rse="STAC")
rules = rucio.create_replication_rules(registration, "tier=disk", copies=2)
"""

from __future__ import annotations

try:
    import pystac_client as _pystac_client  # noqa: F401 - only whether it is there
    import rucio.client as _rucio_client  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"stac_client needs {error.name}; install it with: pip install 'stac-rucio[client]' "
        "(or [server] beside a Rucio server, with pystac-client)",
        name=error.name,
    ) from error

from .catalogue.selection import by_media_type, by_role
from .catalogue.write_back import write_back
from .client import StacClient
from .display.geo import plot_map, to_geodataframe
from .display.history import History
from .display.tables import ReplicationAvailability, ReplicationRules, RuleStatus
from .errors import (
    AccessError,
    ConfigurationError,
    RequestError,
    StacRucioError,
    UnreachableError,
)
from .lookups.lookup import LearnFrom
from .modifier.alternates import EXTENSION as ALTERNATE_ASSETS
from .modifier.explanation import Candidate, Explanation
from .modifier.modifier import AlternatesWarning, Modifier
from .progress import Progress
from .registration.metadata import MetadataWarning
from .registration.plan import Plan
from .replication.availability import Availability
from .replication.rules import Rule
from .replication.status import ItemStatus, StuckFile
from .results import Outcome, Registration, State
from .setup.setup import plan_setup
from .setup.survey import survey

__all__ = [
    "ALTERNATE_ASSETS",
    "AccessError",
    "AlternatesWarning",
    "Availability",
    "Candidate",
    "ConfigurationError",
    "Explanation",
    "History",
    "ItemStatus",
    "LearnFrom",
    "MetadataWarning",
    "Modifier",
    "Outcome",
    "Plan",
    "Progress",
    "Registration",
    "ReplicationAvailability",
    "ReplicationRules",
    "RequestError",
    "Rule",
    "RuleStatus",
    "StacClient",
    "StacRucioError",
    "State",
    "StuckFile",
    "UnreachableError",
    "by_media_type",
    "by_role",
    "plan_setup",
    "plot_map",
    "survey",
    "to_geodataframe",
    "write_back",
]
