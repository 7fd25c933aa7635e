"""Errors that the server itself answers with, in the form of OGC and STAC APIs."""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.responses import Response


class Refusal(Exception):  # noqa: N818 - it becomes an answer
    """A request that is answered with an error."""

    def __init__(self, status: int, description: str) -> None:
        """Make one.

        Args:
            status: The HTTP status.
            description: A sentence for the client; it holds no secret.
        """
        super().__init__(description)
        self.status = HTTPStatus(status)
        self.description = description

    def response(self) -> Response:
        """Give the answer: JSON with `code` and `description`, readable from any web page."""
        code = self.status.phrase.title().replace(" ", "").replace("-", "")
        return Response(
            json.dumps({"code": code, "description": self.description}),
            self.status,
            {"access-control-allow-origin": "*", "cache-control": "no-store"},
            "application/json",
        )
