"""A small transfer service in place of FTS, for test and demo only: production uses FTS.

It speaks the part of FTS3's REST interface that Rucio's ``fts3`` transfertool uses, and moves
the bytes between HTTP and WebDAV endpoints of one machine. It knows no users, no tokens, no
tape and no other protocols. Run it as one process, without ``--preload``, because the threads
that copy start with the application::

    gunicorn --workers 1 --threads 8 "stac_testbed.transfers:create_app('FOLDER')"
"""

from .rest import create_app

__all__ = ["create_app"]
