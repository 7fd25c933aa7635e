"""Rucio's own FTS client as a process: a call in JSON on each line in, its result on each out.

It runs apart from the tests because Rucio reads its configuration once per process, when it is
imported. It uses no database: what Rucio would read from there is given in the call.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from rucio.common.types import InternalAccount, InternalScope
from rucio.core.request import RequestSource, RequestWithSources, TransferDestination
from rucio.core.rse import RseData
from rucio.core.transfer import DirectTransferImplementation
from rucio.db.sqla.constants import RequestState, RequestType
from rucio.transfertool.fts3 import FTS3Transfertool

if TYPE_CHECKING:
    from collections.abc import Callable


class Transfer(DirectTransferImplementation):  # type: ignore[misc]  # Rucio has no types
    """A transfer whose URLs are given instead of made from RSE protocols."""

    def __init__(self, call: Any) -> None:
        info = {"rse_type": "DISK"}
        src = RseData("src-id", "SRC", attributes=call["src_attributes"], info=info)
        dst = RseData("dst-id", "DST", attributes=call["dst_attributes"], info=info)
        rws = RequestWithSources(
            id_=call["request_id"],
            request_type=RequestType.TRANSFER,
            rule_id="rule",
            scope=InternalScope("eo"),
            name="/c/i/B04.tif",
            md5=call.get("md5"),
            adler32=call.get("adler32"),
            byte_count=call["size_bytes"],
            activity="User Subscriptions",
            attributes={},
            previous_attempt_id=None,
            dest_rse=dst,
            account=InternalAccount("root"),
            retry_count=0,
            priority=3,
            transfertool="fts3",
        )
        source, target = RequestSource(src, url=call["source"]), TransferDestination(dst, "davs")
        super().__init__(source, target, rws, None, "read", "write")
        self._given_dest_url = call["destination"]

    @property
    def dest_url(self) -> Any:
        """The URL to write."""
        return self._given_dest_url

    def source_url(self, source: Any) -> Any:
        """Return the URL to read."""
        return source.url


def submit(tool: Any, call: Any) -> Any:
    """Group and submit as the submitter does; return the transfer id."""
    (job,) = tool.group_into_submit_jobs([[Transfer(call)]])
    return tool.submit(job["transfers"], job["job_params"])


def bulk_query(tool: Any, call: Any) -> dict[str, Any]:
    """Query as the poller does; return the database fields it would update, by job."""
    answers: dict[str, dict[str, dict[str, str]] | str] = {}
    for job_id, reports in tool.bulk_query(call["requests"]).items():
        if reports is None:
            answers[job_id] = "LOST"
            continue
        answers[job_id] = {
            request_id: {
                key: value.name if isinstance(value, RequestState) else str(value)
                for key, value in report.get_db_fields_to_update(session=None).items()
            }
            for request_id, report in reports.items()
        }
    return answers


CALLS: dict[str, Callable[[FTS3Transfertool, dict[str, Any]], Any]] = {
    "submit": submit,
    "bulk_query": bulk_query,
    "cancel": lambda tool, call: tool.cancel([call["job_id"]]),
    "update_priority": lambda tool, call: tool.update_priority(call["job_id"], 5),
    "query": lambda tool, call: tool.query([call["job_id"]]),
    "whoami": lambda tool, _call: tool.whoami(),
}


def main() -> None:
    """Answer calls until there are no more."""
    for line in sys.stdin:
        call = json.loads(line)
        tool = FTS3Transfertool(call["host"])
        tool.deterministic_id = call.get("deterministic", False)
        sys.stdout.write(json.dumps(CALLS[call["call"]](tool, call)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
