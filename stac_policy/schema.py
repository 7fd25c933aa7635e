"""Schema of DIDs in requests: that of Rucio's servers with a single VO, unchanged.

Rucio takes every value that is missing here from its generic schema, except
this one, which it reads from the policy package when the server starts
(`rucio.common.schema.get_scope_name_regexps`). The one that Rucio has for
multi-VO servers finds no DID whose name holds a slash.
"""

from rucio.common.schema.generic import SCOPE_NAME_REGEXP

__all__ = ["NAME_PATTERN", "SCOPE_NAME_REGEXP"]

NAME_PATTERN = r"^(?=.{1,250}$)(/[A-Za-z0-9_-][A-Za-z0-9._-]*){1,3}$"
"""The names of STAC's DIDs, for packages whose own `NAME` takes others: `f"{OWN}|{NAME_PATTERN}"`.

Rucio's generic schema takes them anyway.
"""
