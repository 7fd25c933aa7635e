"""Jobs that run together, and are waited for no longer than a time limit."""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class TimeLimitError(Exception):
    """Not all jobs were done in time."""


def run_together(
    jobs: Sequence[Callable[[], T]], *, timeout_s: float | None, workers: int
) -> list[T]:
    """Run jobs in threads.

    What is still running when the time is over, or when another job has failed,
    is left to itself: it keeps neither the caller nor the end of Python waiting
    (as the threads of `concurrent.futures` would). Jobs not yet begun then stay
    undone.

    Args:
        jobs: The jobs.
        timeout_s: The time for all of them, in seconds, or None for any time.
        workers: How many run at the same time.

    Returns:
        What each job gave, in the order of the jobs.

    Raises:
        TimeLimitError: The time is over.
        Exception: What the first job to fail raised.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    given_up = threading.Event()
    waiting: SimpleQueue[int] = SimpleQueue()
    done: SimpleQueue[tuple[int, T | None, BaseException | None]] = SimpleQueue()
    for number in range(len(jobs)):
        waiting.put(number)

    def work() -> None:
        while not given_up.is_set():
            try:
                number = waiting.get_nowait()
            except Empty:
                return
            try:
                done.put((number, jobs[number](), None))
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                done.put((number, None, error))

    for _ in range(min(workers, len(jobs))):
        threading.Thread(target=work, name="stac-rucio look-up", daemon=True).start()
    results: dict[int, T] = {}
    try:
        while len(results) < len(jobs):
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            number, result, error = done.get(timeout=left_s)
            if error is not None:
                raise error
            results[number] = result  # type: ignore[assignment] # only without an error
    except Empty:
        raise TimeLimitError from None
    finally:
        given_up.set()
    return [results[number] for number in range(len(jobs))]
