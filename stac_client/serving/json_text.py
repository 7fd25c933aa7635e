"""JSON that is read and written again with every number as it was written; pure.

Python's own reader gives `1.10` back as `1.1`, `1e400` as `Infinity` and `-0` as `0`.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

_LONGEST_INTEGER = 300  # digits; Python refuses some thousand of them, other readers far fewer


class Number:
    """A number whose text Python would not give back."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __float__(self) -> float:
        return float(self.text)


def loads(content: bytes) -> Any:
    """Read JSON, in which Python's NaN and Infinity are tolerated.

    Raises:
        ValueError: It is no JSON in UTF-8.
        RecursionError: It is nested too deeply.
    """
    return json.loads(content.decode("utf-8-sig"), parse_float=_read_float, parse_int=_read_integer)


def dumps(value: Any) -> bytes:
    """Write what `loads` gave, in the same order.

    Raises:
        RecursionError: It is nested too deeply.
    """
    mark = secrets.token_hex(8)  # nobody can have put it into the text
    marked = False

    def write(number: object) -> str:
        nonlocal marked
        if not isinstance(number, Number):
            raise TypeError(f"{type(number).__name__} is nothing that JSON knows")
        marked = True
        return f"{mark}:{number.text}"

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=write)
    if marked:
        text = re.sub(rf'"{mark}:([^"]+)"', r"\1", text)
    # Nothing has to be escaped but halves of surrogate pairs, which only escapes can hold.
    return text.encode(errors="backslashreplace")


def _read_float(text: str) -> float | Number:
    number = float(text)
    return number if repr(number) == text else Number(text)


def _read_integer(text: str) -> int | Number:
    return Number(text) if text == "-0" or len(text) > _LONGEST_INTEGER else int(text)
