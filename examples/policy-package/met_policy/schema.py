"""Schema of requests: names of the centre are in lower case, those of STAC as they are."""

from rucio.common.schema import generic

from stac_policy.schema import NAME_PATTERN, SCOPE_NAME_REGEXP

__all__ = ["NAME", "SCHEMAS", "SCOPE_NAME_REGEXP"]

NAME = {
    "description": "Data Identifier name",
    "type": "string",
    "maxLength": 250,
    "pattern": f"^[a-z0-9][a-z0-9.-]*$|{NAME_PATTERN}",
}

# Before Rucio 41 the schemas of DIDs do not look for NAME here.
DID = {**generic.DID, "properties": {**generic.DID["properties"], "name": NAME}}
SCHEMAS = {"name": NAME, "did": DID, "dids": {**generic.DIDS, "items": DID}}
