"""A certificate for servers of a lake, which nobody else trusts."""

from __future__ import annotations

from pathlib import Path

import certifi

from .processes import Service, run

_ADDRESS = "127.0.0.1"
_DAYS_VALID = "3650"


def make_certificate(folder: Path, logs: Path) -> None:
    """Make `certificate.pem`, for a server of this machine that it is its own authority of.

    `key.pem` is its key, `proxy.pem` has both, as those who use grids have it, and `trusted.pem`
    has all authorities that are trusted usually besides.

    Raises:
        TestbedError: There is no openssl.
    """
    command = (
        *("openssl", "req", "-x509", "-days", _DAYS_VALID, "-nodes"),
        *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-subj", f"/CN={_ADDRESS}", "-addext", f"subjectAltName=IP:{_ADDRESS}"),
        *("-keyout", "key.pem", "-out", "certificate.pem"),
    )
    run(Service("openssl", command, folder=folder), logs)
    certificate = (folder / "certificate.pem").read_text()
    proxy = folder / "proxy.pem"
    proxy.touch(mode=0o600)
    proxy.write_text(certificate + (folder / "key.pem").read_text())
    (folder / "trusted.pem").write_text(Path(certifi.where()).read_text("utf-8") + certificate)
