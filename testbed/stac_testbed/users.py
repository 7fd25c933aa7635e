"""Servers that refuse to run as root: whom they run as then, and where their files are."""

from __future__ import annotations

import os
import pwd
import secrets
from pathlib import Path

from .errors import TestbedError


def user_for(server: str, user: str) -> str | None:
    """Tell whom a server runs as.

    Args:
        server: Its name, for people.
        user: The user that its package makes for it.

    Returns:
        None for the user we are, unless that is root.

    Raises:
        TestbedError: We are root, and there is no such user.
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(user).pw_name
    except KeyError:
        raise TestbedError(
            f"{server} refuses to run as root, and this machine has no user {user}; "
            "start the lake as an ordinary user"
        ) from None


def folder_for(user: str | None, folder: Path) -> Path:
    """Choose where a server's files go; nothing is made yet.

    Args:
        user: Whom it runs as, None for us.
        folder: Where they go if it runs as we do. Another user's go to a new folder in
            this user's home: the folders of root, pytest's temporary ones included, are
            often closed to others.
    """
    if user is None:
        return folder
    return Path(pwd.getpwnam(user).pw_dir) / f"stac-lake-{secrets.token_hex(4)}"


def as_user(user: str | None) -> tuple[str, ...]:
    """Give what runs a command as a user; nothing for None.

    Popen's option `user` forks the whole interpreter instead, which must not happen in one
    thread while another one computes with numpy: OpenBLAS then waits for itself for ever.
    """
    if user is None:
        return ()
    return ("setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--")
