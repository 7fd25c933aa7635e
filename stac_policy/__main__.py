"""Shows what of this package is active in this Rucio: `python -m stac_policy`.

To be run where and as the Rucio server or daemon runs, with its rucio.cfg. A
table on a terminal and JSON elsewhere; exit code 1 if anything is wrong.
"""

from __future__ import annotations

import dataclasses
import json
import sys

from stac_policy.self_check import findings


def main() -> int:
    """Print what was found."""
    found = list(findings())
    if sys.stdout.isatty():
        width = max(len(finding.what) for finding in found)
        for finding in found:
            mark = "ok   " if finding.ok else "WRONG"
            sys.stdout.write(f"{mark} {finding.what:<{width}}  {finding.found}\n")
    else:
        json.dump([dataclasses.asdict(finding) for finding in found], sys.stdout, indent=2)
        sys.stdout.write("\n")
    return 0 if all(finding.ok for finding in found) else 1


if __name__ == "__main__":
    sys.exit(main())
