"""What keeps STAC assets from being registered, replicated or found, each with its mend.

docs/doctor.md lists the findings. Nothing is changed: all requests read.
"""

from __future__ import annotations

from .examination import examine
from .findings import Finding, Level

__all__ = ["Finding", "Level", "examine"]
