"""Schema of requests: names of the centre are in lower case, those of STAC as they are."""

from stac_policy.schema import NAME_PATTERN, SCOPE_NAME_REGEXP

__all__ = ["NAME", "SCOPE_NAME_REGEXP"]

NAME = {
    "description": "Data Identifier name",
    "type": "string",
    "maxLength": 250,
    "pattern": f"^[a-z0-9][a-z0-9.-]*$|{NAME_PATTERN}",
}
