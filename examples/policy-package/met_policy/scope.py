"""From what a user types to a DID: `met-20250611` is in the scope `met`, else as stac_policy."""

from stac_policy import scope as stac


def scope(did, scopes):
    """Return the scope and name of a DID as a user types it."""
    if did.startswith("met-"):
        return "met", did
    return stac.scope(did, scopes)
