"""Policy package of a made-up weather centre, which has rules of its own and STAC catalogues.

Each module puts what stac_policy offers beside what the centre has, by one line. It works
on a server with one VO (`package = met_policy`) and as that of the VO `met` on one with
several (`package-met = met_policy`).
"""

from stac_policy.algorithms import named

SUPPORTED_VERSION = [">=38", "<42"]


def by_day(scope, name, rse, rse_attributes, protocol_attributes):
    """Return the path of a file at the centre's own storages: `2025/06/11/name`."""
    day = name[-8:]
    return f"{day[:4]}/{day[4:6]}/{day[6:]}/{name}"


def get_algorithms():
    """Return the centre's algorithms and those of stac_policy, by their names."""
    algorithms = named(__name__)
    algorithms["lfn2pfn"]["met_by_day"] = by_day  # with several VOs, names begin with the VO's
    return algorithms
