"""Certificates for servers of a lake, by an authority that nobody else trusts."""

from __future__ import annotations

from pathlib import Path

import certifi

from .processes import Service, run

AUTHORITY = "authority.pem"
TRUSTED = "trusted.pem"

_ADDRESS = "127.0.0.1"
_DAYS_VALID = "3650"


def make_certificates(folder: Path, logs: Path, *names: str) -> None:
    """Make `NAME.pem` for each server of this machine: its key, and its certificate.

    `authority.pem` is the certificate of who has signed them, and `trusted.pem` has all authorities
    that are trusted usually besides.

    Raises:
        TestbedError: There is no openssl.
    """
    own = "authority-with-key.pem"
    _make(folder, logs, own, "a lake's authority")
    for name in names:
        options = ("-CA", own, "-CAkey", own, "-addext", "basicConstraints=critical,CA:FALSE")
        of_address = ("-addext", f"subjectAltName=IP:{_ADDRESS}")
        _make(folder, logs, f"{name}.pem", name, *options, *of_address)
    signed = (folder / own).read_text()
    authority = signed[signed.index("-----BEGIN CERTIFICATE") :]
    (folder / AUTHORITY).write_text(authority)
    (folder / TRUSTED).write_text(Path(certifi.where()).read_text("utf-8") + authority)


def _make(folder: Path, logs: Path, file: str, name: str, *options: str) -> None:
    command = (
        *("openssl", "req", "-x509", "-days", _DAYS_VALID, "-nodes"),
        *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-subj", f"/CN={name}", *options, "-keyout", file, "-out", file),
    )
    run(Service("openssl", command, folder=folder), logs)
