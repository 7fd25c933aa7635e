"""A small transfer service in place of FTS, for test and demo only: production uses FTS.

It speaks the part of FTS3's REST interface that Rucio's ``fts3`` transfertool uses, and moves
the bytes between HTTP and WebDAV endpoints of one machine. It knows no users, no tokens, no
tape and no other protocols. Run it as one process, without ``--preload``, because the threads
that copy start with the application::

    gunicorn --workers 1 --threads 8 "stac_testbed.transfers:create_app('FOLDER')"
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, request
from werkzeug.exceptions import HTTPException

from ._jobs import BASE_ID, ENDED, VO, Jobs, parse
from ._worker import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["create_app"]


def create_app(folder: str) -> Flask:
    """Start a transfer service, for test and demo only, and return its WSGI application.

    Args:
        folder: Where the job database is kept; made if it does not exist. Jobs that an earlier
            process did not finish are resumed.
    """
    base = Path(folder)
    base.mkdir(parents=True, exist_ok=True)
    jobs = Jobs(base / "jobs.sqlite")
    pool = Pool(jobs, base / "lock")
    pool.start()
    rest = _Rest(jobs, pool)
    app = Flask(__name__)
    app.add_url_rule("/jobs", view_func=rest.submit, methods=["POST"])
    app.add_url_rule("/jobs/<job_ids>", view_func=rest.status)
    app.add_url_rule("/jobs/<job_id>", view_func=rest.cancel, methods=["DELETE"])
    app.add_url_rule("/jobs/<job_id>", view_func=rest.prioritize, methods=["POST"])
    app.add_url_rule("/config/se", view_func=rest.configure, methods=["POST"])
    app.add_url_rule("/whoami", view_func=rest.whoami)
    app.register_error_handler(ValueError, _malformed)
    app.register_error_handler(HTTPException, _refused)
    return app


class _Rest:
    """The calls of the interface, each answered at once."""

    def __init__(self, jobs: Jobs, pool: Pool) -> None:
        self._jobs = jobs
        self._pool = pool

    def submit(self) -> Any:
        job_id = self._jobs.submit(parse(request.get_json(force=True)))
        self._pool.wake()
        return {"job_id": job_id}

    def status(self, job_ids: str) -> Any:
        ids = [job_id for job_id in job_ids.split(",") if job_id]
        answers = [self._jobs.describe(job_id) or _unknown(job_id) for job_id in ids]
        unknown = any(answer["http_status"].startswith("404") for answer in answers)
        if len(answers) == 1:
            return answers[0], 404 if unknown else 200
        return answers, 207 if unknown else 200

    def cancel(self, job_id: str) -> Any:
        return self._change(job_id, lambda: self._pool.cancel(self._jobs.cancel(job_id)))

    def prioritize(self, job_id: str) -> Any:
        try:
            priority = int(request.get_json(force=True)["params"]["priority"])
        except (KeyError, TypeError) as error:
            raise ValueError("no priority") from error
        return self._change(job_id, lambda: self._jobs.set_priority(job_id, priority))

    def configure(self) -> Any:
        """Take what an administrator of FTS says of storages, by URL."""
        said = request.get_json(force=True)
        self._pool.configure({url: config["se_info"] for url, config in said.items()})
        return {}

    def whoami(self) -> Any:
        return {"base_id": str(BASE_ID), "vos": [VO]}

    def _change(self, job_id: str, change: Callable[[], None]) -> Any:
        job = self._jobs.describe(job_id)
        if job is None:
            return _unknown(job_id), 404
        if job["job_state"] in ENDED:
            return {**job, "http_status": "304 Not Modified", "http_message": "the job has ended"}
        change()
        return self._jobs.describe(job_id)


def _unknown(job_id: str) -> dict[str, Any]:
    message = f"No job with the id {job_id!r} has been found"
    return {"job_id": job_id, "http_status": "404 Not Found", "http_message": message}


# Every error is answered in JSON: Rucio parses nothing else.
def _malformed(error: ValueError) -> Any:
    status = HTTPStatus(getattr(error, "status", HTTPStatus.BAD_REQUEST))
    return {"http_status": f"{status} {status.phrase}", "http_message": str(error)}, status


def _refused(error: HTTPException) -> Any:
    body = {"http_status": f"{error.code} {error.name}", "http_message": error.description}
    return body, error.code
