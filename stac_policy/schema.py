"""Schema of DIDs in requests: Rucio's generic one, unchanged.

Rucio takes every value that is missing here from its generic schema, except
this one, which it reads from the policy package when the server starts
(`rucio.common.schema.get_scope_name_regexps`).
"""

from rucio.common.schema.generic import SCOPE_NAME_REGEXP

__all__ = ["SCOPE_NAME_REGEXP"]
