"""The threads that copy, a few files at a time."""

from __future__ import annotations

import fcntl
import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stac_testbed._http import TransferError, http_url, readable

from ._copying import Endpoint, make_copy, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from ._jobs import Jobs, Task

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_COPY_SECONDS = 600.0
_COPY_SECONDS_PER_MIB = 2.0


class _CanceledError(Exception):
    """The job was canceled while its file was being copied."""


class Pool:
    """Copies what `Jobs` has waiting.

    Args:
        jobs: Where work comes from and its outcome goes.
        lock_path: A file that lets one process at a time copy.
        copies: How many files are copied at the same time.
    """

    def __init__(self, jobs: Jobs, lock_path: Path, copies: int = 4) -> None:
        self._jobs = jobs
        self._lock = lock_path.open("w")
        self._copies = copies
        self._changed = threading.Condition()
        self._canceled: set[int] = set()
        self._endpoints = lock_path.with_name("endpoints.json")

    def start(self) -> None:
        """Begin to copy, and first of all what an earlier process left unfinished."""
        _spawn(self._lead)

    def wake(self) -> None:
        """Look for work at once."""
        with self._changed:
            self._changed.notify_all()

    def configure(self, endpoints: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what is said of storages, by the beginning of their URLs."""
        known = self._configured()
        known.update(endpoints)
        new = self._endpoints.with_suffix(".new")
        new.write_text(json.dumps(known))
        new.replace(self._endpoints)  # copies that begin now read the one or the other

    def _configured(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._endpoints.read_text()))
        except FileNotFoundError:
            return {}

    def _endpoint(self, url: str) -> Endpoint:
        parts = urlsplit(http_url(url))
        found = self._configured().get(f"{parts.scheme}://{parts.netloc}", {})
        return Endpoint(
            found.get("tpc_support") == "NONE",
            found.get("credential"),
            found.get("copy_mode") == "3rd push",
            tuple(found["keys"]) if "keys" in found else None,
        )

    def cancel(self, file_ids: Iterable[int]) -> None:
        """End the copies of these files at their next chunk."""
        self._canceled.update(file_ids)

    def _lead(self) -> None:
        # A process that is being replaced may still copy: its files are not ours until it ends.
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._jobs.resume()
        for _ in range(self._copies):
            _spawn(self._work)

    def _work(self) -> None:
        while True:
            try:
                self._copy(self._next())
            except Exception:
                logger.exception("the job database failed")
                time.sleep(_PAUSE_SECONDS)
            self.wake()

    def _next(self) -> Task:
        with self._changed:
            while True:
                task = self._jobs.claim()
                if task:
                    return task
                self._changed.wait()

    def _copy(self, task: Task) -> None:
        mebibytes = (task.copy.size_bytes or 0) / (1 << 20)
        seconds = _COPY_SECONDS + _COPY_SECONDS_PER_MIB * mebibytes
        end = time.monotonic() + seconds

        def check() -> None:
            if task.file_id in self._canceled:
                raise _CanceledError
            if time.monotonic() > end:
                name = readable(task.copy.source)
                raise TransferError(f"{name}: the copy took more than {seconds:.0f} seconds")

        reason = None
        try:
            endpoint = self._endpoint(task.copy.destination)
            make_copy(
                task.copy,
                endpoint,
                overwrite=task.overwrite,
                check=check,
                began=lambda: self._jobs.began(task.file_id),
            )
        except _CanceledError:
            reason = "canceled"
        except TransferError as error:
            reason = str(error)
        except Exception as error:
            logger.exception("copy of file %d", task.file_id)
            reason = f"internal error: {type(error).__name__}"
        if not self._jobs.finish(task.file_id, reason) and reason is None:
            remove(task.copy.destination, endpoint)  # canceled at the very last moment
        self._canceled.discard(task.file_id)


def _spawn(target: Callable[[], None]) -> None:
    # A daemon thread never keeps a process from ending; what it copied is resumed later.
    threading.Thread(target=target, daemon=True).start()
