"""What `-v` shows: logs on standard error, without secrets."""

from __future__ import annotations

import logging

from .text import printable, without_secrets

OURS = ("stac_client", "stac_policy", "stac_rucio")
_REQUESTS = "urllib3.connectionpool"  # method, path and status; no headers, no bodies
_QUIET = (
    "baseclient",  # Rucio's clients and pystac-client log headers, and with these credentials
    "pystac_client",
    "rucio.client",
)


def set_up_logs(verbosity: int) -> None:
    """Log to standard error.

    Args:
        verbosity: 0: nothing. 1: what is done. 2: every request too. Rucio's and
            pystac-client's own logs are never more than warnings: below that,
            they hold passwords and tokens.
    """
    if not verbosity:
        logging.getLogger("rucio.client").setLevel(logging.CRITICAL)  # its errors are raised too
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_SafeFormatter("%(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if verbosity > 1 else logging.INFO)
    if verbosity > 1:
        logging.getLogger(_REQUESTS).setLevel(logging.DEBUG)


class _SafeFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "\n".join(printable(without_secrets(line)) for line in text.splitlines())
