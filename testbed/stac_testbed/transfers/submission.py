"""What Rucio submits, checked and turned into files with their first states."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .copying import Copy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BASE_ID = uuid.uuid5(uuid.NAMESPACE_DNS, "transfers.stac-testbed.invalid")
VO = "testbed"
ENDED = ("FINISHED", "FINISHEDDIRTY", "FAILED", "CANCELED")
_DEFAULT_PRIORITY = 3
_UNFINISHED = ("SUBMITTED", "ACTIVE")


@dataclass(frozen=True)
class File:
    """One source to try, or one hop to make.

    Attributes:
        index: Sources of the same file share it.
        state: SUBMITTED, or NOT_USED when its turn comes after others of its job.
        copy: What to copy.
        overwrite: Whether a file at the destination may be replaced.
        metadata: JSON text, given back as it is.
    """

    index: int
    state: str
    copy: Copy
    overwrite: bool
    metadata: str


@dataclass(frozen=True)
class Submission:
    """A job to be.

    Attributes:
        job_id: Given by the submitter's own rule, or None.
        fingerprint: Equal for submissions of equal content.
        job_type: N, R (several sources for a file) or H (several hops).
        priority: The higher, the sooner.
        metadata: JSON text, given back as it is.
        files: In the order they are tried.
    """

    job_id: str | None
    fingerprint: str
    job_type: str
    priority: int
    metadata: str
    files: tuple[File, ...]


def parse(body: Any) -> Submission:
    """Turn the body of ``POST /jobs`` into a submission.

    Raises:
        ValueError: If it is none; says why.
    """
    try:
        files, params = body["files"], body["params"]
        several_sources = any(len(file["sources"]) > 1 for file in files)
        job_type = "H" if params.get("multihop") else "R" if several_sources else "N"
        return Submission(
            job_id=_deterministic_id(params),
            fingerprint=hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest(),
            job_type=job_type,
            priority=int(params.get("priority") or _DEFAULT_PRIORITY),
            metadata=json.dumps(params.get("job_metadata")),
            files=tuple(_files(files, params, job_type)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a submission: {type(error).__name__} {error}") from error


def job_state(job_type: str, files: Sequence[tuple[int, str]]) -> str:
    """Return the state of a job from the index and state of each of its files."""
    states = {state for _, state in files}
    if states.intersection(_UNFINISHED):
        return "SUBMITTED" if states <= {"SUBMITTED", "NOT_USED"} else "ACTIVE"
    if "CANCELED" in states:
        return "CANCELED"
    finished = {index for index, state in files if state == "FINISHED"}
    if finished == {index for index, _ in files}:
        return "FINISHED"
    return "FINISHEDDIRTY" if finished and job_type != "H" else "FAILED"


def _deterministic_id(params: Mapping[str, Any]) -> str | None:
    if params.get("id_generator") != "deterministic":
        return None
    return str(uuid.uuid5(uuid.uuid5(BASE_ID, VO), params["sid"]))


def _files(files: Sequence[Any], params: Mapping[str, Any], job_type: str) -> list[File]:
    if not files:
        raise ValueError("no files")
    result: list[File] = []
    for index, file in enumerate(files):
        if not file["sources"] or len(file["destinations"]) != 1:
            raise ValueError("a file needs sources and exactly one destination")
        if job_type == "H" and len(file["sources"]) > 1:
            raise ValueError("a hop has exactly one source")
        strict = bool(params.get("strict_copy"))
        last = index == len(files) - 1
        overwrite = params.get("overwrite") or (not last and params.get("overwrite_hop"))
        for number, source in enumerate(file["sources"]):
            copy = Copy(
                source=str(source),
                destination=str(file["destinations"][0]),
                size_bytes=None if strict else file.get("filesize"),
                checksum=None if strict else file.get("checksum"),
                verify="none" if strict else _verify(params, file.get("checksum")),
                strict=strict,
            )
            waits = number > 0 or (job_type == "H" and index > 0)
            state = "NOT_USED" if waits else "SUBMITTED"
            metadata = json.dumps(file.get("metadata"))
            result.append(File(index, state, copy, bool(overwrite), metadata))
    return result


def _verify(params: Mapping[str, Any], checksum: str | None) -> str:
    value = params.get("verify_checksum")
    if not isinstance(value, str):
        return "both" if value else "target" if checksum else "none"
    if value not in ("both", "target", "source", "none"):
        raise ValueError(f"verify_checksum {value!r} is not known")
    return value
